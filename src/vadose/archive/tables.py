"""The tables that ESS-DIVE asks for: every file (file-level metadata) and every column of the CSV files (data dictionary).

doi:10.15485/1734840 (file-level metadata), doi:10.15485/1734841 (CSV files).
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vadose.archive import bag

FLMD = [
    "file_name",
    "file_description",
    "standard",
    "file_version",
    "data_orientation",
    "header_rows",
    "column_or_row_name_position",
    "notes",
]
DICTIONARY = ["column_or_row_name", "unit", "definition", "column_or_row_long_name", "data_type", "missing_value_code"]
#: What files write where there is no value.
MISSING = frozenset(("-9999", "-9999.0", "NaN", "nan", "N/A", "NA"))
#: Rows that are looked at together: of each column its different cells only.
CHUNK = 20_000
_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*"


@dataclass(frozen=True)
class Table:
    """What a look at every row of a CSV file tells: where its names stand, what its columns hold, whether ESS-DIVE's rules for CSV hold."""

    above: int
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    missing: tuple[str, ...]
    follows_rules: bool


def write_csv(path: Path, head: list[str], rows: Iterable[Iterable[Any]]) -> None:
    """UTF-8, comma, line feed, rectangular."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


def read_table(path: Path) -> Table:
    """Read a CSV file row by row: comma, semicolon or tab, lines of comment (`#`) above the names.

    `follows_rules`: UTF-8, commas, names of letters, digits, `_` and `-` (file and columns), as many cells in each row, none empty.
    """
    follows = re.fullmatch(_NAME, path.stem) is not None
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        above, head = 0, file.readline()
        while head.startswith("#"):
            above, head = above + 1, file.readline()
        comma = max(",;\t", key=head.count)
        names = next(csv.reader([head], delimiter=comma), [])
        kinds: list[set[str]] = [set() for _ in names]
        codes: list[set[str]] = [set() for _ in names]
        rows = _rows(file, comma)
        while chunk := list(itertools.islice(rows, CHUNK)):
            follows = follows and {len(row) for row in chunk} == {len(names)}
            for k, cells in zip(range(len(names)), itertools.zip_longest(*chunk, fillvalue="")):
                distinct = set(cells)
                follows = follows and "" not in distinct and all(map(_is_utf8, distinct))
                codes[k] |= distinct & MISSING
                if "text" not in kinds[k] and (words := distinct - MISSING - {""}):
                    kinds[k].add(_kind(words))
    follows = (
        follows and comma == "," and 0 < len(names) == len(set(names)) and all(re.fullmatch(_NAME, n) for n in names)
    )
    kind = tuple(found.pop() if len(found) == 1 else "text" for found in kinds)
    # where the file uses no code, the one that ESS-DIVE asks for, which it would use
    missing = tuple(
        "; ".join(sorted(c)) or ("-9999" if k == "numeric" else "N/A") for c, k in zip(codes, kind, strict=True)
    )
    shown = tuple(n.encode("utf-8", "replace").decode() for n in names)
    return Table(above, shown, kind, missing, follows)


def _kind(words: set[str]) -> str:
    """What all of some cells are; "text" where they are not all numbers or all dates."""
    try:
        for word in words:
            float(word)
    except ValueError:
        return "date" if all(re.match(r"\d{4}-\d{2}-\d{2}", word) for word in words) else "text"
    return "numeric"


def _is_utf8(cell: str) -> bool:
    return cell.isascii() or not any("\udc80" <= sign <= "\udcff" for sign in cell)


def _rows(lines: Iterable[str], comma: str) -> Iterator[list[str]]:
    """Rows of cells; a line with a NUL or of absurd length counts as one that is not rectangular."""
    reader = csv.reader(lines, delimiter=comma)
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield []


def dictionary(folder: Path, tables: dict[str, Table]) -> list[list[str]]:
    """One row a column name of the CSV tables below `folder` (name below it -> table), its meaning from a `columns.csv` beside or above it."""
    rows: dict[str, list[str]] = {}
    files: dict[str, list[str]] = {}
    for name, table in tables.items():
        known = _known_columns(folder, folder / name)
        for column, kind, code in zip(table.names, table.kinds, table.missing, strict=True):
            unit, definition = known.get(column, ("N/A", ""))
            row = rows.setdefault(column, [column or "N/A", unit, definition, column.replace("_", " ") or "N/A", kind, code])  # fmt: skip
            if not row[2] and definition:
                row[1:3] = [unit, definition]
            files.setdefault(column, []).append(Path(name).name)
    for column, row in rows.items():
        among = files[column]
        where = among[0] if len(among) == 1 else f"{among[0]} and {len(among) - 1} more files"
        row[2] = row[2] or f"Column {row[3]} of {where}"
    return list(rows.values())


def _known_columns(folder: Path, table: Path) -> dict[str, tuple[str, str]]:
    for place in table.parents:
        if not place.is_relative_to(folder):
            break
        path = place / "columns.csv"
        if path.is_file():
            with open(path, encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file)
                if {"column", "units", "definition"} <= set(reader.fieldnames or []):
                    return {r["column"]: (r["units"] or "N/A", r["definition"] or "") for r in reader}
    return {}


def tables(folder: Path) -> dict[str, Table]:
    """Every CSV file below `folder`, by its name below it."""
    return {p.relative_to(folder).as_posix(): read_table(p) for p in bag.files(folder) if p.suffix.lower() == ".csv"}
