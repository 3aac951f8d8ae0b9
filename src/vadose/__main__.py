"""`python -m vadose` is the command `vadose`."""

from __future__ import annotations

from vadose.cli import main

if __name__ == "__main__":
    main()
