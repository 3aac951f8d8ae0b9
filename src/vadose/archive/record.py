"""A metadata record as rows of text and back: what the text formats have in common."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from vadose.archive.forms import Form, Number, written
from vadose.archive.profile import GROUPS, LISTED, RULES
from vadose.errors import VadoseInputError

Record = dict[str, Any]
#: The field by which an entry of a listed group is known.
KEYS = {"sites": "site_id", "sensors": "sensor_id", "variables": "name"}
FORMS: dict[tuple[str, str], Form] = {(r.group, r.field): r.form for r in RULES}
FIELDS = {group: [r.field for r in RULES if r.group == group] for group in GROUPS}


def as_value(group: str, field: str, text: str) -> Any:
    """What a text means in a field: a number, a list, or the text itself."""
    form = FORMS.get((group, field))
    return form.read(text) if form else text


def plain(record: Mapping[str, Any]) -> Record:
    """The record with dates as text and numbers as numbers, however YAML or a person wrote them (`2023-03-01`, `"0.05"`)."""

    def value(group: str, field: str, found: Any) -> Any:
        if isinstance(found, datetime.date):
            return found.isoformat()
        number = isinstance(found, str) and isinstance(FORMS.get((group, field)), Number)
        return as_value(group, field, found) if number else found

    def entry(group: str, found: Any) -> Any:
        return {k: value(group, k, v) for k, v in found.items()} if isinstance(found, Mapping) else found

    return {
        g: [entry(g, e) for e in found] if isinstance(found, list) else entry(g, found) for g, found in record.items()
    }


def flat(record: Mapping[str, Any], groups: Iterable[str] = GROUPS) -> Iterator[tuple[str, str, str, str]]:
    """Every field of a record as (group, key of the entry, field, text)."""
    for group in groups:
        entries: Any = record.get(group) or []
        for entry in entries if group in LISTED else [entries or {}]:
            key = str(entry.get(KEYS[group], "")) if group in LISTED else ""
            for field, value in entry.items():
                yield group, key, field, written(value)


def gathered(rows: Iterable[tuple[str, str, str, str]]) -> Record:
    """The record that `flat` took apart; rows may repeat."""
    listed: dict[str, dict[str, dict]] = {group: {} for group in LISTED}
    single: dict[str, dict] = {group: {} for group in GROUPS if group not in LISTED}
    for group, key, field, text in rows:
        if group in LISTED:
            listed[group].setdefault(key, {})[field] = as_value(group, field, text)
        elif group in single:
            single[group][field] = as_value(group, field, text)
    found = {**single, **{group: list(entries.values()) for group, entries in listed.items()}}
    return {group: found[group] for group in GROUPS}


def placed(record: Mapping[str, Any]) -> list[tuple[dict, dict]]:
    """(sensor, its site) of every sensor. Raises VadoseInputError for a sensor without site and a site without sensor."""
    sites = {s["site_id"]: s for s in record.get("sites") or []}
    pairs = []
    for sensor in record.get("sensors") or []:
        if sensor.get("site_id") not in sites:
            raise VadoseInputError(
                f"sensor {sensor.get('sensor_id')!r} stands at site {sensor.get('site_id')!r}, which is not in the list of sites"
            )
        pairs.append((sensor, sites[sensor["site_id"]]))
    idle = sorted(set(sites) - {sensor["site_id"] for sensor, _ in pairs})
    if idle:
        raise VadoseInputError(f"sites without a sensor: {', '.join(idle)}; leave them out, or list their sensors")
    return pairs


def slug(text: Any) -> str:
    """Letters, digits, hyphen and dot; what else there is becomes a hyphen."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", str(text)).strip("-") or "unnamed"
