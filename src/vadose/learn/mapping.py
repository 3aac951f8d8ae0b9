"""From predictors to a map: block by block, masked pixels skipped, memory bounded by the tile, resumable (M-T1.1).

`predict_map` is lazy where the predictors are. `write_map` writes a Zarr store tile by tile on whatever dask scheduler is
active; every finished tile leaves a mark in the store, so that a killed run goes on where it stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from vadose import cf
from vadose.errors import VadoseInputError
from vadose.learn.model import FLAGS, LEVELS, Model, describe

PARTS = ("mean", "quantiles", "area")


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
    fields = model.check(predictors)
    names = _names(model, parts)
    keys = tuple(names)
    arrays = (
        xr.unify_chunks(*(fields[n] for n in model.predictors))
        if fields.chunks
        else [fields[n] for n in model.predictors]
    )
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


def _grid(sizes: dict[str, int], tile: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Cells of a tile and number of tiles along each dim."""
    steps = {dim: min(tile.get(dim, size), size) for dim, size in sizes.items()}
    return {dim: (step, -(-sizes[dim] // step)) for dim, step in steps.items()}


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
    predictors : open lazily (`chunks=None` reads fastest, since a tile is read in one go).
    store : a path, URL or store that zarr opens for writing.
    tile : cells a tile and dim; 512 x 512 of the last two dims and one time step when left out. Tiles are the map's chunks.
    resume : go on after an interrupted run of the same model; False starts anew.
    report : `report(done, tiles)` after every batch of tiles.
    at_once : tiles in memory at the same time; twice the threads or workers when left out.
    """
    import dask

    fields = model.check(predictors)
    like = _outline([fields[n] for n in model.predictors])
    sizes = {str(d): n for d, n in like.sizes.items()}
    cut = tile or {d: 512 if d in list(sizes)[-2:] else 1 for d in sizes}
    grid = _grid(sizes, cut)
    count = math.prod(n for _, n in grid.values())
    names = _names(model, parts)
    todo = np.flatnonzero(_prepare(model, like, store, cut, count, names, parts, resume) == 0)
    if report:
        report(count - len(todo), count)
    batch = at_once or 2 * _width()
    for start in range(0, len(todo), batch):
        now = [(int(i), _region(sizes, grid, int(i))) for i in todo[start : start + batch]]
        with dask.config.set({"optimization.fuse.active": False}):
            dask.compute(
                *[dask.delayed(_tile, pure=False)(model, fields, store, region, i, parts, names) for i, region in now]
            )
        if report:
            report(count - len(todo) + start + len(now), count)


def _outline(arrays: list[xr.DataArray]) -> xr.DataArray:
    """Dims and coordinates of all arrays together, without reading any of them."""
    import dask.array as da

    hollow = [a.copy(data=da.zeros(a.shape, dtype="float32", chunks=a.shape)) for a in arrays]
    return xr.broadcast(*hollow)[0]


def _width() -> int:
    import os

    try:
        from distributed import default_client

        return max(1, sum(w["nthreads"] for w in default_client().scheduler_info()["workers"].values()))
    except (ImportError, ValueError):
        return os.cpu_count() or 2


def _prepare(model, like, store, cut, count, names, parts, resume) -> np.ndarray:
    """Create the empty store, or check that the one there is of the same model and grid; which tiles are done."""
    import zarr

    recipe = f"{model.digest} {dict(like.sizes)} {cut} {sorted(parts)}"
    if resume:
        try:
            old = zarr.open_group(store, mode="r")
        except (FileNotFoundError, KeyError, zarr.errors.GroupNotFoundError):
            old = None
        if old is not None and "tile_done" in old:
            if old.attrs.get("recipe") != recipe:
                raise VadoseInputError(
                    f"{store} holds a map of another model, grid or parts; write elsewhere, or start anew with resume=False"
                )
            marks: Any = old["tile_done"]
            return np.asarray(marks[:])
    import dask.array as da

    dims = list(like.dims)
    chunks = tuple(min(cut.get(str(d), like.sizes[d]), like.sizes[d]) for d in dims)
    # one block of dask whatever the tiles: it is never computed, and a task a tile would grow with the map
    blank = {n: like.copy(data=da.full(like.shape, np.nan, chunks=-1, dtype="float32")) for n in names.values()}
    template = _dress(model, blank, like)
    encoding = {n: {"chunks": chunks} for n in names.values()}
    template.assign_attrs(recipe=recipe).to_zarr(store, mode="w", compute=False, consolidated=False, encoding=encoding)
    zarr.open_group(store, mode="r+").create_array(
        "tile_done", shape=(count,), chunks=(1,), dtype="uint8", fill_value=0, dimension_names=("tile",)
    )
    return np.zeros(count, "uint8")


def _tile(model, fields, store, region, index, parts, names) -> None:
    """One tile: read, predict, write, and only then leave the mark."""
    import zarr

    # Named for each read and not as a setting: settings are of the whole process, and of two tiles that set and restore them
    # side by side one leaves "synchronous" behind, for the rest of the map and of the session.
    here = [
        fields[n].isel({d: s for d, s in region.items() if d in fields[n].dims}).load(scheduler="synchronous")
        for n in model.predictors
    ]
    dims = tuple(region)
    arrays = [a.transpose(*[d for d in dims if d in a.dims]) for a in here]
    wide = [a.values.reshape([a.sizes.get(d, 1) for d in dims]) for a in arrays]
    values = _kernel(*wide, model=model, parts=parts, keys=tuple(names))
    group: Any = zarr.open_group(store, mode="r+")
    where = tuple(region.values())
    for k, name in enumerate(names.values()):
        part = values[..., k]
        if name.endswith("_flag"):
            part = np.where(np.isfinite(part), part, 2).astype("uint8")
        group[name][where] = part
    group["tile_done"][index] = 1
