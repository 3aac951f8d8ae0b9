"""Soil moisture from many hands: what a submission holds, what it means, what is checked before and after it is taken in.

A sample is weighed wet and dry (oven or microwave), read from a handheld sensor, or felt between the fingers. Everything here is a function
of what was written; where observations are kept and who may see them is for `moderation` and the hub.
"""

from __future__ import annotations

import csv
import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from vadose.errors import UnreadableFileError, VadoseInputError

#: Density of quartz [g cm-3]: 1 - bulk density / this is the room for water.
PARTICLE_DENSITY = 2.65
#: How soil feels -> share of the plant-available water; standard deviation of such a guess.
FEEL = {"dry": 0.1, "slightly moist": 0.35, "moist": 0.6, "wet": 0.85, "saturated": 1.0}
FEEL_ERROR = 0.15
#: What each method needs beside place, time and depth.
METHODS = {
    "oven": ("wet", "dry", "tin"), "microwave": ("wet", "dry", "tin"), "sensor": ("sensor_model", "reading"), "feel": ("feel",),
}  # fmt: skip
LICENSES = ("CC-BY-4.0", "CC0-1.0")
#: Coordinates are published on a raster of this width [degrees], about a kilometer.
RASTER = 0.01
SAME_TIME, SAME_PLACE = (
    datetime.timedelta(minutes=10),
    10.0,
)  # minutes and meters within which one observer's samples are one
#: Nobody's notebook of weighed soil that is still to be sent in is older.
EARLIEST_YEAR = 1950
REPLICATES_DIFFER, BEYOND = 0.06, 3.0  # m3 m-3; standard deviations


@dataclass(frozen=True)
class Field:
    """One question: its limits are those of a hand's sample, to catch a comma in the wrong place."""

    name: str
    question: str
    unit: str
    low: float
    high: float


NUMBERS = (
    Field("latitude", "Where: latitude", "degrees north", -90, 90),
    Field("longitude", "Where: longitude", "degrees east", -180, 180),
    Field("coordinate_accuracy", "How exact is the place, as the phone says", "m", 0, 10_000),
    Field("depth_from", "From which depth", "m below the surface", 0, 1),
    Field("depth_to", "To which depth", "m below the surface", 0, 1),
    Field("wet", "Weight of tin and wet soil", "g", 1, 5000),
    Field("dry", "Weight of tin and dry soil", "g", 1, 5000),
    Field("tin", "Weight of the empty tin", "g", 0, 2000),
    Field("bulk_density", "Dry weight of a liter of this soil, if you know it", "kg/l", 0.05, 2.2),
    Field("reading", "What the sensor shows", "m3 water per m3 soil, 0 to 1", 0, 1),
    Field("replicate", "Number of this sample, if you took several here", "1, 2, 3", 1, 100),
)
ALWAYS = ("latitude", "longitude", "depth_from", "depth_to")
#: Columns of the template, in their order.
COLUMNS = (
    "observer_id", "consent", "license", "time", "latitude", "longitude", "coordinate_accuracy", "depth_from", "depth_to", "method", "wet", "dry", "tin",
    "bulk_density", "sensor_model", "reading", "feel", "photo_sha256", "replicate", "note",
)  # fmt: skip
EXAMPLE = {
    "observer_id": "meadow-7", "consent": "yes", "license": "CC-BY-4.0", "time": "2026-05-01T10:30+02:00", "latitude": "47.5012", "longitude": "8.2504",
    "coordinate_accuracy": "5", "depth_from": "0", "depth_to": "0.05", "method": "oven", "wet": "150", "dry": "125", "tin": "25", "bulk_density": "1.3",
    "replicate": "1", "note": "clover, rain the night before",
}  # fmt: skip


def template() -> str:
    """The submission template: column names and one example, which is to be replaced."""
    import io

    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerow(EXAMPLE)
    return out.getvalue()


def gravimetric(wet: float, dry: float, tin: float) -> float:
    """Mass of water by mass of dry soil: (wet - dry) / (dry - tin); tins of 150, 125 and 25 g make 0.25."""
    return (wet - dry) / (dry - tin)


