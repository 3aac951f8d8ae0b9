"""Long records at few places, straight from the references: only the chunks that hold a place are fetched, and only its cell is decoded."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from vadose.access import cache, remote
from vadose.access.catalog import Catalog, TimeSpan, open_catalog, span
from vadose.access.chunkstore import CONCURRENCY, open_references, references_at
from vadose.access.credentials import Access
from vadose.access.parquet import References
from vadose.errors import DimensionError, NotFoundError, unknown_name

LONG_NAMES = {"latitude": "lat", "longitude": "lon"}
#: Chunks under way at once: they are many and small.
UNDER_WAY = 4 * CONCURRENCY
#: Chunks that a thread decodes between two looks for work.
BATCH = 32
Place = bytes | tuple[str, int, int]


def _inflater() -> Any:
    """isal inflates three times faster than zlib and gives the same bytes."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.decompress
    return isal_zlib.decompress


inflate = _inflater()


def extract_points(
    collection: str,
    lat: Sequence[float] | np.ndarray,
    lon: Sequence[float] | np.ndarray,
    *,
    variables: Sequence[str],
    time: TimeSpan = None,
    catalog: Catalog | str | None = None,
) -> xr.Dataset:
    """Records of the cells nearest to places: dims (time, location), the producer's names, fills as NaN, scale applied.

    For collections indexed with `vadose catalog build` on a grid with 1-D lat and lon. Raises NotFoundError for an unknown
    variable or a collection that is not indexed, DimensionError where there is no such grid.
    """
    place = catalog if isinstance(catalog, Catalog) else open_catalog(catalog)
    entry = place.collection(collection)
    how = entry["assets"]["data"].get("vadose:open", {})
    if not how.get("eras"):
        raise NotFoundError(
            f"{collection} was not indexed by vadose, so it has no tables of chunks to extract from: run `vadose catalog build {collection}` "
            f"where it has a recipe, or take vadose.open({collection!r}).sel(lat=..., lon=..., method='nearest')"
        )
    access = Access.of(how)
    lats, lons = np.atleast_1d(np.asarray(lat, float)), np.atleast_1d(np.asarray(lon, float))
    start, end = span(time)
    parts = []
    for era in how["eras"]:
        references = references_at(place.place(collection, era["references"]), how.get("locations"))
        if not isinstance(references, References):
            raise NotFoundError(
                f"{collection}: references in JSON have no tables to extract from; build it with vadose"
            )
        part = _from_era(references, lats, lons, variables, start, end, access)
        if part.sizes["time"]:
            parts.append(part)
    if not parts:
        raise NotFoundError(f"{collection} has nothing for time={time!r}")
    return xr.concat(parts, dim="time", combine_attrs="override") if len(parts) > 1 else parts[0]


def _from_era(references, lats, lons, variables, start, end, access: Access) -> xr.Dataset:
    frame = _frame(references, access)
    frame = frame.rename({k: v for k, v in LONG_NAMES.items() if k in frame.variables})
    if "lat" not in frame.variables:
        raise DimensionError(f"{references.folder}: no 1-D lat and lon to find places by")
    grid_lat, grid_lon = np.asarray(frame["lat"].values), np.asarray(frame["lon"].values)
    rows = np.array([int(np.abs(grid_lat - v).argmin()) for v in lats])
    cols = np.array([int(np.abs((grid_lon - v + 180.0) % 360.0 - 180.0).argmin()) for v in lons])
    times = frame["time"].values
    keep = np.ones(len(times), bool)
    if start is not None:
        keep &= times >= np.datetime64(start)
    if end is not None:
        keep &= times <= np.datetime64(end)
    steps = np.flatnonzero(keep)
    raw = _cells(references, variables, steps, rows, cols, access)
    out = xr.Dataset(
        {name: (("time", "location"), values, _plain_attrs(references, name)) for name, values in raw.items()},
        coords={"time": times[steps], "lat": ("location", grid_lat[rows]), "lon": ("location", grid_lon[cols])},
    )
    return xr.decode_cf(out, decode_times=False)


