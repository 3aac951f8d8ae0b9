"""The tables that say what a logger's columns mean: design, variables, checks, time zones, calibrations, times out of service."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from vadose.errors import NotFoundError, VadoseInputError
from vadose.stream.calibration import Calibration
from vadose.stream.text import decode

FILES = {
    "design": "design_table.csv",
    "variables": "variables_metadata.csv",
    "checks": "qaqc_table.csv",
    "zones": ("timezones.csv", "L1_metadata/L1_metadata_timezones.csv"),
    "calibrations": "calibrations.csv",
    "service": "out_of_service.csv",
}
#: Numbers that loggers write when they have none.
NO_DATA = (-9999.0, -99999.0, 7999.0, -7999.0)
_COLUMNS = ("Logger", "Table", "loggernet_variable", "Site", "Plot", "Instrument", "Instrument_ID", "Sensor_ID", "Location", "valid_through", "research_name")  # fmt: skip
NAT = np.datetime64("NaT", "s")
HOUR = np.timedelta64(3600, "s")


@dataclass(frozen=True)
class Link:
    """One column of a logger's table and what it measures until `valid_through` (whole day, missing: still)."""

    logger: str
    table: str
    column: str
    site: str
    plot: str
    instrument: str
    instrument_id: str
    sensor_id: str
    location: str
    valid_through: np.datetime64
    variable: str

    @property
    def sensor(self) -> str:
        """A name that stays with the sensor: site, plot, instrument and its number."""
        return "-".join(p for p in (self.site, self.plot, self.instrument, self.instrument_id, self.sensor_id) if p)


@dataclass(frozen=True)
class Variable:
    """One research name: units before and after, how to convert, its limits, and how it is checked."""

    name: str
    sensor_units: str = ""
    units: str = ""
    conversion: str = "x"
    low: float = float("nan")
    high: float = float("nan")
    description: str = ""
    grouping: str = ""  # "month", "week", "day" or no median check
    threshold: float = 8.0
    max_gap: np.timedelta64 = HOUR  # longest gap that may be interpolated
    annual_cycle: bool = False


@dataclass(frozen=True)
class Outage:
    """A sensor (or with an empty `sensor` all of its variable) listed as out of service, both ends included."""

    site: str
    plot: str
    variable: str
    sensor: str
    start: np.datetime64
    stop: np.datetime64


@dataclass(frozen=True)
class Design:
    """Everything known about the streams, as data."""

    links: tuple[Link, ...]
    variables: dict[str, Variable]
    offsets: dict[str, int]  # site -> seconds that its loggers' clocks are ahead of UTC
    calibrations: dict[tuple[str, str], tuple[Calibration, ...]] = field(default_factory=dict)  # (sensor, variable)
    outages: tuple[Outage, ...] = ()
    zones: dict[str, str] = field(default_factory=dict)
    folder: str = ""

    def tables(self) -> set[tuple[str, str]]:
        """(logger, table) pairs that have a row."""
        return {(link.logger, link.table) for link in self.links}

    def of(self, logger: str, table: str) -> dict[str, tuple[Link, ...]]:
        """Links of one table by column, those that end first coming first."""
        return self._by_table.get((logger, table), {})

    @cached_property
    def _by_table(self) -> dict[tuple[str, str], dict[str, tuple[Link, ...]]]:
        out: dict[tuple[str, str], dict[str, list[Link]]] = {}
        for link in self.links:
            out.setdefault((link.logger, link.table), {}).setdefault(link.column, []).append(link)
        far = np.datetime64("9999-12-31")
        return {
            key: {
                column: tuple(sorted(rows, key=lambda r: far if np.isnat(r.valid_through) else r.valid_through))
                for column, rows in columns.items()
            }
            for key, columns in out.items()
        }

    def offset(self, site: str) -> int:
        """Seconds east of UTC of a site's loggers. Raises when the site has no row: a time without zone is no time."""
        if site not in self.offsets:
            raise VadoseInputError(
                f"site {site!r} has no row in the time-zone table; add one such as '{site},Etc/GMT+5' (its loggers' standard time)"
            )
        return self.offsets[site]

    def variable(self, name: str) -> Variable:
        """The row of a research name. Raises when it is missing, since a value without unit must not be stored."""
        if name not in self.variables:
            raise VadoseInputError(
                f"research name {name!r} is in the design table but has no row (units, conversion, limits) in the variable table"
            )
        return self.variables[name]

    def calibration(self, link: Link) -> tuple[Calibration, ...]:
        """Calibrations of a sensor, else the conversion of its variable."""
        own = self.calibrations.get((link.sensor, link.variable))
        return own or (Calibration(f"{link.variable} conversion", self.variable(link.variable).conversion or "x"),)


