"""What a build has done so far: one SQLite file beside the collection, so that a build which was stopped goes on."""

from __future__ import annotations

import json
import pickle
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from vadose.access.cube import FileScan, Form
from vadose.access.remote import Stat


class Journal:
    """Scans by address. A scan counts only for the very object it was made of (size and etag); others are made again."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(path, timeout=30)
        self.db.executescript(
            """
            create table if not exists scans (href text primary key, size integer, etag text, modified real, era text, body blob);
            create table if not exists forms (era text primary key, body text);
            create table if not exists quarantine (href text primary key, size integer, etag text, reason text);
            """
        )

    def close(self) -> None:
        self.db.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def missing(self, stats: Iterable[Stat]) -> list[Stat]:
        """Those of `stats` that were not scanned yet, or changed since."""
        done = {(h, s, e) for h, s, e in self.db.execute("select href, size, etag from scans")}
        return [s for s in stats if (s.href, s.size, s.etag) not in done]

    def put(self, scans: Iterable[FileScan]) -> None:
        """Keep a batch of scans, all or none."""
        with self.db:
            for s in scans:
                if s.forms is not None:
                    self.db.execute(
                        "insert or ignore into forms values (?, ?)", (s.era, json.dumps([asdict(f) for f in s.forms]))
                    )
                body = pickle.dumps(
                    (s.times, s.counts, s.number, s.offset, s.length, s.values, s.place, s.skipped), protocol=5
                )
                row = (s.stat.href, s.stat.size, s.stat.etag, s.stat.modified, s.era, body)
                self.db.execute("insert or replace into scans values (?, ?, ?, ?, ?, ?)", row)
                self.db.execute("delete from quarantine where href = ?", (s.stat.href,))

    def set_aside(self, stat: Stat, reason: str) -> None:
        """A file that is left out, and why."""
        with self.db:
            self.db.execute(
                "insert or replace into quarantine values (?, ?, ?, ?)", (stat.href, stat.size, stat.etag, reason)
            )
            self.db.execute("delete from scans where href = ?", (stat.href,))

    def quarantine(self) -> dict[str, str]:
        """Files left out, with reasons."""
        return dict(self.db.execute("select href, reason from quarantine order by href"))

    def keep_only(self, hrefs: Iterable[str]) -> None:
        """Forget files that the source no longer lists."""
        keep = set(hrefs)
        with self.db:
            for table in ("scans", "quarantine"):
                gone = [(h,) for (h,) in self.db.execute(f"select href from {table}") if h not in keep]
                self.db.executemany(f"delete from {table} where href = ?", gone)

    def eras(self) -> set[str]:
        return {e for (e,) in self.db.execute("select era from forms")}

    def scans(self) -> list[FileScan]:
        """Everything scanned so far."""
        out = []
        for href, size, etag, modified, era, body in self.db.execute("select * from scans order by href"):
            times, counts, number, offset, length, values, place, skipped = pickle.loads(body)
            out.append(
                FileScan(
                    Stat(href, size, etag, modified),
                    era,
                    np.asarray(times),
                    counts,
                    number,
                    offset,
                    length,
                    values,
                    place,
                    None,
                    skipped,
                )
            )
        return out

    def forms(self, era: str) -> list[Form]:
        """The variables of an era."""
        (body,) = self.db.execute("select body from forms where era = ?", (era,)).fetchone()
        rows = json.loads(body)
        return [
            Form(
                **{
                    **r,
                    "shape": tuple(r["shape"]),
                    "chunks": tuple(r["chunks"]),
                    "filters": tuple(r["filters"]),
                    "dims": tuple(r["dims"]),
                }
            )
            for r in rows
        ]
