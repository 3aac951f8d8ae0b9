"""The compiled loop of a filter whose cells learn from their neighbors: all cells of a grid a day at a time (M-T1.5).

An observation reaches a cell around it only through members that err alike in both, so the errors of weather, model and
soil are drawn as smooth fields here; those of irrigation and of the instrument's bias stay each cell's own. Every cell makes
its own analysis with all observations of its neighborhood, one after another, the errors of far ones grown (Hunt et al. 2007,
doi:10.1016/j.physd.2006.11.008). Keeps the ensembles of all cells: 8 kB a cell with 50 members, and 1.6 kB for each day of lag.
"""

from __future__ import annotations

from math import erf

import numpy as np
from numba import njit

from vadose.assimilate.cell import (
    LUCK,
    OWN,
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
)
from vadose.assimilate.kernel import FLAG_BOUNDED, FLAG_COLLAPSED, FLAG_FROZEN
from vadose.assimilate.spread import RELAX, deviation, prepare, relax, revive

START = 8  # normal numbers of a member at the start


@njit(cache=True, nogil=True)
def alike(z, spare, down, across):
    """Smooth white fields z (cell, member) in place: `down` (row, row) and `across` (column, column) are weights of unit norm."""
    rows, columns = down.shape[0], across.shape[0]
    spare[:] = 0.0
    for i in range(rows):
        for k in range(rows):
            if down[i, k] > 0.0:
                for j in range(columns):
                    for m in range(z.shape[1]):
                        spare[i * columns + j, m] += down[i, k] * z[k * columns + j, m]
    z[:] = 0.0
    for j in range(columns):
        for k in range(columns):
            if across[j, k] > 0.0:
                for i in range(rows):
                    for m in range(z.shape[1]):
                        z[i * columns + j, m] += across[j, k] * spare[i * columns + k, m]


@njit(cache=True, nogil=True)
def _share(number):
    """Probability below a normal number: a uniform one."""
    return 0.5 * (1.0 + erf(number / np.sqrt(2.0)))


@njit(cache=True, nogil=True)
def _draw(luck, missed, spare, streams, irrigated, noise, down, across):
    """A day's luck (row, cell, member) of all cells; `missed` (2, cell, member) holds numbers for the events that were missed."""
    _, _, miss, miss_mean, _, _, _, chance, amount, _, bias_drift = noise
    cells, members = spare.shape
    for c in range(cells):
        stream = streams[c : c + 1]
        for m in range(members):
            luck[0, c, m], luck[1, c, m] = normals(stream)
            luck[2, c, m], luck[3, c, m] = normals(stream)
            luck[4, c, m], luck[5, c, m], luck[6, c, m] = 0.0, 0.0, 0.0
            if miss > 0.0:
                missed[0, c, m], missed[1, c, m] = normals(stream)
            if irrigated[c] and chance > 0.0 and uniform(stream) < chance:
                luck[5, c, m] = -amount * np.log(uniform(stream))
            if bias_drift > 0.0:
                luck[6, c, m] = normals(stream)[0]
    for i in range(4):
        alike(luck[i], spare, down, across)
    if miss > 0.0:
        alike(missed[0], spare, down, across)
        alike(missed[1], spare, down, across)
        for c in range(cells):
            for m in range(members):
                if _share(missed[0, c, m]) < miss:
                    luck[4, c, m] = -miss_mean * np.log(_share(missed[1, c, m]))


@njit(cache=True, nogil=True)
def _gather(c, near, share, views, there, observed, variance, local, y, r):
    """What cell `c` can learn from: members' views (n, member), observations and grown variances of its neighborhood; how many."""
    n = 0
    for j in range(near.shape[1]):
        other = near[c, j]
        if other < 0:
            continue
        for k in range(2):
            if there[other, k]:
                local[n] = views[other, k]
                y[n], r[n] = observed[other, k], variance[other, k] / share[c, j]
                n += 1
    return n


@njit(cache=True, nogil=True)
def _learn(history, local, y, r, n, method, stream):
    """One cell and `n` observations, one after another; the views of those still to come are updated like states."""
    members = local.shape[2]
    for i in range(n):
        center, spread = 0.0, 0.0
        for m in range(members):
            center += local[0, i, m] / members
        for m in range(members):
            spread += (local[0, i, m] - center) ** 2 / (members - 1.0)
        regress(history, local[0, i], y[i], r[i], method, stream, center, spread)
        regress(local[:, i + 1 : n], local[0, i], y[i], r[i], method, stream, center, spread)


