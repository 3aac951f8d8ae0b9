"""Files land once, by the hash of their bytes: a copy, who it was, how far it reaches. Landing twice changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vadose.errors import UnreadableFileError
from vadose.stream.formats import header_of
from vadose.stream.text import byte_lines

EPOCH = np.datetime64("1970-01-01", "m")
#: Bits of a rank: revision, not missing, not cut off, minutes since 1970 of the file's last time, hash. Higher wins.
HASH_BITS, MINUTE_BITS = 24, 31
CUT_BIT, VALID_BIT = 1 << 55, 1 << 56
#: Files that are read and hashed at a time: an object store answers slowly, and hashing leaves the interpreter free.
THREADS = 4
SUFFIXES = (".dat", ".csv", ".stm", ".toa5", ".txt")


@dataclass(frozen=True)
class Landed:
    """One landed file. `rank` orders files that disagree: a later revision wins, then the file that reaches further in time."""

    sha256: str
    name: str
    size: int
    kind: str
    stream: str
    logger: str
    table: str
    rank: int
    problem: str = ""


def revision_of(name: str) -> int:
    """`..._r2.dat` is revision 2 of its file, corrected by hand; names without `_rN` are revision 0."""
    found = re.search(r"_r(\d{1,2})$", Path(name).stem)
    return min(int(found[1]), 62) if found else 0


def rank_of(revision: int, last: np.datetime64 | None, sha256: str) -> int:
    """One number that orders files: it depends on what a file holds and is called, never on when it arrived."""
    minutes = 0 if last is None else int((last.astype("datetime64[m]") - EPOCH).astype(np.int64))
    return (revision << 57) | (min(max(minutes, 0), (1 << MINUTE_BITS) - 1) << HASH_BITS) | int(sha256[:6], 16)


_STAMP = re.compile(rb'^"*(?:(\d{4}[-/]\d\d[-/]\d\d[ T]\d\d:\d\d)|(\d{12}),)', re.M)
_NO_DIGIT = bytes(sorted(set(range(256)) - set(b"0123456789")))


def _last_time(tail: bytes) -> np.datetime64 | None:
    """The newest time that a line of a file's end begins with."""
    found = _STAMP.findall(tail.replace(b"\0", b""))
    for stamp in sorted({(dashed or plain).translate(None, _NO_DIGIT) for dashed, plain in found}, reverse=True):
        d = stamp.decode()
        try:
            return np.datetime64(f"{d[:4]}-{d[4:6]}-{d[6:8]}T{d[8:10]}:{d[10:]}", "m")
        except ValueError:
            continue
    return None


