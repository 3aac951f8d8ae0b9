"""The spread of a cell's ensemble, compiled: inflation by a number, relaxation, or what innovations ask for; revival after collapse.

The same as `vadose.assimilate.inflation` on arrays, which says where the formulas come from.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from vadose.assimilate.cell import SQUARE_ROOT, STOCHASTIC, look, normals, reflect

MULTIPLY, RELAX, ADAPT = range(3)
COLLAPSED = 1e-4  # m3 m-3


@njit(cache=True, nogil=True)
def deviation(history, now, row):
    """Standard deviation of a row over members of equal weight."""
    members = history.shape[2]
    mean, square = 0.0, 0.0
    for m in range(members):
        mean += history[now, row, m] / members
    for m in range(members):
        square += (history[now, row, m] - mean) ** 2
    return np.sqrt(square / (members - 1.0))


@njit(cache=True, nogil=True)
def widen(history, now, row, factor):
    """Anomalies of a row times `factor`."""
    if factor == 1.0:
        return
    members = history.shape[2]
    mean = 0.0
    for m in range(members):
        mean += history[now, row, m] / members
    for m in range(members):
        history[now, row, m] = mean + factor * (history[now, row, m] - mean)


@njit(cache=True, nogil=True)
def relax(history, now, before, share, factor):
    """Layers widened after the analysis towards the standard deviations `before` (2,) it, by `share`; `factor` (2,) says how far."""
    for row in range(2):
        after = deviation(history, now, row)
        factor[row] = 1.0 + share * (before[row] - after) / after if after > 0.0 else 1.0
        widen(history, now, row, factor[row])


@njit(cache=True, nogil=True)
def learn_factor(sums, center, spread, y, r, inflation):
    """Factor that makes squared innovations as large as they should be: sums of d^2 - R and H P H' that forget (`adaptive_factor`)."""
    memory, low, high = inflation
    if sums[1] == 0.0:  # as if `memory` observations had found nothing wrong
        sums[0] = sums[1] = memory * spread
    sums[0] += (y - center) ** 2 - r - sums[0] / memory
    sums[1] += spread - sums[1] / memory
    if sums[1] <= 0.0:
        return low
    return np.sqrt(min(max(sums[0] / sums[1], low * low), high * high))


@njit(cache=True, nogil=True)
def revive(history, now, seen, observed, operator, weight, stream, residual, porosity):
    """Give a collapsed ensemble a spread again, so that observations still reach it; true where one had collapsed."""
    found = False
    for k in range(2):
        if np.isfinite(observed[k]) and np.sqrt(look(seen, history, now, operator, k, weight)[1]) < COLLAPSED:
            found = True
            for m in range(seen.size):
                z1, z2 = normals(stream)
                history[now, 0, m] = reflect(history[now, 0, m] + 10 * COLLAPSED * z1, residual, porosity)
                history[now, 1, m] = reflect(history[now, 1, m] + 3 * COLLAPSED * z2, residual, porosity)
    return found


@njit(cache=True, nogil=True)
def prepare(history, now, weight, sums, observed, variance, operator, method, rule, inflation, seen, before, factor):
    """Inflation before an analysis: `factor` (2,) of the layers used; `before` (2,) keeps the spread that `relax` draws back to.

    Where it adapts, observation k teaches (sums[k]) how wide layer k must be; a layer without observations is left alone, since a
    factor on what nothing corrects would grow from day to day.
    """
    factor[:] = 1.0
    before[0], before[1] = deviation(history, now, 0), deviation(history, now, 1)
    if method != SQUARE_ROOT and method != STOCHASTIC:
        return
    if rule == MULTIPLY:
        factor[:] = inflation[0]
    elif rule == ADAPT:
        for k in range(2):
            if np.isfinite(observed[k]):
                center, spread = look(seen, history, now, operator, k, weight)
                factor[k] = learn_factor(sums[k], center, spread, observed[k], variance[k], inflation)
    widen(history, now, 0, factor[0])
    widen(history, now, 1, factor[1])
