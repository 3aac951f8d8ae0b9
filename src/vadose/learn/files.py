"""Files of trained models: renamed into place, told apart by their format and their sums, no pickle.

A folder holds words (JSON) and numbers (safetensors, skops or CatBoost files). The words keep the sum of every other file, so that
a damaged folder, or one of two trainings mixed, is refused and not predicted with.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path as FilePath
from typing import Any

from vadose.errors import UnreadableFileError, VadoseError


def replace(path: FilePath, write: Callable[[FilePath], Any]) -> None:
    """Write beside `path`, then rename: a reader sees the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    write(temporary)
    os.replace(temporary, path)


def save_tensors(path: FilePath, tensors: dict[str, Any], words: dict[str, str] | None = None) -> None:
    """Tensors and words as one safetensors file, renamed into place."""
    from safetensors.torch import save_file

    replace(
        path,
        lambda p: save_file({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, p, metadata=words),
    )


def save_words(path: FilePath, format_: str, words: dict[str, Any], *files: str) -> None:
    """`words` as JSON with their format and the sums of the `files` beside them, renamed into place."""
    sums = {name: _sum(path.parent / name) for name in files}
    text = json.dumps({"format": format_, "files": sums, **words}, indent=1)
    replace(path, lambda p: p.write_text(text))


def load_words(path: FilePath, format_: str, writer: str) -> dict[str, Any]:
    """What `save_words` wrote, once it and the files it names are found whole; else an `UnreadableFileError` that says what is not."""
    try:
        words = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UnreadableFileError(
            f"{path.parent}: no readable {path.name}; a folder written by {writer} was expected"
        ) from error
    found = words.get("format") if isinstance(words, dict) else type(words).__name__
    if found != format_:
        raise UnreadableFileError(f"{path}: format {found!r}, expected {format_!r}")
    for name, known in words.get("files", {}).items():
        file = path.parent / name
        if not file.is_file():
            raise UnreadableFileError(f"{file} is missing; copy the whole folder that {writer} wrote")
        if _sum(file) != known:
            raise UnreadableFileError(
                f"{file} is damaged, or belongs to another model than {path.name}; save or copy it anew"
            )
    return words


@contextmanager
def reading(folder: FilePath) -> Iterator[None]:
    """Whatever a strange file makes its reader raise becomes an `UnreadableFileError`."""
    try:
        yield
    except VadoseError:
        raise
    except Exception as error:
        raise UnreadableFileError(f"{folder} does not hold the model that its words describe: {error!r}") from error


def _sum(file: FilePath) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
