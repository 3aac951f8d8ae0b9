"""What goes into a package: a study's results, a stream release or files of a product, copied so that anybody can read them."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vadose.archive import bag
from vadose.errors import UnreadableFileError, VadoseInputError

#: A Zarr store up to this size [bytes] is also written as netCDF, which more programs read.
NETCDF_LIMIT = 2_000_000_000
#: Work files and locks of a study, which its results do not need.
LEFT_OUT = {"steps", "__pycache__", ".lock", ".ipynb_checkpoints"}
EPOCH = (1980, 1, 1, 0, 0, 0)


def kind(source: Path) -> str:
    """`study`, `release` or `files`: what a folder or file is, by what lies in it."""
    if (source / "provenance.json").is_file() and (source / "study.yaml").is_file():
        return "study"
    return "release" if (source / "release.json").is_file() else "files"


def copy(sources: Iterable[Path], into: Path) -> list[str]:
    """Copy files and folders into `into`; a Zarr store becomes one `.zarr.zip` (consolidated) and, up to 2 GB, a netCDF file.

    Links are followed only inside the source: one that leads outside is refused, for it would pack what nobody named.
    """
    into.mkdir(parents=True, exist_ok=True)
    notes: list[str] = []
    names: set[str] = set()
    for source in sources:
        if not source.exists():
            raise VadoseInputError(f"{source}: not found; give the folder of a study, a stream release, or files")
        if source.is_file() or _is_zarr(source):
            if source.name in names:
                raise VadoseInputError(f"two files are named {source.name}; rename one, a package holds each name once")
            names.add(source.name)
            _one(source, into / source.name, notes)
            continue
        _tree(source, into, source.resolve(), names, notes)
    if not any(into.iterdir()):
        raise VadoseInputError("nothing to pack: the folder is empty")
    return notes


def _tree(folder: Path, into: Path, root: Path, names: set[str], notes: list[str]) -> None:
    for path in sorted(folder.iterdir()):
        if path.name in LEFT_OUT or path.name.endswith((".part", ".old")):
            continue
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise VadoseInputError(
                f"{path}: a link that leads out of the folder; copy the file here, or name it itself"
            )
        if path.is_dir() and not _is_zarr(path):
            _tree(path, into / path.name, root, set(), notes)
            continue
        if path.name in names:
            raise VadoseInputError(f"two files are named {path.name}; rename one, a package holds each name once")
        names.add(path.name)
        into.mkdir(parents=True, exist_ok=True)
        _one(path, into / path.name, notes)


def _one(source: Path, target: Path, notes: list[str]) -> None:
    if source.is_dir():
        notes += _zarr(source, target)
        return
    with open(source, "rb") as read, open(target, "wb") as write:
        shutil.copyfileobj(read, write, bag.BLOCK)


def _is_zarr(path: Path) -> bool:
    return path.is_dir() and any((path / n).is_file() for n in ("zarr.json", ".zgroup", ".zarray"))


def _zarr(source: Path, target: Path) -> list[str]:
    """One stored zip with the consolidated description in it, and a netCDF file beside it where it is small enough."""
    import xarray as xr
    import zarr

    work = target.with_name(target.name + ".work")
    shutil.copytree(source, work)
    try:
        with (
            warnings.catch_warnings()
        ):  # Zarr 3 says that consolidated metadata is no standard yet: it is an extra here
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(str(work))
        zip_folder(work, target.with_name(target.name + ".zip"))
        with warnings.catch_warnings(), xr.open_zarr(work) as data:
            warnings.simplefilter("ignore")
            notes = [_meaning(target.stem, name, data[name].attrs) for name in data.data_vars]
            if data.nbytes <= NETCDF_LIMIT:
                _netcdf(data, target.with_suffix(".nc"))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return notes


def _netcdf(data: Any, path: Path) -> None:
    clean = data.load().copy(deep=False)
    for name in clean.variables:
        floats = clean[name].dtype.kind == "f"
        clean[name].encoding = {"zlib": True, "complevel": 4} if floats and clean[name].ndim else {}
        if floats and name in clean.coords:
            clean[name].encoding["_FillValue"] = None
    clean.to_netcdf(path, engine="netcdf4")


def _meaning(store: str, name: Any, attrs: dict[str, Any]) -> str:
    words = attrs.get("long_name") or attrs.get("standard_name") or str(name).replace("_", " ")
    return f"`{name}` in {store}: {words} [{attrs.get('units', 'no unit')}]"


def zip_folder(folder: Path, target: Path) -> None:
    """A zip whose bytes depend on names and contents only: sorted, stored, one fixed date and mode."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for path in bag.files(folder):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), EPOCH)
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3
            entry.file_size = path.stat().st_size
            with open(path, "rb") as read, archive.open(entry, "w") as write:
                shutil.copyfileobj(read, write, bag.BLOCK)


def unzip(source: Path, target: Path) -> None:
    """Unpack a zip below `target`; a member that would land outside is refused."""
    with zipfile.ZipFile(source) as archive:
        for member in archive.infolist():
            place = (target / member.filename).resolve()
            if not place.is_relative_to(target.resolve()):
                raise UnreadableFileError(
                    f"{source.name}: {member.filename!r} leads out of the folder; this package was made to do harm"
                )
        archive.extractall(target)


