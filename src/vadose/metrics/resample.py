"""Intervals of anything made of moments, by moving blocks: block sums are taken once, so a draw costs a few additions.

Kuensch 1989, doi:10.1214/aos/1176347265. Serial correlation within a block is kept, which a bootstrap of single days loses.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from scipy import stats

from vadose.errors import DimensionError, VadoseInputError
from vadose.metrics.moments import OTHER, PRODUCT
from vadose.typing import Rng

BLOCK, DRAWS = 30, 500
AT_ONCE = 4_000_000  # numbers of drawn states held at a time
#: What a bound may not cross when it is widened.
LEAST = dict.fromkeys(
    ("rmsd", "ubrmsd", "error_sd", "error_variance", "standard_deviation_reference", "standard_deviation_other"), 0.0
)
MOST = dict.fromkeys(("pearson", "correlation", "nse", "kge"), 1.0)


def bootstrap(
    data: xr.DataArray,
    statistic: Callable[[xr.Dataset], xr.Dataset],
    *,
    dim: str = "time",
    block: int = BLOCK,
    draws: int = DRAWS,
    level: float = 0.95,
    rng: Rng = 0,
) -> xr.Dataset:
    """Percentile interval of `statistic(state)` for `data` (product, ..., dim), as `<name>_low` and `<name>_high`.

    Parameters
    ----------
    statistic : what to know about a state of moments, such as `metrics.triple_collocation` or
        `lambda state: metrics.scores(state, "a", "b")`. It gets states with one more dimension `draw`.
    block : length of blocks in samples (circular); longer than the memory of the series, see `metrics.block_length`.

    Bounds of K blocks are too near the estimate by sqrt((K - 1) / K) and by the normal quantile in place of Student's: both are mended.
    Raises VadoseInputError for a block longer than the series, DimensionError without `product`. Loads `data`.
    """
    if PRODUCT not in data.dims or dim not in data.dims:
        raise DimensionError(
            f"data needs the dimensions {PRODUCT!r} and {dim!r}, it has {data.dims}; see metrics.stack"
        )
    n = data.sizes[dim]
    if not 1 <= block <= n:
        raise VadoseInputError(f"block must lie between 1 and the number of samples {n}, got {block}")
    if not 0 < level < 1:
        raise VadoseInputError(f"level must lie between 0 and 1, got {level}")
    array = data.transpose(..., dim, PRODUCT)
    values = array.values.astype(float)
    lead, size = values.shape[:-2], values.shape[-1]
    flat = values.reshape(-1, n, size)
    whole = np.isfinite(flat).all(-1)
    center = np.where(whole[..., None], flat, 0.0).sum(1) / np.maximum(whole.sum(1), 1)[:, None]
    x = np.where(whole[..., None], flat - center[:, None], 0.0)
    upper = np.triu_indices(size)
    table = np.concatenate([whole[..., None], x, x[..., upper[0]] * x[..., upper[1]]], axis=-1)
    sums = _block_sums(table, block)
    generator = np.random.default_rng(rng)
    starts = generator.integers(0, n, (draws, max(1, round(n / block))))
    coords = {d: array[d] for d in array.dims[:-2] if d in array.coords}
    labels = array[PRODUCT].values if PRODUCT in array.coords else np.arange(size)
    step = max(1, AT_ONCE // max(1, flat.shape[0] * table.shape[-1] * starts.shape[1]))
    parts = []
    for k in range(0, draws, step):
        drawn = sums[:, starts[k : k + step]].sum(2)
        parts.append(statistic(_states(drawn, center, size, upper, lead, array.dims[:-2], coords, labels)))
    results = xr.concat(parts, "draw")
    tail = (1 - level) / 2
    floats = [v for v in results.data_vars if results[v].dtype.kind == "f" and v != "n"]
    whole_state = _states(table.sum(1)[:, None], center, size, upper, lead, array.dims[:-2], coords, labels)
    estimate = statistic(whole_state)[floats].isel(draw=0)
    wide = _widening(starts.shape[1], tail)
    low, high = (
        estimate + wide * (results[floats].quantile(q, "draw").drop_vars("quantile") - estimate)
        for q in (tail, 1 - tail)
    )
    low = low.map(lambda v: v.clip(min=LEAST.get(str(v.name))))
    high = high.map(lambda v: v.clip(max=MOST.get(str(v.name))))
    names = {v: f"{v}_low" for v in floats}, {v: f"{v}_high" for v in floats}
    return xr.merge([low.rename(names[0]), high.rename(names[1])])


def _widening(blocks, tail):
    """How much farther from the estimate the bounds of so many drawn blocks must lie."""
    count = max(blocks, 2)
    return np.sqrt(count / (count - 1)) * stats.t.isf(tail, count - 1) / stats.norm.isf(tail)


def _block_sums(table, block):
    """Sums of every circular block (cells, start, columns) from cumulative sums."""
    n = table.shape[1]
    total = np.concatenate(
        [np.zeros_like(table[:, :1]), np.cumsum(np.concatenate([table, table[:, :block]], axis=1), axis=1)], axis=1
    )
    return total[:, block : block + n] - total[:, :n]


def _states(drawn, center, size, upper, lead, dims, coords, labels):
    """Drawn sums (cells, draws, columns) -> states with a dimension `draw`."""
    n = drawn[..., 0]
    mean = drawn[..., 1 : 1 + size] / np.maximum(n, 1)[..., None]
    comoment = np.empty((*n.shape, size, size))
    for k, (i, j) in enumerate(zip(*upper, strict=True)):
        value = drawn[..., 1 + size + k] - n * mean[..., i] * mean[..., j]
        comoment[..., i, j] = comoment[..., j, i] = value
    shape = (*lead, n.shape[1])
    return xr.Dataset(
        {
            "n": ((*dims, "draw"), n.reshape(shape)),
            "mean": ((*dims, "draw", PRODUCT), (mean + center[:, None]).reshape(*shape, size)),
            "comoment": ((*dims, "draw", PRODUCT, OTHER), comoment.reshape(*shape, size, size)),
        },
        coords={**coords, PRODUCT: labels, OTHER: labels},
    )