def expand(text: str) -> list[str]:
    """`T({1:3},2)` -> T(1,2), T(2,2), T(3,2); `{A,C}1` -> A1, C1; several braces are combined, the last running fastest."""
    parts = re.split(r"(\{[^{}]*\})", text)
    choices = []
    for part in parts:
        if part.startswith("{") and part.endswith("}"):
            inner = part[1:-1].strip()
            span = re.fullmatch(r"(-?\d+)\s*:\s*(-?\d+)", inner)
            if span:
                first, last = int(span[1]), int(span[2])
                step = 1 if last >= first else -1
                choices.append([str(k) for k in range(first, last + step, step)])
            else:
                choices.append([word.strip() for word in inner.split(",")])
        else:
            choices.append([part])
    return ["".join(combination) for combination in itertools.product(*choices)]


def _expand_row(row: dict[str, str], where: str) -> Iterable[dict[str, str]]:
    lists = {key: expand(value) for key, value in row.items()}
    sizes = {len(v) for v in lists.values()} - {1}
    if len(sizes) > 1:
        found = {k: len(v) for k, v in lists.items() if len(v) > 1}
        raise VadoseInputError(f"{where}: braces of one row must stand for equally many names, found {found}")
    for k in range(max(sizes, default=1)):
        yield {key: values[k if len(values) > 1 else 0] for key, values in lists.items()}


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """(line, cells by column) of a table; as spreadsheets save it: UTF-8 or Latin-1, commas or semicolons."""
    text = decode(path.read_bytes()).removeprefix("\ufeff")
    head = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;", key=head.count))
    out = []
    for row in reader:
        clean = {(k or "").strip(): (v or "").strip() for k, v in row.items() if isinstance(v, str) or v is None}
        if any(clean.values()):
            out.append((reader.line_num, clean))
    return out


def _date(text: str, where: str) -> np.datetime64:
    if not text or text.upper() == "NA":
        return NAT
    try:
        return np.datetime64(text.replace(" ", "T"), "s")
    except ValueError as error:
        raise VadoseInputError(f"{where}: {text!r} is not a date like 2023-08-06") from error


def _number(text: str, where: str) -> float:
    try:
        return float(text) if text and text.upper() != "NA" else float("nan")
    except ValueError as error:
        raise VadoseInputError(f"{where}: {text!r} is not a number") from error


def _numbers(text: str, where: str) -> list[Any]:
    """A list such as [-0.7, 0.0004], or of lists."""
    try:
        found = json.loads(text) if text else []
    except json.JSONDecodeError as error:
        raise VadoseInputError(f"{where}: {text!r} is not a list such as [-0.7, 0.0004]") from error
    found = found if isinstance(found, list) else [found]
    flat = [cell for part in found for cell in (part if isinstance(part, list) else [part])]
    if not all(isinstance(cell, int | float) for cell in flat):
        raise VadoseInputError(f"{where}: {text!r} is not a list of numbers such as [-0.7, 0.0004]")
    return found


