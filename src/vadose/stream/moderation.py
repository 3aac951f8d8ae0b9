"""Where citizens' observations are kept, what became of each, and what is published: small files, an append-only log of decisions.

An observation is `waiting`, `accepted` or `rejected`. Without a person's decision it is accepted when nothing speaks against it, and waits
otherwise. A later decision replaces an earlier one and both stay in the log.
"""

from __future__ import annotations

import csv
import datetime
import hashlib
import io
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vadose.errors import NotFoundError, VadoseInputError
from vadose.stream import observers
from vadose.stream.citizen import doubts, for_publication, without_repetition
from vadose.stream.references import read_references

STATES = ("waiting", "accepted", "rejected")
#: An observer whose trust is below this waits for a person.
LITTLE_TRUST = 0.5
PUBLISHED = (
    "id", "observer", "time", "latitude", "longitude", "coordinate_accuracy", "depth_from", "depth_to", "method", "soil_moisture", "gravimetric_moisture",
    "relative_wetness", "standard_error", "bulk_density", "sensor_model", "replicate", "trust", "license",
)  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """One observation with what is said of it."""

    id: str
    observation: dict[str, Any]
    state: str  # one of STATES
    doubts: tuple[str, ...]
    trust: float
    decided_by: str = ""
    why: str = ""


def keep(folder: str | Path, found: Mapping[str, Any]) -> tuple[str, bool]:
    """Write one observation under FOLDER/<date>/<content>.json, whole or not at all. Gives its id and whether it is new.

    What the same observer sent before (citizen.without_repetition) is not kept again; nothing is ever overwritten.
    """
    base = Path(folder)
    day = datetime.date.fromisoformat(found["time"][:10])
    near = [o for d in (-1, 0, 1) for o in _day(base, day + datetime.timedelta(days=d))]
    for identity, other in near:
        if len(without_repetition([other, found])) == 1:
            return identity, False
    body = json.dumps(found, sort_keys=True, indent=1)
    identity = hashlib.sha256(body.encode()).hexdigest()[:20]
    path = base / day.isoformat() / f"{identity}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.{secrets.token_hex(4)}")
    temporary.write_text(body)
    temporary.replace(path)
    return identity, True


def _day(base: Path, day: datetime.date) -> list[tuple[str, dict[str, Any]]]:
    return [(p.stem, json.loads(p.read_text())) for p in sorted((base / day.isoformat()).glob("*.json"))]


def kept(folder: str | Path) -> list[tuple[str, dict[str, Any]]]:
    """(id, observation) of everything that was kept, by date."""
    return [(p.stem, json.loads(p.read_text())) for p in sorted(Path(folder).glob("????-??-??/*.json"))]


def decide(folder: str | Path, identity: str, state: str, *, by: str, why: str) -> None:
    """Write down a person's decision. Raises NotFoundError for an observation that is not there, VadoseInputError without a reason."""
    base = Path(folder)
    if state not in STATES:
        raise VadoseInputError(f"state {state!r}: choose waiting, accepted or rejected")
    if not why.strip():
        raise VadoseInputError("please say why in a few words: the observer may ask")
    if not identity.isalnum() or next(base.glob(f"????-??-??/{identity}.json"), None) is None:
        raise NotFoundError(f"no observation {identity!r} in {base}")
    line = {"id": identity, "state": state, "by": by, "why": why.strip()[:500], "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}  # fmt: skip
    with (base / "decisions.jsonl").open("a+b") as file:
        whole = not file.tell() or (file.seek(-1, os.SEEK_END) and file.read(1) == b"\n")
        file.write((b"" if whole else b"\n") + json.dumps(line).encode() + b"\n")


def decisions(folder: str | Path) -> dict[str, dict[str, str]]:
    """The last decision on each observation that has one. A line that a crash cut off is passed over."""
    path = Path(folder) / "decisions.jsonl"
    found: dict[str, dict[str, str]] = {}
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            said = json.loads(line)
        except ValueError:
            continue
        found[said["id"]] = said
    return found


def trust(observations: Sequence[Mapping[str, Any]], *, anchors: Sequence[str] = ()) -> dict[str, float]:
    """Trust score of each observer (observers.estimate) from places where several looked: within a hundred meters, the same day and depth.

    `anchors` are observers who are reference sensors: where one was, its mean is the truth that the others are measured by.
    """
    rows = [o for o in observations if "soil_moisture" in o]
    if not rows:
        return {}
    place = [
        (round(o["latitude"], 3), round(o["longitude"], 3), o["time"][:10], o["depth_from"], o["depth_to"])
        for o in rows
    ]
    known: dict[tuple, list[float]] = {}
    for one, p in zip(rows, place):
        if one["observer"] in anchors:
            known.setdefault(p, []).append(one["soil_moisture"])
    who: dict[tuple, set[str]] = {}
    for one, p in zip(rows, place):
        who.setdefault(p, set()).add(one["observer"])
    # Where one person alone looked, samples side by side say how uneven the soil is, nothing about the person.
    told = [(o, p) for o, p in zip(rows, place) if o["observer"] not in anchors and len(who[p]) > 1]
    if not told:
        return {}
    people = sorted({o["observer"] for o, _ in told})
    sites = {p: k for k, p in enumerate(dict.fromkeys(p for _, p in told))}
    found = observers.estimate(
        np.array([o["soil_moisture"] for o, _ in told]),
        np.array([sites[p] for _, p in told]),
        np.array([people.index(o["observer"]) for o, _ in told]),
        reference=np.array([np.mean(known[p]) if p in known else np.nan for p in sites]),
    )
    return dict(zip(people, found.trust.tolist()))


def judged(folder: str | Path) -> list[Judged]:
    """Everything that was kept with its state, held against what the folder's `checks.toml` names (references)."""
    found = kept(folder)
    rows = [o for _, o in found]
    references = read_references(folder)
    scores, said = trust(rows, anchors=references.anchors), decisions(folder)
    out = []
    for (identity, one), words in zip(found, doubts(rows, **references.of(rows))):
        score = scores.get(one["observer"], float("nan"))
        if score < LITTLE_TRUST:
            words = (*words, "others who looked at the same places often saw something else")
        decision = said.get(identity, {})
        state = decision.get("state") or ("waiting" if words else "accepted")
        out.append(Judged(identity, one, state, words, score, decision.get("by", ""), decision.get("why", "")))
    return out


def published(folder: str | Path) -> str:
    """What is accepted as CSV in the rules of ESS-DIVE: places on a raster, no notes, -9999 and N/A where there is nothing."""
    out = io.StringIO()
    writer = csv.DictWriter(out, PUBLISHED, lineterminator="\n")
    writer.writeheader()
    words = {"id", "observer", "time", "method", "sensor_model", "license"}
    for one in judged(folder):
        if one.state != "accepted":
            continue
        row = for_publication(one.observation) | {"id": one.id, "trust": round(one.trust, 3)}
        shown = {k: row.get(k) for k in PUBLISHED}
        writer.writerow({k: ("N/A" if k in words else -9999) if v is None or v != v else v for k, v in shown.items()})
    return out.getvalue()
