"""The second pass: what needs the mean cycle first, compiled because each step of a cell leans on the step before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numba import njit

from vadose.benchmark.cells import Cells
from vadose.benchmark.own import Own
from vadose.benchmark.state import Axis, State, in_blocks

BINS = 25


@dataclass(frozen=True)
class Second:
    """What the second pass adds: lag-one products of departures (2, cell) with their number, the squared centered error beyond the
    reference's uncertainty (cell), and weighted distributions (region, 2, bin) on `edges` (region, bin + 1)."""

    lag: np.ndarray
    pairs: np.ndarray
    beyond: np.ndarray
    distribution: np.ndarray
    edges: np.ndarray


@njit(cache=True, nogil=True)
def _again(ref, other, sigma, with_sigma, at_ref, at_other, month, length, follows, cycle, mean, last, lag, pairs, beyond, area, regions, lows, steps, hist):  # fmt: skip
    for t in range(ref.shape[0]):
        m, w = month[t], length[t]
        for c in range(at_ref.size):
            if at_ref[c] < 0 or at_other[c] < 0:
                continue
            x, y = ref[t, at_ref[c]], other[t, at_other[c]]
            if not (np.isfinite(x) and np.isfinite(y)):
                last[0, c], last[1, c] = np.nan, np.nan
                continue
            a, b = x - cycle[0, m, c], y - cycle[1, m, c]
            if follows[t] and np.isfinite(last[0, c]):
                lag[0, c] += a * last[0, c]
                lag[1, c] += b * last[1, c]
                pairs[c] += 1.0
            last[0, c], last[1, c] = a, b
            d = abs((y - mean[1, c]) - (x - mean[0, c]))
            if with_sigma:
                u = sigma[t, at_ref[c]]
                if np.isfinite(u):
                    d = max(d - u, 0.0)
            beyond[c] += w * d * d
            for r in range(regions.shape[0]):
                if regions[r, c] and steps[r] > 0:
                    for k in range(2):
                        at = int(((x if k == 0 else y) - lows[r]) / steps[r])
                        hist[r, k, min(max(at, 0), hist.shape[2] - 1)] += w * area[c]


def measure_again(
    reference: xr.DataArray,
    other: xr.DataArray,
    cells: Cells,
    axis: Axis,
    state: State,
    regions: np.ndarray,
    *,
    error: xr.DataArray | None = None,
    own: Own | None = None,
    bins: int = BINS,
) -> Second:
    """The second pass; `regions` (region, cell) says which cells belong where. Errors are centered on the means of `own` where given."""
    known = np.isfinite(state.total)
    lows, steps = np.zeros(len(regions)), np.zeros(len(regions))
    for r, inside in enumerate(regions):
        here = inside & known
        if here.any():
            lows[r], high = state.low[:, here].min(), state.high[:, here].max()
            steps[r] = (high - lows[r]) / bins * (1 + 1e-9)
    mean = np.stack([state.mean(0), state.mean(1)]) if own is None else own.mean
    last, lag = np.full((2, cells.size), np.nan), np.zeros((2, cells.size))
    pairs, beyond, hist = np.zeros(cells.size), np.zeros(cells.size), np.zeros((len(regions), 2, bins))
    for part, (a, b, u) in in_blocks(reference, other, error, axis):
        _again(
            a, b, u, error is not None, cells.reference, cells.other, axis.month[part], axis.length[part], axis.follows[part],
            state.cycle, mean, last, lag, pairs, beyond, cells.weight, np.ascontiguousarray(regions), lows, steps, hist,
        )  # fmt: skip
    total = hist.sum(axis=-1, keepdims=True)
    edges = lows[:, None] + steps[:, None] * np.arange(bins + 1)[None, :]
    return Second(lag, pairs, beyond / state.total, hist / np.where(total > 0, total, 1.0), edges)
