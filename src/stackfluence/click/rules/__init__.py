"""The rules: small named functions, each of which looks at one request and says what speaks against it, or nothing."""
