"""Unix users for a class on one machine: made when missing, each with a home that the others cannot read. Root only.

They run the interpreter and the packages of this installation; `check` finds out whether they can before the hub starts.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
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
        if not Path(entry.pw_dir).is_dir():
            raise PlatformError(
                f"the Unix user {name!r} has no home folder {entry.pw_dir}: make it (mkhomedir_helper {name}), or choose another name"
            )
        Path(entry.pw_dir).chmod(0o700)


#: What a notebook server and a worker import. `ssl` fails where the interpreter falls back on a library of another version,
#: because its own is closed.
NEEDED = ("ssl", "vadose", "jupyterhub")
#: What the spawner hands on of the hub's environment and Python heeds.
HANDED_ON = ("PATH", "PYTHONPATH", "LANG", "LC_ALL")


def check(name: str, folders: Sequence[Path] = (), *, python: str = sys.executable) -> None:
    """Raise PlatformError when the user `name` cannot run `python` with this installation's packages, or enter `folders`.

    It names the first folder or file on the way that is closed to them. A venv's interpreter is often a link into the home
    of whoever made it, and root's home is closed.
    """
    done = _run_as(name, [python, "-c", f"import {', '.join(NEEDED)}"])
    if done is None or done.returncode:
        packages = [Path(spec.origin) for n in NEEDED if (spec := importlib.util.find_spec(n)) and spec.origin]
        places = [Path(os.__file__), *packages]
        closed = first_closed(name, [Path(python), *places])
        why = f"{closed} is closed to them" if closed else _last(done.stderr if done else "it cannot be executed")
        raise PlatformError(
            f"the Unix user {name!r} cannot run {python}: {why}. Install Python and vadose where every user may read, "
            f"for example under /opt, or start with --shared-account (one Unix account for all)"
        )
    if closed := first_closed(name, folders):
        raise PlatformError(
            f"the Unix user {name!r} cannot enter {folders[0]}, where clusters keep their files: {closed} is closed to them; "
            f"choose another folder with --state-dir, for example /srv/vadose, or start with --shared-account"
        )


def first_closed(name: str, paths: Sequence[Path]) -> Path | None:
    """The first folder that the user cannot pass, or file that they cannot read, on the way to `paths`, links followed."""
    steps = list(dict.fromkeys(step for path in paths for step in _steps(path)))
    ask = 'for p; do if [ -d "$p" ]; then [ -x "$p" ]; else [ -r "$p" ]; fi || { printf %s "$p"; exit; }; done'
    done = _run_as(name, ["/bin/sh", "-c", ask, "sh", *map(str, steps)])
    return Path(done.stdout) if done and done.stdout else None


def _steps(path: Path) -> Iterator[Path]:
    """Every folder that opening `path` passes, in order, and what it ends at; a link counts as where it leads."""
    here, left, links = Path("/"), list(path.absolute().parts[1:]), 0
    while left:
        step = here / left.pop(0)
        if step.name == "..":
            here = here.parent
        elif step.is_symlink() and links < 40:
            target, links = step.readlink(), links + 1
            here, left = (
                (Path("/"), [*target.parts[1:], *left]) if target.is_absolute() else (here, [*target.parts, *left])
            )
        else:
            here = step
            yield step


def _run_as(name: str, command: list[str]) -> subprocess.CompletedProcess[str] | None:
    """Run a command as the spawner would, with the user's rights and groups; None when they may not execute it."""
    entry = pwd.getpwnam(name)
    environment = {n: os.environ[n] for n in HANDED_ON if n in os.environ} | {"HOME": entry.pw_dir, "USER": name}
    try:
        return subprocess.run(
            command,
            user=entry.pw_uid,
            group=entry.pw_gid,
            extra_groups=os.getgrouplist(name, entry.pw_gid),
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None


def _last(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else "it ended without a word"
