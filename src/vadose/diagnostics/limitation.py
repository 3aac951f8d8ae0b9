"""What limits evaporation, how deep the soil takes part, and the root zone that follows from both (M-T2.3, part B).

Regimes of evaporative fraction against moisture after Seneviratne et al. 2010, doi:10.1016/j.earscirev.2010.02.004; the depth that
takes part by the storage argument of Akbar et al. 2018, doi:10.1029/2018WR023629. The combined root-zone estimate is vadose's own.
"""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from numba import njit

from vadose import cf, units
from vadose.diagnostics.pentads import along_time
from vadose.errors import VadoseInputError
from vadose.physics.dielectric import check_moisture
from vadose.physics.exponential import exponential_filter

DEPTH_RANGE = (50.0, 3000.0)  # mm
STILL = 1e-10  # share of the whole variance: in a window with less, nothing changes but by rounding
REGIMES = ("dry", "transitional", "wet")


@njit(cache=True, nogil=True)
def _plateau(theta, ef, n, low, high):
    """Best plateau of a clip((theta - low) / (high - low), 0, 1) and the sum of squares."""
    top, bottom, total = 0.0, 0.0, 0.0
    for i in range(n):
        w = min(max((theta[i] - low) / (high - low), 0.0), 1.0)
        top += w * ef[i]
        bottom += w * w
        total += ef[i] * ef[i]
    a = top / bottom if bottom > 0 else 0.0
    return a, total - a * top


@njit(cache=True, nogil=True)
def _regimes(moisture, fraction, n_min, out):
    """out (cells, 10): lower, critical, plateau, their errors, n, BIC of the broken, constant and linear law."""
    for c in range(moisture.shape[0]):
        n = 0
        theta, ef = np.empty(moisture.shape[1]), np.empty(moisture.shape[1])
        for t in range(moisture.shape[1]):
            if not np.isnan(moisture[c, t]) and not np.isnan(fraction[c, t]):
                theta[n], ef[n] = moisture[c, t], fraction[c, t]
                n += 1
        out[c, 6] = n
        if n < n_min:
            continue
        least, most = theta[:n].min(), theta[:n].max()
        if most - least < 0.02:
            continue
        best, low, high = 1e300, 0.0, 0.0
        step_low = max(0.01, (most - max(least - 0.05, 0.0)) / 24.0)
        step_high = max(0.005, (most - least) / 60.0)
        w = max(least - 0.05, 0.0)
        while w < most - 0.01:
            h = max(w + 0.01, least + 0.005)
            while h <= most:
                _, cost = _plateau(theta, ef, n, w, h)
                if cost < best:
                    best, low, high = cost, w, h
                h += step_high
            w += step_low
        for _ in range(200):
            found = False
            for dw in (-1.0, 0.0, 1.0):
                for dh in (-1.0, 0.0, 1.0):
                    w, h = low + dw * step_low, high + dh * step_high
                    if w >= 0.0 and h > w + 0.002 and (dw != 0.0 or dh != 0.0):
                        _, cost = _plateau(theta, ef, n, w, h)
                        if cost < best - 1e-15:
                            best, low, high, found = cost, w, h, True
            if not found:
                step_low *= 0.5
                step_high *= 0.5
                if step_high < 1e-7:
                    break
        a, cost = _plateau(theta, ef, n, low, high)
        jtj = np.zeros((3, 3))
        row = np.empty(3)
        for i in range(n):
            x = (theta[i] - low) / (high - low)
            inside = 1.0 if 0.0 < x < 1.0 else 0.0
            row[0] = inside * a * (x - 1.0) / (high - low)
            row[1] = -inside * a * x / (high - low)
            row[2] = min(max(x, 0.0), 1.0)
            for u in range(3):
                for v in range(3):
                    jtj[u, v] += row[u] * row[v]
        out[c, 0], out[c, 1], out[c, 2] = low, high, a
        if abs(np.linalg.det(jtj)) > 1e-12:
            inverse = np.linalg.inv(jtj)
            for u in range(3):
                out[c, 3 + u] = math.sqrt(max(inverse[u, u] * cost / max(n - 3, 1), 0.0))
        mean_t, mean_e = theta[:n].mean(), ef[:n].mean()
        syy = ((ef[:n] - mean_e) ** 2).sum()
        sxy = ((theta[:n] - mean_t) * (ef[:n] - mean_e)).sum()
        sxx = ((theta[:n] - mean_t) ** 2).sum()
        out[c, 7] = n * math.log(max(cost, 1e-30) / n) + 3 * math.log(n)
        out[c, 8] = n * math.log(max(syy, 1e-30) / n) + math.log(n)
        out[c, 9] = n * math.log(max(syy - sxy * sxy / sxx, 1e-30) / n) + 2 * math.log(n)


