"""How soil dries between rains: drydowns and their exponential law (M-T2.3, part B; McColl et al. 2017, doi:10.1038/ngeo2868)."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from numba import njit

from vadose import cf, units
from vadose.diagnostics.pentads import along_time
from vadose.physics.dielectric import check_moisture

RAIN = 2.0  # mm d-1, more than this ends a drydown
TAU = (0.1, 100.0)  # d
LARGEST = 0.6  # m3 m-3, bound of amplitude and of the lower limit


@njit(cache=True, nogil=True)
def _line(x, y, n):
    """Amplitude and lower limit of y = amplitude * x + limit in their bounds, and the sum of squares."""
    sx, sy, sxx, sxy = 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        sx += x[i]
        sy += y[i]
        sxx += x[i] * x[i]
        sxy += x[i] * y[i]
    det = n * sxx - sx * sx
    slope = (n * sxy - sx * sy) / det if det > 1e-14 * n * sxx else 0.0
    slope = min(max(slope, 0.0), 0.6)
    start = (sy - slope * sx) / n
    if start < 0.0 or start > 0.6:
        start = min(max(start, 0.0), 0.6)
        slope = min(max((sxy - start * sx) / sxx if sxx > 0 else 0.0, 0.0), 0.6)
    cost = 0.0
    for i in range(n):
        e = y[i] - slope * x[i] - start
        cost += e * e
    return slope, start, cost


@njit(cache=True, nogil=True)
def _decay_cost(log_tau, t, y, n, x):
    tau = math.exp(log_tau)
    for i in range(n):
        x[i] = math.exp(-t[i] / tau)
    return _line(x, y, n)


@njit(cache=True, nogil=True)
def fit_decay(t, y):
    """Least squares of y = amplitude exp(-t / tau) + limit: amplitude, tau, limit, their standard errors, R^2."""
    n = t.size
    x = np.empty(n)
    low, high = math.log(0.1), math.log(100.0)
    best, at = 1e300, low
    for k in range(41):
        here = low + (high - low) * k / 40.0
        _, _, cost = _decay_cost(here, t, y, n, x)
        if cost < best:
            best, at = cost, here
    width = (high - low) / 40.0
    a, b = max(at - width, low), min(at + width, high)
    ratio = 0.5 * (math.sqrt(5.0) - 1.0)
    c, d = b - ratio * (b - a), a + ratio * (b - a)
    _, _, fc = _decay_cost(c, t, y, n, x)
    _, _, fd = _decay_cost(d, t, y, n, x)
    for _ in range(60):
        if fc <= fd:
            b, d, fd = d, c, fc
            c = b - ratio * (b - a)
            _, _, fc = _decay_cost(c, t, y, n, x)
        else:
            a, c, fc = c, d, fd
            d = a + ratio * (b - a)
            _, _, fd = _decay_cost(d, t, y, n, x)
    tau = math.exp(0.5 * (a + b))
    amplitude, limit, cost = _decay_cost(math.log(tau), t, y, n, x)
    mean = y.mean()
    total = ((y - mean) ** 2).sum()
    jtj = np.zeros((3, 3))
    row = np.empty(3)
    for i in range(n):
        row[0], row[1], row[2] = x[i], amplitude * x[i] * t[i] / (tau * tau), 1.0
        for u in range(3):
            for v in range(3):
                jtj[u, v] += row[u] * row[v]
    errors = np.full(3, np.nan)
    det = np.linalg.det(jtj)
    if det > 1e-18 and n > 3:
        inverse = np.linalg.inv(jtj)
        for u in range(3):
            errors[u] = math.sqrt(max(inverse[u, u] * cost / (n - 3), 0.0))
    r2 = 1.0 - cost / total if total > 0 else np.nan
    return amplitude, tau, limit, errors[0], errors[1], errors[2], r2


@njit(cache=True, nogil=True)
def _drydowns(theta, rain, days, error, least, good_fit, out):
    """out (cells, events, 9): first, last position, amplitude, tau, limit, three errors, R^2."""
    n = theta.shape[1]
    t, y = np.empty(n), np.empty(n)
    for c in range(theta.shape[0]):
        k, j, rise, previous = 0, 0, -1e9, np.nan
        while j < n:
            v = theta[c, j]
            if np.isnan(v):
                j += 1
                continue
            if not np.isnan(previous) and v - previous > 2.0 * error:
                rise = days[j]
            previous = v
            if days[j] - rise > 3.0:
                j += 1
                continue
            t[0], y[0], m, i, last = 0.0, v, 1, j + 1, j
            while i < n:
                if rain[c, i] > 2.0:
                    break
                w = theta[c, i]
                if not np.isnan(w):
                    if w > y[m - 1]:
                        break
                    t[m], y[m] = days[i] - days[j], w
                    last = i
                    m += 1
                i += 1
            if m >= least:
                fit = fit_decay(t[:m].copy(), y[:m].copy())
                if fit[6] > good_fit and k < out.shape[1]:
                    out[c, k, 0], out[c, k, 1] = j, last
                    for u in range(7):
                        out[c, k, 2 + u] = fit[u]
                    k += 1
                previous = y[m - 1]
                j = last + 1
            else:
                j += 1


_DRYDOWN = (
    ("amplitude", "m3 m-3", "moisture lost in the long run"),
    ("time_scale", "d", "e-folding time of the drydown"),
    ("lower_limit", "m3 m-3", "moisture that the drydown tends to"),
    ("amplitude_standard_error", "m3 m-3", "standard error of the amplitude"),
    ("time_scale_standard_error", "d", "standard error of the time scale"),
    ("lower_limit_standard_error", "m3 m-3", "standard error of the lower limit"),
    ("r_squared", "1", "share of variance that the fit explains"),
)


@units.declare(soil_moisture="m3 m-3")
def drydowns(
    soil_moisture: xr.DataArray,
    precipitation: xr.DataArray,
    *,
    error: float = 0.01,
    least: int = 4,
    good_fit: float = 0.7,
) -> xr.Dataset:
    """Drydowns of a series (time, ...) and the exponential law in each: theta = amplitude exp(-t / tau) + limit.

    A drydown starts within 3 days of a rise above twice the observation `error`, falls through at least `least` valid values,
    and ends with rain above 2 mm d-1 or any rise. `precipitation`: water flux, any unit of it. Fits with R^2 at or below
    `good_fit` are dropped; most values above 1 (percent) raise VadoseInputError. Returns (event, ...): `start`, `end`, the law's parameters with standard errors, `r_squared`.
    """
    cf.check_time(soil_moisture)
    check_moisture(soil_moisture)
    rain = units.convert(precipitation, "mm d-1")
    days = (soil_moisture.time.values - soil_moisture.time.values[0]) / np.timedelta64(1, "D")
    most = max(soil_moisture.sizes["time"] // least, 1)  # none shares a day with another

    def kernel(theta, water):
        shape = theta.shape
        flat = [
            np.ascontiguousarray(np.broadcast_to(a, shape).reshape(-1, shape[-1]), dtype=float) for a in (theta, water)
        ]
        out = np.full((flat[0].shape[0], most, 9), np.nan)
        _drydowns(flat[0], flat[1], days.astype(float), float(error), least, good_fit, out)
        return out.reshape(*shape[:-1], most * 9)

    flat = along_time(kernel, soil_moisture, rain, output="part", size=most * 9)
    parts = [flat.isel(part=slice(i, None, 9)).rename(part="event").transpose("event", ...) for i in range(9)]
    time = soil_moisture.time.values
    out = xr.Dataset()
    for name, position in zip(("start", "end"), parts[:2], strict=True):
        out[name] = xr.apply_ufunc(
            lambda p: np.where(np.isfinite(p), time[np.nan_to_num(p).astype(int)], np.datetime64("NaT", "ns")),
            position,
            dask="parallelized",
            output_dtypes=["datetime64[ns]"],
        )
    for (name, unit, text), values in zip(_DRYDOWN, parts[2:], strict=True):
        out[name] = values.assign_attrs(units=unit, long_name=text)
    out["count"] = parts[0].notnull().sum("event").assign_attrs(units="1", long_name="number of drydowns")
    return cf.provenance(out, method="M-T2.3", references="doi:10.1038/ngeo2868")