def _frame(references: References, access: Access) -> xr.Dataset:
    """Coordinates of a set, which lie in the references themselves."""
    known = [v for v in references.variables if v in ("time", "lat", "lon", "latitude", "longitude")]
    whole = open_references(references.folder, access=access, locations=references.locations)
    return whole[[v for v in known if v in whole.variables and whole[v].ndim == 1]].load()


def _plain_attrs(references: References, name: str) -> dict[str, Any]:
    attrs = dict(references.metadata[f"{name}/.zattrs"])
    attrs.pop("_ARRAY_DIMENSIONS", None)
    return attrs


def _cells(references, variables, steps, rows, cols, access) -> dict[str, np.ndarray]:
    """Stored values at cells, every chunk fetched and inflated once."""
    jobs: list[tuple[str, tuple[int, ...]]] = []
    out: dict[str, np.ndarray] = {}
    wanted: dict[tuple[str, tuple[int, ...]], list[tuple[int, int, tuple[int, ...]]]] = {}
    for name in variables:
        if f"{name}/.zarray" not in references.metadata:
            raise unknown_name("variable", name, references.variables)
        meta = references.metadata[f"{name}/.zarray"]
        if len(meta["shape"]) != 3:
            raise DimensionError(
                f"{name} has dimensions {references.metadata[f'{name}/.zattrs']['_ARRAY_DIMENSIONS']}; points need (time, y, x)"
            )
        out[name] = np.empty((len(steps), len(rows)), np.dtype(meta["dtype"]))
        ct, cy, cx = meta["chunks"]
        for k, t in enumerate(steps.tolist()):
            for p, (r, c) in enumerate(zip(rows.tolist(), cols.tolist(), strict=True)):
                key = (name, (t // ct, r // cy, c // cx))
                if key not in wanted:
                    wanted[key] = []
                    jobs.append(key)
                wanted[key].append((k, p, (t % ct, r % cy, c % cx)))
    where = [references.chunk(*job) for job in jobs]
    # Local bytes are read by the threads that decode them; those of a store are asked for all at once.
    afar = any(not isinstance(w, bytes) and not remote.is_local(w[0]) for w in where)
    bodies = remote.run(_fetch(references, where, access)).result() if afar else None

    def decode(numbers: range) -> None:
        for n in numbers:
            name, index = jobs[n]
            body = bodies[n] if bodies is not None else _local(where[n], references)
            cells = wanted[name, index]
            values = pick(body, references.metadata[f"{name}/.zarray"], [place for *_, place in cells])
            for (k, p, _), value in zip(cells, values, strict=True):
                out[name][k, p] = value

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(decode, (range(k, min(k + BATCH, len(jobs))) for k in range(0, len(jobs), BATCH))))
    return out


def _local(where: Place, references: References) -> bytes:
    if isinstance(where, bytes):
        return where
    address, offset, length = where
    return remote.read_local(remote.local_path(address), offset, length, references.sources.get(address))


async def _fetch(references: References, where: list[Place], access: Access) -> list[bytes]:
    limit = asyncio.Semaphore(UNDER_WAY)

    async def one(place: Place) -> bytes:
        if isinstance(place, bytes):
            return place
        address, offset, length = place
        async with limit:
            return await cache.through(address, offset, length, access=access, expect=references.sources.get(address))

    return list(await asyncio.gather(*(one(w) for w in where)))


def pick(body: bytes, meta: dict[str, Any], cells: Sequence[tuple[int, ...]]) -> np.ndarray:
    """Stored values of single cells of an encoded chunk; shuffled bytes are gathered for these cells alone."""
    dtype, shape = np.dtype(meta["dtype"]), tuple(meta["chunks"])
    filters = [f["id"] for f in meta["filters"] or []]
    flat = np.ravel_multi_index(np.array(cells).T, shape)
    if filters == ["shuffle", "zlib"]:
        planes = np.frombuffer(inflate(body), np.uint8).reshape(dtype.itemsize, -1)
        return np.ascontiguousarray(planes[:, flat].T).view(dtype).reshape(-1)
    import numcodecs

    data: Any = body
    for config in reversed(meta["filters"] or []):
        data = numcodecs.get_codec(dict(config)).decode(data)
    return np.frombuffer(data, dtype)[flat]
