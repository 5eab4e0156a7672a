"""Clients, examples and recipes, as an advertiser would run them."""
