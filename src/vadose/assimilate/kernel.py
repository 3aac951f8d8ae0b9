"""The compiled loop of a filter: every cell on its own, all days and members in one pass (M-T1.5).

Luck is drawn from a stream that belongs to the cell (a hash of seed and place), so that results do not depend on how the
map is cut into chunks. The history of the last `lag` days rides along as state, which makes the filter a fixed-lag smoother.

Rows of the history: 0 soil moisture of layer 1, 1 of layer 2, 2 irrigation [mm], 3 bias of observation 1.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from vadose.physics.bucket import day

OPEN_LOOP, SQUARE_ROOT, STOCHASTIC, PARTICLE = range(4)
ROWS = 4
COLLAPSED = 1e-4
FLAG_COLLAPSED, FLAG_BOUNDED, FLAG_FROZEN = 1, 2, 4


@njit(cache=True, nogil=True)
def _uniform(stream):
    """A number in (0, 1) from a SplitMix64 stream (Steele et al. 2014, doi:10.1145/2660193.2660195)."""
    stream[0] += np.uint64(0x9E3779B97F4A7C15)
    z = stream[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (np.float64(z >> np.uint64(11)) + 0.5) / 9007199254740992.0


@njit(cache=True, nogil=True)
def _normals(stream):
    """Two standard normal numbers (Box and Muller)."""
    r = np.sqrt(-2.0 * np.log(_uniform(stream)))
    a = 2.0 * np.pi * _uniform(stream)
    return r * np.cos(a), r * np.sin(a)


@njit(cache=True, nogil=True)
def _reflect(value, low, high):
    if value < low:
        value = min(2.0 * low - value, high)
    if value > high:
        value = max(2.0 * high - value, low)
    return value


@njit(cache=True, nogil=True)
def _regress(history, seen, weight, y, r, method, stream, center, spread):
    """Square-root or stochastic update of all rows of all days kept: history (day, row, member)."""
    days, rows, members = history.shape
    gain0 = 1.0 / (spread + r)
    alpha = 1.0 / (1.0 + np.sqrt(r * gain0))
    noise = np.zeros(members)
    if method == STOCHASTIC:
        total = 0.0
        for m in range(members):
            noise[m] = _normals(stream)[0] * np.sqrt(r)
            total += noise[m]
        for m in range(members):
            noise[m] -= total / members
    for d in range(days):
        for k in range(rows):
            cross = 0.0
            for m in range(members):
                cross += history[d, k, m] * (seen[m] - center)
            if cross == 0.0:
                continue
            gain = cross / (members - 1) * gain0
            for m in range(members):
                if method == STOCHASTIC:
                    history[d, k, m] += gain * (y + noise[m] - seen[m])
                else:
                    history[d, k, m] += gain * (y - center) - alpha * gain * (seen[m] - center)


@njit(cache=True, nogil=True)
def _resample(history, storage, weight, stream, jitter, spare):
    """Systematic resampling of all that belongs to a particle; survivors of a copy get a jitter."""
    days, rows, members = history.shape
    comb = _uniform(stream) / members
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
    for k in range(storage.shape[0]):
        for m in range(members):
            spare[m] = storage[k, ancestor[m]]
        storage[k] = spare
    weight[:] = 1.0 / members
    return ancestor


@njit(cache=True, nogil=True)
def _store(out, t, history, slot, weight, members, want_quantiles, spare, chance_above):
    """Weighted mean, spread, 5 and 95 % quantiles of the day kept in `slot`, into row `t` of `out` (day, number)."""
    for k in range(2):
        mean = 0.0
        for m in range(members):
            mean += weight[m] * history[slot, k, m]
        second = 0.0
        for m in range(members):
            second += weight[m] * (history[slot, k, m] - mean) ** 2
        out[t, k], out[t, 2 + k] = mean, np.sqrt(second * members / (members - 1))
        if want_quantiles:
            order = np.argsort(history[slot, k])
            total, low, high = 0.0, False, False
            for i in range(members):
                before = total
                total += weight[order[i]]
                if not low and total >= 0.05:
                    out[t, 4 + k], low = history[slot, k, order[i]], True
                if not high and (total >= 0.95 or before >= 0.95):
                    out[t, 6 + k], high = history[slot, k, order[i]], True
    amount, chance, bias = 0.0, 0.0, 0.0
    for m in range(members):
        amount += weight[m] * history[slot, 2, m]
        bias += weight[m] * history[slot, 3, m]
        if history[slot, 2, m] > chance_above:
            chance += weight[m]
    out[t, 8], out[t, 9], out[t, 10] = amount, chance, bias


#: Columns of `states` (cell, day, column).
STATES = ("mean1", "mean2", "sd1", "sd2", "low1", "low2", "high1", "high2", "irrigation", "irrigation_chance", "bias")
#: Columns of `fluxes` (cell, day, column): mm per day but for innovations, their errors and the flag.
FLUXES = ("water", "et", "runoff", "drainage", "increment", "innovation1", "innovation2", "error1", "error2", "flag")


@njit(cache=True, nogil=True)
def run(
    rain, demand, frozen, irrigated, observed, variance, operator, key, start, start_sd, soil, parameter_sd, depth1, depth2,
    members, method, lag, noise, inflation, jitter, want_quantiles, states, fluxes,
):  # fmt: skip
    """Filter all cells: rain, demand (cell, day) [mm d-1]; observed, variance (cell, day, 2); soil (cell, 9 parameters).

    `noise`: rain cv, rain memory, chance of a missed event, its mean [mm], demand cv, sd of layer 1 and 2 [m3 m-3 d-1/2],
    chance of irrigation a day, its mean [mm], sd of the bias at the start and its drift a day.
    """
    cells, days = rain.shape
    size = lag + 1
    history = np.zeros((size, ROWS, members))
    own = np.zeros((4, members))  # field capacity, log10 conductivity factor, infiltration shape, memory of rain error
    seen, spare, weight = np.zeros(members), np.zeros(members), np.zeros(members)
    stream = np.zeros(1, np.uint64)
    cv, memory, miss, miss_mean, demand_cv, sd1, sd2, chance, amount, bias_sd, bias_drift = noise
    log_sd = np.sqrt(np.log(1.0 + cv * cv))
    root = np.sqrt(max(1.0 - memory * memory, 0.0))
    for c in range(cells):
        stream[0] = key[c]
        porosity, fc, wp, crit, ks, b, residual, beta, share = soil[c]
        power = 2.0 * b + 3.0
        max1, max2, res1, res2 = porosity * depth1, porosity * depth2, residual * depth1, residual * depth2
        weight[:] = 1.0 / members
        history[:] = 0.0
        for m in range(members):
            z1, z2 = _normals(stream)
            z3, z4 = _normals(stream)
            z5, z6 = _normals(stream)
            history[0, 0, m] = _reflect(start[c, 0] + start_sd * z1, residual, porosity)
            history[0, 1, m] = _reflect(start[c, 1] + start_sd * z2, residual, porosity)
            history[0, 3, m] = bias_sd * z3
            own[0, m] = min(max(fc + parameter_sd[0] * z4, crit + 1e-3), porosity - 1e-3)
            own[1, m] = ks * 10.0 ** (parameter_sd[1] * z5)
            own[2, m] = max(beta + parameter_sd[2] * z6, 0.1)
            own[3, m] = _normals(stream)[0]
        for t in range(days):
            now, before = t % size, (t - 1) % size
            if t == 0:
                before = 0
            flag = 0
            water = et = runoff = drainage = increment = 0.0
            for m in range(members):
                s1, s2 = history[before, 0, m] * depth1, history[before, 1, m] * depth2
                z1, z2 = _normals(stream)
                z3, z4 = _normals(stream)
                own[3, m] = memory * own[3, m] + root * z1
                p = rain[c, t]
                if cv > 0.0:
                    p *= np.exp(log_sd * own[3, m] - 0.5 * log_sd * log_sd)
                if miss > 0.0 and _uniform(stream) < miss:
                    p -= miss_mean * np.log(_uniform(stream))
                added = 0.0
                if irrigated[c, t] and chance > 0.0 and _uniform(stream) < chance:
                    added = -amount * np.log(_uniform(stream))
                e = demand[c, t] * max(1.0 + demand_cv * z2, 0.0)
                w = weight[m]
                if frozen[c, t]:
                    runoff += w * (p + added)
                else:
                    s1, s2, a, q, d = day(
                        s1, s2, p + added, e, max1, max2, own[0, m] * depth1, own[0, m] * depth2, res1, res2, wp, crit,
                        own[1, m], power, own[2, m], share, depth1, depth2,
                    )  # fmt: skip
                    et += w * a
                    runoff += w * q
                    drainage += w * d
                    physical = s1 + s2
                    th1 = _reflect(s1 / depth1 + sd1 * z3, residual, porosity)
                    th2 = _reflect(s2 / depth2 + sd2 * z4, residual, porosity)
                    s1, s2 = th1 * depth1, th2 * depth2
                    increment += w * (s1 + s2 - physical)
                water += w * (p + added)
                carried = history[before, 3, m]
                if bias_drift > 0.0:
                    carried += bias_drift * _normals(stream)[0]
                history[now, 0, m], history[now, 1, m] = s1 / depth1, s2 / depth2
                history[now, 2, m], history[now, 3, m] = added, carried
            prior = 0.0
            for m in range(members):
                prior += weight[m] * (history[now, 0, m] * depth1 + history[now, 1, m] * depth2)
            updated = False
            for k in range(2):
                fluxes[c, t, 5 + k] = np.nan
                fluxes[c, t, 7 + k] = np.nan
                y, r = observed[c, t, k], variance[c, t, k]
                if not np.isfinite(y) or frozen[c, t]:
                    continue
                center = 0.0
                for m in range(members):
                    seen[m] = operator[k, 0] * history[now, 0, m] + operator[k, 1] * history[now, 1, m]
                    if k == 0:
                        seen[m] += history[now, 3, m]
                    center += weight[m] * seen[m]
                spread = 0.0
                for m in range(members):
                    spread += weight[m] * (seen[m] - center) ** 2
                spread *= members / (members - 1.0)
                if method != OPEN_LOOP and np.sqrt(spread) < COLLAPSED and sd1 > 0.0:
                    flag |= FLAG_COLLAPSED
                    for m in range(members):
                        z1, z2 = _normals(stream)
                        history[now, 0, m] = _reflect(history[now, 0, m] + 10 * COLLAPSED * z1, residual, porosity)
                        history[now, 1, m] = _reflect(history[now, 1, m] + 3 * COLLAPSED * z2, residual, porosity)
                        seen[m] = operator[k, 0] * history[now, 0, m] + operator[k, 1] * history[now, 1, m]
                fluxes[c, t, 5 + k] = y - center
                fluxes[c, t, 7 + k] = np.sqrt(spread + r)
                if method == OPEN_LOOP:
                    continue
                if not updated and inflation != 1.0 and method != PARTICLE:
                    for row in range(2):
                        mean = 0.0
                        for m in range(members):
                            mean += history[now, row, m] / members
                        for m in range(members):
                            history[now, row, m] = mean + inflation * (history[now, row, m] - mean)
                    center, spread = 0.0, 0.0
                    for m in range(members):
                        seen[m] = operator[k, 0] * history[now, 0, m] + operator[k, 1] * history[now, 1, m]
                        if k == 0:
                            seen[m] += history[now, 3, m]
                        center += seen[m] / members
                    for m in range(members):
                        spread += (seen[m] - center) ** 2 / (members - 1.0)
                updated = True
                if method == PARTICLE:
                    best = np.inf
                    for m in range(members):
                        seen[m] = 0.5 * (y - seen[m]) ** 2 / r
                        best = min(best, seen[m])
                    total = 0.0
                    for m in range(members):
                        weight[m] *= np.exp(best - seen[m])
                        total += weight[m]
                    for m in range(members):
                        weight[m] /= total
                else:
                    _regress(history, seen, weight, y, r, method, stream, center, spread)
            if updated and method == PARTICLE:
                square = 0.0
                for m in range(members):
                    square += weight[m] * weight[m]
                if 1.0 / square < members / 2.0:
                    _resample(history, own, weight, stream, jitter, spare)
                    for m in range(members):
                        z1, z2 = _normals(stream)
                        history[now, 0, m] += jitter * z1
                        history[now, 1, m] += 0.3 * jitter * z2
            if updated:
                for d in range(size):
                    if method == PARTICLE and d != now:
                        continue
                    for m in range(members):
                        for k in range(2):
                            v = _reflect(history[d, k, m], residual, porosity)
                            if v != history[d, k, m]:
                                history[d, k, m] = v
                                flag |= FLAG_BOUNDED
                        history[d, 2, m] = max(history[d, 2, m], 0.0)
                after = 0.0
                for m in range(members):
                    after += weight[m] * (history[now, 0, m] * depth1 + history[now, 1, m] * depth2)
                increment += after - prior
            if frozen[c, t]:
                flag |= FLAG_FROZEN
            fluxes[c, t, 0], fluxes[c, t, 1], fluxes[c, t, 2] = water, et, runoff
            fluxes[c, t, 3], fluxes[c, t, 4], fluxes[c, t, 9] = drainage, increment, flag
            if t >= lag:
                _store(states[c], t - lag, history, (t - lag) % size, weight, members, want_quantiles, spare, 1.0)
        for t in range(max(days - lag, 0), days):
            _store(states[c], t, history, t % size, weight, members, want_quantiles, spare, 1.0)
