"""What goes into a package: a study's results, a stream release or files of a product, copied so that anybody can read them."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import stat
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from vadose.archive import bag
from vadose.errors import UnreadableFileError, VadoseInputError

#: A Zarr store up to this size [bytes] is also written as netCDF, which more programs read.
NETCDF_LIMIT = 2_000_000_000
#: What programs leave in any folder, and nobody would miss.
CLUTTER = {"__pycache__", ".ipynb_checkpoints", ".DS_Store"}
#: Work files and locks of a study, which its results do not need.
WORK = {"steps", ".lock"}
_DESCRIPTIONS = {"zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata"}


def kind(source: Path) -> str:
    """`study`, `release` or `files`: what a folder or file is, by what lies in it."""
    if (source / "provenance.json").is_file() and (source / "study.yaml").is_file():
        return "study"
    return "release" if (source / "release.json").is_file() else "files"


def plan(sources: Iterable[Path]) -> dict[str, Path]:
    """Name in the package -> file or Zarr store. One folder gives what is in it; of several things, each folder keeps its name
    (`L1/v1-0` and `L2/v1-0` where `v1-0` alone would not tell them apart).

    Links are followed only inside the source: one that leads outside is refused, for it would pack what nobody named.
    Raises VadoseInputError for a name that two files would have, and for what is neither file nor folder.
    """
    places = list(sources)
    planned: dict[str, Path] = {}
    for source, start in zip(places, _names(places), strict=True):
        if not source.exists():
            raise VadoseInputError(f"{source}: not found; give the folder of a study, a stream release, or files")
        whole = source.is_file() or _is_zarr(source)
        for name, path in [(start, source)] if whole else _tree(source, start, source):
            name = f"{name}.zip" if path.is_dir() else name
            _refuse_odd_name(name)
            if name in planned:
                raise VadoseInputError(f"two files would be named {name}: {planned[name]} and {path}; rename one")
            planned[name] = path
    if not planned:
        raise VadoseInputError("nothing to pack: the folder is empty")
    return dict(sorted(planned.items()))


def _names(places: list[Path]) -> list[str]:
    """Name of each source in the package: of a file its own, of folders as much of their paths as tells them apart, of one folder none."""
    folders = {p: p.resolve().parts for p in places if p.is_dir() and not _is_zarr(p)}
    if len(places) == 1 and folders:
        return [""]
    parts = next((k for k in range(1, 9) if len({path[-k:] for path in folders.values()}) == len(folders)), 1)
    return ["/".join(folders[p][-parts:]) if p in folders else p.resolve().name for p in places]


def _tree(folder: Path, start: str, root: Path) -> Iterator[tuple[str, Path]]:
    study = kind(root) == "study"
    for path in sorted(folder.iterdir()):
        if path.name in CLUTTER or (study and (path.name in WORK or path.name.endswith((".part", ".old")))):
            continue
        if path.is_symlink():
            _refuse_link(path, root)
        name = f"{start}/{path.name}".removeprefix("/")
        if path.is_dir() and not _is_zarr(path):
            yield from _tree(path, name, root)
        elif path.is_dir() or stat.S_ISREG(path.stat().st_mode):
            yield name, path
        else:
            raise VadoseInputError(f"{path}: neither a file nor a folder, it cannot be packed; remove it first")


def _refuse_link(path: Path, root: Path) -> None:
    to = path.resolve()
    if not to.is_relative_to(root.resolve()):
        raise VadoseInputError(f"{path}: a link that leads out of the folder; copy the file here, or name it itself")
    if not to.exists():
        raise VadoseInputError(f"{path}: a link to {to.name}, which is not there; remove it, or bring the file back")
    if path.parent.resolve().is_relative_to(to):
        raise VadoseInputError(f"{path}: a link to a folder that it lies in; it would be packed without end, remove it")


def _refuse_odd_name(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(name).decode("utf-8", "replace")
        raise VadoseInputError(
            f"{shown}: its name is not UTF-8, so other systems cannot hold it; rename the file"
        ) from None


def copy(sources: Iterable[Path], into: Path) -> list[str]:
    """Copy what `plan` names into `into`; a Zarr store becomes one `.zarr.zip` (consolidated) and, up to 2 GB, a netCDF file.

    Returns what the variables of the Zarr stores mean, one line each.
    """
    planned = plan(sources)
    notes: list[str] = []
    for name, path in planned.items():
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            bare = target.with_suffix("")  # merged.zarr of merged.zarr.zip
            beside = bare.with_name(f"{bare.stem}.nc")
            notes += _zarr(path, target, None if beside.relative_to(into).as_posix() in planned else beside)
            continue
        with open(path, "rb") as read, open(target, "wb") as write:
            bag.pour(read, write)
    return notes


def _is_zarr(path: Path) -> bool:
    return path.is_dir() and any((path / n).is_file() for n in ("zarr.json", ".zgroup", ".zarray"))


def _zarr(source: Path, target: Path, beside: Path | None) -> list[str]:
    """One stored zip with the consolidated description in it, and the netCDF file `beside` it where it is small enough."""
    import xarray as xr
    import zarr

    for path in source.rglob("*"):
        if path.is_symlink():
            _refuse_link(path, source)
    members = {p.relative_to(source).as_posix(): p for p in bag.files(source)}
    if not _is_group(source):
        bag.write_zip(members, target)
        return [f"`{source.stem}` holds one array without a name"]
    work = target.with_name(target.name + ".work")  # descriptions only: the numbers go straight into the zip
    try:
        for name, path in members.items():
            if path.name in _DESCRIPTIONS:
                (work / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, work / name)
        with (
            warnings.catch_warnings()
        ):  # Zarr 3 says that consolidated metadata is no standard yet: it is an extra here
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(str(work))
        members |= {p.relative_to(work).as_posix(): p for p in bag.files(work)}
        bag.write_zip(members, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    with (
        warnings.catch_warnings(),
        xr.open_dataset(source, engine="zarr", chunks=None, cache=False, consolidated=False) as data,
    ):
        warnings.simplefilter("ignore")
        notes = [_meaning(source.stem, name, data[name].attrs) for name in data.data_vars]
        if beside is not None and notes and data.nbytes <= NETCDF_LIMIT:
            notes += _netcdf(data, beside)
    return notes


def _is_group(store: Path) -> bool:
    about = store / "zarr.json"
    try:
        return (store / ".zgroup").is_file() or json.loads(about.read_text("utf-8"))["node_type"] == "group"
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableFileError(f"{about}: not the description of a Zarr store ({error})") from error


def _netcdf(data: Any, path: Path) -> list[str]:
    """Write netCDF-4, one variable in memory at a time; a line for the reader where netCDF cannot hold the data."""
    clean = data.copy(deep=False)
    for name in clean.variables:
        floats = clean[name].dtype.kind == "f"
        clean[name].encoding = {"zlib": True, "complevel": 4} if floats and clean[name].ndim else {}
        if floats and name in clean.coords:
            clean[name].encoding["_FillValue"] = None
    try:
        clean.to_netcdf(path, engine="netcdf4")
    except (ValueError, TypeError, NotImplementedError) as error:
        path.unlink(missing_ok=True)
        return [f"{path.stem} is not there as netCDF, which cannot hold it ({str(error).splitlines()[0]:.120})"]
    return []


def _meaning(store: str, name: Any, attrs: dict[str, Any]) -> str:
    words = attrs.get("long_name") or attrs.get("standard_name") or str(name).replace("_", " ")
    return f"`{name}` in {store}: {words} [{attrs.get('units', 'no unit')}]"


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
    """What is known of a source without asking: title, summary, period, box, processing steps.

    Raises UnreadableFileError where the facts of a study or release cannot be read.
    """
    what = kind(source)
    try:
        if what == "study":
            return _study(json.loads((source / "provenance.json").read_text("utf-8")))
        if what == "release":
            return _release(source, json.loads((source / "release.json").read_text("utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        name = "provenance.json" if what == "study" else "release.json"
        raise UnreadableFileError(
            f"{source / name}: not what vadose wrote there ({error}); run the {what} again"
        ) from error
    return {"kind": "Soil moisture data"}


def _study(facts: Mapping[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = {"kind": "Soil moisture study", "title": facts["study"], "summary": facts.get("summary") or ""}  # fmt: skip
    known["steps"] = _study_steps(facts)
    if facts.get("period"):
        start, end = (str(t)[:10] for t in facts["period"])
        known |= {"time_coverage_start": start, "time_coverage_end": end}
    if facts.get("bbox"):
        edges = ("geospatial_lon_min", "geospatial_lat_min", "geospatial_lon_max", "geospatial_lat_max")
        known |= dict(zip(edges, facts["bbox"], strict=True))
    return known


def _release(source: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    page = source / "README.txt"
    return {
        "kind": "Soil moisture sensor data", "version": facts["version"],
        "title": f"Soil sensor stream, level {facts['level']}, release {facts['version']}",
        "summary": page.read_text("utf-8") if page.is_file() else "",
        "steps": [{"name": f"stream release {facts['level']}", "parameters": f"table version {facts.get('table_version')}"}],
    }  # fmt: skip


def _study_steps(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    inputs = ", ".join(i["name"] for i in facts.get("inputs", []))
    settings = {k: facts.get(k) for k in ("period", "bbox", "layer_m", "resolution_deg", "reference", "collocated")}
    steps = [("harmonize", f"inputs: {inputs}; {json.dumps(settings, default=str)}"), ("collocate", "error of each product from pairs and triples"),
             ("merge", "least squares weights from the errors"), ("validate", facts.get("command") or "against stations")]  # fmt: skip
    return [{"name": n, "parameters": p} for n, p in steps]


def newest(sources: Iterable[Path]) -> str:
    """Date (UTC) of the newest file, the date of a package for which none is given."""
    stamps = [p.stat().st_mtime for s in sources for p in ([s] if s.is_file() else bag.files(s))]
    moment = datetime.datetime.fromtimestamp(max(stamps, default=0.0), datetime.UTC)
    return moment.date().isoformat()


#: Files that vadose writes -> what they are.
_KNOWN = {
    "README.txt": "what this is and how to read it", "release.json": "level, version and hashes of the release", "columns.csv": "what each column of the tables is",
    "variables.csv": "units, conversion and limits of each measurement", "sources.csv": "the logger files that it was made from, with their SHA-256",
    "availability.csv": "how many values each sensor has in each month, and how many are in doubt", "changes.json": "what differs from the version before",
    "manifest-sha256.txt": "SHA-256 of each file beside it", "provenance.json": "inputs, software, settings and steps of the study",
    "study.yaml": "settings of the study, with which it can be run again", "report.html": "page with figures and tables of the results",
}  # fmt: skip
#: Ending of a file -> what it is.
_ENDINGS = {
    ".zarr.zip": "Zarr store, zipped, with consolidated description", ".nc": "netCDF-4 data", ".parquet": "table, Apache Parquet",
    ".csv": "table, comma separated", ".html": "web page, opens in a browser", ".yaml": "settings, as text", ".json": "facts for programs", ".stm": "ISMN header and values text", ".txt": "text for people", ".md": "text for people",
}  # fmt: skip


def sentence(name: str, beside: Iterable[str] = ()) -> str:
    """What a file is, in a few words, from its name and the names `beside` it."""
    base = PurePosixPath(name).name
    if base in _KNOWN:
        return _KNOWN[base]
    for ending, words in _ENDINGS.items():
        if base.endswith(ending):
            same = ending == ".nc" and f"{name[:-3]}.zarr.zip" in beside
            stem = base[: -len(ending)].replace("_", " ").replace("-", " ")
            return f"{stem}: {'the same data as netCDF-4' if same else words}"
    return f"file {base} as it was given"