@njit(cache=True, nogil=True)
def _begin(history, own, spare, streams, start, start_sd, soil, parameter_sd, bias_sd, down, across, good):
    """States and parameters of all members of all cells."""
    cells, members = spare.shape
    z = np.zeros((START, cells, members))
    for c in range(cells):
        for m in range(members):
            for i in range(START // 2):
                z[2 * i, c, m], z[2 * i + 1, c, m] = normals(streams[c : c + 1])
    for i in range(START):
        if i != 2:  # the bias belongs to the instrument
            alike(z[i], spare, down, across)
    for c in range(cells):
        if good[c]:
            for m in range(members):
                start_member(history[c], own[c], m, z[:, c, m], start[c], start_sd, soil[c], parameter_sd, bias_sd)


@njit(cache=True, nogil=True)
def run(
    rain, demand, frozen, irrigated, observed, variance, operator, key, start, start_sd, soil, parameter_sd, depth1, depth2,
    members, method, lag, noise, rule, inflation, near, share, down, across, good, want_quantiles, states, fluxes,
):  # fmt: skip
    """Filter a grid, cells in the order of its rows: as `vadose.assimilate.kernel.run`, with neighbors.

    near (cell, n): numbers of the cells around, -1 where there is none; share (cell, n): their weights, 1 for the cell itself;
    down, across: see `alike`; good (cell,): cells without gaps in weather and soil, others stay untouched.
    """
    cells, days = rain.shape
    size = lag + 1
    history, own = np.zeros((cells, size, ROWS, members)), np.zeros((cells, OWN, members))
    luck, missed, spare = np.zeros((LUCK, cells, members)), np.zeros((2, cells, members)), np.zeros((cells, members))
    weight, seen, sums = np.full(members, 1.0 / members), np.zeros(members), np.zeros((cells, 2, 2))
    before, factor, flags = np.zeros((cells, 2)), np.ones((cells, 2)), np.zeros(cells, np.int64)
    views, there = np.zeros((cells, 2, members)), np.zeros((cells, 2), np.bool_)
    most = 2 * near.shape[1]
    local, y, r = np.zeros((1, most, members)), np.zeros(most), np.zeros(most)
    streams = key.copy()
    _begin(history, own, spare, streams, start, start_sd, soil, parameter_sd, noise[9], down, across, good)
    for t in range(days):
        now, yesterday = t % size, (t - 1) % size if t else 0
        _draw(luck, missed, spare, streams, irrigated[:, t], noise, down, across)
        for c in range(cells):  # forecast, and what it says of the cell's own observations
            there[c] = False
            if not good[c]:
                continue
            forecast(
                history[c], own[c], weight, luck[:, c], yesterday, now, rain[c, t], demand[c, t], frozen[c, t], soil[c], depth1,
                depth2, noise, fluxes[c, t],
            )  # fmt: skip
            fluxes[c, t, 5:] = np.nan
            flags[c] = FLAG_FROZEN if frozen[c, t] else 0
            factor[c] = 1.0
            before[c, 0], before[c, 1] = deviation(history[c], now, 0), deviation(history[c], now, 1)
            if frozen[c, t] or not (np.isfinite(observed[c, t, 0]) or np.isfinite(observed[c, t, 1])):
                continue
            wet = storage(history[c], now, weight, depth1, depth2)
            if noise[5] > 0.0 and revive(
                history[c], now, seen, observed[c, t], operator, weight, streams[c : c + 1], soil[c, 6], soil[c, 0]
            ):
                flags[c] |= FLAG_COLLAPSED
            prepare(
                history[c], now, weight, sums[c], observed[c, t], variance[c, t], operator, method, rule, inflation, seen, before[c],
                factor[c],
            )  # fmt: skip
            fluxes[c, t, 4] += storage(history[c], now, weight, depth1, depth2) - wet
            for k in range(2):
                if np.isfinite(observed[c, t, k]):
                    there[c, k] = True
                    center, spread = look(views[c, k], history[c], now, operator, k, weight)
                    fluxes[c, t, 5 + k] = observed[c, t, k] - center
                    fluxes[c, t, 7 + k] = np.sqrt(spread + variance[c, t, k])
        for c in range(cells):  # analysis
            if not good[c]:
                continue
            n = 0
            if not frozen[c, t]:
                n = _gather(c, near, share, views, there, observed[:, t], variance[:, t], local[0], y, r)
            if n:
                wet = storage(history[c], now, weight, depth1, depth2)
                _learn(history[c], local, y, r, n, method, streams[c : c + 1])
                if rule == RELAX:
                    relax(history[c], now, before[c], inflation[0], factor[c])
                for d in range(size):
                    if bound(history[c], d, soil[c, 6], soil[c, 0]):
                        flags[c] |= FLAG_BOUNDED
                fluxes[c, t, 4] += storage(history[c], now, weight, depth1, depth2) - wet
                fluxes[c, t, 10], fluxes[c, t, 11] = factor[c, 0], factor[c, 1]
            fluxes[c, t, 9] = flags[c]
            if t >= lag:
                store(states[c], t - lag, history[c], (t - lag) % size, weight, want_quantiles)
    for c in range(cells):
        if good[c]:
            for t in range(max(days - lag, 0), days):
                store(states[c], t, history[c], t % size, weight, want_quantiles)