def describe(source: Path) -> dict[str, Any]:
    """What is known of a source without asking: title, summary, period, box, processing steps, date of its newest file."""
    known: dict[str, Any] = {
        "kind": {"study": "Soil moisture study", "release": "Soil moisture sensor data", "files": "Soil moisture data"}[
            kind(source)
        ]
    }
    if kind(source) == "study":
        facts = json.loads((source / "provenance.json").read_text())
        known |= {"title": facts["study"], "summary": facts.get("summary") or "", "steps": _study_steps(facts)}
        if facts.get("period"):
            known |= {
                "time_coverage_start": str(facts["period"][0])[:10],
                "time_coverage_end": str(facts["period"][1])[:10],
            }
        if facts.get("bbox"):
            known |= dict(
                zip(
                    ("geospatial_lon_min", "geospatial_lat_min", "geospatial_lon_max", "geospatial_lat_max"),
                    facts["bbox"],
                    strict=True,
                )
            )
    elif kind(source) == "release":
        facts = json.loads((source / "release.json").read_text())
        known |= {
            "title": f"Soil sensor stream, level {facts['level']}, release {facts['version']}",
            "version": facts["version"],
        }
        known |= {"summary": (source / "README.txt").read_text() if (source / "README.txt").is_file() else ""}
        known["steps"] = [
            {"name": f"stream release {facts['level']}", "parameters": f"table version {facts.get('table_version')}"}
        ]
    return known


def _study_steps(facts: dict[str, Any]) -> list[dict[str, str]]:
    inputs = ", ".join(i["name"] for i in facts.get("inputs", []))
    settings = {k: facts.get(k) for k in ("period", "bbox", "layer_m", "resolution_deg", "reference", "collocated")}
    steps = [("harmonize", f"inputs: {inputs}; {json.dumps(settings, default=str)}"), ("collocate", "error of each product from pairs and triples"),
             ("merge", "least squares weights from the errors"), ("validate", facts.get("command") or "against stations")]  # fmt: skip
    return [{"name": n, "parameters": p} for n, p in steps]


def newest(sources: Iterable[Path]) -> str:
    """Date (UTC) of the newest file, the date of a package for which none is given."""
    import datetime

    stamps = [p.stat().st_mtime for s in sources for p in ([s] if s.is_file() else bag.files(s))]
    moment = datetime.datetime.fromtimestamp(max(stamps, default=0.0), datetime.UTC)
    return moment.date().isoformat()


# -- tables that ESS-DIVE asks for -----------------------------------------------------------------------------------------

FLMD = [
    "file_name",
    "file_description",
    "standard",
    "file_version",
    "data_orientation",
    "header_rows",
    "column_or_row_name_position",
    "notes",
]
DICTIONARY = ["column_or_row_name", "unit", "definition", "column_or_row_long_name", "data_type", "missing_value_code"]


def write_csv(path: Path, head: list[str], rows: Iterable[Iterable[Any]]) -> None:
    """UTF-8, comma, line feed, rectangular."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


def dictionary(folder: Path) -> list[list[str]]:
    """One row a column of the CSV tables below `folder`, its type guessed from the first rows and its meaning from a table of columns."""
    known = _known_columns(folder)
    rows: dict[str, list[str]] = {}
    for path in [p for p in bag.files(folder) if p.suffix == ".csv"]:
        with open(path, encoding="utf-8", errors="replace", newline="") as file:
            lines = [r for r, _ in zip(csv.reader(x for x in file if not x.startswith("#")), range(50), strict=False)]
        for k, name in enumerate(lines[0] if lines else []):
            cells = [r[k] for r in lines[1:] if k < len(r)]
            numeric = bool(cells) and all(re.fullmatch(r"[-+]?\d*\.?\d+([eE][-+]?\d+)?|", c) for c in cells)
            unit, definition = known.get(name, ("N/A", f"Column {name.replace('_', ' ')} of {path.name}"))
            date = name.lower() in ("time", "date", "datetime")
            rows.setdefault(
                name,
                [
                    name,
                    unit,
                    definition,
                    name.replace("_", " "),
                    "date" if date else "numeric" if numeric else "text",
                    "-9999" if numeric else "N/A",
                ],
            )
    return list(rows.values())


def _known_columns(folder: Path) -> dict[str, tuple[str, str]]:
    path = folder / "columns.csv"
    if not path.is_file():
        return {}
    with open(path, encoding="utf-8", newline="") as file:
        return {r["column"]: (r["units"], r["definition"]) for r in csv.DictReader(file)}


def sentence(name: str) -> str:
    """What a file is, in a few words, from its name."""
    base = os.path.basename(name)
    for ending, words in (
        (".zarr.zip", "Zarr store, zipped, with consolidated description"), (".nc", "the same data as netCDF-4" if "/" in name else "netCDF-4 data"),
        (".parquet", "table, Apache Parquet"), (".csv", "table, comma separated"), (".html", "page with figures and tables of the results"),
        (".yaml", "settings of the study, with which it can be run again"), (".json", "facts for programs"), (".stm", "ISMN header and values text"),
        (".txt", "text for people"), (".md", "text for people"),
    ):  # fmt: skip
        if base.endswith(ending):
            return f"{base[: -len(ending)].replace('_', ' ').replace('-', ' ')}: {words}"
    return f"file {base} as it was given"
