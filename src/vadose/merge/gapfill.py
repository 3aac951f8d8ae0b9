"""Fill gaps and say how sure the fill is: a Kalman smoother on anomalies, with other products as predictors (M-T1.3).

Departures from the climatology (after regression on predictors, where given) are a first-order autoregressive signal seen with
white noise. The smoother uses what lies before and after a gap; its variance grows into the gap and ends at the climatological
spread. Stated errors are then held to blocks of values hidden on purpose: the factor that makes intervals true is applied and
kept. Rauch, Tung & Striebel 1965, doi:10.2514/3.3166.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numba import njit

from vadose import cf, units
from vadose.errors import DimensionError, VadoseInputError
from vadose.harmonize.climatology import climatology, expected
from vadose.typing import Rng

FLAGS = ("filled", "beyond_memory")
SHORTEST = 60
#: Hidden share, and the level whose interval is made true.
HIDDEN, LEVEL_Z = 0.1, 1.6448536269514722  # 90 %
#: Beyond this share of the climatological variance a fill says little more than the season.
FORGOTTEN = 0.95


@njit(cache=True, nogil=True)
def _smooth(y, phi, signal, noise, mean, variance):
    """AR(1) state of variance `signal` seen with variance `noise` (per sample) -> smoothed mean and variance."""
    n = y.size
    fm, fv = np.empty(n), np.empty(n)
    pm, pv = np.empty(n), np.empty(n)
    m, v = 0.0, signal
    for t in range(n):
        if t > 0:
            m, v = phi * m, phi * phi * v + (1 - phi * phi) * signal
        pm[t], pv[t] = m, v
        if not np.isnan(y[t]):
            gain = v / (v + noise[t])
            m, v = m + gain * (y[t] - m), (1 - gain) * v
        fm[t], fv[t] = m, v
    mean[n - 1], variance[n - 1] = fm[n - 1], fv[n - 1]
    for t in range(n - 2, -1, -1):
        g = phi * fv[t] / pv[t + 1]
        mean[t] = fm[t] + g * (mean[t + 1] - pm[t + 1])
        variance[t] = fv[t] + g * g * (variance[t + 1] - pv[t + 1])


def parameters(y: np.ndarray) -> tuple[float, float, float]:
    """Memory, signal variance and noise variance of an AR(1) signal under white noise, from autocovariances at lags 0 to 5.

    The logarithm of the autocovariance falls by log(memory) a step; its intercept is the signal variance, what is missing to
    the total variance is noise. NaN where there are too few values or no memory.
    """
    lags, logs = [], []
    total = np.nanvar(y)
    for k in range(1, 6):
        product = y[:-k] * y[k:]
        good = np.isfinite(product)
        if good.sum() < SHORTEST // 2:
            continue
        value = product[good].mean()
        if value > 0.05 * total:
            lags.append(float(k))
            logs.append(np.log(value))
    if len(lags) < 2 or not total > 0:
        return np.nan, np.nan, np.nan
    slope, intercept = np.polyfit(lags, logs, 1)
    phi = float(np.clip(np.exp(slope), 0.05, 0.995))
    signal = float(min(np.exp(intercept), total))
    return phi, signal, float(max(total - signal, 0.02 * total))


def _design(x, y, good):
    """Regression of anomalies on predictors (days, predictors); predictors missing on a day are taken as average."""
    z = np.where(np.isfinite(x), x, 0.0)
    gram = z[good].T @ z[good] + 1e-3 * np.diag((z[good] ** 2).sum(0) + 1e-12)
    return z @ np.linalg.solve(gram, z[good].T @ y[good])


def _fill(y, x, sigma, generator, level_z):
    """One anomaly series (days) and predictors (days, product) -> smoothed mean and sd (days), memory, inflation of the sd and
    variance of the signal; NaN where there is too little to learn from."""
    nothing = np.full(y.size, np.nan)
    good = np.isfinite(y)
    if good.sum() < SHORTEST:
        return nothing, nothing, np.nan, np.nan, np.nan
    part = _design(x, y, good) if x.shape[1] else np.zeros(y.size)
    rest = y - part
    phi, signal, noise = parameters(rest)
    if not np.isfinite(phi):
        phi, signal, noise = 0.05, float(np.nanvar(rest)), float(0.02 * np.nanvar(rest)) + 1e-12
    obs = np.where(np.isfinite(sigma), sigma**2, noise)
    mean, variance = np.empty(y.size), np.empty(y.size)
    _smooth(rest, phi, signal, obs, mean, variance)
    hidden = _hide(good, generator)
    again, spread = np.empty(y.size), np.empty(y.size)
    _smooth(np.where(hidden, np.nan, rest), phi, signal, obs, again, spread)
    z = np.abs(rest - again)[hidden] / np.sqrt(spread + obs)[hidden]
    z = z[np.isfinite(z)]
    inflation = float(np.clip(np.quantile(z, 0.9) / level_z, 0.5, 3.0)) if z.size >= 20 else 1.0
    return part + mean, inflation * np.sqrt(variance), phi, inflation, signal


def _hide(good, generator):
    """About a tenth of the values, in blocks as long as the record's own gaps (at least one day, at most thirty)."""
    edges = np.flatnonzero(np.diff(np.r_[1, good.astype(int), 1]))
    gaps = np.clip(np.diff(edges)[::2], 1, 30) if edges.size > 1 else np.array([3])
    out = np.zeros(good.size, bool)
    wanted = max(int(HIDDEN * good.sum()), 5)
    for _ in range(10 * wanted):
        if (out & good).sum() >= wanted:
            break
        start = generator.integers(0, good.size)
        out[start : start + int(generator.choice(gaps))] = True
    return out & good


