"""Unix users for a class on one machine: made when missing, each with a home that the others cannot read. Root only."""

from __future__ import annotations

import pwd
import re
import subprocess
from pathlib import Path

from vadose.errors import PlatformError, VadoseInputError


def ensure(names: list[str]) -> None:
    """Make the users that are missing (no password: they log in through the hub) and close every home to others."""
    for name in names:
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,30}", name):
            raise VadoseInputError(
                f"user name {name!r}: use lower-case letters, digits, '-' and '_', starting with a letter"
            )
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            done = subprocess.run(
                ["useradd", "--create-home", "--shell", "/bin/bash", name], capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise PlatformError(f"cannot make the Unix user {name!r}: {done.stderr.strip()}") from None
            entry = pwd.getpwnam(name)
        if entry.pw_uid == 0 or entry.pw_uid < 1000:
            raise VadoseInputError(f"{name!r} is a system account of this machine; choose another name")
        Path(entry.pw_dir).chmod(0o700)
