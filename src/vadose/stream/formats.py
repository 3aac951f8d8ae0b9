"""Which kind of file it is, and its rows: Campbell TOA5, plain CSV, AmeriFlux half-hours, ISMN stations."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import PurePath

import numpy as np

from vadose.errors import UnreadableFileError
from vadose.stream.text import BLOCK, BadRow, Block, Header, Reader, byte_lines, cells, decode, toa5_header

#: A header is looked for in so many bytes at a file's beginning.
HEAD = 1 << 16
Wanted = Callable[[Header], list[str] | None]


def header_of(first: bytes, name: str) -> Header:
    """The header of a file from its first lines. Raises UnreadableFileError naming the file and what was expected."""
    lines = first.split(b"\n")
    text = decode(lines[0]).strip() if lines else ""
    if text.lstrip('"').startswith("TOA5"):
        try:
            return toa5_header(lines[:4])
        except UnreadableFileError as error:
            raise UnreadableFileError(f"{name}: {error}") from error
    if name.endswith(".stm"):
        from vadose.products import ismn

        head, _ = ismn.parse(text, name)
        column = f"{ismn.variable_of(name) or 'sm'}_{head['top']:.2f}_{head['bottom']:.2f}"
        return Header("ismn", f"{head['network']}_{head['station']}", "ismn", ("TIMESTAMP", column), lines=1)
    comments = [decode(line).strip("# \r") for line in lines if line.startswith(b"#")]
    at = next((k for k, line in enumerate(lines) if line.strip() and not line.startswith(b"#")), None)
    if at is None:
        raise UnreadableFileError(f"{name}: empty file")
    columns = tuple(c.strip() for c in cells(decode(lines[at]).strip()))
    said = dict(re.split(r"\s*[:=]\s*", c, maxsplit=1) for c in comments if re.match(r"(logger|table)\s*[:=]", c))
    if columns and columns[0] == "TIMESTAMP_START":
        site = re.match(r"(?:AMF|FLX)_([A-Z]{2}-\w{3})", PurePath(name).name)
        return Header(
            "ameriflux", site[1] if site else PurePath(name).stem, said.get("table", "ameriflux"), columns, lines=at + 1
        )
    if columns and columns[0].upper() in ("TIMESTAMP", "DATETIME", "TIME"):
        stem = PurePath(name).stem.split("__")
        return Header(
            "csv",
            said.get("logger", stem[0]),
            said.get("table", stem[1] if len(stem) > 1 else "csv"),
            columns,
            lines=at + 1,
        )
    raise UnreadableFileError(
        f"{name}: not a logger file; expected TOA5, a CSV whose first column is TIMESTAMP, AmeriFlux (TIMESTAMP_START) or ISMN .stm; found {text[:60]!r}"
    )


def _digits(text: str) -> np.datetime64:
    if not re.fullmatch(r"\d{12}", text):
        raise ValueError(text)
    return np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:8]}T{text[8:10]}:{text[10:]}", "us")


def _csv_time(text: str) -> np.datetime64:
    if text.endswith("Z") or re.search(r"[+-]\d\d:?\d\d$", text[10:]):
        raise ValueError("a time with its own offset")
    return np.datetime64(text.replace("/", "-").replace(" ", "T"), "us")


def _ismn_rows(body: bytes, header: Header, line: int) -> Block:
    times, values, bad = [], [], []
    for number, raw in enumerate(body.split(b"\n"), line):
        words = decode(raw).split()
        if not words:
            continue
        try:
            time = np.datetime64(f"{words[0].replace('/', '-')}T{words[1]}", "us")
            values.append([np.nan if len(words) > 3 and words[3].startswith("M") else float(words[2])])
            times.append(time)
        except (ValueError, IndexError):
            bad.append(BadRow(number, "expected YYYY/MM/DD HH:MM value flag", decode(raw)[:80]))
            del values[len(times) :]
    array = np.array(values, dtype=float).reshape(len(times), 1)
    return Block(
        header, header.columns[1:], np.array(times, dtype="datetime64[us]"), array, not body.endswith(b"\n"), bad
    )


def read(file: io.BufferedIOBase, name: str, wanted: Wanted, *, size: int = BLOCK) -> Iterator[Block]:
    """All rows of a file, block by block. Raises UnreadableFileError when its header cannot be understood."""
    parts = byte_lines(file, size)
    first = next(parts, b"")
    while len(first.split(b"\n", 8)) < 9 and (more := next(parts, b"")):
        first += more
    header = header_of(first[:HEAD], name)
    start = 0
    for _ in range(header.lines):
        start = first.find(b"\n", start) + 1 or len(first)
    body = first[start:]
    line = header.lines + 1
    clock = {"ameriflux": _digits, "csv": _csv_time}.get(header.kind)
    reader = Reader(header, wanted, time=clock, digits=header.kind == "ameriflux")
    while True:
        if header.kind == "ismn":
            yield _ismn_rows(body, header, line)
        else:
            yield from reader.blocks(body, line)
        done, body = body, next(parts, b"")
        if not body:
            return
        line += done.count(b"\n")
