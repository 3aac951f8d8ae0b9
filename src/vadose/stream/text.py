"""Rows of a logger's text file, in blocks: fast where a block is well, line by line where it is not. No good row is lost, each bad one is named."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.csv as pc

from vadose.errors import UnreadableFileError

BLOCK = 8 << 20
#: A damaged block is cut into so many pieces, again and again, until a piece is this small; only such a piece is read line by line.
PIECES, PIECE = 16, 1 << 12
#: What loggers write instead of a number.
MISSING = ("NAN", "NaN", "nan", "NA", "N/A", "", "INF", "-INF", "Inf", "-Inf")
_MISSING = frozenset(MISSING)
#: Before this the clock of a logger was never set (it starts in 1990), after it the year is damaged.
EARLIEST, LATEST = np.datetime64("1995-01-01"), np.datetime64("2100-01-01")
TIME_PROCESSING = {"TMx", "TMn"}


@dataclass(frozen=True)
class BadRow:
    """A line that could not be taken as it is: where, why, and how it begins. `cell` names a column when only one value is bad."""

    line: int
    reason: str
    text: str
    cell: str = ""


@dataclass(frozen=True)
class Header:
    """Whose table it is and its columns in order; `processing` is TOA5's fourth line (Smp, Avg, TMx, ...)."""

    kind: str
    logger: str
    table: str
    columns: tuple[str, ...]
    processing: tuple[str, ...] = ()
    lines: int = 0

    @property
    def stream(self) -> str:
        """Name of the stream that the rows belong to."""
        return stream_name(self.logger, self.table)


@dataclass
class Block:
    """Some rows of one table in file order: times as the logger wrote them, values of the wanted columns (row, column)."""

    header: Header
    columns: tuple[str, ...]
    time: np.ndarray
    values: np.ndarray
    cut: bool = False  # the last row had no line end
    bad: list[BadRow] = field(default_factory=list)


def stream_name(logger: str, table: str) -> str:
    """`logger.table` with nothing but letters, digits and _ - ."""
    keep = "".join(c if c.isalnum() or c in "_-." else "-" for c in f"{logger}.{table}")
    return keep.strip(".-") or "unnamed"


def cells(line: str) -> list[str]:
    """One line's cells."""
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return line.split(",")  # a lone carriage return, an open quote