def observation(said: Mapping[str, str], *, now: datetime.datetime | None = None, land: xr.DataArray | None = None) -> dict[str, Any]:  # fmt: skip
    """What somebody wrote, checked and as numbers: `soil_moisture` (m3 m-3) where it can be known, `relative_wetness` (0 to 1) for a feel.

    theta = u x bulk density / density of water (1 kg/l). `land` (lat, lon) is true on land and says nothing beyond its edge. Raises VadoseInputError in the words of the form.
    """
    if said.get("consent", "").strip().lower() not in ("yes", "on", "true", "1"):
        raise VadoseInputError("Consent: please agree that your observation is kept and published without your name")
    out: dict[str, Any] = {"license": said.get("license", "").strip() or LICENSES[0]}
    if out["license"] not in LICENSES:
        raise VadoseInputError(f"License: choose {' or '.join(LICENSES)}")
    method = said.get("method", "").strip()
    if method not in METHODS:
        raise VadoseInputError(f"Method: choose one of {', '.join(METHODS)}")
    out |= {"method": method, **_numbers(said, {*ALWAYS, *METHODS[method]})}
    if not out["depth_from"] <= out["depth_to"]:
        raise VadoseInputError("The depths: the upper one comes first")
    out["time"] = _moment(said.get("time", ""), now or datetime.datetime.now(datetime.UTC))
    if land is not None and (ground := cell_of(land, out)) is not None and not bool(ground):
        raise VadoseInputError("Where: that is in the sea; are latitude and longitude in the right boxes?")
    out |= _meaning(out, said)
    for name in ("sensor_model", "photo_sha256", "note"):
        if text := said.get(name, "").strip()[:500]:
            out[name] = text
    return out


def _numbers(said: Mapping[str, str], needed: set[str]) -> dict[str, float]:
    out = {}
    for field in NUMBERS:
        text = said.get(field.name, "").strip().replace(",", ".")
        if not text:
            if field.name in needed:
                raise VadoseInputError(f"{field.question}: please fill it in ({field.unit})")
            continue
        try:
            value = float(text)
        except ValueError:
            raise VadoseInputError(f"{field.question}: {text!r} is not a number") from None
        if not (math.isfinite(value) and field.low <= value <= field.high):
            raise VadoseInputError(f"{field.question}: {text} {field.unit} is not between {field.low:g} and {field.high:g}")  # fmt: skip
        out[field.name] = value
    return out


def _moment(text: str, now: datetime.datetime) -> str:
    try:
        moment = datetime.datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise VadoseInputError("When did you take the sample: please give date and time") from None
    if moment.year < EARLIEST_YEAR:
        raise VadoseInputError(f"When did you take the sample: please check the year, {moment.year} is long ago")
    moment = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    if moment > now + datetime.timedelta(minutes=10):
        raise VadoseInputError("When did you take the sample: that is in the future")
    return moment.astimezone(datetime.UTC).isoformat()


def _meaning(found: Mapping[str, Any], said: Mapping[str, str]) -> dict[str, Any]:
    if found["method"] == "feel":
        word = said.get("feel", "").strip().lower()
        if word not in FEEL:
            raise VadoseInputError(f"How does it feel: choose one of {', '.join(FEEL)}")
        return {"feel": word, "relative_wetness": FEEL[word], "standard_error": FEEL_ERROR}
    if found["method"] == "sensor":
        if not said.get("sensor_model", "").strip():
            raise VadoseInputError("Which sensor: please give maker and model")
        return {"soil_moisture": _in_its_room(found["reading"], found, "the reading")}
    if not found["tin"] < found["dry"] <= found["wet"]:
        raise VadoseInputError(
            "The three weights: the tin weighs less than tin and dry soil, and that not more than tin and wet soil"
        )
    share = gravimetric(found["wet"], found["dry"], found["tin"])
    out = {"gravimetric_moisture": share}
    if "bulk_density" in found:
        out["soil_moisture"] = _in_its_room(share * found["bulk_density"], found, "the weights")
    return out


def _in_its_room(moisture: float, found: Mapping[str, Any], what: str) -> float:
    """Soil moisture that the grains leave room for; without a bulk density nothing is known of the room."""
    if "bulk_density" in found and moisture > 1 - found["bulk_density"] / PARTICLE_DENSITY + 0.05:
        raise VadoseInputError(f"More water than room in the soil: please check {what} and the liter weight")
    return moisture


