"""What citizens' observations are held against: a land mask, what a product usually has there, soil temperature, reference sensors.

Named in `checks.toml` in the folder of the observations, so that command, form and publication use the same.
"""

from __future__ import annotations

import datetime
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from vadose import units
from vadose.errors import NotFoundError, UnreadableFileError, VadoseInputError
from vadose.stream.citizen import cell_of

FILE = "checks.toml"
#: Variables that are looked for in each file, in this order.
VARIABLES = {
    "land": ("land", "land_mask", "lsm"),
    "reference": ("soil_moisture",),
    "temperature": ("soil_temperature", "air_temperature"),
}
#: What is usual on a day of the year is taken from so many days around it [days], and from so many values at least.
WINDOW, MINIMUM = 15, 30
#: A product without depths speaks for the soil above this [m].
SURFACE = 0.1


@dataclass(frozen=True)
class References:
    """What is there; None where nothing is. `anchors` are observers who are reference sensors."""

    land: xr.DataArray | None = None  # (lat, lon), true on land
    reference: xr.DataArray | None = None  # (time, lat, lon[, depth]) [m3 m-3]
    temperature: xr.DataArray | None = None  # (time, lat, lon) [K]
    anchors: tuple[str, ...] = ()

    def of(self, observations: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        """What citizen.doubts takes: `expected` and `spread` [m3 m-3], `temperature` [K], NaN where a product says nothing."""
        out = {}
        if self.reference is not None:
            out["expected"], out["spread"] = np.full((2, len(observations)), np.nan)
            for k, one in enumerate(observations):
                out["expected"][k], out["spread"][k] = usual(self.reference, one)
        if self.temperature is not None:
            out["temperature"] = np.array([_on_day(self.temperature, one) for one in observations], dtype=float)
        return out


def usual(product: xr.DataArray, one: Mapping[str, Any]) -> tuple[float, float]:
    """Mean and standard deviation of a product [m3 m-3] in the cell and depth of an observation, 15 days around that day in all years.

    NaN outside the product's grid, for soil that it does not see, and where fewer than 30 values are there.
    """
    if "depth" in product.dims:
        product = product.sel(depth=(one["depth_from"] + one["depth_to"]) / 2, method="nearest")
    elif one["depth_from"] >= SURFACE:
        return float("nan"), float("nan")
    series = cell_of(product, one)
    if series is None:
        return float("nan"), float("nan")
    day = datetime.date.fromisoformat(one["time"][:10]).timetuple().tm_yday
    apart = np.abs(series["time"].dt.dayofyear.values - day)
    near = series.values[np.minimum(apart, 366 - apart) <= WINDOW]
    near = near[np.isfinite(near)]
    return (float(near.mean()), float(near.std(ddof=1))) if near.size >= MINIMUM else (float("nan"), float("nan"))


def _on_day(temperature: xr.DataArray, one: Mapping[str, Any]) -> float:
    """Mean temperature [K] of the observation's day (UTC) in its cell."""
    series = cell_of(temperature, one)
    if series is None:
        return float("nan")
    values = series.values[series["time"].values.astype("datetime64[D]") == np.datetime64(one["time"][:10])]
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else float("nan")


def read_references(folder: str | Path) -> References:
    """What `checks.toml` in a folder names, opened lazily; nothing where there is no such file.

    Raises VadoseInputError for a word that is not known, NotFoundError and UnreadableFileError for files, naming the line's word.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return References()
    try:
        said = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise UnreadableFileError(f'{path}: {error}; lines look like land = "land.nc"') from error
    if unknown := set(said) - {*VARIABLES, "anchors"}:
        raise VadoseInputError(f"{path}: {sorted(unknown)[0]!r} is not one of {', '.join([*VARIABLES, 'anchors'])}")
    grids = {kind: _opened(kind, path.parent / said[kind]) for kind in VARIABLES if said.get(kind)}
    return References(**grids, anchors=tuple(said.get("anchors", ())))


def write_references(folder: str | Path, *, anchors: Sequence[str] = (), **files: str | Path | None) -> References:
    """Write `checks.toml` anew from files for `land`, `reference`, `temperature` and names of reference sensors, each opened first."""
    base = Path(folder)
    given = {kind: Path(file).absolute() for kind, file in files.items() if file is not None}
    for kind, file in given.items():
        _opened(kind, file)
    lines = [f"{kind} = {json.dumps(str(file))}" for kind, file in given.items()]
    lines += [f"anchors = {json.dumps(list(anchors))}"] if anchors else []
    base.mkdir(parents=True, exist_ok=True)
    temporary = base / f".{FILE}.part"
    temporary.write_text("".join(f"{line}\n" for line in lines))
    temporary.replace(base / FILE)
    return read_references(base)


def _opened(kind: str, file: Path) -> xr.DataArray:
    if not file.exists():
        raise NotFoundError(f"{kind}: {file} is not there")
    return _grid(kind, str(file), file.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _grid(kind: str, file: str, changed: int) -> xr.DataArray:
    """The variable of a file for one purpose, with units that the checks need. `changed` makes a renewed file be opened again."""
    try:
        data = xr.open_zarr(file) if file.rstrip("/").endswith(".zarr") else xr.open_dataset(file)
    except (OSError, ValueError) as error:
        said = (
            str(error).splitlines()[0] if isinstance(error, OSError) else ""
        )  # xarray lists its engines, which helps nobody
        raise UnreadableFileError(f"{kind}: {file} is neither NetCDF nor Zarr{f': {said}' if said else ''}") from error
    name = next((n for n in VARIABLES[kind] if n in data), None)
    if name is None:
        raise VadoseInputError(f"{kind}: {file} has no variable {' or '.join(VARIABLES[kind])}; it has {', '.join(map(str, data.data_vars))}")  # fmt: skip
    grid = data[name]
    if "lon" in grid.dims and float(grid["lon"].max()) > 180:
        grid = grid.assign_coords(lon=(grid["lon"] + 180) % 360 - 180).sortby("lon")
    wanted = ("lat", "lon") if kind == "land" else ("lat", "lon", "time")
    if missing := [d for d in wanted if d not in grid.dims]:
        raise VadoseInputError(f"{kind}: {name} of {file} has no dimension {', '.join(missing)}; it has {', '.join(map(str, grid.dims))}")  # fmt: skip
    if kind == "land":
        return (grid > 0.5).load()
    return units.convert(grid, "m3 m-3" if kind == "reference" else "K")