class Landing:
    """The folder of landed bytes, `ab/abcd...`, and the list of what was seen where."""

    def __init__(self, root: Path):
        self.root = root / "landing"
        self.root.mkdir(parents=True, exist_ok=True)
        self.seen_file = root / "seen.json"
        self.missing: dict[str, str] = {}  # input -> why nothing comes from it
        self.seen: dict[str, list] = json.loads(self.seen_file.read_text()) if self.seen_file.is_file() else {}

    def path(self, sha256: str) -> Path:
        """Where the bytes of a hash lie."""
        return self.root / sha256[:2] / sha256

    def land(self, places: Iterable[str | Path], *, storage_options: dict | None = None) -> Iterator[Landed]:
        """New or changed files below folders, prefixes or file names. What was seen with the same size and date is not opened.

        A place that is not there, does not answer or holds no logger file is passed over and named in `missing`.
        Only one run at a time may land below a root (root.locked). Call `save` when what became of them is written down: a run that dies before lands them again.
        """
        for left in self.root.glob(".incoming-*"):  # by a run that was killed
            left.unlink()
        self.missing = {}
        new = []
        for place in sorted({str(p) for p in places}):
            try:
                found = list(_listing(place, storage_options))
            except UnreadableFileError as error:
                self.missing[place] = str(error)
                continue
            if not found:
                self.missing[place] = f"no logger file there, that is none that ends in {', '.join(SUFFIXES)}"
            new += [(place, *one) for one in found if self.seen.get(one[0], [None])[0] != one[1]]
        with ThreadPoolExecutor(THREADS) as pool:
            for (_, address, mark, _), landed in zip(new, pool.map(self._try_one, new)):
                if landed is not None:
                    self.seen[address] = [mark, landed.sha256]
                    yield landed

    def _try_one(self, found: tuple[str, str, str, Callable[[], Any]]) -> Landed | None:
        """A file landed; None where it cannot be read now. Of a store that went away no further file is tried."""
        place, address, _, open_file = found
        if "://" in place and place in self.missing:
            return None
        try:
            return self._land_one(address, open_file)
        except UnreadableFileError as error:
            self.missing[place] = str(error)
            return None

    def save(self) -> None:
        """Keep the list of what was seen (atomic)."""
        temporary = self.seen_file.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(self.seen))
        temporary.replace(self.seen_file)

    def _land_one(self, address: str, open_file) -> Landed:
        digest, size, head, tail = hashlib.sha256(), 0, b"", b""
        temporary = self.root / f".incoming-{os.getpid()}-{threading.get_ident()}"
        with temporary.open("wb") as copy:
            for chunk in _chunks(address, open_file):
                digest.update(chunk)
                copy.write(chunk)
                size += len(chunk)
                if len(head) < 1 << 16:
                    head += chunk[: 1 << 16]
                tail = (tail + chunk)[-(1 << 16) :]
        sha = digest.hexdigest()
        final = self.path(sha)
        final.parent.mkdir(exist_ok=True)
        temporary.replace(final)
        name = Path(address).name
        return describe(sha, name, size, head, tail)


def describe(sha: str, name: str, size: int, head: bytes, tail: bytes) -> Landed:
    """What is known of a file from its first and last bytes."""
    import io

    wide = head[:2] in (b"\xff\xfe", b"\xfe\xff")
    if wide:
        tail = tail.decode("utf-16-le" if head[:2] == b"\xff\xfe" else "utf-16-be", "ignore").encode()
    rank = rank_of(revision_of(name), _last_time(tail.replace(b"\r", b"\n")), sha)
    try:
        header = header_of(next(byte_lines(io.BytesIO(head)), b""), name)
    except UnreadableFileError as error:
        return Landed(sha, name, size, "", "", "", "", rank, str(error))
    return Landed(sha, name, size, header.kind, header.stream, header.logger, header.table, rank)


def _chunks(address: str, open_file: Callable[[], Any]) -> Iterator[bytes]:
    """The bytes of a file. Whatever fails here is the place it lies in, not the disk it is copied to."""
    try:
        with open_file() as source:
            while chunk := source.read(1 << 20):
                yield chunk
    except GeneratorExit:
        raise
    except Exception as error:
        raise UnreadableFileError(f"{address}: {said(error)}") from error


def said(error: Exception) -> str:
    """What an error says, in one line."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(words).split())


def _listing(place: str, storage_options: dict | None) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """(address, mark that changes with the content, opener) of every file of a place, sorted by address."""
    if "://" in place:
        import fsspec

        try:
            fs, root = fsspec.core.url_to_fs(place, **(storage_options or {}))
            fs.invalidate_cache()  # what a watch saw an hour ago is not what is there now
            found = fs.find(root, detail=True)
        except Exception as error:  # each store has errors of its own
            raise UnreadableFileError(f"it does not answer: {said(error)}") from error
        for address in sorted(a for a in found if a.lower().endswith(SUFFIXES)):
            info = found[address]
            changed = [info.get("size"), str(info.get("LastModified", info.get("mtime", "")))]
            mark = str(info.get("ETag") or info.get("etag") or changed)
            yield fs.unstrip_protocol(address), mark, partial(fs.open, address, "rb")
        return
    base = Path(place)
    if not base.exists():
        raise UnreadableFileError("no such folder; it is taken up once it is there")
    for path in sorted(base.rglob("*")) if base.is_dir() else [base]:
        if path.is_file() and path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            status = path.stat()
            yield str(path.absolute()), f"{status.st_size}-{status.st_mtime_ns}", partial(path.open, "rb")