def _polynomial(text: str, where: str) -> tuple[float, ...]:
    numbers = _numbers(text, where)
    if any(isinstance(cell, list) for cell in numbers):
        raise VadoseInputError(f"{where}: coefficients {text!r} are not one list such as [-0.7, 0.0004]")
    return tuple(numbers)


def _matrix(text: str, where: str) -> tuple[tuple[float, ...], ...]:
    rows = _numbers(text, where)
    if not all(isinstance(r, list) and len(r) == len(rows) for r in rows):
        raise VadoseInputError(
            f"{where}: covariance {text!r} is not a square list of lists such as [[1e-4, 0], [0, 1e-9]]"
        )
    return tuple(tuple(r) for r in rows)


def _cell(row: dict[str, str], name: str, where: str) -> str:
    if name not in row:
        raise VadoseInputError(f"{where}: there is no column {name}; there are {', '.join(row)}")
    return row[name]


def _links(path: Path) -> tuple[Link, ...]:
    rows = _rows(path)
    if rows and (missing := [c for c in _COLUMNS if c not in rows[0][1]]):
        raise VadoseInputError(f"{path.name}: columns {missing} are missing; it needs {', '.join(_COLUMNS)}")
    links: dict[tuple, tuple[Link, str]] = {}
    for number, raw in rows:
        where = f"{path.name} line {number}"
        if not raw["research_name"]:
            continue
        for row in _expand_row({c: raw[c] for c in _COLUMNS}, where):
            link = Link(
                row["Logger"], row["Table"], row["loggernet_variable"], row["Site"], row["Plot"], row["Instrument"],
                row["Instrument_ID"], row["Sensor_ID"], row["Location"], _date(row["valid_through"], where), row["research_name"],
            )  # fmt: skip
            key = (link.logger, link.table, link.column, str(link.valid_through))
            if key in links and links[key][0] != link:
                raise VadoseInputError(
                    f"{where}: {link.logger}, {link.table}, {link.column} already has a row with valid_through "
                    f"{raw['valid_through'] or '(blank)'} at {links[key][1]}; end one of the two"
                )
            links[key] = (link, where)
    return tuple(link for link, _ in links.values())


def _grouping(row: dict[str, str], where: str) -> str:
    """Stretch of time that outliers are looked for in; empty where none are."""
    if row.get("outlier_detection") != "MAD":
        return ""
    found = re.fullmatch(r"(1 )?(month|week|day)s?", _cell(row, "time_grouping", where))
    if found is None:
        raise VadoseInputError(f"{where}: time_grouping {row['time_grouping']!r}: write 1 month, 1 week or 1 day")
    return found[2]


_SPANS = {"hour": 3600, "minute": 60, "min": 60, "day": 86400}


def _span(text: str, where: str) -> np.timedelta64:
    """Longest gap that is filled; none where the cell is empty or NA."""
    if not text or text.upper() == "NA":
        return np.timedelta64(0, "s")
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(hour|minute|min|day)s?", text)
    if found is None:
        raise VadoseInputError(f"{where}: max_interp {text!r}: write a stretch of time such as 2 hours or 45 minutes")
    return np.timedelta64(int(float(found[1]) * _SPANS[found[2]]), "s")


def _variables(path: Path, checks: Path) -> dict[str, Variable]:
    out: dict[str, Variable] = {}
    for number, row in _rows(path):
        where = f"{path.name} line {number}"
        if name := _cell(row, "research_name", where):
            out[name] = Variable(
                name, row.get("sensor_units", ""), row.get("final_units", ""), row.get("conversion", "") or "x",
                _number(row.get("low_bound", ""), where), _number(row.get("high_bound", ""), where), row.get("description", ""),
            )  # fmt: skip
    for number, row in _rows(checks) if checks.is_file() else ():
        if (name := row.get("variable", "")) in out:
            threshold = re.search(r"threshold\s*=\s*([\d.]+)", row.get("params", ""))
            out[name] = replace(
                out[name],
                grouping=_grouping(row, f"{checks.name} line {number}"),
                threshold=float(threshold[1]) if threshold else 8.0,
                max_gap=_span(row.get("max_interp", ""), f"{checks.name} line {number}"),
                annual_cycle=row.get("do_MAC", "").upper() == "TRUE",
            )
    return out


