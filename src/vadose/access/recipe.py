"""How a virtual cube is made from files: a small YAML file beside the collection, checked when it is read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vadose.errors import UnreadableFileError, VadoseInputError

#: The finest mark in a time's format, and how long a time of that form is.
PRECISION = (("%S", "s"), ("%M", "m"), ("%H", "h"), ("%d", "D"), ("%j", "D"), ("%m", "M"), ("%Y", "Y"))
FORMATS = ("hdf5", "netcdf4", "netcdf3", "grib", "tiff", "zarr", "text", "parquet")
#: How files that are read one by one come together.
JOINS = ("location", "time", "station", "tile")


def _one(step: str) -> Any:
    return np.int64(1).astype(f"timedelta64[{step}]")


@dataclass(frozen=True)
class Recipe:
    """Where the files are and how they become one cube.

    source: a glob of a folder or bucket, or `@FILE` with one address a line; for `join: tile` also a STAC item collection.
    files: what the files are called, for those who have their own copy in a folder. search: a STAC API that finds them. groups: HDF5 groups, laid side by side.
    time: {from: name, pattern, format} stacks the files along a new first dimension, with times taken from their names; files
    whose own metadata tell of another time are set aside, unless it says `inside: ignore`;
    {from: variable, variable} joins them along the dimension they have; {from: none} joins files of places along `dim`, such
    as cells of a grid that share one time axis. dims: names of unnamed dimensions by rank.
    grid: M36, M09 ... adds EASE-Grid 2.0 coordinates. keep: "highest revision" chooses among files of one time (the second
    group of the pattern is the revision). only / leave_out: variables. chunks: hint for Dask. series: variables worth a copy
    chunked in time.
    join: location, time, station or tile where no cube can be made of the files (swaths, scenes, text): they are listed, and
    read one by one. Named groups of the time's pattern are then properties of items (`time`, `until`, `revision` and `asset` apart:
    files that differ in `asset` only are one item); properties renames them, alike names those that must be the same in all
    that is opened together.
    """

    source: str = ""
    format: str = "hdf5"
    files: str = ""
    search: str = ""
    join: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    alike: tuple[str, ...] = ()
    groups: tuple[str, ...] = ("/",)
    time: Mapping[str, str] = field(default_factory=dict)
    dim: str = "time"
    dims: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    grid: str | None = None
    keep: str | None = None
    only: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    chunks: Mapping[str, int] = field(default_factory=dict)
    series: tuple[str, ...] = ()

    @property
    def stacks(self) -> bool:
        """Whether files are stacked along a new dimension (else they are joined along one they have)."""
        return self.time.get("from") == "name"

    @property
    def places(self) -> bool:
        """Whether files are places that share one time axis, joined along `dim`."""
        return self.time.get("from") == "none"

    def time_of(self, address: str) -> np.datetime64:
        """The time that a file's name states. UnreadableFileError where it states none."""
        found = re.search(self.time["pattern"], address)
        if not found:
            raise UnreadableFileError(f"{address}: no time in the name; the recipe looks for {self.time['pattern']}")
        try:
            return np.datetime64(pd.to_datetime(_group(found, "time", 1), format=self.time.get("format")), "ns")
        except ValueError as error:
            raise UnreadableFileError(
                f"{address}: {_group(found, 'time', 1)!r} is not a time of the form {self.time.get('format')}"
            ) from error

    def until(self, address: str) -> np.datetime64 | None:
        """The last moment that a file's name states (group `until`): the end of that year, month or day; None where it states none."""
        found = re.search(self.time.get("pattern", "(?!)"), address)
        text = found.groupdict().get("until") if found else None
        if not text:
            return None
        day, step = np.datetime64(pd.to_datetime(text, format=self.time.get("format")), "ns"), self._step()
        return (day.astype(f"datetime64[{step}]") + _one(step)).astype("datetime64[ns]") - np.timedelta64(1, "s")

    def _step(self) -> str:
        """The finest unit that a name's time states."""
        form = self.time.get("format") or ""
        return next((unit for mark, unit in PRECISION if mark in form), "D")

    def period_of(self, address: str) -> tuple[np.datetime64, np.datetime64]:
        """From when until before when a name's time may mean: a day, hour, minute or second, as exact as its format is."""
        start, step = self.time_of(address), self._step()
        return start, (start.astype(f"datetime64[{step}]") + _one(step)).astype("datetime64[ns]")

    def revision_of(self, address: str) -> str:
        """The revision in a file's name: the second group of the pattern, or the one of that name."""
        found = re.search(self.time["pattern"], address)
        return _group(found, "revision", 2) if found else ""

    def without_revision(self, address: str) -> str:
        """A file's name with the revision left out: the same for all revisions of a file."""
        found = re.search(self.time.get("pattern", "(?!)"), address)
        where = "revision" if found and "revision" in found.re.groupindex else 2
        if found is None or (where == 2 and (found.re.groups < 2 or found.re.groupindex)):
            return address
        return address[: found.start(where)] + address[found.end(where) :]

    def named(self, address: str) -> dict[str, str]:
        """What else a file's name says: the named groups of the pattern."""
        found = re.search(self.time.get("pattern", ""), address)
        return {} if found is None else {k: v for k, v in found.groupdict().items() if v is not None}


