"""Does wet or dry soil call for rain? Morning profiles and the strength of the feedback (M-T2.4).

Convective triggering potential and low-level humidity: Findell and Eltahir 2003,
doi:10.1175/1525-7541(2003)004<0552:ACOSML>2.0.CO;2. Triggering and amplification: Findell et al. 2011, doi:10.1038/ngeo1174.
Class limits are recalled from the paper and arguments; look at them before you rely on a class.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numba import njit

from vadose import cf, units
from vadose.errors import DimensionError, TooFewSamplesError
from vadose.typing import Rng

CLASSES = ("stable", "too_wet", "too_dry", "wet_soil_advantage", "dry_soil_advantage", "transition")
_G, _CP, _L, _RD, _RV = 9.81, 1005.7, 2.5e6, 287.04, 461.5


@njit(cache=True, nogil=True)
def _saturation(temperature, pressure):
    c = temperature - 273.15
    e = 610.8 * np.exp(17.2693882 * c / (c + 237.3))
    return 0.622 * e / (pressure - 0.378 * e)


@njit(cache=True, nogil=True)
def _dewpoint(q, pressure):
    e = q * pressure / (0.622 + 0.378 * q)
    x = np.log(e / 610.8)
    return 237.3 * x / (17.2693882 - x) + 273.15


@njit(cache=True, nogil=True)
def _moist_slope(temperature, pressure):
    """dT / d ln p [K] along a moist adiabat."""
    q = _saturation(temperature, pressure)
    gamma = (
        _G / _CP * (1.0 + _L * q / (_RD * temperature)) / (1.0 + _L * _L * q / (_CP * _RV * temperature * temperature))
    )
    return _RD * temperature / _G * gamma


@njit(cache=True, nogil=True)
def _at(levels, values, pressure, widest):
    """Linear in pressure between valid levels (decreasing); NaN outside or across gaps wider than `widest` Pa."""
    for k in range(levels.size - 1):
        if levels[k] >= pressure >= levels[k + 1]:
            if levels[k] - levels[k + 1] > widest:
                return np.nan
            w = (levels[k] - pressure) / (levels[k] - levels[k + 1])
            return values[k] * (1.0 - w) + values[k + 1] * w
    return np.nan


@njit(cache=True, nogil=True)
def _column(p, t, q, surface, t_surface, q_surface, segments):
    levels, temperature, humidity = np.empty(p.size + 1), np.empty(p.size + 1), np.empty(p.size + 1)
    levels[0], temperature[0], humidity[0] = surface, t_surface, q_surface
    n = 1
    for k in range(p.size):
        if p[k] < surface and not np.isnan(t[k]) and not np.isnan(q[k]):
            levels[n], temperature[n], humidity[n] = p[k], t[k], q[k]
            n += 1
    levels, temperature, humidity = levels[:n], temperature[:n], humidity[:n]
    low, high = surface - 10000.0, surface - 30000.0
    widest = 10000.0 + 1e-6
    parcel = _at(levels, temperature, low, widest)
    step = (np.log(low) - np.log(high)) / segments
    total, previous, x = 0.0, 0.0, np.log(low)
    fine = 10
    for _ in range(segments):
        for _ in range(fine):
            h = -step / fine
            here = np.exp(x)
            k1 = _moist_slope(parcel, here)
            middle = np.exp(x + 0.5 * h)
            k2 = _moist_slope(parcel + 0.5 * h * k1, middle)
            parcel += h * k2
            x += h
        excess = parcel - _at(levels, temperature, np.exp(x), widest)
        total += 0.5 * (previous + excess) * step
        previous = excess
    hi = 0.0
    for depth in (5000.0, 15000.0):
        at = surface - depth
        hi += _at(levels, temperature, at, widest) - _dewpoint(_at(levels, humidity, at, widest), at)
    return _RD * total, hi


@njit(cache=True, nogil=True)
def _columns(p, t, q, surface, t_surface, q_surface, segments, out):
    for c in range(t.shape[0]):
        if np.isnan(surface[c]) or np.isnan(t_surface[c]) or np.isnan(q_surface[c]):
            continue
        out[c, 0], out[c, 1] = _column(p, t[c], q[c], surface[c], t_surface[c], q_surface[c], segments)


@units.declare(temperature="K", humidity="1", surface_pressure="Pa", surface_temperature="K", surface_humidity="1")
def ctp_hilow(
    temperature: xr.DataArray,
    humidity: xr.DataArray,
    surface_pressure: xr.DataArray,
    surface_temperature: xr.DataArray,
    surface_humidity: xr.DataArray,
    *,
    segments: int = 20,
    limits: tuple[float, float, float, float] = (5.0, 10.0, 15.0, 180.0),
) -> xr.Dataset:
    """How ready the morning air is for rain, and whether wet or dry soil would bring it.

    Parameters
    ----------
    temperature [K], humidity (specific, [1]) : (level, ...) of about 6 in the morning local time, with a coordinate `level` of
        pressure in Pa or hPa (by its units, hPa without). surface_* : (...), the lowest point of the profile.
    limits : humidity index [K] below which it is too wet, that parts wet from dry soil advantage, above which it is too dry, and the
        CTP [J kg-1] that dry-soil advantage needs.

    Returns
    -------
    Dataset: `ctp` [J kg-1], between 100 and 300 hPa above ground; `hi_low` [K], dewpoint depression at 50 and 150 hPa above ground;
    `convection_class` (flag values of `CLASSES`, -1 missing). NaN where 300 hPa above ground is not reached or levels are missing over
    more than 100 hPa. No standard error: that of the profile is the caller's. Lazy in, lazy out.
    """
    if "level" not in temperature.dims:
        raise DimensionError(f"temperature has no dimension 'level'; it has {temperature.dims}")
    level = temperature["level"]
    pressure = units.convert(level if "units" in level.attrs else level.assign_attrs(units="hPa"), "Pa").values.astype(
        float
    )
    order = np.argsort(-pressure)

    def kernel(t, q, ps, t0, q0):
        shape = t.shape[:-1]
        flat = [np.ascontiguousarray(a.reshape(-1, a.shape[-1])[:, order], dtype=float) for a in (t, q)]
        ground = [np.ascontiguousarray(np.broadcast_to(a, shape).reshape(-1), dtype=float) for a in (ps, t0, q0)]
        out = np.full((flat[0].shape[0], 2), np.nan)
        _columns(pressure[order], flat[0], flat[1], ground[0], ground[1], ground[2], segments, out)
        return out[:, 0].reshape(shape), out[:, 1].reshape(shape)

    arrays = [a.chunk(level=-1) if a.chunks is not None else a for a in (temperature, humidity)]
    ctp, hi = xr.apply_ufunc(
        kernel, *arrays, surface_pressure, surface_temperature, surface_humidity,
        input_core_dims=[["level"], ["level"], [], [], []], output_core_dims=[[], []], dask="parallelized", output_dtypes=[float, float],
    )  # fmt: skip
    out = xr.Dataset({
        "ctp": ctp.assign_attrs(units="J kg-1", long_name="convective triggering potential"),
        "hi_low": hi.assign_attrs(units="K", long_name="low-level humidity index"),
        "convection_class": convection_class(ctp, hi, limits),
    })  # fmt: skip
    return cf.provenance(out, method="M-T2.4", references="doi:10.1175/1525-7541(2003)004<0552:ACOSML>2.0.CO;2")


def convection_class(
    ctp: xr.DataArray, hi_low: xr.DataArray, limits: tuple[float, float, float, float] = (5.0, 10.0, 15.0, 180.0)
) -> xr.DataArray:
    """Number of the class in `CLASSES` for CTP [J kg-1] and HI_low [K]; -1 where either is missing."""
    wet, middle, dry, strong = limits
    out = xr.full_like(ctp, 5, dtype="int8")
    out = xr.where((hi_low >= middle) & (hi_low <= dry) & (ctp > strong), 4, out)
    out = xr.where((hi_low >= wet) & (hi_low < middle) & (ctp > 0), 3, out)
    out = xr.where(hi_low > dry, 2, out)
    out = xr.where(hi_low < wet, 1, out)
    out = xr.where(ctp < 0, 0, out)
    out = xr.where(ctp.notnull() & hi_low.notnull(), out, -1).astype("int8")
    return out.assign_attrs(flag_values=np.arange(6, dtype="int8"), flag_meanings=" ".join(CLASSES))


# --- feedback of evaporation on afternoon rain -------------------------------------------------------------------------------


def _slope_over_bins(fraction, outcome, bins):
    """Mean over equal-count bins of the local slope through each bin's and its neighbors' means."""
    edges = np.quantile(fraction, np.linspace(0, 1, bins + 1)[1:-1])
    index = np.digitize(fraction, edges)
    count = np.bincount(index, minlength=bins).astype(float)
    x = np.bincount(index, fraction, minlength=bins) / count
    y = np.bincount(index, outcome, minlength=bins) / count
    slopes = []
    for k in range(bins):
        part = slice(max(k - 1, 0), min(k + 2, bins))
        dx, dy = x[part] - x[part].mean(), y[part] - y[part].mean()
        slopes.append((dx @ dy) / (dx @ dx))
    return float(np.mean(slopes))


def feedback_strength(
    evaporative_fraction: np.ndarray | xr.DataArray,
    rain: np.ndarray | xr.DataArray,
    *,
    threshold: float = 1.0,
    bins: int = 10,
    draws: int = 500,
    rng: Rng = 0,
) -> dict[str, float]:
    """Triggering (TFS) and amplification (AFS) feedback strength of one region and season.

    evaporative_fraction [1] before noon and afternoon `rain` [mm], one value a day, days with morning rain left out by the caller
    (stratify by convection class and by rain of the day before). TFS = sd(EF) dP(rain > threshold)/dEF; AFS the same for the mean
    amount on days with rain [mm]. Returns both with 90 % bootstrap intervals and counts.
    """
    if isinstance(evaporative_fraction, xr.DataArray) and isinstance(rain, xr.DataArray):
        evaporative_fraction, rain = xr.align(evaporative_fraction, rain, join="inner")
        rain = rain.transpose(*evaporative_fraction.dims)
    ef, r = (np.asarray(a, dtype=float).ravel() for a in (evaporative_fraction, rain))
    good = np.isfinite(ef) & np.isfinite(r)
    ef, r = ef[good], r[good]
    if ef.size < 20 * bins:
        raise TooFewSamplesError(f"{ef.size} days, at least {20 * bins} are needed for {bins} bins")
    generator = np.random.default_rng(rng)

    def both(x, y):
        wet = y > threshold
        tfs = x.std() * _slope_over_bins(x, wet.astype(float), bins)
        afs = x.std() * _slope_over_bins(x[wet], y[wet], bins) if wet.sum() >= 5 * bins else np.nan
        return tfs, afs

    tfs, afs = both(ef, r)
    spread = np.array(
        [both(ef[i], r[i]) for i in (generator.integers(0, ef.size, ef.size) for _ in range(draws))]
    ).reshape(-1, 2)
    out = {"tfs": tfs, "afs": afs, "days": float(ef.size), "rain_days": float((r > threshold).sum())}
    if draws:
        with np.errstate(all="ignore"):
            low, high = np.nanquantile(spread, [0.05, 0.95], axis=0)
        out |= {
            "tfs_low": float(low[0]),
            "tfs_high": float(high[0]),
            "afs_low": float(low[1]),
            "afs_high": float(high[1]),
        }
    return out


def morning(profile: xr.DataArray, lon: xr.DataArray | float, *, hour: float = 6.0) -> xr.DataArray:
    """The values nearest to local `hour` of each day: (time, ...) at sub-daily UTC steps -> (time) days; local time is UTC + lon / 15. Days
    without a value within 3 hours of it are left out."""
    offset = float(np.asarray(lon).mean()) / 15.0
    stamp = profile.time + np.timedelta64(round(offset * 3600), "s")
    day = stamp.dt.floor("D")
    distance = np.abs((stamp - day) / np.timedelta64(1, "h") - hour)
    best = distance.groupby(day.rename("day")).map(lambda d: d.time[int(d.argmin("time"))])
    near = distance.sel(time=best.values) <= 3.0
    return profile.sel(time=best.values[near.values])


def dry_minus_wet(classes: xr.DataArray) -> xr.DataArray:
    """Days of dry- minus days of wet-soil advantage in each year (year, ...)."""
    dry = (classes == 4).groupby("time.year").sum("time")
    wet = (classes == 3).groupby("time.year").sum("time")
    return (dry - wet).rename("dry_minus_wet").assign_attrs(units="d")


def rain_over_gradient(
    moisture: xr.DataArray, rain: xr.DataArray, *, threshold: float = 5.0, half: int = 2, draws: int = 500, rng: Rng = 0
) -> dict[str, float]:
    """Does afternoon rain fall over spots drier than their surroundings? (Taylor et al. 2012, doi:10.1038/nature11377)

    moisture of the morning and `rain` [mm] of the afternoon, both (time, y, x). For each rainy cell the contrast is its moisture minus the mean
    of the square of `half` cells around it (those with a value); control is the same place on its other days. Returns the mean difference event minus control
    [unit of moisture], its place among `draws` random redraws (`percentile`: small means dry spots), and the number of events.
    """
    from scipy.ndimage import uniform_filter

    moisture, rain = xr.align(moisture.transpose("time", ...), rain, join="inner")
    theta = moisture.values.astype(float)
    wet = rain.transpose(*moisture.dims).values > threshold
    size = 2 * half + 1
    known = np.isfinite(theta)

    def total(values):  # the filter runs along the rows: a missing value would spoil all that follow
        return uniform_filter(np.where(known, values, 0.0), (1, size, size), mode="nearest") * size**2

    near = np.rint(total(np.ones(theta.shape))) - 1
    around = (total(theta) - theta) / np.where(near > 0, near, np.nan)
    contrast = theta - around
    inner = np.zeros(theta.shape[1:], bool)
    inner[half:-half, half:-half] = True
    t, y, x = np.nonzero(wet & inner & np.isfinite(contrast))
    if t.size < 20:
        raise TooFewSamplesError(f"{t.size} rain events inside the domain; at least 20 are needed")
    control = np.nanmean(np.where(wet, np.nan, contrast), axis=0)
    observed = float(np.mean(contrast[t, y, x] - control[y, x]))
    generator = np.random.default_rng(rng)
    chance = []
    for _ in range(draws):
        other = generator.integers(0, theta.shape[0], t.size)
        chance.append(np.nanmean(contrast[other, y, x] - control[y, x]))
    return {
        "difference": observed,
        "percentile": 100.0 * float(np.mean(np.array(chance) < observed)),
        "events": float(t.size),
    }
