"""Agreement of ranks: Spearman's rho and Kendall's tau-b, with intervals that hold under ties and autocorrelation.

Intervals: Bonett & Wright 2000, doi:10.1007/BF02294183, at the effective number of samples. Tau counts discordant pairs by
merging sorted halves (Knight 1966, doi:10.1080/01621459.1966.10480879): time grows as n log n.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numba import njit
from scipy import stats

from vadose.errors import VadoseInputError
from vadose.metrics.threads import by_rows
from vadose.metrics.uncertainty import effective_size, lag_one


@njit(cache=True, nogil=True)
def _ranks(values, order):
    """Ranks from 1, equal values share the mean of theirs; and the sum over ties of k (k - 1) / 2."""
    n = order.size
    out = np.empty(values.size)
    tied = 0.0
    i = 0
    while i < n:
        j = i
        while j + 1 < n and values[order[j + 1]] == values[order[i]]:
            j += 1
        for k in range(i, j + 1):
            out[order[k]] = 0.5 * (i + j) + 1.0
        count = j - i + 1
        tied += 0.5 * count * (count - 1)
        i = j + 1
    return out, tied


@njit(cache=True, nogil=True)
def _exchanges(values):
    """Number of neighbors that bubble sort would exchange, by merge sort; `values` is sorted in place."""
    n = values.size
    spare = np.empty(n)
    swaps, width = 0.0, 1
    while width < n:
        low = 0
        while low < n:
            middle, high = min(low + width, n), min(low + 2 * width, n)
            i, j = low, middle
            for k in range(low, high):
                if i < middle and (j >= high or values[i] <= values[j]):
                    spare[k] = values[i]
                    i += 1
                else:
                    spare[k] = values[j]
                    j += 1
                    swaps += middle - i
            low += 2 * width
        for k in range(n):
            values[k] = spare[k]
        width *= 2
    return swaps


@njit(cache=True, nogil=True)
def _agreement(x, y, order, order_y, with_tau):
    """Spearman's rho and Kendall's tau-b of the samples named by `order` (by x) and `order_y`, the same samples by y."""
    n = order.size
    if n < 2:
        return np.nan, np.nan
    rank_x, ties_x = _ranks(x, order)
    rank_y, ties_y = _ranks(y, order_y)
    middle = 0.5 * (n + 1)
    sxx, syy, sxy = 0.0, 0.0, 0.0
    for k in range(n):
        a, b = rank_x[order[k]] - middle, rank_y[order[k]] - middle
        sxx += a * a
        syy += b * b
        sxy += a * b
    if sxx == 0.0 or syy == 0.0:
        return np.nan, np.nan
    rho = sxy / np.sqrt(sxx * syy)
    if not with_tau:
        return rho, np.nan
    # sorted by x, within equal x by y: discordant pairs are then the exchanges that sort y
    by_x = rank_y[order]
    both, i = 0.0, 0
    while i < n:
        j = i
        while j + 1 < n and rank_x[order[j + 1]] == rank_x[order[i]]:
            j += 1
        part = np.sort(by_x[i : j + 1])
        by_x[i : j + 1] = part
        run = 1.0
        for k in range(1, part.size + 1):
            if k < part.size and part[k] == part[k - 1]:
                run += 1.0
            else:
                both += 0.5 * run * (run - 1.0)
                run = 1.0
        i = j + 1
    pairs = 0.5 * n * (n - 1.0)
    discordant = _exchanges(by_x)
    agree = pairs - ties_x - ties_y + both - 2.0 * discordant
    return rho, agree / np.sqrt((pairs - ties_x) * (pairs - ties_y))


@njit(cache=True, nogil=True)
def _cells(x, y, order_x, order_y, count, with_tau, rho, tau):
    for c in range(x.shape[0]):
        n = count[c]
        rho[c], tau[c] = _agreement(x[c], y[c], order_x[c, :n], order_y[c, :n], with_tau)


@njit(cache=True, nogil=True)
def _rho(x, y, order, order_y, rank):
    """Spearman's rho alone: ranks of y are kept in `rank`, those of x met in order; sums of squares follow from the ties."""
    n = order.size
    if n < 2:
        return np.nan
    middle, full = 0.5 * (n + 1), (float(n) ** 3 - n) / 12.0
    sxx, syy, sxy = full, full, 0.0
    i = 0
    while i < n:
        j, value = i, y[order_y[i]]
        while j + 1 < n and y[order_y[j + 1]] == value:
            j += 1
        for k in range(i, j + 1):
            rank[order_y[k]] = 0.5 * (i + j) + 1.0 - middle
        count = float(j - i + 1)
        syy -= (count**3 - count) / 12.0
        i = j + 1
    i = 0
    while i < n:
        j, value, total = i, x[order[i]], rank[order[i]]
        while j + 1 < n and x[order[j + 1]] == value:
            j += 1
            total += rank[order[j]]
        sxy += (0.5 * (i + j) + 1.0 - middle) * total
        count = float(j - i + 1)
        sxx -= (count**3 - count) / 12.0
        i = j + 1
    return sxy / np.sqrt(sxx * syy) if sxx > 0.0 and syy > 0.0 else np.nan