def _group(found: re.Match[str], name: str, position: int) -> str:
    if found.re.groupindex:
        return found.groupdict().get(name) or ""
    return found[position] if found.re.groups >= position else ""


def parse(steps: Mapping[str, Any], *, where: str = "recipe") -> Recipe:
    """A recipe from its YAML. VadoseInputError names the key that is wrong and what is allowed."""
    known = {f.name for f in fields(Recipe)}
    unknown = sorted(set(steps) - known)
    if unknown:
        raise VadoseInputError(f"{where}: unknown key {unknown[0]!r}; allowed: {', '.join(sorted(known))}")
    if not steps.get("source") and not steps.get("files"):
        raise VadoseInputError(f"{where}: source is missing: a glob such as data/*.nc, or s3://bucket/prefix/*.h5")
    made = dict(steps)
    if made.get("format", "hdf5") not in FORMATS:
        raise VadoseInputError(f"{where}: format {made['format']!r}; allowed: {', '.join(FORMATS)}")
    made["time"] = dict(made.get("time") or {"from": "variable", "variable": "time"})
    if made["time"].get("from") not in ("name", "variable", "none"):
        raise VadoseInputError(f"{where}: time.from is {made['time'].get('from')!r}; allowed: name, variable, none")
    if made["time"]["from"] == "name" and "pattern" not in made["time"]:
        raise VadoseInputError(
            f"{where}: time.from: name needs time.pattern, an expression whose first group is the time"
        )
    if made["time"].get("inside", "check") not in ("check", "ignore"):
        raise VadoseInputError(f"{where}: time.inside is {made['time']['inside']!r}; allowed: check, ignore")
    if made.get("join") not in (None, *JOINS):
        raise VadoseInputError(f"{where}: join is {made['join']!r}; allowed: {', '.join(JOINS)}")
    for key in ("groups", "only", "leave_out", "series", "alike"):
        if key in made:
            made[key] = tuple(made[key])
    made["dims"] = {int(k): tuple(v) for k, v in (made.get("dims") or {}).items()}
    return Recipe(**made)


def pointed(folder: Path, source: str, collection: dict[str, Any]) -> dict[str, Any]:
    """The steps of a collection's recipe for one's own copy: a folder (its files by name, in it and below), a glob, `@FILE`, STAC items.

    A copy elsewhere than at the archive's address is entered with the environment's keys, not with the archive's: `collection`
    says so afterwards. Nothing is written: `keep` does, once the source has proved to be one.
    """
    import yaml

    path = folder / "recipe.yaml"
    steps = yaml.safe_load(path.read_text()) if path.exists() else {}
    names = steps.get("files") or str(steps.get("source", "")).rsplit("/", 1)[-1]
    plain = source.removeprefix("file://")
    if names and (source.endswith("/") or ("://" not in source and Path(plain).is_dir())):
        source = f"{source.rstrip('/')}/**/{names}"
    if source.startswith("@") and not source.startswith("@/"):
        source = f"@{Path(source[1:]).resolve()}"
    elif "://" not in source and not source.startswith("@"):
        source = str(Path(source).absolute())
    asset = collection["assets"]["data"]
    bucket = "/".join(str(asset["href"]).split("/")[:3])
    how = asset.get("vadose:open", {})
    own = not _of_archive(source, bucket, how.get("store", {}))
    if how.get("store", {}).get("auth", "environment") not in ("environment", "anonymous") and own:
        how["store"] = {"auth": "environment"}
    return {**steps, "source": source}


def _of_archive(source: str, bucket: str, rule: dict[str, Any]) -> bool:
    """Whether a source lies at the archive itself: in its bucket, or at the address by which it serves that over HTTPS."""
    doors = [bucket, "/".join(str(rule.get("https", "")).split("/")[:3])]
    first = source
    if source.startswith("@"):
        lines = (Path(source[1:]).read_text() if Path(source[1:]).exists() else "").split()
        first = lines[0] if lines else source
    return any(door and first.startswith(door) for door in doors)


def keep(folder: Path, steps: dict[str, Any], collection: dict[str, Any]) -> None:
    """Write what `pointed` made, for this build and later updates."""
    import yaml

    from vadose.access import store

    store.replace_text(folder / "recipe.yaml", yaml.safe_dump(steps, sort_keys=False))
    store.replace_text(folder / "collection.json", json.dumps(collection, indent=1, ensure_ascii=False))


def load(folder: Path) -> Recipe:
    """The recipe of a collection's folder."""
    import yaml

    path = folder / "recipe.yaml"
    if not path.exists():
        raise VadoseInputError(
            f"{folder.name} has no recipe.yaml, so it cannot be built; write one, or make a collection from your files with `vadose catalog add`"
        )
    try:
        steps = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise VadoseInputError(f"{path}: {error}") from error
    return parse(steps, where=str(path))
