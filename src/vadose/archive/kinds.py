"""Which kind of file or folder metadata lie in, and the record that is read from it: record, netCDF, Zarr, ISMN, ESS-DIVE, stream release, package."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import xarray as xr

from vadose.archive import cf_series, essdive_series, ismn_series, package, release_record
from vadose.archive.profile import GROUPS, LISTED, PROFILE, RULES
from vadose.archive.record import Record, plain, slug
from vadose.errors import UnreadableFileError, VadoseError, VadoseInputError, unknown_name

EXPECTED = "a record (YAML or JSON), netCDF, a Zarr store, an ISMN folder or zip, an ESS-DIVE folder, a stream release, or a package"


def kind(path: str | Path) -> str:
    """`record`, `netcdf`, `zarr`, `ismn`, `essdive`, `release` or `package`. Raises UnreadableFileError saying what may be given."""
    place = Path(path)
    if place.is_dir():
        if (place / "bagit.txt").is_file():
            return "package"
        if (place / "release.json").is_file():
            return "release"
        if any((place / n).is_file() for n in ("zarr.json", ".zgroup", ".zattrs")):
            return "zarr"
        if (place / "InstallationMethods.csv").is_file():
            return "essdive"
        if next(place.rglob("*.stm"), None) is not None:
            return "ismn"
    elif place.suffix in (".yaml", ".yml", ".json"):
        return "record"
    elif place.suffix in (".nc", ".nc4", ".h5", ".hdf5"):
        return "netcdf"
    elif place.suffix == ".zip" and zipfile.is_zipfile(place):
        with zipfile.ZipFile(place) as archive:
            names = archive.namelist()
            return "package" if any(n.split("/", 1)[-1] == "bagit.txt" for n in names) else "ismn"
    elif place.suffix == ".stm":
        return "ismn"
    if (place / "stream.json").is_file():
        raise UnreadableFileError(
            f"{place}: a sensor stream; make a release of it with `vadose stream release` and give that folder"
        )
    raise UnreadableFileError(f"{place}: expected {EXPECTED}")


def read_record(path: str | Path) -> Record:
    """The metadata record of a file or folder of any of these kinds.

    Raises UnreadableFileError naming the file, and what was expected in it.
    """
    place = Path(path)
    found = kind(place)
    if found == "record":
        return _written(place)
    if found == "package":
        with package.unpacked(place) as bag:
            return _package(bag)
    if found == "release":
        return release_record.read_record(place)
    if found == "ismn":
        return ismn_series.read_record(place)
    if found == "essdive":
        return essdive_series.read_record(place)
    return _dataset(place, found)


def _written(path: Path) -> Record:
    import yaml

    try:
        record = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UnreadableFileError(f"{path}: not a YAML or JSON record ({str(error).splitlines()[0]})") from error
    if not isinstance(record, dict):
        raise UnreadableFileError(
            f"{path}: expected the groups dataset, sites, sensors, variables, provenance; start from `vadose metadata template`"
        )
    for group in (g for g in GROUPS if record.get(g) is not None):
        entries = record[group]
        if group in LISTED and not (isinstance(entries, list) and all(isinstance(e, dict) for e in entries)):
            raise UnreadableFileError(
                f"{path}: {group} holds {str(entries)[:40]!r}; expected a list of entries, each begun by a hyphen, of lines `field: value`"
            )
        if group not in LISTED and not isinstance(entries, dict):
            raise UnreadableFileError(
                f"{path}: {group} holds {str(entries)[:40]!r}; expected lines `field: value` below it"
            )
    return plain(record)


def _dataset(path: Path, found: str) -> Record:
    try:
        opened = xr.open_zarr(path) if found == "zarr" else xr.open_dataset(path)
    except (OSError, ValueError, KeyError) as error:
        said = str(error).splitlines()[0]
        if found == "netcdf" and "xarray" in said:  # a list of its backends, which tells nobody anything
            said = f"not netCDF: it begins with {path.read_bytes()[:8]!r}"
        raise UnreadableFileError(f"{path}: cannot be opened ({said:.120})") from error
    with opened as dataset:
        return cf_series.record_of(dataset)


def _package(bag: Path) -> Record:
    """The record of the first thing in a package that has one; what the package says of the whole is added."""
    import json

    content = bag / "data" / "content"
    record: Record = {"dataset": {}, "sites": [], "sensors": [], "variables": [], "provenance": {}}
    for place in [content, *sorted(content.iterdir())] if content.is_dir() else []:
        try:
            record = read_record(place)
            break
        except (VadoseError, OSError):
            continue
    about = bag / "data" / "datacite.json"
    if about.is_file():
        record["dataset"] = {**_from_datacite(json.loads(about.read_text())), **record["dataset"]}
    return record


def _from_datacite(said: dict) -> dict:
    creator = (said.get("creators") or [{}])[0]
    box = ((said.get("geoLocations") or [{}])[0]).get("geoLocationBox", {})
    dates = {d["dateType"]: d["date"] for d in said.get("dates", [])}
    start, _, end = dates.get("Collected", "").partition("/")
    funding = (said.get("fundingReferences") or [{}])[0]
    rights = (said.get("rightsList") or [{}])[0]
    found = {
        "title": (said.get("titles") or [{}])[0].get("title"), "summary": (said.get("descriptions") or [{}])[0].get("description"),
        "license": rights.get("rightsIdentifier"), "creator_name": creator.get("name"), "institution": (said.get("publisher") or {}).get("name"),
        "creator_orcid": (creator.get("nameIdentifiers") or [{}])[0].get("nameIdentifier"), "date_created": dates.get("Created"),
        "version": said.get("version"), "doi": said.get("doi", "pending"), "time_coverage_start": start, "time_coverage_end": end,
        "geospatial_lat_min": box.get("southBoundLatitude"), "geospatial_lat_max": box.get("northBoundLatitude"),
        "geospatial_lon_min": box.get("westBoundLongitude"), "geospatial_lon_max": box.get("eastBoundLongitude"),
        "keywords": [s["subject"] for s in said.get("subjects", [])], "funder": funding.get("funderName"), "award": funding.get("awardNumber"),
    }  # fmt: skip
    return {k: v for k, v in found.items() if v not in (None, "", [])}


def read_series(path: str | Path) -> tuple[xr.Dataset, Record]:
    """Series (sensor, time) and their record from our CF netCDF, an ISMN folder or an ESS-DIVE folder."""
    found = kind(path)
    if found == "ismn":
        return ismn_series.read_ismn(path)
    if found == "essdive":
        return essdive_series.read_essdive(path)
    if found != "netcdf":
        raise UnreadableFileError(f"{path}: holds no series; expected CF netCDF, an ISMN folder or an ESS-DIVE folder")
    with xr.open_dataset(path) as dataset:
        if dataset.attrs.get("metadata_profile") != PROFILE:
            raise UnreadableFileError(
                f"{path}: not series in the profile {PROFILE}; `vadose metadata check` says what it holds"
            )
        return cf_series.from_cf(dataset.load())


#: What a CF file cannot be written without; the text formats ask for every required field.
CF_NEEDS = {
    "sites": ("site_id", "lat", "lon", "elevation"), "sensors": ("sensor_id", "site_id", "depth_from", "depth_to"),
    "variables": ("name", "missing_value"),
}  # fmt: skip


def write_series(data: xr.Dataset, record: Record, path: str | Path, form: str) -> Path:
    """Write series and record as `cf`, `ismn` or `essdive`; `path` is a file for CF and a folder for the others.

    Never overwrites; complete or not there. Raises VadoseInputError naming the fields that the format needs and the record lacks.
    """
    target = Path(path)
    write = {"cf": cf_series.write_cf, "ismn": ismn_series.write_ismn, "essdive": essdive_series.write_essdive}
    if form not in write:
        raise unknown_name("format", form, write)
    if target.exists():
        raise VadoseInputError(f"{target} exists; choose another name")
    record = plain(record)
    lacking = _lacking(record, form)
    if lacking:
        more = f" and {len(lacking) - 6} more" if len(lacking) > 6 else ""
        raise VadoseInputError(
            f"{form} cannot be written without {', '.join(lacking[:6])}{more}; `vadose metadata extract` writes what is known, "
            "complete it and give it to `vadose metadata convert` with --metadata"
        )
    names = Counter(slug(s["sensor_id"]) for s in record["sensors"]) if form != "cf" else {}
    if alike := [name for name, often in names.items() if often > 1]:
        raise VadoseInputError(
            f"several sensors would be {alike[0]} in names of files; give them ids that differ in letters or digits"
        )
    with package.made(target, "Make room, or choose another place") as work:
        os.replace(write[form](data, record, work / target.name), target)
    return target


def _lacking(record: Record, form: str) -> list[str]:
    """`group.field` of what the format needs and an entry of the record lacks."""
    needs = CF_NEEDS
    if form != "cf":
        needs = {g: tuple(r.field for r in RULES if r.group == g and r.required) for g in GROUPS if g != "provenance"}
    out = [] if record.get("sensors") else ["sensors"]
    for group, fields in needs.items():
        found: Any = record.get(group)
        entries = (found or []) if group in LISTED else [found or {}]
        out += [f"{group}.{f}" for f in fields if any(entry.get(f) in (None, "") for entry in entries)]
    return out
