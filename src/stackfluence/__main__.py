"""`python -m stackfluence` is the command `stackfluence`."""

from stackfluence.cli import main

main()
