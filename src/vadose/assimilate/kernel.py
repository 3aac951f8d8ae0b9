"""The compiled loop of a filter: every cell on its own, all days and members in one pass (M-T1.5).

Luck is drawn from a stream that belongs to the cell (a hash of seed and place), so that results do not depend on how the
map is cut into chunks. The history of the last `lag` days rides along as state, which makes the filter a fixed-lag smoother.
Where cells learn from their neighbors the loop is that of `vadose.assimilate.field`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from vadose.assimilate.cell import (
    LUCK,
    OPEN_LOOP,
    OWN,
    PARTICLE,
    ROWS,
    bound,
    forecast,
    look,
    normals,
    regress,
    start_member,
    storage,
    store,
    uniform,
)  # fmt: skip
from vadose.assimilate.spread import RELAX, prepare, relax, revive

FLAG_COLLAPSED, FLAG_BOUNDED, FLAG_FROZEN = 1, 2, 4


@njit(cache=True, nogil=True)
def _draw(luck, stream, irrigated, noise):
    """A day's luck of all members of a cell."""
    _, _, miss, miss_mean, _, _, _, chance, amount, _, bias_drift = noise
    for m in range(luck.shape[1]):
        luck[0, m], luck[1, m] = normals(stream)
        luck[2, m], luck[3, m] = normals(stream)
        luck[4, m], luck[5, m], luck[6, m] = 0.0, 0.0, 0.0
        if miss > 0.0 and uniform(stream) < miss:
            luck[4, m] = -miss_mean * np.log(uniform(stream))
        if irrigated and chance > 0.0 and uniform(stream) < chance:
            luck[5, m] = -amount * np.log(uniform(stream))
        if bias_drift > 0.0:
            luck[6, m] = normals(stream)[0]


@njit(cache=True, nogil=True)
def _reweigh(weight, seen, y, r):
    """Weights of particles after an observation."""
    best = np.inf
    for m in range(seen.size):
        seen[m] = 0.5 * (y - seen[m]) ** 2 / r
        best = min(best, seen[m])
    total = 0.0
    for m in range(seen.size):
        weight[m] *= np.exp(best - seen[m])
        total += weight[m]
    for m in range(seen.size):
        weight[m] /= total


@njit(cache=True, nogil=True)
def _resample(history, own, weight, stream, spare):
    """Systematic resampling of all that belongs to a particle."""
    days, rows, members = history.shape
    comb = uniform(stream) / members
    total, source = 0.0, -1
    ancestor = np.empty(members, np.int64)
    for m in range(members):
        while total < comb + m / members and source < members - 1:
            source += 1
            total += weight[source]
        ancestor[m] = source
    for d in range(days):
        for k in range(rows):
            for m in range(members):
                spare[m] = history[d, k, ancestor[m]]
            history[d, k] = spare
    for k in range(own.shape[0]):
        for m in range(members):
            spare[m] = own[k, ancestor[m]]
        own[k] = spare
    weight[:] = 1.0 / members


@njit(cache=True, nogil=True)
def _analyse(
    history, own, weight, sums, now, observed, variance, operator, stream, method, rule, inflation, jitter, revived, soil,
    depth1, depth2, seen, spare, before, factor, fluxes,
):  # fmt: skip
    """One cell's observations of a day; the flag."""
    porosity, residual, flag = soil[0], soil[6], 0
    prior = storage(history, now, weight, depth1, depth2)
    if (
        method != OPEN_LOOP
        and revived
        and revive(history, now, seen, observed, operator, weight, stream, residual, porosity)
    ):
        flag |= FLAG_COLLAPSED
    prepare(history, now, weight, sums, observed, variance, operator, method, rule, inflation, seen, before, factor)
    for k in range(2):
        y, r = observed[k], variance[k]
        if not np.isfinite(y):
            continue
        center, spread = look(seen, history, now, operator, k, weight)
        fluxes[5 + k], fluxes[7 + k] = y - center, np.sqrt(spread + r)
        if method == PARTICLE:
            _reweigh(weight, seen, y, r)
        elif method != OPEN_LOOP:
            regress(history, seen, y, r, method, stream, center, spread)
    if method == OPEN_LOOP:
        return flag
    if method == PARTICLE:
        square = 0.0
        for m in range(weight.size):
            square += weight[m] * weight[m]
        if 1.0 / square < weight.size / 2.0:
            _resample(history, own, weight, stream, spare)
            for m in range(weight.size):
                z1, z2 = normals(stream)
                history[now, 0, m] += jitter * z1
                history[now, 1, m] += 0.3 * jitter * z2
    elif rule == RELAX:
        relax(history, now, before, inflation[0], factor)
    for d in range(history.shape[0]):
        if (method != PARTICLE or d == now) and bound(history, d, residual, porosity):
            flag |= FLAG_BOUNDED
    fluxes[4] += storage(history, now, weight, depth1, depth2) - prior
    fluxes[10], fluxes[11] = factor[0], factor[1]
    return flag


@njit(cache=True, nogil=True)
def run(
    rain, demand, frozen, irrigated, observed, variance, operator, key, start, start_sd, soil, parameter_sd, depth1, depth2,
    members, method, lag, noise, rule, inflation, jitter, want_quantiles, states, fluxes,
):  # fmt: skip
    """Filter all cells: rain, demand (cell, day) [mm d-1]; observed, variance (cell, day, 2); soil (cell, 9 parameters).

    `inflation` are three numbers: factor for MULTIPLY, share for RELAX, memory and both limits for ADAPT.
    """
    cells, days = rain.shape
    size = lag + 1
    history, own, luck = np.zeros((size, ROWS, members)), np.zeros((OWN, members)), np.zeros((LUCK, members))
    seen, spare, weight = np.zeros(members), np.zeros(members), np.zeros(members)
    stream, z, sums = np.zeros(1, np.uint64), np.zeros(8), np.zeros((2, 2))
    before, factor = np.zeros(2), np.ones(2)
    for c in range(cells):
        stream[0] = key[c]
        weight[:] = 1.0 / members
        history[:] = 0.0
        sums[:] = 0.0
        for m in range(members):
            for i in range(4):
                z[2 * i], z[2 * i + 1] = normals(stream)
            start_member(history, own, m, z, start[c], start_sd, soil[c], parameter_sd, noise[9])
        for t in range(days):
            now = t % size
            _draw(luck, stream, irrigated[c, t], noise)
            forecast(
                history, own, weight, luck, (t - 1) % size if t else 0, now, rain[c, t], demand[c, t], frozen[c, t], soil[c],
                depth1, depth2, noise, fluxes[c, t],
            )  # fmt: skip
            fluxes[c, t, 5:] = np.nan
            flag = FLAG_FROZEN if frozen[c, t] else 0
            if not frozen[c, t] and (np.isfinite(observed[c, t, 0]) or np.isfinite(observed[c, t, 1])):
                flag |= _analyse(
                    history, own, weight, sums, now, observed[c, t], variance[c, t], operator, stream, method, rule, inflation,
                    jitter, noise[5] > 0.0, soil[c], depth1, depth2, seen, spare, before, factor, fluxes[c, t],
                )  # fmt: skip
            fluxes[c, t, 9] = flag
            if t >= lag:
                store(states[c], t - lag, history, (t - lag) % size, weight, want_quantiles)
        for t in range(max(days - lag, 0), days):
            store(states[c], t, history, t % size, weight, want_quantiles)
