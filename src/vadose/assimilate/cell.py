"""One cell of the ensemble, compiled: its luck, a day's forecast, what an instrument sees, an update, what is kept (M-T1.5).

Rows of the history (day kept, row, member): 0 soil moisture of layer 1, 1 of layer 2, 2 irrigation [mm], 3 bias of observation 1.
Rows of `own`, what a member keeps: field capacity, conductivity [mm d-1], infiltration shape, memory of the rain error.
Rows of `luck`, a day's: normal numbers for rain, demand, layer 1, layer 2; missed rain [mm], irrigation [mm], normal number for the bias.
`noise` is `vadose.assimilate.Perturbation` in its order, `soil` the nine parameters in the order of `SOIL`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from vadose.physics.bucket import day

OPEN_LOOP, SQUARE_ROOT, STOCHASTIC, PARTICLE = range(4)
ROWS, OWN, LUCK = 4, 4, 7
SOIL = (
    "porosity", "field_capacity", "wilting_point", "critical_point", "conductivity", "exponent", "residual",
    "infiltration_shape", "surface_share",
)  # fmt: skip
#: Columns of `states` (cell, day, column).
STATES = ("mean1", "mean2", "sd1", "sd2", "low1", "low2", "high1", "high2", "irrigation", "irrigation_chance", "bias")
#: Columns of `fluxes` (cell, day, column): mm per day but for innovations, their errors, the flag and the inflation.
FLUXES = (
    "water", "et", "runoff", "drainage", "increment", "innovation1", "innovation2", "error1", "error2", "flag", "inflation1",
    "inflation2",
)  # fmt: skip


@njit(cache=True, nogil=True)
def uniform(stream):
    """A number in (0, 1) from a SplitMix64 stream (Steele et al. 2014, doi:10.1145/2660193.2660195)."""
    stream[0] += np.uint64(0x9E3779B97F4A7C15)
    z = stream[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (np.float64(z >> np.uint64(11)) + 0.5) / 9007199254740992.0


@njit(cache=True, nogil=True)
def normals(stream):
    """Two standard normal numbers (Box and Muller)."""
    r = np.sqrt(-2.0 * np.log(uniform(stream)))
    a = 2.0 * np.pi * uniform(stream)
    return r * np.cos(a), r * np.sin(a)


@njit(cache=True, nogil=True)
def reflect(value, low, high):
    if value < low:
        value = min(2.0 * low - value, high)
    if value > high:
        value = max(2.0 * high - value, low)
    return value


@njit(cache=True, nogil=True)
def start_member(history, own, m, z, start, start_sd, soil, parameter_sd, bias_sd):
    """State and parameters of one member of a cell from seven normal numbers `z`."""
    porosity, fc, _, crit, ks, _, residual, beta, _ = soil
    history[0, 0, m] = reflect(start[0] + start_sd * z[0], residual, porosity)
    history[0, 1, m] = reflect(start[1] + start_sd * z[1], residual, porosity)
    history[0, 3, m] = bias_sd * z[2]
    own[0, m] = min(max(fc + parameter_sd[0] * z[3], crit + 1e-3), porosity - 1e-3)
    own[1, m] = ks * 10.0 ** (parameter_sd[1] * z[4])
    own[2, m] = max(beta + parameter_sd[2] * z[5], 0.1)
    own[3, m] = z[6]


@njit(cache=True, nogil=True)
def forecast(history, own, weight, luck, before, now, rain, demand, frozen, soil, depth1, depth2, noise, fluxes):
    """All members of a cell from the slot of yesterday to that of today; water, ET, runoff, drainage, increment into `fluxes`."""
    cv, memory, _, _, demand_cv, sd1, sd2, _, _, _, bias_drift = noise
    log_sd = np.sqrt(np.log(1.0 + cv * cv))
    root = np.sqrt(max(1.0 - memory * memory, 0.0))
    porosity, _, wp, crit, _, b, residual, _, share = soil
    power = 2.0 * b + 3.0
    max1, max2, res1, res2 = porosity * depth1, porosity * depth2, residual * depth1, residual * depth2
    water = et = runoff = drainage = increment = 0.0
    for m in range(luck.shape[1]):
        s1, s2 = history[before, 0, m] * depth1, history[before, 1, m] * depth2
        own[3, m] = memory * own[3, m] + root * luck[0, m]
        p = rain
        if cv > 0.0:
            p *= np.exp(log_sd * own[3, m] - 0.5 * log_sd * log_sd)
        p += luck[4, m]
        added = luck[5, m]
        e = demand * max(1.0 + demand_cv * luck[1, m], 0.0)
        w = weight[m]
        if frozen:
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
            th1 = reflect(s1 / depth1 + sd1 * luck[2, m], residual, porosity)
            th2 = reflect(s2 / depth2 + sd2 * luck[3, m], residual, porosity)
            s1, s2 = th1 * depth1, th2 * depth2
            increment += w * (s1 + s2 - physical)
        water += w * (p + added)
        history[now, 0, m], history[now, 1, m] = s1 / depth1, s2 / depth2
        history[now, 2, m], history[now, 3, m] = added, history[before, 3, m] + bias_drift * luck[6, m]
    fluxes[0], fluxes[1], fluxes[2], fluxes[3], fluxes[4] = water, et, runoff, drainage, increment


@njit(cache=True, nogil=True)
def look(seen, history, now, operator, k, weight):
    """What the members say observation `k` sees, into `seen`; their mean and variance."""
    center, spread = 0.0, 0.0
    for m in range(seen.size):
        seen[m] = operator[k, 0] * history[now, 0, m] + operator[k, 1] * history[now, 1, m]
        if k == 0:
            seen[m] += history[now, 3, m]
        center += weight[m] * seen[m]
    for m in range(seen.size):
        spread += weight[m] * (seen[m] - center) ** 2
    return center, spread * (seen.size / (seen.size - 1.0))


@njit(cache=True, nogil=True)
def storage(history, now, weight, depth1, depth2):
    """Mean water of both layers [mm]."""
    total = 0.0
    for m in range(weight.size):
        total += weight[m] * (history[now, 0, m] * depth1 + history[now, 1, m] * depth2)
    return total


@njit(cache=True, nogil=True)
def regress(history, seen, y, r, method, stream, center, spread):
    """Square-root or stochastic update of all rows of all days kept: history (day, row, member)."""
    days, rows, members = history.shape
    gain0 = 1.0 / (spread + r)
    alpha = 1.0 / (1.0 + np.sqrt(r * gain0))
    noise = np.zeros(members)
    if method == STOCHASTIC:
        total = 0.0
        for m in range(members):
            noise[m] = normals(stream)[0] * np.sqrt(r)
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
def bound(history, day, residual, porosity):
    """Reflect a day's members into the soil's limits; true where one had left them."""
    left = False
    for m in range(history.shape[2]):
        for k in range(2):
            v = reflect(history[day, k, m], residual, porosity)
            if v != history[day, k, m]:
                history[day, k, m] = v
                left = True
        history[day, 2, m] = max(history[day, 2, m], 0.0)
    return left


@njit(cache=True, nogil=True)
def store(out, t, history, slot, weight, want_quantiles):
    """Weighted mean, spread, 5 and 95 % quantiles of the day kept in `slot`, into row `t` of `out` (day, number)."""
    members = weight.size
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
        if history[slot, 2, m] > 1.0:
            chance += weight[m]
    out[t, 8], out[t, 9], out[t, 10] = amount, chance, bias
