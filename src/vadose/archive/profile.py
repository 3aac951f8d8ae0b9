"""The metadata profile `vadose-sm-1.0`: one row a field with its rule id; a validator that talks to the person who can mend it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vadose.archive.forms import Choice, Date, Form, Listed, Number, Orcid, Text

PROFILE = "vadose-sm-1.0"
GROUPS = ("dataset", "sites", "sensors", "variables", "provenance")
#: Groups that hold a list of entries.
LISTED = ("sites", "sensors", "variables")
PRINCIPLES = ("TDR", "capacitance", "neutron", "COSMOS", "gravimetric", "satellite")
_TEXT, _DATE, _LATITUDE, _LONGITUDE, _DEPTH = Text(), Date(), Number(-90, 90), Number(-180, 180), Number(0, 100)
_PERCENT = Number(0, 100)
_DURATION = r"P(?=.)(\d+[DMY])?(T(\d+[HMS])+)?"


@dataclass(frozen=True)
class Rule:
    """One field of the profile."""

    id: str
    group: str  # dataset, sites, sensors, variables, provenance
    field: str
    form: Form
    expected: str
    required: bool = True


def _rules() -> tuple[Rule, ...]:
    degrees = "decimal degrees (WGS84), south and west negative"
    table: dict[str, list[tuple[Any, ...]]] = {
        "dataset": [
            ("title", Text(7, 20), "7 to 20 words: what, where, when"), ("summary", Text(100), "at least 100 words: what was measured, where, when, how, why"),
            ("Conventions", Text(pattern=r".*CF-\d.*"), "the conventions that the files follow, such as CF-1.11, ACDD-1.3"),
            ("license", Text(pattern=r"[A-Za-z0-9.+-]+|https?://\S+"), "an SPDX name such as CC-BY-4.0, or an address"), ("creator_name", _TEXT, "Family, Given"),
            ("creator_orcid", Orcid(), "an ORCID such as 0000-0002-1825-0097; its last sign is a check digit"), ("institution", _TEXT, "who answers for the data"),
            ("date_created", _DATE, "a date such as 2026-05-17"), ("version", _TEXT, "a version such as 1.0"),
            ("doi", Text(pattern=r"pending|(https://doi\.org/)?10\.\d{4,9}/\S+"), "a DOI such as 10.5194/hess-25-5749-2021, or the word pending"),
            ("time_coverage_start", _DATE, "a date such as 2026-05-17"), ("time_coverage_end", _DATE, "a date such as 2026-05-17"),
            ("geospatial_lat_min", _LATITUDE, degrees), ("geospatial_lat_max", _LATITUDE, degrees), ("geospatial_lon_min", _LONGITUDE, degrees),
            ("geospatial_lon_max", _LONGITUDE, degrees), ("processing_level", _TEXT, "a level such as L1"),
            ("funder", _TEXT, "who paid", False), ("project", _TEXT, "the project", False),
            ("keywords", Listed(3), "three keywords or more, as a list", False),
            ("award", _TEXT, "the number of the grant", False), ("references", _TEXT, "papers and addresses that explain the data", False),
        ],
        "sites": [
            ("site_id", _TEXT, "a short code"), ("site_name", _TEXT, "the name of the place"), ("lat", _LATITUDE, degrees), ("lon", _LONGITUDE, degrees),
            ("elevation", Number(-500, 9000), "meters above the datum"), ("datum", _TEXT, "what elevation is measured from, such as EGM96 or NAVD88"),
            ("land_cover", Text(pattern=r".+\(.+\)"), "class with the scheme in brackets, such as grassland (IGBP)"),
            ("climate_KG", Text(pattern=r"A[fmw]|B[WS][hk]|[CD][swf][abcd]|E[TF]"), "a Koppen-Geiger class such as Cfb"),
            ("texture_source", _TEXT, "who measured sand, silt, clay", False), ("irrigated", Text(pattern=r"yes|no|True|False"), "yes or no", False),
            ("sand", _PERCENT, "percent of mass", False), ("silt", _PERCENT, "percent of mass", False), ("clay", _PERCENT, "percent of mass", False),
            ("organic_carbon", _PERCENT, "percent of mass", False), ("slope", Number(0, 90), "degrees", False), ("photo", _TEXT, "a file or address", False),
        ],
        "sensors": [
            ("sensor_id", _TEXT, "a code that no other sensor has"), ("site_id", _TEXT, "the code of its site"), ("maker", _TEXT, "who makes it"), ("model", _TEXT, "its model"),
            ("principle", Choice(PRINCIPLES), f"one of {', '.join(PRINCIPLES)}"), ("serial", _TEXT, "its serial number"),
            ("depth_from", _DEPTH, "meters below the surface, positive down"), ("depth_to", _DEPTH, "meters below the surface, positive down"),
            ("orientation", Text(pattern=r"horizontal|vertical|inclined|not applicable"), "horizontal, vertical, inclined, or not applicable"),
            ("install_date", _DATE, "a date such as 2026-05-17"), ("removal_date", Date(("in place",)), "a date, or the words: in place"),
            ("measurement_volume", Number(1e-9, 1e9), "liters of soil that it sees"), ("calibration_id", _TEXT, "which calibration was used", False),
            ("firmware", _TEXT, "its firmware", False), ("calibration_equation", _TEXT, "the equation, with x for the raw value", False),
            ("calibration_coefficients", Listed(), "the numbers in it, lowest order first", False), ("calibration_date", _DATE, "a date such as 2026-05-17", False),
        ],
        "variables": [
            ("name", _TEXT, "the name in the files"), ("standard_name", Text(pattern=r"[a-z0-9_]+"), "a CF standard name"), ("units", _TEXT, "its unit, such as m3 m-3"),
            ("accuracy", Number(1e-12, 1e12), "one standard deviation, in its unit"),
            ("sampling_interval", Text(pattern=_DURATION), "how often it is read, such as PT15M"),
            ("averaging_interval", Text(pattern=_DURATION + "|instantaneous"), "over how long, such as PT1H, or instantaneous"),
            ("time_zone", Text(pattern=r"UTC([+-]\d{2}:\d{2})?"), "the logger's clock, such as UTC or UTC-05:00; never daylight saving time"),
            ("missing_value", Text(number=True), "what stands for no value, such as -9999"), ("flag_scheme", _TEXT, "the flags and their version"),
            ("qc_method", _TEXT, "the quality control, such as M-T1.2"), ("uncertainty_variable", _TEXT, "where its standard error is", False),
        ],
        "provenance": [
            ("sources", Listed(hashes=True), "a list of files, each with its sha256"),
            ("software", Text(pattern=r".*\d.*"), "program and version, such as vadose 0.1.0"), ("methods", Listed(), "the processing steps in their order"),
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
    """Hold a metadata record (dataset, sites, sensors, variables, provenance) against the profile.

    A gridded product (`record["grid"]` is true) has neither sites nor sensors.
    """
    issues: list[Issue] = []
    asked = held = 0
    for group in GROUPS:
        listed = group in LISTED
        if group in ("sites", "sensors") and record.get("grid"):
            continue
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
        well = rule.form.holds(value)
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


def json_schema() -> dict[str, Any]:
    """The fields of the profile as JSON Schema (draft 2020-12), for editors and programs in other languages.

    It cannot say the rules between fields (CROSS) nor count an ORCID's check digit: `validate` does.
    """
    groups: dict[str, Any] = {}
    for group in GROUPS:
        rules = [r for r in RULES if r.group == group]
        entry = {
            "type": "object",
            "required": [r.field for r in rules if r.required],
            "properties": {r.field: {**r.form.schema(), "description": f"{r.id}: {r.expected}"} for r in rules},
        }
        groups[group] = {"type": "array", "minItems": 1, "items": entry} if group in LISTED else entry
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": PROFILE,
        "type": "object",
        "required": ["dataset", "variables", "provenance"],
        "properties": {**groups, "grid": {"type": "boolean", "description": "true: no sites, no sensors"}},
        "if": {"not": {"required": ["grid"], "properties": {"grid": {"const": True}}}},
        "then": {"required": ["sites", "sensors"]},
    }
