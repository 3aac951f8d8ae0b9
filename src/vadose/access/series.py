"""A copy of few variables chunked in time: a record at one place is then two requests instead of one a day."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vadose.access import store
from vadose.access.build import alone
from vadose.access.chunkstore import calm, open_references
from vadose.access.credentials import Access
from vadose.access.opening import join
from vadose.access.recipe import load
from vadose.errors import DimensionError, NotFoundError, VadoseInputError, unknown_name
from vadose.typing import BBox

if TYPE_CHECKING:
    import xarray as xr

#: Steps and cells on a side of what one read fetches, and bytes of what one object holds at most before compression.
STEPS, CELLS, OBJECT = 365, 14, 192 << 20


def build_series(
    folder: str | Path, identifier: str, variables: Sequence[str] = (), *, bbox: BBox | None = None
) -> Path:
    """Write `series.zarr` beside a built collection: stored values as they are, sharded, a record per read.

    `variables` are the producer's names (the recipe's `series` when empty). The copy appears only when it is whole; it is
    made anew each time. With `bbox` (west, south, east, north) only that region is copied, and only questions inside it are
    answered from the copy. Raises NotFoundError for a collection that is not built, DimensionError for a region without 1-D
    lat and lon to find it by.
    """
    import zarr

    home = Path(folder) / identifier
    collection = store.read_collections(Path(folder)).get(identifier)
    if collection is None:
        raise NotFoundError(
            f"no collection {identifier!r} in {folder}; there are {', '.join(store.folders(Path(folder)))}"
        )
    how = collection["assets"]["data"].get("vadose:open", {})
    if not how.get("eras"):
        raise NotFoundError(f"{identifier} is not indexed yet: `vadose catalog build {identifier}`")
    names = list(variables) or list(load(home).series)
    if not names:
        there = ", ".join(k for k, v in collection.get("cube:variables", {}).items() if v.get("type") == "data")
        raise VadoseInputError(
            f"{identifier}: name the variables to copy, or list them under series in recipe.yaml; there are {there}"
        )
    with alone(home):
        whole = join(
            [open_references(str(home / e["references"]), access=Access.of(how), chunks={}) for e in how["eras"]]
        )
        if bbox is not None:
            whole = _region(whole, bbox, identifier)
        for name in names:
            if name not in whole:
                raise unknown_name("variable", name, whole.data_vars)
        partial = home / "series.zarr.part"
        shutil.rmtree(partial, ignore_errors=True)
        root = zarr.create_group(str(partial), zarr_format=3)
        for name in names:
            _copy(root, name, whole[name])
        for coordinate in ("time", "lat", "lon", "latitude", "longitude", "y", "x"):
            if coordinate in whole.variables and whole[coordinate].ndim == 1:
                _coordinate(root, coordinate, whole[coordinate])
        # Zarr 3 has no word yet on metadata in one place; readers that do not know it read the parts.
        calm()
        zarr.consolidate_metadata(str(partial))
        target = home / "series.zarr"
        old = home / "series.zarr.old"
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            os.replace(target, old)
        os.replace(partial, target)
        shutil.rmtree(old, ignore_errors=True)
        how["series"] = {"href": "./series.zarr", "variables": names}
        if bbox is not None:
            how["series"]["bbox"] = list(bbox)
        store.write_collection(home, collection, [])
    return target


def _region(whole: xr.Dataset, bbox: BBox, identifier: str) -> xr.Dataset:
    names = [n for n in (("lat", "lon"), ("latitude", "longitude")) if all(k in whole.variables for k in n)]
    if not names or any(whole[n].ndim != 1 for n in names[0]):
        raise DimensionError(f"{identifier}: no 1-D lat and lon to cut {bbox} by; leave bbox out")
    (lat, lon), (west, south, east, north) = names[0], bbox
    inside = {
        whole[lat].dims[0]: np.flatnonzero((whole[lat] >= south) & (whole[lat] <= north)),
        whole[lon].dims[0]: np.flatnonzero((whole[lon] >= west) & (whole[lon] <= east)),
    }
    if any(len(v) == 0 for v in inside.values()):
        raise VadoseInputError(f"{identifier}: no cell lies in {bbox} (west, south, east, north)")
    return whole.isel(inside)


def shape_of(shape: tuple[int, ...], itemsize: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Inner chunks and shards of a (time, y, x) array: a shard holds a year of as many rows as OBJECT bears."""
    steps = min(STEPS, shape[0])
    inner = (steps, *(min(CELLS, n) for n in shape[1:]))
    width = -(-shape[-1] // inner[-1]) * inner[-1]
    rows = max(1, OBJECT // (steps * width * itemsize * inner[1])) if len(shape) == 3 else 1
    high = min(rows, -(-shape[1] // inner[1])) * inner[1] if len(shape) == 3 else inner[1]
    return inner, ((steps, high, width) if len(shape) == 3 else (steps, width))


def _copy(root: Any, name: str, values: Any) -> None:
    """Decoded values of the eras, kept in float32 (or the integers they are), a shard at a time."""
    from xarray.backends.zarr import FillValueCoder

    dtype = np.dtype("float32") if values.dtype.kind == "f" else values.dtype
    inner, shard = shape_of(values.shape, dtype.itemsize)
    fill = dtype.type(np.nan) if dtype.kind == "f" else None
    attrs = {k: v for k, v in values.attrs.items() if isinstance(v, str | int | float | list)}
    if fill is not None:
        attrs["_FillValue"] = FillValueCoder.encode(fill.item(), dtype)
    array = root.create_array(
        name,
        shape=values.shape,
        dtype=dtype,
        chunks=inner,
        shards=shard,
        fill_value=fill,
        dimension_names=values.dims,
        attributes=attrs,
    )
    for t in range(0, values.shape[0], shard[0]):
        for y in range(0, values.shape[1], shard[1]):
            part = (slice(t, t + shard[0]), slice(y, y + shard[1]))
            array[part] = np.asarray(values[part].values, dtype)


def _coordinate(root: Any, name: str, values: Any) -> None:
    data, attrs = np.asarray(values.values), {k: v for k, v in values.attrs.items() if isinstance(v, str | int | float)}
    if data.dtype.kind == "M":
        from vadose.access.cube import seconds
        from vadose.access.metadata import TIME_ATTRS

        data, attrs = seconds(data), dict(TIME_ATTRS)
    root.create_array(name, data=data, chunks=data.shape, dimension_names=values.dims, attributes=attrs)
