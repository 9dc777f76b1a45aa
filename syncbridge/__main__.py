"""`python -m syncbridge`."""

from syncbridge.cli import main

main()
