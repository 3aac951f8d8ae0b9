"""What is known of each landed file, and its bad rows: written down so that a lost or killed run is no loss."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TextIO

from vadose.stream.landing import Landed
from vadose.stream.text import BadRow

BAD = "bad-rows"
#: Below a root: what a run writes while it is at work. The next run removes what a killed one left.
WORK = "work"


@dataclass(frozen=True)
class Source:
    """What became of one landed file."""

    landed: Landed
    state: str  # new, done, waiting (no design row), unreadable
    rows: int = 0
    bad: int = 0
    first: str = ""
    last: str = ""
    reason: str = ""


class Ledger:
    """What is known of each landed file: `sources.json`, replaced atomically. It can be lost: a run makes it again from the landing."""

    def __init__(self, root: Path):
        self.file = root / "sources.json"
        found = json.loads(self.file.read_text()) if self.file.is_file() else {}
        self.sources: dict[str, Source] = {
            k: Source(Landed(**v.pop("landed")), **v) for k, v in found.get("sources", {}).items()
        }
        self.fingerprints: dict[str, str] = found.get("fingerprints", {})
        self.missing: dict[str, str] = found.get("missing", {})  # input -> why the last run found nothing there

    def troubles(self) -> list[str]:
        """What a person has to see to: inputs that give nothing, files that wait or cannot be read."""
        files = {s.reason for s in self.sources.values() if s.state in ("waiting", "unreadable")}
        return [*(f"{place}: {why}" for place, why in sorted(self.missing.items())), *sorted(files)]

    def save(self) -> None:
        """Write it down."""
        sources = {k: vars(v) | {"landed": vars(v.landed)} for k, v in sorted(self.sources.items())}
        body = {"sources": sources, "fingerprints": self.fingerprints, "missing": self.missing}
        temporary = self.file.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(body))
        temporary.replace(self.file)


class BadRows:
    """The bad rows of one file, written as they are found, however many: `bad-rows/HASH.jsonl`, there when the file is read to its end."""

    def __init__(self, root: Path, landed: Landed):
        self.landed, self.final = landed, root / BAD / f"{landed.sha256}.jsonl"
        self.temporary = root / WORK / f"{landed.sha256}.jsonl"
        self.file: TextIO | None = None
        self.count = 0

    def add(self, row: BadRow) -> None:
        """One more."""
        if self.file is None:
            self.final.parent.mkdir(exist_ok=True)
            self.temporary.parent.mkdir(exist_ok=True)
            self.file = self.temporary.open("w")
        self.count += 1
        self.file.write(json.dumps({"file": self.landed.name, "sha256": self.landed.sha256, **asdict(row)}) + "\n")

    def __enter__(self) -> BadRows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self.file is None:
            self.final.unlink(missing_ok=True)  # of a reading under other tables
            return
        self.file.close()
        if kind is None:
            self.temporary.replace(self.final)
        else:
            self.temporary.unlink()


def bad_rows(root: str | Path, most: int | None = None) -> list[dict]:
    """Bad rows of a stream, all or the first `most`: file, line, reason, how it begins; `cell` where only one value of the row is missing."""
    return list(islice(_bad_rows(Path(root)), most))


def _bad_rows(root: Path) -> Iterator[dict]:
    for path in sorted((root / BAD).glob("*.jsonl")):
        with path.open() as file:
            yield from map(json.loads, file)
