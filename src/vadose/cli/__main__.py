"""`python -m vadose.cli` is the command `vadose`."""

from vadose.cli import main

main()
