"""How a virtual cube is made from files: a small YAML file beside the collection, checked when it is read."""

from __future__ import annotations

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
FORMATS = ("hdf5", "netcdf4", "netcdf3", "grib", "tiff", "zarr")


@dataclass(frozen=True)
class Recipe:
    """Where the files are and how they become one cube.

    source: a glob of a folder or bucket, or `@FILE` with one address a line. groups: HDF5 groups, laid side by side.
    time: {from: name, pattern, format} stacks the files along a new first dimension, with times taken from their names; files
    whose own metadata tell of another time are set aside, unless it says `inside: ignore`;
    {from: variable, variable} joins them along the dimension they have; {from: none} joins files of places along `dim`, such
    as cells of a grid that share one time axis. dims: names of unnamed dimensions by rank.
    grid: M36, M09 ... adds EASE-Grid 2.0 coordinates. keep: "highest revision" chooses among files of one time (the second
    group of the pattern is the revision). only / leave_out: variables. chunks: hint for Dask. series: variables worth a copy
    chunked in time.
    """

    source: str
    format: str = "hdf5"
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
            return np.datetime64(pd.to_datetime(found[1], format=self.time.get("format")), "ns")
        except ValueError as error:
            raise UnreadableFileError(
                f"{address}: {found[1]!r} is not a time of the form {self.time.get('format')}"
            ) from error

    def period_of(self, address: str) -> tuple[np.datetime64, np.datetime64]:
        """From when until before when a name's time may mean: a day, hour, minute or second, as exact as its format is."""
        start = self.time_of(address)
        form = self.time.get("format") or ""
        step = next((unit for mark, unit in PRECISION if mark in form), "D")
        return start, (start.astype(f"datetime64[{step}]") + 1).astype("datetime64[ns]")

    def revision_of(self, address: str) -> str:
        """The revision in a file's name: the second group of the pattern."""
        found = re.search(self.time["pattern"], address)
        return found[2] if found and found.re.groups > 1 else ""


def parse(steps: Mapping[str, Any], *, where: str = "recipe") -> Recipe:
    """A recipe from its YAML. VadoseInputError names the key that is wrong and what is allowed."""
    known = {f.name for f in fields(Recipe)}
    unknown = sorted(set(steps) - known)
    if unknown:
        raise VadoseInputError(f"{where}: unknown key {unknown[0]!r}; allowed: {', '.join(sorted(known))}")
    if not steps.get("source"):
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
    for key in ("groups", "only", "leave_out", "series"):
        if key in made:
            made[key] = tuple(made[key])
    made["dims"] = {int(k): tuple(v) for k, v in (made.get("dims") or {}).items()}
    return Recipe(**made)


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
