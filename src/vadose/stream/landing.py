"""Files land once, by the hash of their bytes: a copy, who it was, how far it reaches. Landing twice changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

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
        self.seen: dict[str, list] = json.loads(self.seen_file.read_text()) if self.seen_file.is_file() else {}

    def path(self, sha256: str) -> Path:
        """Where the bytes of a hash lie."""
        return self.root / sha256[:2] / sha256

    def land(self, places: Iterable[str | Path], *, storage_options: dict | None = None) -> Iterator[Landed]:
        """New or changed files below folders, prefixes or file names. What was seen with the same size and date is not opened.

        Only one run at a time may land below a root (ingest.locked). Call `save` when what became of them is written down: a run that dies before lands them again.
        """
        for left in self.root.glob(".incoming-*"):  # by a run that was killed
            left.unlink()
        new = [found for found in _listing(places, storage_options) if self.seen.get(found[0], [None])[0] != found[1]]
        with ThreadPoolExecutor(THREADS) as pool:
            for (address, mark, _), landed in zip(new, pool.map(lambda found: self._land_one(found[0], found[2]), new)):
                self.seen[address] = [mark, landed.sha256]
                yield landed

    def save(self) -> None:
        """Keep the list of what was seen (atomic)."""
        temporary = self.seen_file.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(self.seen))
        temporary.replace(self.seen_file)

    def _land_one(self, address: str, open_file) -> Landed:
        digest, size, head, tail = hashlib.sha256(), 0, b"", b""
        temporary = self.root / f".incoming-{os.getpid()}-{threading.get_ident()}"
        with open_file() as source, temporary.open("wb") as copy:
            while chunk := source.read(1 << 20):
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


def _listing(places: Iterable[str | Path], storage_options: dict | None):
    """(address, mark that changes with the content, opener) of every file, sorted by address."""
    for place in sorted({str(p) for p in places}):
        if "://" in place:
            import fsspec

            fs, root = fsspec.core.url_to_fs(place, **(storage_options or {}))
            fs.invalidate_cache()  # what a watch saw an hour ago is not what is there now
            found = fs.find(root, detail=True)
            for address in sorted(a for a in found if a.lower().endswith(SUFFIXES)):
                info = found[address]
                mark = str(
                    info.get("ETag")
                    or info.get("etag")
                    or [info.get("size"), str(info.get("LastModified", info.get("mtime", "")))]
                )
                yield fs.unstrip_protocol(address), mark, (lambda fs=fs, a=address: fs.open(a, "rb"))
            continue
        base = Path(place)
        for path in sorted(base.rglob("*")) if base.is_dir() else [base]:
            if path.is_file() and path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                status = path.stat()
                yield str(path.absolute()), f"{status.st_size}-{status.st_mtime_ns}", (lambda p=path: p.open("rb"))


def as_row(landed: Landed) -> dict:
    """For the table of sources."""
    return asdict(landed)