def standard_offset(zone: str) -> int:
    """Seconds east of UTC of a zone that never changes its clocks. Raises for zones with daylight saving time."""
    try:
        info = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise VadoseInputError(
            f"time zone {zone!r} is not known; write the loggers' standard time, e.g. Etc/GMT+5 for UTC-5"
        ) from error
    from datetime import datetime

    found = {info.utcoffset(datetime(year, month, 1)) for year in (1990, 2007, 2023) for month in range(1, 13)}
    if len(found) > 1:
        raise VadoseInputError(
            f"time zone {zone!r} changes its clocks; loggers must keep standard time: write it as Etc/GMT+N (UTC-N)"
        )
    offset = found.pop()
    return int(offset.total_seconds()) if offset else 0


def _calibrations(path: Path) -> dict[tuple[str, str], tuple[Calibration, ...]]:
    out: dict[tuple[str, str], list[Calibration]] = {}
    for number, row in _rows(path) if path.is_file() else ():
        where = f"{path.name} line {number}"
        made = Calibration(
            row.get("calibration_id", "") or where,
            row.get("equation", "") or "x",
            _polynomial(row.get("coefficients", ""), where),
            _matrix(row.get("covariance", ""), where),
            _number(row.get("residual", ""), where),
            _number(row.get("raw_low", "") or "-inf", where),
            _number(row.get("raw_high", "") or "inf", where),
            _date(row.get("valid_from", ""), where), _date(row.get("valid_through", ""), where), row.get("source", ""),
        )  # fmt: skip
        out.setdefault((_cell(row, "sensor", where), _cell(row, "research_name", where)), []).append(made)
    return {key: tuple(rows) for key, rows in out.items()}


def _outages(path: Path) -> tuple[Outage, ...]:
    out = []
    for number, row in _rows(path) if path.is_file() else ():
        where = f"{path.name} line {number}"
        begin, end = (_date(_cell(row, name, where), where) for name in ("oos_begin", "oos_end"))
        site, plot, variable, sensor = (row.get(name, "") for name in ("Site", "Plot", "research_name", "sensor"))
        out.append(Outage(site, plot, variable, sensor, begin, end))
    return tuple(out)


def read_design(folder: str | Path) -> Design:
    """The tables of a folder in the layout of COMPASS-FME, with two more: calibrations.csv and out_of_service.csv (optional).

    Raises VadoseInputError naming file and line: overlapping rows, unequal braces, research names without units, sites
    without a time zone, zones with daylight saving time.
    """
    base = Path(folder)
    for name in ("design_table.csv", "variables_metadata.csv"):
        if not (base / name).is_file():
            raise NotFoundError(f"{base}: no {name}; docs/streams.md says what it holds, `vadose stream generate FOLDER` writes a set to look at")  # fmt: skip
    links = _links(base / "design_table.csv")
    variables = _variables(base / "variables_metadata.csv", base / "qaqc_table.csv")
    zones_file = next((base / f for f in FILES["zones"] if (base / f).is_file()), None)
    if zones_file is None:
        raise NotFoundError(f"{base}: no timezones.csv (Site,Datalogger_time_zone)")
    where = f"{zones_file.name} line"
    zones = {
        _cell(r, "Site", f"{where} {n}"): _cell(r, "Datalogger_time_zone", f"{where} {n}") for n, r in _rows(zones_file)
    }
    offsets = {site: standard_offset(zone) for site, zone in zones.items()}
    return Design(
        links,
        variables,
        offsets,
        _calibrations(base / "calibrations.csv"),
        _outages(base / "out_of_service.csv"),
        zones,
        str(base),
    )