_REGIME = (
    ("lower_point", "m3 m-3", "moisture below which nothing evaporates"),
    ("critical_point", "m3 m-3", "moisture above which evaporation is not limited by water"),
    ("plateau", "1", "evaporative fraction of moist soil"),
    ("lower_point_standard_error", "m3 m-3", "standard error of the lower point"),
    ("critical_point_standard_error", "m3 m-3", "standard error of the critical point"),
    ("plateau_standard_error", "1", "standard error of the plateau"),
    ("n", "1", "number of pairs"),
    ("bic_broken", "1", "information criterion of the broken line"),
    ("bic_constant", "1", "information criterion of a constant"),
    ("bic_linear", "1", "information criterion of a straight line"),
)


@units.declare(soil_moisture="m3 m-3", evaporative_fraction="1")
def fit_regimes(soil_moisture: xr.DataArray, evaporative_fraction: xr.DataArray, *, n_min: int = 30) -> xr.Dataset:
    """Where evaporation turns from energy- to water-limited: EF = a clip((theta - lower) / (critical - lower), 0, 1).

    Both (time, ...). Returns the three parameters with standard errors, `n`, and the information criteria of the broken line, a
    constant and a straight line (`supported` where the broken line wins by more than 2). NaN with fewer than `n_min` pairs.
    VadoseInputError where most moisture exceeds 1 (percent).
    """
    check_moisture(soil_moisture)

    def kernel(theta, ef):
        shape = theta.shape
        flat = [
            np.ascontiguousarray(np.broadcast_to(a, shape).reshape(-1, shape[-1]), dtype=float) for a in (theta, ef)
        ]
        out = np.full((flat[0].shape[0], 10), np.nan)
        _regimes(flat[0], flat[1], n_min, out)
        return out.reshape(*shape[:-1], 10)

    values = along_time(kernel, soil_moisture, evaporative_fraction, output="part", size=10)
    out = xr.Dataset()
    for k, (name, unit, text) in enumerate(_REGIME):
        out[name] = values.isel(part=k, drop=True).assign_attrs(units=unit, long_name=text)
    other = xr.where(out["bic_constant"] < out["bic_linear"], out["bic_constant"], out["bic_linear"])
    out["supported"] = (out["bic_broken"] < other - 2.0).assign_attrs(long_name="broken line fits best")
    for name in ("lower_point", "critical_point", "plateau"):
        out = cf.link(out, name, f"{name}_standard_error")
    return cf.provenance(out, method="M-T2.3", references="doi:10.1016/j.earscirev.2010.02.004")


def regime(soil_moisture: xr.DataArray, limits: xr.Dataset) -> xr.DataArray:
    """0 dry (below the lower point), 1 transitional, 2 wet (above the critical point); NaN where moisture is missing."""
    out = (soil_moisture > limits["lower_point"]) * 1.0 + (soil_moisture > limits["critical_point"]) * 1.0
    valid = soil_moisture.notnull() & limits["critical_point"].notnull()
    return out.where(valid).assign_attrs(units="1", flag_values=np.arange(3), flag_meanings=" ".join(REGIMES))


