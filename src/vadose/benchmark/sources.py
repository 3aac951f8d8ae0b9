"""A source of a recipe to a Dataset in our names and units: found, opened lazily, joined in time, cut to the recipe's period."""

from __future__ import annotations

import glob
import json
import threading
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import xarray as xr

from vadose import cf, products
from vadose.benchmark.recipe import Recipe, Source
from vadose.errors import NotFoundError, UnreadableFileError
from vadose.products.opening import open_product

#: Steps of a file that are one task: bounds what is in memory, whatever the length of the record.
CHUNK = 48
#: Bytes of chunks that a variable of an open file may keep.
CHUNK_CACHE = 2**20
READERS = ("ismn", "uscrn", "ameriflux", "fluxnet")
#: Sources that stay open (lazily) and tables of stations that stay in memory.
HELD_SOURCES, HELD_TABLES = 32, 64


@dataclass(frozen=True)
class Key:
    """What makes a source the same: its text; the rest travels along."""

    text: str
    source: Source = field(compare=False)
    recipe: Recipe = field(compare=False)


def dataset(source: Source, recipe: Recipe) -> xr.Dataset:
    """The canonical Dataset of a source, lazily, cut to the recipe's period. Raises what opening raised, or NotFoundError.

    A source is opened once for all its variables and pages: opening costs more than the months that are read of it.
    """
    return _opened(Key(repr((source, recipe.period)), source, recipe))


@lru_cache(maxsize=HELD_SOURCES)
def _opened(key: Key) -> xr.Dataset:
    source, recipe = key.source, key.recipe
    if source.collection:
        out = open_product(source.collection, time=recipe.period, where=dict(source.where) or None)
    elif source.study:
        out = _study(Path(source.study))
    else:
        out = _files(source)
    if source.places:
        names = [str(s) for s in out.station.values]
        missing = sorted(set(names) - set(source.places))
        if missing:
            raise NotFoundError(
                f"source {source.name!r}: no place is given for station {', '.join(missing)}; 'places' has {', '.join(source.places)}"
            )
        at = np.array([source.places[n] for n in names])
        out = out.assign_coords(lon=("station", at[:, 0]), lat=("station", at[:, 1]))
    if recipe.period is not None:
        first, last = recipe.period
        if out.sizes.get("time", 0) != 12:  # twelve steps may be a climatology, whose year means nothing
            out = out.sel(time=slice(first, last))
        if out.sizes["time"] == 0:
            raise NotFoundError(f"source {source.name!r} has nothing in {first} to {last}")
    return out


def forget() -> None:
    """Close what was opened and drop what was held: files may have changed since."""
    for held in (_opened, _table):
        held.cache_clear()


def _study(folder: Path) -> xr.Dataset:
    """The merged product of a study's folder, or of the package that `vadose archive` made of it, with its layer."""
    places = [folder / "merged.zarr", folder / "merged.zarr.zip", folder / "data" / "merged.zarr.zip"]
    path = next((p for p in places if p.exists()), None)
    if path is None:
        raise NotFoundError(f"{places[0]} is not there; make it first: vadose run STUDY --output {folder}")
    if path.suffix == ".zip":
        from zarr.storage import ZipStore

        out = xr.open_zarr(ZipStore(path, mode="r"), consolidated=False)
    else:
        out = xr.open_zarr(path, consolidated=False)
    told = path.parent / "provenance.json"
    layer = json.loads(told.read_text()).get("layer_m") if told.exists() else None
    return cf.with_depth(out, *map(float, layer)) if layer and "depth_bnds" not in out.variables else out


def _files(source: Source) -> xr.Dataset:
    names = sorted({n for pattern in source.files for n in (glob.glob(pattern) or [pattern])})
    missing = [n for n in names if "://" not in n and not Path(n).exists()]
    if missing:
        raise UnreadableFileError(f"source {source.name!r}: no file matches {', '.join(missing)}")
    if source.product in READERS:
        parts = [_table(str(source.product), n) for n in names]
        return parts[0] if len(parts) == 1 else xr.concat(parts, "station", join="outer")
    by_variables: dict[frozenset, list[xr.Dataset]] = {}
    for name in names:
        raw = _raw(name)
        if "time" not in raw.dims:
            continue
        one = products.standardize(raw.chunk(time=CHUNK), str(source.product))
        by_variables.setdefault(frozenset(map(str, one.data_vars)), []).append(one)
    if not by_variables:
        raise UnreadableFileError(f"source {source.name!r}: none of {len(names)} file(s) has a time dimension")
    joined = [
        p[0]
        if len(p) == 1
        else xr.concat(p, "time", data_vars="minimal", coords="minimal", compat="override").sortby("time")
        for p in by_variables.values()
    ]
    return xr.merge([_months(d) for d in joined], join="outer", compat="override", combine_attrs="override")


@lru_cache(maxsize=HELD_TABLES)
def _table(product: str, name: str) -> xr.Dataset:
    """The stations of a table, read once for all variables of a recipe: a workbook takes seconds."""
    out = products.module(product).open(name)
    return out if "station" in out.dims else out.expand_dims("station")


def _raw(name: str) -> xr.Dataset:
    """A file or Zarr store, lazily."""
    if name.rstrip("/").endswith(".zarr"):
        return xr.open_zarr(name, consolidated=None)
    local = Path(name)
    if local.is_file():
        with local.open("rb") as head:
            if head.read(8) == b"\x89HDF\r\n\x1a\n":
                return _lean(name)
    return xr.open_dataset(name)


_door = threading.Lock()


def _lean(name: str) -> xr.Dataset:
    """A netCDF-4 file that keeps 1 MB of chunks, not 64, of each variable: a pass from start to end reads none twice.

    The size is a setting of the whole library, so it is put back at once. h5netcdf keeps as little and takes three times the Python a read.
    """
    import netCDF4

    with _door:
        before = netCDF4.get_chunk_cache()
        netCDF4.set_chunk_cache(CHUNK_CACHE)
        try:
            return xr.open_dataset(name, engine="netcdf4")
        finally:
            netCDF4.set_chunk_cache(*before)


def _months(data: xr.Dataset) -> xr.Dataset:
    """Monthly stamps to the first of the month: files of one model stamp the middle, the end or the start."""
    if not is_monthly(data):
        return data
    time = data["time"].dt
    calendar = str(getattr(time, "calendar", "standard"))
    stamps = [f"{y:04d}-{m:02d}" for y, m in zip(time.year.values, time.month.values, strict=True)]
    whole = xr.date_range(
        stamps[0],
        periods=_span(time),
        freq="MS",
        calendar=calendar,
        use_cftime=calendar not in ("standard", "gregorian", "proleptic_gregorian"),
    )
    at = {f"{t.year:04d}-{t.month:02d}": k for k, t in enumerate(whole)}
    return data.assign_coords(time=whole[[at[s] for s in stamps]])


def _span(time):
    return int((time.year.values[-1] - time.year.values[0]) * 12 + time.month.values[-1] - time.month.values[0] + 1)


def is_monthly(data: xr.Dataset | xr.DataArray) -> bool:
    """Whether steps are months (a single step counts)."""
    if data.sizes["time"] < 2:
        return True
    key = data["time"].dt.year.values * 12 + data["time"].dt.month.values
    return bool((np.diff(key) >= 1).all())
