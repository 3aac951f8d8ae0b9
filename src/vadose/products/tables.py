"""Tables of text: one clear error that names the file and the line, whatever is wrong with it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vadose.errors import UnreadableFileError


def text_of(path: str | Path, storage_options: dict | None = None) -> str:
    """The text of a file, local or remote, plain or gzip; a byte order mark is dropped and any line end becomes a line feed."""
    import fsspec

    with fsspec.open(str(path), "rb", compression="infer", **(storage_options or {})) as file:
        return "\n".join(file.read().decode("utf-8-sig", "replace").splitlines())


def read(text: str, name: str | Path, *, needed: tuple[str, ...], what: str, **options: Any) -> pd.DataFrame:
    """A table from comma-separated text, comment lines (#) skipped; the index is the line number in the file.

    Raises UnreadableFileError naming file, line and what was expected: no rows, columns missing, a row with too many fields.
    """
    lines = [(k, line) for k, line in enumerate(text.split("\n"), 1) if line.strip() and not line.startswith("#")]
    if len(lines) < 2:
        raise UnreadableFileError(f"{name}: line {lines[0][0] if lines else 1}: no rows; expected {what}")
    try:
        table = pd.read_csv(io.StringIO("\n".join(line for _, line in lines)), **options)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        at = re.search(r"line (\d+)", str(error))
        number = lines[min(int(at.group(1)), len(lines)) - 1][0] if at else lines[0][0]
        raise UnreadableFileError(f"{name}: line {number}: {error}; expected {what}") from error
    missing = [c for c in needed if c not in table.columns]
    if missing:
        found = ", ".join(map(str, table.columns[:10]))
        raise UnreadableFileError(
            f"{name}: line {lines[0][0]}: columns {', '.join(missing)} are missing, found {found}; expected {what}"
        )
    table.index = pd.Index([k for k, _ in lines[1:]])
    return table


def numbers(table: pd.DataFrame, column: str, name: str | Path) -> np.ndarray:
    """A column as floats; text that is no number is an error with its line, an empty field is NaN."""
    values = pd.to_numeric(table[column], errors="coerce")
    bad = values.isna() & table[column].notna()
    if bad.any():
        line = bad.idxmax()
        raise UnreadableFileError(f"{name}: line {line}: {column} is {table.at[line, column]!r}, expected a number")
    return values.to_numpy(dtype=float)


def times(table: pd.DataFrame, column: str, name: str | Path, *, format: str | None = None) -> pd.DatetimeIndex:
    """A column as UTC times without a zone; what is no time is an error with its line."""
    text = table[column].astype(str)
    found = pd.to_datetime(text, format=format, errors="coerce", utc=True)
    if found.isna().any():
        line = found.isna().idxmax()
        raise UnreadableFileError(f"{name}: line {line}: {column} is {text.at[line]!r}, expected a time")
    return pd.DatetimeIndex(found.dt.tz_localize(None)).as_unit("ns")