def coupling(
    soil_moisture: xr.DataArray, evaporative_fraction: xr.DataArray, limits: xr.Dataset, *, window: int = 30
) -> xr.Dataset:
    """Rolling correlation of evaporative fraction with moisture over `window` days, and r^2 over all water-limited days.

    Both daily (time, ...). Returns `correlation` (time, ...) [1], NaN with fewer than half a window of pairs or where one does not
    change, and `coupling_strength` (...) [1].
    """
    limited = soil_moisture < limits["critical_point"]
    x, y = soil_moisture.where(evaporative_fraction.notnull()), evaporative_fraction.where(soil_moisture.notnull())
    x, y = (v.astype(float) - v.astype(float).mean("time") for v in (x, y))  # squares of departures keep their digits

    def smooth(array):
        return array.rolling(time=window, center=True, min_periods=window // 2).mean()

    mx, my = smooth(x), smooth(y)
    cov = smooth(x * y) - mx * my
    variances = [(smooth(v**2) - m**2, v.var("time")) for v, m in ((x, mx), (y, my))]
    varies = [part.where(part > STILL * whole) for part, whole in variances]
    correlation = (cov / (varies[0] * varies[1]) ** 0.5).transpose(*soil_moisture.dims)
    out = xr.Dataset({"correlation": correlation.assign_attrs(units="1")})
    out["coupling_strength"] = (xr.corr(x.where(limited), y.where(limited), dim="time") ** 2).assign_attrs(units="1")
    return out


@njit(cache=True, nogil=True)
def _depths(theta, demand, rain, limit, error, least, low, high, out):
    for c in range(theta.shape[0]):
        k, t, n = 0, 0, theta.shape[1]
        while t < n:
            s, water = t, 0.0
            while (
                t + 1 < n
                and rain[c, t + 1] <= 0.1
                and theta[c, t] < limit[c, 0]
                and theta[c, t + 1] <= theta[c, t]
                and not np.isnan(demand[c, t + 1])
            ):
                water += demand[c, t + 1]
                t += 1
            if t - s + 1 >= least:
                fall = theta[c, s] - theta[c, t]
                if fall > 2.0 * error * math.sqrt(2.0) and fall > 0.0 and k < out.shape[1]:
                    depth = water / fall
                    if low <= depth <= high:
                        out[c, k, 0], out[c, k, 1] = s, depth
                        k += 1
            t += 1


@units.declare(soil_moisture="m3 m-3")
def active_depth(
    soil_moisture: xr.DataArray,
    evapotranspiration: xr.DataArray,
    precipitation: xr.DataArray,
    critical_point: xr.DataArray | float,
    *,
    error: float = 0.01,
    least: int = 4,
    surface_share: float = 0.0,
) -> xr.Dataset:
    """Depth of soil [mm] whose loss of moisture balances evaporation in rain-free, water-limited spells.

    depth = sum of ET (less `surface_share` of it) / fall of moisture, where the fall exceeds 2 sqrt(2) `error`; results outside 50 to
    3000 mm are dropped. ET of a day empties the soil by the end of that day. Returns `active_depth` (season, ...) as median with
    quartiles `active_depth_low`, `active_depth_high`, and the number of spells `n`. Fluxes in any unit of a water flux.
    """
    et = units.convert(evapotranspiration, "mm d-1") * (1.0 - surface_share)
    rain = units.convert(precipitation, "mm d-1")
    limit = xr.zeros_like(soil_moisture) + critical_point
    most = max(soil_moisture.sizes["time"] // least, 1)
    season = soil_moisture.time.dt.month.values % 12 // 3

    def kernel(theta, water, wet, top):
        shape = theta.shape
        flat = [
            np.ascontiguousarray(np.broadcast_to(a, shape).reshape(-1, shape[-1]), dtype=float)
            for a in (theta, water, wet, top)
        ]
        rows = np.full((flat[0].shape[0], most, 2), np.nan)
        _depths(flat[0], flat[1], flat[2], flat[3], float(error), least, DEPTH_RANGE[0], DEPTH_RANGE[1], rows)
        out = np.full((rows.shape[0], 4, 4), np.nan)
        for c, spells in enumerate(rows):
            good = spells[np.isfinite(spells[:, 0])]
            where = season[good[:, 0].astype(int)]
            for k in range(4):
                part = good[where == k, 1]
                out[c, k, 3] = part.size
                if part.size:
                    out[c, k, :3] = np.quantile(part, [0.5, 0.25, 0.75])
        return out.reshape(*shape[:-1], 16)

    values = along_time(kernel, soil_moisture, et, rain, limit, output="part", size=16)
    names = ("active_depth", "active_depth_low", "active_depth_high", "n")
    out = xr.Dataset()
    for i, name in enumerate(names):
        part = values.isel(part=slice(i, None, 4)).rename(part="season").transpose("season", ...)
        out[name] = part.assign_attrs(units="1" if name == "n" else "mm")
    out = out.assign_coords(season=["DJF", "MAM", "JJA", "SON"])
    return cf.provenance(out, method="M-T2.3", references="doi:10.1029/2018WR023629")


def coupled_root_zone(
    surface: xr.DataArray,
    evaporative_fraction: xr.DataArray,
    limits: xr.Dataset,
    *,
    depth: float,
    potential_evaporation: float,
    fraction_error: float = 0.08,
) -> xr.Dataset:
    """Root-zone moisture of one series (time): from evaporation where water limits it, from the surface's memory elsewhere.

    While EF is below its plateau, wetness W = EF / a gives theta = lower + W (critical - lower), smoothed over
    T = depth (critical - lower) / `potential_evaporation` ([mm], [mm d-1]). The soil water index of `surface`, mapped by quantiles to what
    evaporation says, fills the rest; both are combined by inverse variance. Where water does not limit, nothing fixes the level: the
    standard error then also holds the distance between the mapped and the plain memory. Returns `soil_moisture`, its standard error
    and the `regime`.
    """
    cf.check_time(surface)
    if surface.ndim != 1:
        raise VadoseInputError(
            f"coupled_root_zone takes one series (time); got {surface.dims}. Use .groupby or a loop over cells"
        )
    low, high, a = (float(limits[n]) for n in ("lower_point", "critical_point", "plateau"))
    if not np.isfinite([low, high, a]).all():
        raise VadoseInputError("the limits are missing; fit_regimes found too few pairs")
    scale = min(max(depth * (high - low) / potential_evaporation, 1.0), 60.0)
    wetness = (evaporative_fraction / a).clip(0.0, 1.0)
    by_energy = low + wetness * (high - low)
    smooth = exponential_filter(by_energy, scale, minimum_quality=0.0).soil_water_index.where(by_energy.notnull())
    limited = wetness < 0.97
    noise = (high - low) * fraction_error / a
    departure = (by_energy - smooth).where(limited)  # noise of single days, and what the slow filter misses
    lag = max(float((departure**2).mean()) - noise**2, 0.0)
    sigma_energy = math.sqrt(noise**2 / (2.0 * scale) + lag)
    memory = exponential_filter(surface, scale, minimum_quality=0.0).soil_water_index
    both = (limited & smooth.notnull() & memory.notnull()).values
    if both.sum() < 20:
        raise VadoseInputError(f"{int(both.sum())} days are water-limited with both estimates; at least 20 are needed")
    shares = np.linspace(0.02, 0.98, 25)
    x, y = np.quantile(memory.values[both], shares), np.quantile(smooth.values[both], shares)
    gain = (y[-1] - y[0]) / max(x[-1] - x[0], 1e-9)
    mapped = np.interp(memory, x, y) + gain * np.where(
        memory > x[-1], memory - x[-1], np.where(memory < x[0], memory - x[0], 0.0)
    )
    mapped = memory.copy(data=mapped).where(memory.notnull())
    sigma_memory = max(float((mapped - smooth).where(limited).std()), 1e-4)
    w_energy = (limited & smooth.notnull()) / sigma_energy**2
    doubt = (mapped - memory).where(~(limited & smooth.notnull()), 0.0)  # nothing fixes the level where energy limits
    w_memory = (mapped.notnull() / (sigma_memory**2 + doubt**2)).fillna(0.0)
    total = w_energy + w_memory
    theta = (smooth.fillna(0.0) * w_energy + mapped.fillna(0.0) * w_memory) / total.where(total > 0)
    out = xr.Dataset({"soil_moisture": cf.describe(theta, "soil_moisture", long_name="root-zone soil moisture")})
    out["soil_moisture_standard_error"] = (1.0 / total.where(total > 0) ** 0.5).assign_attrs(units="m3 m-3")
    out["regime"] = regime(theta, limits)
    out = cf.link(out, "soil_moisture", "soil_moisture_standard_error", "regime")
    return cf.provenance(out, method="M-T2.3", params={"time_scale": scale})