@njit(cache=True, nogil=True)
def _all_rho(x, y, order_x, order_y, count, rho):
    rank = np.empty(x.shape[1])
    for c in range(x.shape[0]):
        n = count[c]
        rho[c] = _rho(x[c], y[c], order_x[c, :n], order_y[c, :n], rank)


@njit(cache=True, nogil=True)
def _whole(x, y, a, b, count):
    """Copies of x and y with infinity where either is missing, and the number of pairs; True if a value itself is infinite."""
    infinite = False
    for c in range(x.shape[0]):
        n = 0
        for t in range(x.shape[1]):
            u, v = x[c, t], y[c, t]
            if np.isnan(u) or np.isnan(v):
                a[c, t] = np.inf
                b[c, t] = np.inf
            else:
                a[c, t] = u
                b[c, t] = v
                n += 1
                infinite |= u == np.inf or v == np.inf
        count[c] = n
    return infinite


def _some(x, y, kendall, rho, tau):
    """Scores of cells; missing samples sort last, as infinity, which is several times faster than NaN."""
    a, b, count = np.empty(x.shape), np.empty(x.shape), np.empty(x.shape[0], np.int64)
    if _whole(x, y, a, b, count):
        bad = np.isnan(x) | np.isnan(y)
        a[bad], b[bad] = np.nan, np.nan
    orders = np.argsort(a, axis=1), np.argsort(b, axis=1)
    if kendall:
        _cells(x, y, *orders, count, True, rho, tau)
    else:
        tau[:] = np.nan
        _all_rho(a, b, *orders, count, rho)


def rank_scores(
    reference: xr.DataArray,
    other: xr.DataArray,
    *,
    dim: str = "time",
    level: float = 0.95,
    kendall: bool = True,
    known: xr.Dataset | None = None,
) -> xr.Dataset:
    """Spearman's and Kendall's (tau-b) correlation along `dim`, with `n`, `n_eff` and `_low`, `_high` of each.

    Samples where either is missing are left out. `n_eff` is that of the linear correlation, from lag-1 autocorrelations.
    `kendall=False` leaves tau out (NaN): rho alone is faster; `known` may give `n` and `n_eff` found before. Raises VadoseInputError for a level outside 0 to 1.
    Lazy in, lazy out.
    """
    if not 0 < level < 1:
        raise VadoseInputError(f"level must lie between 0 and 1, got {level}")
    reference, other = xr.align(reference, other, join="inner", copy=False)

    def kernel(a, b):
        a, b = np.broadcast_arrays(a, b)
        shape = a.shape[:-1]
        flat = [np.ascontiguousarray(v.reshape(-1, v.shape[-1]), dtype=float) for v in (a, b)]
        rho, tau = np.empty(flat[0].shape[0]), np.empty(flat[0].shape[0])
        by_rows(lambda p: _some(flat[0][p], flat[1][p], kendall, rho[p], tau[p]), rho.size, flat[0].size)
        return rho.reshape(shape), tau.reshape(shape)

    whole = [v.chunk({dim: -1}) if v.chunks is not None else v for v in (reference, other)]
    rho, tau = xr.apply_ufunc(
        kernel,
        *whole,
        input_core_dims=[[dim], [dim]],
        output_core_dims=[[], []],
        dask="parallelized",
        output_dtypes=[float, float],
    )
    if known is None:
        both = reference.notnull() & other.notnull()
        n = both.sum(dim)
        n_eff = effective_size(n, *(lag_one(v.where(both), dim=dim) for v in (reference, other)))
    else:
        n, n_eff = known["n"], known["n_eff"]
    z = stats.norm.ppf(0.5 + level / 2)
    out = xr.Dataset({"n": n, "n_eff": n_eff, "spearman": rho, "kendall": tau})
    for name, variance in (("spearman", (1 + rho**2 / 2) / (n_eff - 3)), ("kendall", 0.437 / (n_eff - 4))):
        center = np.arctanh(out[name].clip(-0.999999, 0.999999))
        half = z * np.sqrt(variance.where(variance > 0))
        out[f"{name}_low"], out[f"{name}_high"] = np.tanh(center - half), np.tanh(center + half)
    for variable in out.data_vars.values():
        variable.attrs["units"] = "1"
    return out
