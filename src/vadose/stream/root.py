"""The folder of a stream: where its files come from, which tables explain them, and that one run at a time works in it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vadose.errors import UnreadableFileError, VadoseInputError
from vadose.stream.design import read_design


@contextlib.contextmanager
def locked(root: Path) -> Iterator[None]:
    """Only one run at a time works on a root; the lock goes with the process that held it."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise VadoseInputError(f"{root}: another run is at work here; wait for it or stop it") from error
        yield


def settings(root: str | Path) -> dict[str, Any]:
    """`stream.json` of a root: inputs, design folder, workers."""
    path = Path(root) / "stream.json"
    if not path.is_file():
        raise VadoseInputError(
            f"{root}: not a stream; make one with `vadose stream init {root} --input FOLDER --design TABLES`"
        )
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise UnreadableFileError(
            f"{path}: {error}; write it anew with `vadose stream init`, nothing else is lost"
        ) from error


def init(root: str | Path, *, inputs: Iterable[str | Path], design: str | Path, workers: int = 2) -> Path:
    """Make a stream root: a folder that knows where files come from and which tables explain them. Existing roots are updated."""
    base = Path(root)
    read_design(design)
    base.mkdir(parents=True, exist_ok=True)
    where = [str(p) if "://" in str(p) else str(Path(p).absolute()) for p in inputs]
    body = {"inputs": where, "design": str(Path(design).absolute()), "workers": workers}
    temporary = base / f".stream.{os.getpid()}"
    temporary.write_text(json.dumps(body, indent=1))
    temporary.replace(base / "stream.json")
    return base