def decode(raw: bytes) -> str:
    """Text in UTF-8, else in Latin-1, in which every byte means something."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def byte_lines(file: io.BufferedIOBase, size: int = BLOCK) -> Iterator[bytes]:
    """A file as blocks of whole lines in a superset of ASCII: byte order marks go, UTF-16 and lone carriage returns are translated."""
    head = file.read(4)
    decoder: codecs.IncrementalDecoder | None = None
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        decoder = codecs.getincrementaldecoder("utf-16")(errors="replace")
    elif len(head) == 4 and head[1::2] == b"\0\0" and head[0] and head[2]:
        decoder = codecs.getincrementaldecoder("utf-16-le")(errors="replace")
    pending = head if decoder is None else decoder.decode(head).encode()
    pending = pending.removeprefix(codecs.BOM_UTF8)
    lone: bool | None = None
    while True:
        chunk = file.read(size)
        data = chunk if decoder is None else decoder.decode(chunk, final=not chunk).encode()
        pending += data
        if lone is None and len(pending) > 4:
            lone = b"\n" not in pending and b"\r" in pending
        if not chunk:
            break
        ready = pending.replace(b"\r", b"\n") if lone else pending
        stop = ready.rfind(b"\n") + 1
        if stop:
            yield ready[:stop]
            pending = ready[stop:]
    if pending:
        yield pending.replace(b"\r", b"\n") if lone else pending


def toa5_header(lines: list[bytes]) -> Header:
    """The four lines that open a TOA5 table. Raises UnreadableFileError saying what is missing."""
    first = cells(decode(lines[0]).strip()) if lines else []
    if not first or first[0] != "TOA5":
        raise UnreadableFileError(f"line 1: not TOA5, found {decode(lines[0])[:60]!r}" if lines else "empty file")
    if len(lines) < 2 or len(first) < 8:
        raise UnreadableFileError(
            "the file ends inside its header; expected four header lines and logger, ..., table in the first"
        )
    names = cells(decode(lines[1]).strip())
    if not names or names[0] != "TIMESTAMP":
        raise UnreadableFileError(
            f"line 2: expected column names that begin with TIMESTAMP, found {decode(lines[1])[:60]!r}"
        )
    processing = cells(decode(lines[3]).strip()) if len(lines) > 3 else []
    return Header("toa5", first[1], first[7], tuple(names), tuple(processing), 4)


class Reader:
    """Reads the body of delimited logger text under one header after the other.

    `wanted(header)` gives the columns to keep, or None for a table that nothing is known about.
    """

    def __init__(
        self,
        header: Header,
        wanted: Callable[[Header], list[str] | None],
        *,
        time: Callable[[str], np.datetime64] | None = None,
        digits: bool = False,
    ):
        self.wanted = wanted
        self.parse_time = time or _iso
        self.digits = digits  # times are twelve digits, YYYYMMDDHHMM
        self.set(header)

    def set(self, header: Header) -> None:
        """Go on under another header."""
        self.header = header
        position = {name: k for k, name in reversed(list(enumerate(header.columns)))}
        names = self.wanted(header) or []
        text = {
            header.columns[k] for k, p in enumerate(header.processing[: len(header.columns)]) if p in TIME_PROCESSING
        }
        self.columns = tuple(n for n in names if n in position and n not in text)
        self.positions = [position[n] for n in self.columns]

    def blocks(self, body: bytes, line: int) -> Iterator[Block]:
        """Rows of a block of whole lines, whose first is number `line`. A header in the middle starts a table anew."""
        if (well := self._quick(body)) is not None:  # no header inside: its first word would not be a time
            yield well
            return
        whole = body
        while body:
            at = _next_header(body)
            part, body = (body, b"") if at is None else (body[:at], body[at:])
            if part:
                yield self._mend(part, line) if part is whole else self._rows(part, line)
            if body:
                line += part.count(b"\n")
                head = body.split(b"\n", 4)[:4]
                try:
                    self.set(toa5_header(head))
                    skip = len(b"\n".join(head)) + 1
                except UnreadableFileError as error:
                    yield Block(
                        self.header,
                        self.columns,
                        _no_time(),
                        np.empty((0, len(self.columns))),
                        bad=[BadRow(line, str(error), decode(head[0])[:80])],
                    )
                    skip = len(head[0]) + 1
                line += body[:skip].count(b"\n")
                body = body[skip:]

    def _quick(self, part: bytes) -> Block | None:
        """Rows of a block in which nothing is wrong; None where something is."""
        if b"\0" in part:
            return None
        try:
            return self._fast(part, not part.endswith(b"\n"))
        except (pa.ArrowInvalid, ValueError):
            return None

    def _rows(self, part: bytes, line: int) -> Block:
        well = self._quick(part)
        return self._mend(part, line) if well is None else well

    def _mend(self, part: bytes, line: int) -> Block:
        """Rows of a block in which something is wrong: piece by piece, the smallest line by line."""
        pieces = [part] if len(part) <= PIECE else list(_pieces(part, max(len(part) // PIECES, PIECE // 2)))
        if len(pieces) == 1:
            return self._slow(part, line, not part.endswith(b"\n"))
        found = []
        for piece in pieces:
            found.append(self._rows(piece, line))
            line += piece.count(b"\n")
        return Block(
            self.header,
            self.columns,
            np.concatenate([b.time for b in found]),
            np.concatenate([b.values for b in found]),
            found[-1].cut,
            [row for b in found for row in b.bad],
        )

    def _fast(self, part: bytes, cut: bool) -> Block:
        names = [f"c{k}" for k in range(len(self.header.columns))]
        kept = ["c0", *(names[k] for k in self.positions)]
        kinds: dict[str, pa.DataType] = {name: pa.float64() for name in kept}
        kinds["c0"] = pa.string() if self.digits else pa.timestamp("us")
        table = pc.read_csv(
            pa.py_buffer(part),
            read_options=pc.ReadOptions(column_names=names, use_threads=False, block_size=len(part) + 1),
            convert_options=pc.ConvertOptions(
                column_types=kinds, include_columns=kept, null_values=list(MISSING), check_utf8=False
            ),
        )
        stamps = table.column(0)
        if stamps.null_count:
            raise ValueError("a row without time")
        time = twelve_digits(stamps) if self.digits else stamps.to_numpy().astype("datetime64[us]")
        if time.size and (time.min() < EARLIEST or time.max() > LATEST):
            raise ValueError("a time that no logger has seen")
        # Column by column in memory, as everything that follows works on one sensor at a time.
        values = np.empty((len(time), len(self.positions)), order="F")
        for k in range(len(self.positions)):
            values[:, k] = table.column(k + 1).to_numpy()
        if np.isinf(values).any():
            values[np.isinf(values)] = np.nan
        return Block(self.header, self.columns, time, values, cut)

    def _slow(self, part: bytes, line: int, cut: bool) -> Block:
        times: list[np.datetime64] = []
        rows: list[list[float]] = []
        bad: list[BadRow] = []
        taken_last = False
        for number, raw in enumerate(part.split(b"\n"), line):
            raw = raw.strip(b"\r\0 \t")
            taken_last = False if raw else taken_last
            if not raw:
                continue
            text = decode(raw)
            found = self._row(number, text, bad)
            if found is not None:
                times.append(found[0])
                rows.append(found[1])
                taken_last = True
        values = np.array(rows, dtype=float).reshape(len(rows), len(self.positions))
        return Block(
            self.header, self.columns, np.array(times, dtype="datetime64[us]"), values, cut and taken_last, bad
        )

    def _row(self, number: int, text: str, bad: list[BadRow]) -> tuple[np.datetime64, list[float]] | None:
        if "\0" in text:
            bad.append(
                BadRow(
                    number,
                    "zero bytes inside the line (power was lost while it was written)",
                    text.replace("\0", "")[:80],
                )
            )
            return None
        try:
            found = cells(text)
        except csv.Error as error:
            bad.append(BadRow(number, f"not comma-separated text: {error}", text[:80]))
            return None
        if self.header.kind == "toa5" and found[0] in ("TIMESTAMP", "TS", "") and not any(_is_number(c) for c in found):
            if found[0] == "TIMESTAMP" and tuple(found) != self.header.columns:
                bad.append(
                    BadRow(
                        number,
                        "column names change in the middle of the file without a TOA5 line; rows below were read with the first ones",
                        text[:80],
                    )
                )
            return None  # the rest of a repeated header
        expected = len(self.header.columns)
        if len(found) != expected:
            bad.append(BadRow(number, f"{len(found)} values where the header names {expected} columns", text[:80]))
            return None
        try:
            time = self.parse_time(found[0].strip())
        except ValueError:
            bad.append(BadRow(number, f"{found[0][:30]!r} is not a time", text[:80]))
            return None
        if not EARLIEST <= time <= LATEST:
            bad.append(BadRow(number, f"time {found[0]}: the logger's clock was not set", text[:80]))
            return None
        values = []
        for name, k in zip(self.columns, self.positions):
            word = found[k].strip()
            if word in _MISSING:
                values.append(float("nan"))
                continue
            try:
                value = float(word)
                if "_" in word or value in (float("inf"), float("-inf")):
                    raise ValueError
            except ValueError:
                bad.append(BadRow(number, f"{word[:30]!r} is not a number; this one value is missing", text[:80], name))
                value = float("nan")
            values.append(value)
        return time, values


def _pieces(part: bytes, size: int) -> Iterator[bytes]:
    """Whole lines, about `size` bytes at a time."""
    start = 0
    while start < len(part):
        stop = part.find(b"\n", start + size) + 1 or len(part)
        yield part[start:stop]
        start = stop


def twelve_digits(words: pa.ChunkedArray) -> np.ndarray:
    """YYYYMMDDHHMM -> times; raises ValueError when one of them is no time."""
    if not compute.all(compute.match_substring_regex(words, r"^\d{12}$")).as_py():
        raise ValueError("not twelve digits")
    number = words.cast(pa.int64()).to_numpy()
    year, month, day = number // 10**8, number // 10**6 % 100, number // 10**4 % 100
    hour, minute = number // 100 % 100, number % 100
    start = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    date = start.astype("datetime64[D]") + (day - 1)
    if ((month < 1) | (month > 12) | (date.astype("datetime64[M]") != start) | (hour > 23) | (minute > 59)).any():
        raise ValueError("no such date")
    return date.astype("datetime64[us]") + (hour * 60 + minute) * np.timedelta64(60_000_000, "us")


def _no_time() -> np.ndarray:
    return np.empty(0, dtype="datetime64[us]")


def _iso(text: str) -> np.datetime64:
    if len(text) < 10 or text[4:5] != "-":
        raise ValueError(text)
    return np.datetime64(text.replace(" ", "T"), "us")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _next_header(body: bytes) -> int | None:
    """Where a TOA5 header begins in a block of lines."""
    if b"TOA5" not in body:
        return None
    found = []
    for mark in (b'"TOA5",', b"TOA5,"):
        if body.startswith(mark):
            return 0
        at = body.find(b"\n" + mark)
        if at >= 0:
            found.append(at + 1)
    return min(found, default=None)
