"""From predictors to a map: block by block, masked pixels skipped, memory bounded by the tile, resumable (M-T1.1).

`predict_map` is lazy where the predictors are. `write_map` writes a Zarr store tile by tile on whatever dask scheduler is
active; every finished tile leaves a mark in the store, so that a killed run goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from vadose import cf
from vadose.errors import DimensionError, VadoseInputError, unknown_name
from vadose.learn.model import FLAGS, LEVELS, Model, describe

PARTS = ("mean", "quantiles", "area")


def _known(parts: tuple[str, ...]) -> None:
    for part in parts:
        if part not in PARTS:
            raise unknown_name("part of a map", part, PARTS)


def _names(model: Model, parts: tuple[str, ...]) -> dict[str, str]:
    """Number in `Model.arrays` -> variable of the map."""
    target = model.target
    out = {"mean": target}
    if "quantiles" in parts:
        out |= {f"q{round(100 * q):02d}": f"{target}_q{round(100 * q):02d}" for q in LEVELS}
        out["standard_error"] = f"{target}_standard_error"
    if "area" in parts:
        out["dissimilarity"] = "dissimilarity"
    return out | {"flag": f"{target}_flag"}


def _kernel(*fields: np.ndarray, model: Model, parts: tuple[str, ...], keys: tuple[str, ...]) -> np.ndarray:
    """Predictor blocks -> (..., key) float32; pixels without any predictor are skipped and stay NaN."""
    shape = np.broadcast_shapes(*(f.shape for f in fields))
    # A predictor after the other, as fields come: filled and binned faster than a pixel after the other.
    x = np.empty((int(np.prod(shape)), len(fields)), "float32", order="F")
    for j, f in enumerate(fields):
        x[:, j] = np.broadcast_to(f, shape).reshape(-1)
    some = np.isfinite(x).any(axis=1)
    out = np.full((x.shape[0], len(keys)), np.nan, "float32")
    if some.any():
        every = bool(some.all())
        values = model.arrays(x if every else x[some], parts=parts)
        for k, key in enumerate(keys):
            if every:
                out[:, k] = values[key]
            else:
                out[some, k] = values[key]
    return out.reshape(*shape, len(keys))


def predict_map(model: Model, predictors: xr.Dataset, *, parts: tuple[str, ...] = PARTS) -> xr.Dataset:
    """Predict every cell of `predictors` (any dims; static and time-varying fields are broadcast).

    `parts` are what is wanted of the mean, the quantiles, and the area of applicability. With quantiles and without "mean"
    the target is the median, which takes a third less time.

    Returns
    -------
    Dataset with the target, `_standard_error` (half the calibrated 68 % interval, with the observations' own error),
    `_q05` ... `_q95`, `dissimilarity`, and `_flag`: outside_area_of_applicability, missing_predictor, at_training_limit.
    Cells without any predictor are NaN. Lazy in, lazy out; results do not depend on chunks.
    """
    _known(parts)
    fields = model.check(predictors)
    names = _names(model, parts)
    keys = tuple(names)
    arrays: list[Any] = [fields[n] for n in model.predictors]
    if any(a.chunks is not None for a in arrays):
        arrays = list(xr.unify_chunks(*arrays))
    stacked = xr.apply_ufunc(
        _kernel, *arrays, kwargs={"model": model, "parts": parts, "keys": keys}, output_core_dims=[["key"]],
        dask="parallelized", output_dtypes=["float32"], dask_gufunc_kwargs={"output_sizes": {"key": len(keys)}},
    )  # fmt: skip
    return _dress(model, {names[key]: stacked.isel(key=k) for k, key in enumerate(keys)}, stacked)


def _dress(model: Model, values: dict[str, xr.DataArray], like: xr.DataArray) -> xr.Dataset:
    target, out = model.target, {}
    for name, array in values.items():
        if name == target:
            out[name] = describe(array, target, model.target_units)
        elif name.endswith("_flag"):
            attrs = cf.flag_attrs(FLAGS, long_name=f"where to doubt {target}")
            out[name] = array.fillna(2).astype("uint8").rename(name).assign_attrs(attrs)
        else:
            unit = "1" if name == "dissimilarity" else model.target_units
            out[name] = array.rename(name).assign_attrs(units=unit, long_name=name.replace("_", " "))
    dataset = cf.link(xr.Dataset(out), target, *[n for n in out if n != target and n.startswith(target)])
    return cf.provenance(
        dataset.assign_attrs(model_digest=model.digest, calibrated_on=model.calibrated_on), method="M-T1.1",
        references="doi:10.1023/A:1010933404324 doi:10.1111/2041-210X.13650", step=f"predicted by {model.estimator.kind} trees",
    )  # fmt: skip


def _grid(sizes: dict[str, int], sides: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Cells of a tile and number of tiles along each dim."""
    return {dim: (sides[dim], -(-size // sides[dim])) for dim, size in sizes.items()}


def _sides(tile: dict[str, int] | None, sizes: dict[str, int]) -> dict[str, int]:
    """Cells a tile along every dim."""
    if tile is None:
        plane = [d for d in sizes if d != "time"][-2:]
        tile = {d: 512 if d in plane else 1 for d in sizes}
    for dim, cells in tile.items():
        if dim not in sizes:
            raise DimensionError(f"tile names {dim!r}, the predictors have {', '.join(sizes)}")
        if not isinstance(cells, int | np.integer) or cells < 1:
            raise VadoseInputError(f"a tile has a whole number of cells along {dim!r}, 1 or more; got {cells!r}")
    return {dim: min(int(tile.get(dim, size)), size) for dim, size in sizes.items()}


def _region(sizes: dict[str, int], grid: dict[str, tuple[int, int]], number: int) -> dict[str, slice]:
    """Where tile `number` lies, counted along the last dim first. A list of all would grow with the map."""
    at = np.unravel_index(number, [n for _, n in grid.values()])
    return {
        dim: slice(int(k) * step, min((int(k) + 1) * step, sizes[dim]))
        for k, (dim, (step, _)) in zip(at, grid.items(), strict=True)
    }


def write_map(
    model: Model,
    predictors: xr.Dataset,
    store: Any,
    *,
    tile: dict[str, int] | None = None,
    parts: tuple[str, ...] = PARTS,
    resume: bool = True,
    report: Callable[[int, int], None] | None = None,
    at_once: int | None = None,
) -> None:
    """Predict and write a Zarr store tile by tile.

    Parameters
    ----------
    predictors : open lazily, with `chunks=None` (fastest, since a tile is read in one go) or as dask arrays, whose chunks are read
        again for every tile that they meet.
    store : a path, a URL (`s3://bucket/map.zarr`, with the keys that s3fs finds) or a store that zarr opens for writing. A store that
        holds anything but a map is refused.
    tile : cells a tile and dim, all cells of a dim that is left out; 512 x 512 and one time step without `tile`. Tiles are the
        map's chunks.
    resume : go on after an interrupted run of the same model on the same grid; False starts the map anew.
    report : `report(done, tiles)` after every batch of tiles.
    at_once : tiles handed to dask at the same time; twice the threads or workers when left out.

    Raises
    ------
    NotFoundError (unknown predictor or part), UnitsError, DimensionError, VadoseInputError (the store holds something else).
    """
    import dask

    _known(parts)
    if at_once is not None and at_once < 1:
        raise VadoseInputError(f"at_once must be 1 tile or more, got {at_once}")
    fields = model.check(predictors)
    like = _outline([fields[n] for n in model.predictors])
    sizes = {str(d): n for d, n in like.sizes.items()}
    sides = _sides(tile, sizes)
    grid = _grid(sizes, sides)
    count = math.prod(n for _, n in grid.values())
    work = _Work(model, fields, store, parts, _names(model, parts))
    todo = np.flatnonzero(_prepare(work, like, sides, count, resume) == 0)
    if report:
        report(count - len(todo), count)
    # Passed on whole and once: lazy predictors that a task names itself dask would compute as a whole, for every tile.
    (kept,) = dask.persist(dask.delayed(work, traverse=False))
    batch = at_once or 2 * _width()
    for start in range(0, len(todo), batch):
        now = [int(i) for i in todo[start : start + batch]]
        dask.compute(*[dask.delayed(_tile, pure=False)(kept, _region(sizes, grid, i), i) for i in now])
        if report:
            report(count - len(todo) + start + len(now), count)


class _Work:
    """What every tile needs to know."""

    def __init__(
        self, model: Model, fields: xr.Dataset, store: Any, parts: tuple[str, ...], names: dict[str, str]
    ) -> None:
        self.model, self.fields, self.store, self.parts, self.names = model, fields, store, parts, names


def _outline(arrays: list[xr.DataArray]) -> xr.DataArray:
    """Dims and coordinates of all arrays together, without reading any of them."""
    import dask.array as da

    hollow = [a.copy(data=da.zeros(a.shape, dtype="float32", chunks=a.shape)) for a in arrays]
    return xr.broadcast(*hollow)[0]


def _width() -> int:
    """Threads of the cluster that is active, else those dask uses here."""
    from dask.system import CPU_COUNT

    try:
        from distributed import default_client

        return max(1, sum(default_client().nthreads().values()))
    except (ImportError, ValueError):
        return CPU_COUNT


def _prepare(work: _Work, like: xr.DataArray, sides: dict[str, int], count: int, resume: bool) -> np.ndarray:
    """Create the empty store, or check that the one there is of the same model and grid; which tiles are done."""
    import dask.array as da
    import zarr

    recipe = f"{work.model.digest} {dict(like.sizes)} {_places(like)} {sides} {sorted(work.parts)}"
    try:
        old = zarr.open_group(work.store, mode="r")
    except (FileNotFoundError, KeyError, zarr.errors.GroupNotFoundError):
        old = None
    if old is not None and "recipe" not in old.attrs and (found := sorted(name for name, _ in old.members())):
        raise VadoseInputError(
            f"{work.store} holds something else than a map ({', '.join(found[:5])}), which would be lost; write elsewhere or remove it first"
        )
    if resume and old is not None and "tile_done" in old:
        if old.attrs["recipe"] != recipe:
            raise VadoseInputError(
                f"{work.store} holds a map of another model, grid or parts; write elsewhere, or start anew with resume=False"
            )
        marks: Any = old["tile_done"]
        return np.asarray(marks[:])
    # one block of dask whatever the tiles: it is never computed, and a task a tile would grow with the map
    blank = {n: like.copy(data=da.full(like.shape, np.nan, chunks=-1, dtype="float32")) for n in work.names.values()}
    template = _dress(work.model, blank, like)
    encoding = {n: {"chunks": tuple(sides[str(d)] for d in like.dims)} for n in work.names.values()}
    template = template.assign_attrs(recipe=recipe)
    template.to_zarr(work.store, mode="w", compute=False, consolidated=False, encoding=encoding)
    zarr.open_group(work.store, mode="r+").create_array(
        "tile_done", shape=(count,), chunks=(1,), dtype="uint8", fill_value=0, dimension_names=("tile",),
        attributes={"long_name": "1 where a tile is written"},
    )  # fmt: skip
    return np.zeros(count, "uint8")


def _places(like: xr.DataArray) -> str:
    """A short name of the coordinates: maps of equal size lie elsewhere or on another day."""
    digest = hashlib.sha256()
    for dim in like.dims:
        at = like[dim].values  # the numbers of the cells where there is no coordinate
        digest.update(np.ascontiguousarray(at.astype(str) if at.dtype == object else at).tobytes())
    return digest.hexdigest()[:16]


def _tile(work: _Work, region: dict[str, slice], index: int) -> None:
    """One tile: read, predict, write, and only then leave the mark."""
    import zarr

    # Named for each read and not as a setting: settings are of the whole process, and of two tiles that set and restore them
    # side by side one leaves "synchronous" behind, for the rest of the map and of the session.
    here = [
        work.fields[n].isel({d: s for d, s in region.items() if d in work.fields[n].dims}).load(scheduler="synchronous")
        for n in work.model.predictors
    ]
    dims = tuple(region)
    arrays = [a.transpose(*[d for d in dims if d in a.dims]) for a in here]
    wide = [a.values.reshape([a.sizes.get(d, 1) for d in dims]) for a in arrays]
    values = _kernel(*wide, model=work.model, parts=work.parts, keys=tuple(work.names))
    group: Any = zarr.open_group(work.store, mode="r+")
    where = tuple(region.values())
    for k, name in enumerate(work.names.values()):
        part = values[..., k]
        if name.endswith("_flag"):
            part = np.where(np.isfinite(part), part, 2).astype("uint8")
        group[name][where] = part
    group["tile_done"][index] = 1
