"""Moments as currency: count, means and co-moments of N series in one pass, merged exactly over chunks, months and regions.

A state is a Dataset with `n`, `mean` (product) and `comoment` (product, product_2): the sum over collocated samples of
products of deviations from the mean. Bias, ubRMSD, correlation, NSE, KGE, triple collocation and merging weights are pure
functions of a state. Merging follows Chan et al. 1979 (doi:10.1007/978-3-642-51461-6_3): exact for any split.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import xarray as xr
from numba import njit

from vadose import units
from vadose.errors import DimensionError, VadoseInputError

PRODUCT, OTHER = "product", "product_2"


@njit(cache=True, nogil=True)
def _accumulate(data, count, mean, comoment):
    """data (cells, samples, products) -> one state a cell; samples with any NaN are skipped, for all products alike."""
    cells, samples, products = data.shape
    for c in range(cells):
        n = 0.0
        for s in range(samples):
            whole = True
            for p in range(products):
                if np.isnan(data[c, s, p]):
                    whole = False
                    break
            if not whole:
                continue
            n += 1.0
            for p in range(products):
                delta = data[c, s, p] - mean[c, p]
                mean[c, p] += delta / n
                for q in range(p + 1):
                    # deviation of q from its new mean times that of p from its old one: Welford's update for covariances
                    comoment[c, p, q] += delta * (data[c, s, q] - mean[c, q])
        count[c] = n
        for p in range(products):
            for q in range(p):
                comoment[c, q, p] = comoment[c, p, q]
        if n == 0.0:
            for p in range(products):
                mean[c, p] = np.nan


def _kernel(data):
    shape = data.shape[:-2]
    flat = np.ascontiguousarray(data.reshape(-1, *data.shape[-2:]), dtype=float)
    count = np.zeros(flat.shape[0])
    mean = np.zeros((flat.shape[0], flat.shape[2]))
    comoment = np.zeros((flat.shape[0], flat.shape[2], flat.shape[2]))
    _accumulate(flat, count, mean, comoment)
    size = flat.shape[2]
    return count.reshape(shape), mean.reshape(*shape, size), comoment.reshape(*shape, size, size)


def stack(*series: xr.DataArray, names: Sequence[Hashable] | None = None) -> xr.DataArray:
    """Series with common coordinates -> one array with a `product` dimension; names default to the arrays' own.

    Series that say their units are brought to those of the first where one can become the other. Lazy in, lazy out.
    """
    labels = list(names) if names is not None else [s.name if s.name is not None else k for k, s in enumerate(series)]
    if len(set(labels)) != len(labels):
        raise VadoseInputError(f"product names must differ, got {labels}; give names=[...]")
    return xr.concat(
        [units.like(s, series[0]).reset_coords(drop=True) for s in series],
        xr.DataArray(labels, dims=PRODUCT, name=PRODUCT),
        join="inner",
        combine_attrs="drop_conflicts",
    )


def moments(data: xr.DataArray, *, dim: str | Sequence[str] = "time") -> xr.Dataset:
    """The state of `data` (product, ..., dim) over `dim`: only samples where every product has a value count.

    Lazy in, lazy out: on dask each chunk along `dim` gives a state, and states are merged.
    """
    dims = [dim] if isinstance(dim, str) else list(dim)
    for name in (PRODUCT, *dims):
        if name not in data.dims:
            raise DimensionError(
                f"no dimension {name!r}; the array has {data.dims}. Stack products with vadose.metrics.moments.stack"
            )
    if data.chunks is not None and any(len(data.chunksizes[d]) > 1 for d in dims):
        return _by_chunks(data, dims)
    return _state(data, dims)


def _state(data, dims):
    data = data.transpose(..., *dims, PRODUCT)
    if len(dims) > 1:
        data = data.stack(_sample=dims, create_index=False)
        dims = ["_sample"]
    data = data.transpose(..., dims[0], PRODUCT)
    if data.chunks is not None:
        data = data.chunk({dims[0]: -1, PRODUCT: -1})
    size = data.sizes[PRODUCT]
    count, mean, comoment = xr.apply_ufunc(
        _kernel,
        data,
        input_core_dims=[[dims[0], PRODUCT]],
        output_core_dims=[[], [PRODUCT], [PRODUCT, OTHER]],
        dask="parallelized",
        output_dtypes=[float] * 3,
        dask_gufunc_kwargs={"output_sizes": {PRODUCT: size, OTHER: size}, "allow_rechunk": True},
    )
    labels = data[PRODUCT].values if PRODUCT in data.coords else np.arange(size)
    return xr.Dataset({"n": count, "mean": mean, "comoment": comoment}).assign_coords({PRODUCT: labels, OTHER: labels})


def _by_chunks(data, dims):
    """One state a chunk of the reduced dimensions, merged as a tree."""
    edges = {d: np.cumsum([0, *data.chunksizes[d]]) for d in dims}
    first = dims[0]
    parts = []
    for low, high in zip(edges[first][:-1], edges[first][1:], strict=True):
        part = data.isel({first: slice(int(low), int(high))})
        parts.append(
            _by_chunks(part, [*dims[1:], first])
            if any(len(part.chunksizes[d]) > 1 for d in dims)
            else _state(part, dims)
        )
    while len(parts) > 1:
        parts = [combine(*parts[k : k + 2]) for k in range(0, len(parts), 2)]
    return parts[0]


def combine(*states: xr.Dataset) -> xr.Dataset:
    """The state of all samples of several states: exact, in any order."""
    if not states:
        raise VadoseInputError("combine needs at least one state")
    total = states[0]
    for state in states[1:]:
        n = total.n + state.n
        safe = n.where(n > 0, 1.0)
        a, b = total["mean"].fillna(0.0), state["mean"].fillna(0.0)
        delta = b - a
        mean = (a + delta * (state.n / safe)).where(n > 0)
        cross = delta * delta.rename({PRODUCT: OTHER})
        comoment = total.comoment + state.comoment + cross * (total.n * state.n / safe)
        total = xr.Dataset(
            {"n": n, "mean": mean.transpose(..., PRODUCT), "comoment": comoment.transpose(..., PRODUCT, OTHER)}
        )
    return total


def pooled(state: xr.Dataset, dim: str | Sequence[str]) -> xr.Dataset:
    """The state of all samples along a dimension of states (months, cells of a region): exact."""
    dims = [dim] if isinstance(dim, str) else list(dim)
    n = state.n.sum(dims)
    safe = n.where(n > 0, 1.0)
    mean = (state["mean"].fillna(0.0) * state.n).sum(dims) / safe
    delta = (state["mean"] - mean).fillna(0.0)
    between = (delta * delta.rename({PRODUCT: OTHER}) * state.n).sum(dims)
    return xr.Dataset({"n": n, "mean": mean.where(n > 0), "comoment": state.comoment.sum(dims) + between})


def covariance(state: xr.Dataset, *, ddof: int = 1) -> xr.DataArray:
    """Covariance matrix (…, product, product_2); NaN where fewer than ddof + 1 samples."""
    return (state.comoment / (state.n - ddof)).where(state.n > ddof)