def read_submission(path: str | Path, *, now: datetime.datetime | None = None, land: xr.DataArray | None = None) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:  # fmt: skip
    """A filled-in template -> its good observations and (line, reason) of the others. No good row is lost because another is bad."""
    text = Path(path).read_text("utf-8-sig", errors="replace")
    rows = csv.DictReader(text.splitlines(), delimiter=";" if text[:200].count(";") > text[:200].count(",") else ",")
    missing = [c for c in ("observer_id", "consent", "time", *ALWAYS, "method") if c not in (rows.fieldnames or [])]
    if missing:
        raise UnreadableFileError(f"{path}: line 1: columns {', '.join(missing)} are missing; start from `vadose stream citizen template`")  # fmt: skip
    good, bad = [], []
    for row in rows:
        said = {k: v or "" for k, v in row.items() if isinstance(k, str) and not isinstance(v, list)}
        if not any(said.values()):
            continue
        try:
            if None in row:
                raise VadoseInputError(
                    f"{len(row[None])} more cells than columns; is there a comma in a number or note?"
                )
            if all(said.get(name) == text for name, text in EXAMPLE.items()):
                raise VadoseInputError("This is the example of the template; delete it")
            if not (who := said["observer_id"].strip()):
                raise VadoseInputError("Observer: please give a name that you made up")
            good.append(observation(said, now=now, land=land) | {"observer": who})
        except VadoseInputError as error:
            bad.append((rows.line_num, str(error)))
    return good, bad


def cell_of(grid: xr.DataArray, one: Mapping[str, Any]) -> xr.DataArray | None:
    """The cell of a grid (lat, lon in degrees, other dims stay) that an observation lies in, in memory; None outside the grid."""
    place = {"lat": one["latitude"], "lon": one["longitude"]}
    for name, value in place.items():
        axis = grid[name].values
        width = np.abs(np.diff(axis)).max() if axis.size > 1 else 1.0
        if np.abs(axis - value).min() > width / 2 * (1 + 1e-9):
            return None
    return grid.sel(place, method="nearest").load()


def distance(a: Mapping[str, Any], b: Mapping[str, Any]) -> float:
    """Meters between two observations (flat Earth, for short ways)."""
    north = math.radians(a["latitude"] - b["latitude"])
    east = math.radians(a["longitude"] - b["longitude"]) * math.cos(math.radians(a["latitude"]))
    return 6_371_000 * math.hypot(north, east)


def _alike(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """One observer, one place, one time, one depth."""
    if (a["observer"], a["depth_from"], a["depth_to"]) != (b["observer"], b["depth_from"], b["depth_to"]):
        return False
    apart = abs(datetime.datetime.fromisoformat(a["time"]) - datetime.datetime.fromisoformat(b["time"]))
    return apart < SAME_TIME and distance(a, b) < SAME_PLACE


def without_repetition(observations: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each sample once: what one observer sent twice (within 10 minutes and 10 m, the same depth and replicate number) stays as it came first."""
    kept: list[dict[str, Any]] = []
    by_observer: dict[str, list[dict[str, Any]]] = {}
    for one in observations:
        mine = by_observer.setdefault(one["observer"], [])
        if not any(_alike(one, k) and one.get("replicate") == k.get("replicate") for k in mine):
            mine.append(dict(one))
            kept.append(mine[-1])
    return kept


def doubts(observations: Sequence[Mapping[str, Any]], *, expected: np.ndarray | None = None, spread: np.ndarray | None = None,
           temperature: np.ndarray | None = None) -> list[tuple[str, ...]]:  # fmt: skip
    """What speaks against each observation without making it impossible, in words.

    expected, spread : what a reference product has at that place, day of the year and depth, and its standard deviation [m3 m-3]
    temperature : of the soil or air on that day [K]
    """
    out: list[list[str]] = [[] for _ in observations]
    for k, one in enumerate(observations):
        value = one.get("soil_moisture")
        if (
            value is not None
            and expected is not None
            and spread is not None
            and abs(value - expected[k]) > BEYOND * spread[k]
        ):
            out[k].append(f"more than {BEYOND:g} standard deviations from what is usual there")
        if temperature is not None and temperature[k] < 273.15:
            out[k].append("the soil may be frozen")
        others = [o["soil_moisture"] for o in observations if "soil_moisture" in o and _alike(one, o)]
        if value is not None and len(others) > 1 and max(others) - min(others) > REPLICATES_DIFFER + 1e-9:
            out[k].append(f"samples side by side differ by more than {REPLICATES_DIFFER:g} m3 m-3")
    return [tuple(words) for words in out]


def for_publication(one: Mapping[str, Any]) -> dict[str, Any]:
    """An observation as others see it: the place on a raster of a kilometer, no note, no photo."""
    hidden = {k: v for k, v in one.items() if k not in ("note", "photo_sha256")}
    for name in ("latitude", "longitude"):
        hidden[name] = round(round(one[name] / RASTER) * RASTER, 6)
    half = 111_195 * RASTER / 2 * math.sqrt(2)
    hidden["coordinate_accuracy"] = round(max(half, one.get("coordinate_accuracy", 0.0)))
    return hidden
