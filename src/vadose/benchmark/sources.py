"""A source of a recipe to a Dataset in our names and units: found, opened lazily, joined in time, cut to the recipe's period."""

from __future__ import annotations

import glob
import json
import threading
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from vadose import cf, products
from vadose.benchmark.once import Once
from vadose.benchmark.recipe import Recipe, Source
from vadose.errors import DimensionError, NotFoundError, TimeAxisError, UnreadableFileError, VadoseError
from vadose.products.opening import open_product

#: Steps of a file that are one task: bounds what is in memory, whatever the length of the record.
CHUNK = 48
#: Bytes of chunks that a variable of an open file may keep.
CHUNK_CACHE = 2**20
READERS = ("ismn", "uscrn", "ameriflux", "fluxnet")
#: Sources that stay open (lazily) and tables of stations that stay in memory.
HELD_SOURCES, HELD_TABLES = 32, 64
#: Coordinates of one grid differ by less than this between the files of a model [degrees].
ROUNDING = 1e-3


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


@partial(Once, most=HELD_SOURCES)
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
        whole = out
        if out.sizes.get("time", 0) != 12:  # twelve steps may be a climatology, whose year means nothing
            out = out.sel(time=slice(first, last))
        if out.sizes["time"] == 0:
            has = f"it has {_when(whole)}; change 'period'" if whole.sizes["time"] else "it has no month at all"
            raise NotFoundError(f"source {source.name!r} has nothing in {first} to {last}: {has}")
    return out


def forget() -> None:
    """Close what was opened and drop what was held: files may have changed since."""
    for held in (_opened, _table):
        held.forget()


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
        tables = [_table(str(source.product), n) for n in names]
        return tables[0] if len(tables) == 1 else xr.concat(tables, "station", join="outer")
    parts = [(name, one) for name in names if (one := _standard(source, name)) is not None]
    if not parts:
        raise UnreadableFileError(f"source {source.name!r}: none of {len(names)} file(s) has a time dimension")
    by_variables: dict[frozenset, list[tuple[str, xr.Dataset]]] = {}
    for name, one in _on_one_grid(source, parts):
        by_variables.setdefault(frozenset(map(str, one.data_vars)), []).append((name, one))
    joined = [_months(_in_time(source, p)) for p in by_variables.values()]
    return xr.merge(joined, join="outer", compat="override", combine_attrs="override")


def _standard(source: Source, name: str) -> xr.Dataset | None:
    """A file in our names and units; None where it has no time, as a map of the land has not."""
    data = raw(name)
    if "time" not in data.dims:
        return None
    try:
        return products.standardize(data.chunk(time=CHUNK), str(source.product))
    except VadoseError as error:
        raise type(error)(f"source {source.name!r}: {Path(name).name}: {error}") from error


def _on_one_grid(source: Source, parts: list[tuple[str, xr.Dataset]]) -> list[tuple[str, xr.Dataset]]:
    """All on the coordinates of the first, from which others may differ by rounding: joined as they are, they would lie beside each other."""
    first_name, first = parts[0]
    out = parts[:1]
    for name, one in parts[1:]:
        for axis in ("lat", "lon"):
            if axis not in first.coords or axis not in one.coords:
                continue
            if not same_places(first[axis], one[axis]):
                raise DimensionError(
                    f"source {source.name!r}: {Path(name).name} is on another grid than {Path(first_name).name} "
                    f"({axis}: {_axis(one[axis])}; {_axis(first[axis])}); give each grid a source of its own"
                )
            one = one.assign_coords({axis: first[axis]})
        out.append((name, one))
    return out


def same_places(a: xr.DataArray, b: xr.DataArray) -> bool:
    """Whether coordinates are the same but for rounding."""
    return a.shape == b.shape and bool(np.allclose(a.values, b.values, rtol=0.0, atol=ROUNDING))


def _axis(values):
    return f"{values.size} values, {float(values.min()):g} to {float(values.max()):g}"


def _in_time(source: Source, parts: list[tuple[str, xr.Dataset]]) -> xr.Dataset:
    """The files of the same variables one after the other. Raises TimeAxisError where two have the same months."""
    if len(parts) == 1:
        return parts[0][1]
    out = xr.concat([d for _, d in parts], "time", data_vars="minimal", coords="minimal", compat="override")
    out = out.sortby("time")
    months = all(d.sizes["time"] > 1 and is_monthly(d) for _, d in parts)
    if out.indexes["time"].has_duplicates or (months and not is_monthly(out)):
        held = ", ".join(f"{Path(n).name} ({_when(d)})" for n, d in parts[:4])
        raise TimeAxisError(
            f"source {source.name!r}: files have the same months: {held}; give one file for each month "
            "(several runs of a model are models of one 'ensemble')"
        )
    return out


def _when(data: xr.Dataset) -> str:
    first, last = (str(data["time"].values[k])[:7] for k in (0, -1))
    return f"{first} to {last}"


@partial(Once, most=HELD_TABLES)
def _table(product: str, name: str) -> xr.Dataset:
    """The stations of a table, read once for all variables of a recipe: a workbook takes seconds."""
    out = products.module(product).open(name)
    return out if "station" in out.dims else out.expand_dims("station")


def raw(name: str) -> xr.Dataset:
    """A file or Zarr store as it is, lazily. Raises UnreadableFileError with its name where it is neither, or not whole."""
    local = Path(name)
    if "://" not in name and not local.exists():
        raise UnreadableFileError(f"{name} is not there")
    if local.is_dir() and not any((local / n).exists() for n in ("zarr.json", ".zgroup", ".zmetadata")):
        raise UnreadableFileError(f"{name} is a folder and no Zarr store; name its files, such as {name}/*.nc")
    try:
        if local.is_dir() or name.rstrip("/").endswith(".zarr"):
            return xr.open_zarr(name, consolidated=(local / ".zmetadata").exists() if local.is_dir() else None)
        if local.is_file():
            with local.open("rb") as head:
                if head.read(8) == b"\x89HDF\r\n\x1a\n":
                    return _lean(name)
        return xr.open_dataset(name)
    except PermissionError as error:
        raise UnreadableFileError(f"{name}: {error.strerror}; ask its owner for the right to read it") from error
    except VadoseError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        unknown = "did not find a match" in str(error)
        told = "its content is of another kind" if unknown else " ".join(str(error).split()) or type(error).__name__
        raise UnreadableFileError(
            f"{name} cannot be read as netCDF or Zarr ({told}); compare its size with the archive's, or get it again"
        ) from error


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