def fill(
    series: xr.DataArray,
    *,
    predictors: xr.DataArray | None = None,
    standard_error: xr.DataArray | None = None,
    keep_observed: bool = True,
    maximum_gap: int | None = None,
    rng: Rng = 0,
) -> xr.Dataset:
    """A daily record (time, ...) with its gaps filled and the standard error of every value.

    Parameters
    ----------
    series : soil moisture [m3 m-3] on every day of the period (reindex first), with gaps.
    predictors : (product, time, ...) other products that see what `series` misses; their anomalies are regressed on.
    standard_error : of the observed values; default estimated from the record as the part of variance without memory.
    keep_observed : observed values stay as they are; otherwise the smoothed signal replaces them too.
    maximum_gap : days; inside longer gaps nothing is filled.

    Returns
    -------
    `soil_moisture`, `soil_moisture_standard_error` (of the true moisture, on the record's own scale), `soil_moisture_fill_flag`
    (bits of `FLAGS`; `beyond_memory`: the fill says hardly more than the season), `memory` (1, lag-1 correlation of the signal)
    and `inflation` (factor that made 90 % intervals hold on hidden values). Fewer than 60 values give NaN. Lazy in, lazy out.
    """
    cf.check_time(series)
    series, standard_error = (units.taken_as(v, "m3 m-3") for v in (series, standard_error))
    step = np.diff(series.time.values).astype("timedelta64[h]").astype(float)
    if step.size and not (step == 24).all():
        raise VadoseInputError("gap filling needs every day once: reindex(time=pd.date_range(...)) first")
    if predictors is not None and "product" not in predictors.dims:
        raise DimensionError(f"predictors need a dimension 'product'; they have {predictors.dims}")
    whole = series.chunk(time=-1) if series.chunks is not None else series
    season = expected(climatology(whole), whole.time)
    y = (whole - season).transpose(..., "time")
    x = None
    if predictors is not None:
        ready = predictors.chunk(time=-1, product=-1) if predictors.chunks is not None else predictors
        x = ready - expected(climatology(ready.transpose("time", ...)), ready.time)
    seed = int(np.random.default_rng(rng).integers(2**31))

    def kernel(values, errors, *more):
        flat = values.reshape(-1, values.shape[-1])
        sigma = np.broadcast_to(errors, values.shape).reshape(flat.shape)
        extra = more[0].reshape(flat.shape[0], flat.shape[1], -1) if more else np.zeros((*flat.shape, 0))
        found = [_fill(row, extra[k], sigma[k], np.random.default_rng(seed), LEVEL_Z) for k, row in enumerate(flat)]
        mean, sd = (np.array([f[j] for f in found]).reshape(values.shape) for j in (0, 1))
        rest = [np.array([f[j] for f in found]).reshape(values.shape[:-1]) for j in (2, 3, 4)]
        return mean, sd, *rest

    sigma = xr.full_like(y, np.nan) if standard_error is None else standard_error.transpose(*y.dims)
    inputs = [y, sigma] + (
        [] if x is None else [x.transpose(..., "time", "product").broadcast_like(y).transpose(*y.dims, "product")]
    )
    cores = [["time"], ["time"]] + ([] if x is None else [["time", "product"]])
    mean, sd, phi, inflation, signal = xr.apply_ufunc(
        kernel, *inputs, input_core_dims=cores, output_core_dims=[["time"], ["time"], [], [], []], dask="parallelized",
        output_dtypes=[float] * 5, dask_gufunc_kwargs={"allow_rechunk": True},
    )  # fmt: skip
    gap = whole.isnull()
    smooth = (mean + season).transpose(*series.dims)
    value = xr.where(gap | (not keep_observed), smooth, whole)
    own = sd.transpose(*series.dims)
    if maximum_gap is not None:
        long = _gap_length(gap) > maximum_gap
        value, own = value.where(~long), own.where(~long)
    forgotten = (own / inflation) ** 2 > FORGOTTEN * signal
    flag = (gap & value.notnull()) * 1 + (gap & value.notnull() & forgotten) * 2
    out = xr.Dataset({"soil_moisture": cf.describe(value.transpose(*series.dims), "soil_moisture")})
    out["soil_moisture_standard_error"] = own.assign_attrs(
        units="m3 m-3", long_name="standard error of the filled soil moisture"
    )
    out["soil_moisture_fill_flag"] = (
        flag.transpose(*series.dims).astype("uint8").assign_attrs(cf.flag_attrs(FLAGS, long_name="what was filled"))
    )
    out["memory"] = phi.assign_attrs(units="1", long_name="lag-1 correlation of the signal")
    out["inflation"] = inflation.assign_attrs(
        units="1", long_name="factor on the standard error that made intervals hold"
    )
    out = cf.link(out, "soil_moisture", "soil_moisture_standard_error", "soil_moisture_fill_flag")
    return cf.provenance(out, method="M-T1.3", references="doi:10.2514/3.3166", step="gaps filled")


def _gap_length(gap: xr.DataArray) -> xr.DataArray:
    """Length of the gap that each missing day lies in; zero elsewhere."""

    def kernel(values):
        flat = values.reshape(-1, values.shape[-1])
        out = np.zeros(flat.shape, "int32")
        for k, row in enumerate(flat):
            edges = np.flatnonzero(np.diff(np.r_[0, row.astype(int), 0]))
            for low, high in zip(edges[::2], edges[1::2], strict=True):
                out[k, low:high] = high - low
        return out.reshape(values.shape)

    return xr.apply_ufunc(
        kernel, gap, input_core_dims=[["time"]], output_core_dims=[["time"]], dask="parallelized", output_dtypes=["int32"]
    ).transpose(*gap.dims)  # fmt: skip
