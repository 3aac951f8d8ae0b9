"""Intervals that hold under autocorrelation: effective sample sizes, and a bootstrap of moving blocks.

n_eff for correlations after Bretherton et al. 1999 (doi:10.1175/1520-0442(1999)012<1990:TENOSD>2.0.CO;2):
n (1 - r1 r2) / (1 + r1 r2); for a mean n (1 - r) / (1 + r).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from numba import njit
from scipy import stats

from vadose.errors import VadoseInputError
from vadose.typing import Rng


def lag_one(series: xr.DataArray, *, dim: str = "time") -> xr.DataArray:
    """Lag-1 autocorrelation along `dim` from neighboring valid pairs, with the small-sample correction (1 + 4 r) / n; 0 with fewer than three."""
    data = series.chunk({dim: -1}) if series.chunks is not None else series

    def kernel(values):
        flat = np.ascontiguousarray(values.reshape(-1, values.shape[-1]), dtype=float)
        out = np.empty(flat.shape[0])
        _lag_one(flat, out)
        return out.reshape(values.shape[:-1])

    return xr.apply_ufunc(kernel, data, input_core_dims=[[dim]], dask="parallelized", output_dtypes=[float])


@njit(cache=True, nogil=True)
def _lag_one(values, out):
    """values (cells, samples): two passes, one for the mean, one for variance and products of neighbors."""
    cells, samples = values.shape
    for c in range(cells):
        total, n = 0.0, 0
        for t in range(samples):
            v = values[c, t]
            if not np.isnan(v):
                total += v
                n += 1
        mean = total / n if n > 0 else 0.0
        square, product, pairs = 0.0, 0.0, 0
        last = np.nan
        for t in range(samples):
            v = values[c, t] - mean
            if not np.isnan(v):
                square += v * v
                if not np.isnan(last):
                    product += v * last
                    pairs += 1
            last = v
        r = 0.0
        if pairs >= 3 and square > 0.0:
            r = (product / pairs) / (square / n)
        if n > 4:
            r += (1.0 + 4.0 * r) / n
        out[c] = min(max(r, -0.99), 0.99)


def effective_size(n: xr.DataArray, r1: xr.DataArray, r2: xr.DataArray, *, of_mean: bool = False) -> xr.DataArray:
    """Effective number of independent samples, between 2 and n. `of_mean` takes the form for a mean (r1 of the series)."""
    product = r1 if of_mean else r1 * r2
    product = product.clip(min=0.0)
    return (n * (1 - product) / (1 + product)).clip(min=2.0).where(n >= 2).clip(max=n)


def block_length(n: int, memory: float) -> int:
    """Length of moving blocks for a series of `n` samples whose lag-1 autocorrelation is `memory`; 1 without memory, at most a fifth of n.

    Twice the length of the rule in Gruber et al. 2020 (doi:10.1016/j.rse.2020.111806), (sqrt(6) r / (1 - r^2))^(2/3) n^(1/3): `bootstrap`
    widens intervals for few blocks, so long blocks cost little, and they cut less memory.
    """
    r = min(max(float(memory), 0.0), 0.995)
    rule = (np.sqrt(6.0) * r / (1.0 - r**2)) ** (2 / 3) * n ** (1 / 3)
    return int(np.clip(np.ceil(2 * rule), 1, max(1, n // 5)))


def _z(level):
    if not 0 < level < 1:
        raise VadoseInputError(f"level must lie between 0 and 1, got {level}")
    return 0.5 + level / 2


def mean_interval(
    mean: xr.DataArray, spread: xr.DataArray, n_eff: xr.DataArray, *, level: float = 0.95
) -> tuple[xr.DataArray, xr.DataArray]:
    """Student interval of a mean whose samples have population sd `spread`."""
    quantile = xr.apply_ufunc(
        lambda n: stats.t.ppf(_z(level), np.maximum(n - 1, 1)), n_eff, dask="parallelized", output_dtypes=[float]
    )
    half = quantile * spread / np.sqrt((n_eff - 1).clip(min=1.0))
    return mean - half, mean + half


def variance_interval(
    spread: xr.DataArray, n_eff: xr.DataArray, *, level: float = 0.95
) -> tuple[xr.DataArray, xr.DataArray]:
    """Chi-square interval of a standard deviation."""

    def bound(n, q):
        degrees = np.maximum(n - 1, 1)
        return np.sqrt(degrees / stats.chi2.ppf(q, degrees))

    low = xr.apply_ufunc(bound, n_eff, _z(level), dask="parallelized", output_dtypes=[float])
    high = xr.apply_ufunc(bound, n_eff, 1 - _z(level), dask="parallelized", output_dtypes=[float])
    return spread * low, spread * high


def correlation_interval(
    r: xr.DataArray, n_eff: xr.DataArray, *, level: float = 0.95
) -> tuple[xr.DataArray, xr.DataArray]:
    """Fisher-z interval of a correlation; NaN below four effective samples."""
    z = np.arctanh(r.clip(-0.999999, 0.999999))
    half = stats.norm.ppf(_z(level)) / np.sqrt((n_eff - 3).where(n_eff > 3))
    return np.tanh(z - half), np.tanh(z + half)


def block_bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray],
    data: np.ndarray,
    *,
    block: int,
    draws: int = 500,
    rng: Rng = 0,
    level: float = 0.95,
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of `statistic(sample)` by moving circular blocks of `block` rows (Kuensch 1989, doi:10.1214/aos/1176347265).

    `data` is (samples, ...); the statistic takes such an array and returns any shape.
    """
    generator = np.random.default_rng(rng)
    n = data.shape[0]
    if not 1 <= block <= n:
        raise VadoseInputError(f"block must lie between 1 and the number of samples {n}, got {block}")
    blocks = -(-n // block)
    starts = generator.integers(0, n, (draws, blocks))
    offsets = np.arange(block)
    values = np.stack([statistic(data[((s[:, None] + offsets) % n).reshape(-1)[:n]]) for s in starts])
    tail = (1 - level) / 2 * 100
    low, high = np.nanpercentile(values, [tail, 100 - tail], axis=0)
    return low, high
