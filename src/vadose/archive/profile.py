"""The metadata profile `vadose-sm-1.0`: one row a field with its rule id; a validator that talks to the person who can mend it."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

PROFILE = "vadose-sm-1.0"
PRINCIPLES = ("TDR", "capacitance", "neutron", "COSMOS", "gravimetric", "satellite")
Test = Callable[[Any], bool]


def _words(low: int, high: int = 100_000) -> Test:
    return lambda v: low <= len(str(v).split()) <= high


def _like(pattern: str) -> Test:
    return lambda v: re.fullmatch(pattern, str(v)) is not None


def _between(low: float, high: float) -> Test:
    def test(value: Any) -> bool:
        try:
            number = float(value)
        except (TypeError, ValueError):
            return False
        return not isinstance(value, bool) and math.isfinite(number) and low <= number <= high

    return test


def _date(value: Any) -> bool:
    try:
        datetime.datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        return False
    return True


def _orcid(value: Any) -> bool:
    """Sixteen signs, the last a check digit (ISO 7064 11,2)."""
    digits = str(value).removeprefix("https://orcid.org/").replace("-", "")
    if not re.fullmatch(r"\d{15}[\dX]", digits):
        return False
    total = 0
    for digit in digits[:-1]:
        total = (total + int(digit)) * 2
    return "0123456789X"[(12 - total % 11) % 11] == digits[-1]


_TEXT, _LATITUDE, _LONGITUDE = _words(1), _between(-90, 90), _between(-180, 180)
_DEPTH = _between(0, 100)


@dataclass(frozen=True)
class Rule:
    """One field of the profile."""

    id: str
    group: str  # dataset, sites, sensors, variables, provenance
    field: str
    test: Test
    expected: str
    required: bool = True


def _rules() -> tuple[Rule, ...]:
    degrees = "decimal degrees (WGS84), south and west negative"
    table: dict[str, list[tuple[Any, ...]]] = {
        "dataset": [
            ("title", _words(7, 20), "7 to 20 words: what, where, when"), ("summary", _words(100), "at least 100 words: what was measured, where, when, how, why"),
            ("Conventions", lambda v: "CF-" in str(v), "the conventions that the files follow, such as CF-1.11 ACDD-1.3"),
            ("license", _like(r"[A-Za-z0-9.+-]+|https?://\S+"), "an SPDX name such as CC-BY-4.0, or an address"), ("creator_name", _TEXT, "Family, Given"),
            ("creator_orcid", _orcid, "an ORCID such as 0000-0002-1825-0097; its last sign is a check digit"), ("institution", _TEXT, "who answers for the data"),
            ("date_created", _date, "a date such as 2026-05-17"), ("version", _TEXT, "a version such as 1.0"),
            ("doi", _like(r"pending|(https://doi\.org/)?10\.\d{4,9}/\S+"), "a DOI such as 10.5194/hess-25-5749-2021, or the word pending"),
            ("time_coverage_start", _date, "a date such as 2026-05-17"), ("time_coverage_end", _date, "a date such as 2026-05-17"),
            ("geospatial_lat_min", _LATITUDE, degrees), ("geospatial_lat_max", _LATITUDE, degrees), ("geospatial_lon_min", _LONGITUDE, degrees),
            ("geospatial_lon_max", _LONGITUDE, degrees), ("processing_level", _TEXT, "a level such as L1"),
            ("funder", _TEXT, "who paid", False), ("project", _TEXT, "the project", False),
            ("keywords", lambda v: isinstance(v, list | tuple) and len(v) >= 3, "three keywords or more, as a list", False),
        ],
        "sites": [
            ("site_id", _TEXT, "a short code"), ("site_name", _TEXT, "the name of the place"), ("lat", _LATITUDE, degrees), ("lon", _LONGITUDE, degrees),
            ("elevation", _between(-500, 9000), "meters above the datum"), ("datum", _TEXT, "what elevation is measured from, such as EGM96 or NAVD88"),
            ("land_cover", _like(r".+\(.+\)"), "class with the scheme in brackets, such as grassland (IGBP)"),
            ("climate_KG", _like(r"A[fmw]|B[WS][hk]|[CD][swf][abcd]|E[TF]"), "a Koppen-Geiger class such as Cfb"),
            ("texture_source", _TEXT, "who measured sand, silt, clay", False), ("irrigated", _like(r"yes|no|True|False"), "yes or no", False),
        ],
        "sensors": [
            ("sensor_id", _TEXT, "a code that no other sensor has"), ("site_id", _TEXT, "the code of its site"), ("maker", _TEXT, "who makes it"), ("model", _TEXT, "its model"),
            ("principle", lambda v: v in PRINCIPLES, f"one of {', '.join(PRINCIPLES)}"), ("serial", _TEXT, "its serial number"),
            ("depth_from", _DEPTH, "meters below the surface, positive down"), ("depth_to", _DEPTH, "meters below the surface, positive down"),
            ("orientation", _like(r"horizontal|vertical|inclined|not applicable"), "horizontal, vertical, inclined, or not applicable"),
            ("install_date", _date, "a date such as 2026-05-17"), ("removal_date", lambda v: v == "in place" or _date(v), "a date, or the words: in place"),
            ("measurement_volume", _between(1e-9, 1e9), "liters of soil that it sees"), ("calibration_id", _TEXT, "which calibration was used", False),
            ("firmware", _TEXT, "its firmware", False),
        ],
        "variables": [
            ("name", _TEXT, "the name in the files"), ("standard_name", _like(r"[a-z0-9_]+"), "a CF standard name"), ("units", _TEXT, "its unit, such as m3 m-3"),
            ("accuracy", _between(1e-12, 1e12), "one standard deviation, in its unit"),
            ("sampling_interval", _like(r"P(\d+[DMY])?(T(\d+[HMS])+)?"), "how often it is read, such as PT15M"),
            ("averaging_interval", _like(r"P(\d+[DMY])?(T(\d+[HMS])+)?|instantaneous"), "over how long, such as PT1H, or instantaneous"),
            ("time_zone", _like(r"UTC([+-]\d{2}:\d{2})?"), "the logger's clock, such as UTC or UTC-05:00; never daylight saving time"),
            ("missing_value", _TEXT, "what stands for no value, such as -9999"), ("flag_scheme", _TEXT, "the flags and their version"),
            ("qc_method", _TEXT, "the quality control, such as M-T1.2"), ("uncertainty_variable", _TEXT, "where its standard error is", False),
        ],
        "provenance": [
            ("sources", lambda v: bool(v) and all(re.fullmatch(r"[0-9a-f]{64}", str(s.get("sha256", ""))) for s in v), "a list of files, each with its sha256"),
            ("software", _like(r".*\d.*"), "program and version, such as vadose 0.1.0"), ("methods", lambda v: isinstance(v, list | tuple) and len(v) > 0, "the processing steps in their order"),
        ],
    }  # fmt: skip
    letters = {"dataset": "D", "sites": "S", "sensors": "N", "variables": "V", "provenance": "P"}
    return tuple(
        Rule(f"{letters[group]}{k:02d}", group, row[0], row[1], row[2], row[3] if len(row) > 3 else True)
        for group, rows in table.items()
        for k, row in enumerate(rows, 1)
    )


RULES = _rules()
#: Rules between fields: id -> what must hold.
CROSS = {
    "X01": "the period ends after it begins", "X02": "the southern edge lies south of the northern", "X03": "depth_to is not above depth_from",
    "X04": "a sensor is removed after it was installed", "X05": "the sensor's site is in the list of sites", "X06": "each sensor_id is used once",
    "X07": "the site lies inside the data set's box", "X08": "soil moisture is in m3 m-3, as CF has it",
}  # fmt: skip


@dataclass(frozen=True)
class Issue:
    """One finding: how bad, where, which rule, and what to do."""

    level: str
    path: str
    rule: str
    message: str


@dataclass(frozen=True)
class Verdict:
    """All findings, and the share of required entries that hold."""

    issues: tuple[Issue, ...]
    score: float

    @property
    def errors(self) -> tuple[Issue, ...]:
        """Findings that must be mended."""
        return tuple(i for i in self.issues if i.level == "error")


def validate(record: Mapping[str, Any]) -> Verdict:
    """Hold a metadata record (dataset, sites, sensors, variables, provenance) against the profile."""
    issues: list[Issue] = []
    asked = held = 0
    for group in ("dataset", "sites", "sensors", "variables", "provenance"):
        listed = group in ("sites", "sensors", "variables")
        entries = record.get(group) or ([{}] if listed else {})
        for k, entry in enumerate(entries if listed else [entries]):
            for rule in (r for r in RULES if r.group == group):
                path = f"{group}[{k}].{rule.field}" if listed else f"{group}.{rule.field}"
                found = _judge(rule, entry, path)
                asked += rule.required
                held += rule.required and found is None
                issues += [found] if found else []
    issues += _cross(record, {i.path for i in issues if i.level == "error"})
    return Verdict(tuple(issues), held / asked)


def _judge(rule: Rule, entry: Any, path: str) -> Issue | None:
    value = entry.get(rule.field) if isinstance(entry, Mapping) else None
    if value is None or value == "" or value == []:
        level, words = ("error", "is missing") if rule.required else ("info", "is not given")
        return Issue(level, path, rule.id, f"{rule.field} {words}; write {rule.expected}")
    try:
        well = rule.test(value)
    except (AttributeError, TypeError, ValueError):
        well = False
    if well:
        return None
    return Issue(
        "error" if rule.required else "warn",
        path,
        rule.id,
        f"{rule.field} is {str(value)[:60]!r}; write {rule.expected}",
    )


def _cross(record: Mapping[str, Any], bad: set[str]) -> list[Issue]:
    """Rules between fields, only where each field is well by itself: one defect is told once."""
    out: list[Issue] = []
    d: Mapping[str, Any] = record.get("dataset") or {}

    def unless(holds: Callable[..., bool], rule: str, *paths: str) -> None:
        if not bad & set(paths) and not holds():
            out.append(
                Issue(
                    "error", paths[0], rule, f"{CROSS[rule]}: look at {' and '.join(p.split('.')[-1] for p in paths)}"
                )
            )

    when, box = (
        ("time_coverage_end", "time_coverage_start"),
        ("geospatial_lat_min", "geospatial_lat_max", "geospatial_lon_min", "geospatial_lon_max"),
    )
    unless(lambda: str(d[when[0]])[:10] >= str(d[when[1]])[:10], "X01", *[f"dataset.{w}" for w in when])
    unless(lambda: float(d[box[0]]) <= float(d[box[1]]), "X02", *[f"dataset.{b}" for b in box[:2]])
    known, seen = [s.get("site_id") for s in record.get("sites") or []], set()
    for k, s in enumerate(record.get("sites") or []):
        south, north, west, east = (d.get(b, math.nan) for b in box)
        if any(i.rule == "X02" for i in out):
            break
        unless(lambda s=s, b=(south, north, west, east): float(b[0]) <= float(s["lat"]) <= float(b[1]) and (float(b[2]) > float(b[3]) or float(b[2]) <= float(s["lon"]) <= float(b[3])),
               "X07", f"sites[{k}].lat", f"sites[{k}].lon", *[f"dataset.{b}" for b in box])  # fmt: skip
    for k, n in enumerate(record.get("sensors") or []):
        at = f"sensors[{k}]"
        unless(lambda n=n: float(n["depth_to"]) >= float(n["depth_from"]), "X03", f"{at}.depth_to", f"{at}.depth_from")
        unless(
            lambda n=n: n["removal_date"] == "in place" or str(n["removal_date"])[:10] >= str(n["install_date"])[:10],
            "X04",
            f"{at}.removal_date",
            f"{at}.install_date",
        )
        if not any(p.endswith(".site_id") for p in bad):
            unless(lambda n=n: n["site_id"] in known, "X05", f"{at}.site_id")
        unless(lambda n=n: n["sensor_id"] not in seen, "X06", f"{at}.sensor_id")
        seen.add(n.get("sensor_id"))
    for k, v in enumerate(record.get("variables") or []):
        unless(
            lambda v=v: (
                v["standard_name"] != "volume_fraction_of_condensed_water_in_soil" or v["units"] in ("m3 m-3", "1")
            ),
            "X08",
            f"variables[{k}].units",
            f"variables[{k}].standard_name",
        )
    return out
