"""Do plants answer to dry years as they do to dry places? Spatial against temporal sensitivity of productivity (M-T2.5).

Across sites, slopes hold centuries of adaptation; within a site they hold a season. The joint within-between model is Mundlak's
(1978, doi:10.2307/1913646) with a random intercept by REML. Review: Feldman et al. 2024, doi:10.1038/s43017-024-00534-0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats
from scipy.optimize import minimize_scalar

from vadose.errors import DimensionError, TooFewSamplesError, VadoseInputError
from vadose.typing import Rng

LEAST_YEARS = 8
LEAST_SITES = 10


@dataclass(frozen=True)
class WithinBetween:
    """Slopes of the joint model with their standard errors, the test of their equality, and variances."""

    between: float
    within: float
    between_error: float
    within_error: float
    p_equal: float
    intercept_variance: float
    error_variance: float
    sites: int
    n: int


def _tidy(response, driver, controls=()):
    for array in (response, driver, *controls):
        if set(array.dims) != {"site", "year"}:
            raise DimensionError(f"{array.name!r} must be (site, year), got {array.dims}")
    together = xr.align(response, driver, *controls, join="inner")
    arrays = [a.transpose("site", "year").values.astype(float) for a in together]
    good = np.all([np.isfinite(a) for a in arrays], axis=0)
    keep = (good.sum(axis=1) >= LEAST_YEARS) & (np.nanstd(np.where(good, arrays[1], np.nan), axis=1) > 0)
    if keep.sum() < LEAST_SITES:
        raise TooFewSamplesError(
            f"{int(keep.sum())} sites have {LEAST_YEARS} complete years in which the driver varies; {LEAST_SITES} are needed"
        )
    site, _ = np.nonzero(good[keep])
    columns = [a[keep][good[keep]] for a in arrays]
    return np.unique(site, return_inverse=True)[1], columns, np.nonzero(keep)[0]


def _means(values, site):
    count = np.bincount(site)
    return np.bincount(site, values) / count, count


def within_between(
    response: xr.DataArray, driver: xr.DataArray, controls: tuple[xr.DataArray, ...] = ()
) -> WithinBetween:
    """Joint model y = a + b_between xbar_i + b_within (x - xbar_i) + controls + u_i + e by REML; arrays (site, year).

    Sites with fewer than 8 complete years or a constant driver are left out; at least 10 sites. `p_equal`: t test that both slopes are
    one, on sites minus two degrees of freedom.
    """
    site, (y, x, *others), _ = _tidy(response, driver, controls)
    mean, count = _means(x, site)
    design = np.column_stack([np.ones_like(x), mean[site], x - mean[site], *(c - c.mean() for c in others)])

    def solve(ratio):
        shrink = 1.0 - 1.0 / np.sqrt(1.0 + ratio * count)

        def move(v):
            return v - shrink[site] * _means(v, site)[0][site]

        a, b = np.column_stack([move(c) for c in design.T]), move(y)
        gram = a.T @ a
        beta = np.linalg.solve(gram, a.T @ b)
        left = float(((b - a @ beta) ** 2).sum())
        return beta, gram, left

    def cost(log_ratio):
        ratio = np.exp(log_ratio)
        _, gram, left = solve(ratio)
        free = y.size - design.shape[1]
        return free * np.log(left / free) + np.log(1.0 + ratio * count).sum() + np.linalg.slogdet(gram)[1]

    best = minimize_scalar(cost, bounds=(-12.0, 10.0), method="bounded", options={"xatol": 1e-8})
    ratio = float(np.exp(best.x))
    beta, gram, left = solve(ratio)
    variance = left / (y.size - design.shape[1])
    covariance = np.linalg.inv(gram) * variance
    contrast = np.zeros(design.shape[1])
    contrast[1], contrast[2] = 1.0, -1.0
    t = contrast @ beta / np.sqrt(contrast @ covariance @ contrast)
    errors = np.sqrt(np.diag(covariance))
    p = float(2 * stats.t.sf(abs(t), count.size - 2))
    return WithinBetween(
        float(beta[1]),
        float(beta[2]),
        float(errors[1]),
        float(errors[2]),
        p,
        ratio * variance,
        variance,
        count.size,
        y.size,
    )


def corrected_between(
    response: xr.DataArray, driver: xr.DataArray, joint: WithinBetween | None = None
) -> tuple[float, float]:
    """Between slope freed from the noise of site means, and the reliability of these means.

    A mean of T years is wrong by s_w^2 / T, which draws the between slope towards the within slope: with reliability
    r = s_b^2 / (s_b^2 + s_w^2 / T), b_corrected = (b_between - (1 - r) b_within) / r.
    """
    fit = within_between(response, driver) if joint is None else joint
    site, (_, x), _ = _tidy(response, driver)
    mean, count = _means(x, site)
    noise = float((((x - mean[site]) ** 2).sum() / (x.size - count.size)) * np.mean(1.0 / count))
    spread = float(mean.var(ddof=1))
    reliability = max(spread - noise, 0.0) / spread
    if reliability <= 0:
        return float("nan"), 0.0
    return (fit.between - (1 - reliability) * fit.within) / reliability, reliability


def temporal_slopes(response: xr.DataArray, driver: xr.DataArray, *, detrend: bool = True) -> xr.Dataset:
    """Slope of the response on the driver within each site or pixel (..., year), by least squares on detrended anomalies.

    Returns `slope`, `slope_standard_error`, `n`; NaN with fewer than 8 years. Lazy in, lazy out.
    """

    def kernel(y, x):
        good = np.isfinite(y) & np.isfinite(x)
        n = good.sum(axis=-1)
        t = np.arange(y.shape[-1], dtype=float)
        y, x = (np.where(good, a, np.nan) for a in (y, x))
        with np.errstate(all="ignore"):
            if detrend:
                when = np.where(good, t, np.nan)
                when = when - np.nanmean(when, axis=-1, keepdims=True)
                total = np.nansum(when**2, axis=-1, keepdims=True)
                y = y - when * np.nansum(when * y, axis=-1, keepdims=True) / total
                x = x - when * np.nansum(when * x, axis=-1, keepdims=True) / total
            y = y - np.nanmean(y, axis=-1, keepdims=True)
            x = x - np.nanmean(x, axis=-1, keepdims=True)
            sxx = np.nansum(x * x, axis=-1)
            slope = np.nansum(x * y, axis=-1) / sxx
            left = np.nansum((y - slope[..., None] * x) ** 2, axis=-1)
            error = np.sqrt(left / (n - 2 - detrend) / sxx)
        few = (n < LEAST_YEARS) | ~(sxx > 0)
        return np.where(few, np.nan, slope), np.where(few, np.nan, error), n

    arrays = [a.chunk(year=-1) if a.chunks is not None else a for a in (response, driver)]
    slope, error, n = xr.apply_ufunc(
        kernel, *arrays, input_core_dims=[["year"], ["year"]], output_core_dims=[[], [], []], dask="parallelized",
        output_dtypes=[float, float, int],
    )  # fmt: skip
    return xr.Dataset({"slope": slope, "slope_standard_error": error, "n": n})


def _elasticities(response, driver):
    fit = within_between(response, driver)
    fixed, _ = corrected_between(response, driver, fit)
    scale = float(driver.mean()) / float(response.mean())
    return fit, fixed, fit.between * scale, fit.within * scale


def discrepancy(spatial: float, temporal: float) -> float:
    """|ln |E_spatial / E_temporal||; NaN where they differ in sign."""
    return abs(float(np.log(abs(spatial / temporal)))) if spatial * temporal > 0 else float("nan")


def spatial_temporal_sensitivity(
    response: xr.DataArray,
    drivers: dict[str, xr.DataArray],
    *,
    group: xr.DataArray | None = None,
    draws: int = 200,
    rng: Rng = 0,
) -> pd.DataFrame:
    """Spatial and temporal sensitivity of a response to each driver, by group of sites.

    Parameters
    ----------
    response, drivers : (site, year), for example annual productivity, and moisture and precipitation. Drivers are fitted one at a
        time (they are collinear).
    group : (site) label, such as plant functional type or water limitation. draws : bootstrap draws of sites.

    Returns
    -------
    One row a group and driver: `spatial`, `temporal` slopes, `spatial_corrected`, elasticities `E_spatial`, `E_temporal`
    (slope x mean driver / mean response, so drivers compare), `ratio`, `discrepancy` |ln|E_S / E_T|| with its 90 % interval,
    `p_equal`, `sites`. Groups with fewer than 10 usable sites give NaN.
    """
    if response.mean() <= 0 or any(float(d.mean()) <= 0 for d in drivers.values()):
        raise VadoseInputError("elasticities need a positive mean response and positive mean drivers")
    response, *others = xr.align(response, *drivers.values(), join="inner")
    drivers = dict(zip(drivers, others, strict=True))
    if group is not None and {"site"} <= set(group.coords) & set(response.coords):
        group = group.sel(site=response["site"])
    labels = np.array(["all"] * response.sizes["site"]) if group is None else group.values
    generator = np.random.default_rng(rng)
    rows = []
    for label in pd.unique(labels):
        where = np.nonzero(labels == label)[0]
        for name, driver in drivers.items():
            y, x = response.isel(site=where), driver.isel(site=where)
            row = {"group": label, "driver": name, "sites": where.size}
            try:
                fit, fixed, e_s, e_t = _elasticities(y, x)
            except TooFewSamplesError:
                rows.append({**row, "spatial": np.nan, "temporal": np.nan})
                continue
            spread = []
            for _ in range(draws):
                pick = generator.integers(0, where.size, where.size)
                try:
                    _, _, a, b = _elasticities(y.isel(site=pick), x.isel(site=pick))
                    spread.append(discrepancy(a, b))
                except TooFewSamplesError:
                    continue
            low, high = np.nanquantile(spread, [0.05, 0.95]) if np.isfinite(spread).any() else (np.nan, np.nan)
            rows.append({
                **row, "sites": fit.sites, "spatial": fit.between, "temporal": fit.within, "spatial_error": fit.between_error,
                "temporal_error": fit.within_error, "spatial_corrected": fixed, "E_spatial": e_s, "E_temporal": e_t,
                "ratio": fit.within / fit.between, "discrepancy": discrepancy(e_s, e_t), "discrepancy_low": low,
                "discrepancy_high": high, "p_equal": fit.p_equal,
            })  # fmt: skip
    return pd.DataFrame(rows)


def buffering_index(soil_moisture: xr.DataArray, precipitation: xr.DataArray) -> xr.DataArray:
    """How much steadier moisture is than rain from year to year: 1 - CV(moisture) / CV(precipitation), (site, ...)."""
    cv = [a.std("year", ddof=1) / a.mean("year") for a in (soil_moisture, precipitation)]
    return (1.0 - cv[0] / cv[1]).rename("buffering_index").assign_attrs(units="1")


def transfer_function(
    precipitation: xr.DataArray, soil_moisture: xr.DataArray, *, lags: int = 12, smooth: float = 1.0
) -> xr.DataArray:
    """How rain of past months lives on in moisture: weights (lag, ...) of anomalies of monthly rain, from lag 0 on.

    Monthly anomalies (time, ...), season removed. Ridge on the second differences of the weights (`smooth`, relative), so that
    neighboring months get like weights. Units: moisture per unit of rain.
    """

    def kernel(p, m):
        shape = p.shape[:-1]
        p, m = p.reshape(-1, p.shape[-1]), m.reshape(-1, m.shape[-1])
        out = np.full((p.shape[0], lags), np.nan)
        bend = np.diff(np.eye(lags), 2, axis=0)
        for c in range(p.shape[0]):
            x = np.stack([p[c, lags - 1 - k : p.shape[1] - k] for k in range(lags)], axis=1)
            y = m[c, lags - 1 :]
            good = np.isfinite(x).all(axis=1) & np.isfinite(y)
            if good.sum() < 3 * lags:
                continue
            gram = x[good].T @ x[good]
            weight = smooth * np.trace(gram) / lags / 10
            out[c] = np.linalg.solve(gram + weight * bend.T @ bend, x[good].T @ y[good])
        return out.reshape(*shape, lags)

    arrays = [a.chunk(time=-1) if a.chunks is not None else a for a in (precipitation, soil_moisture)]
    out = xr.apply_ufunc(
        kernel, *arrays, input_core_dims=[["time"], ["time"]], output_core_dims=[["lag"]], dask="parallelized", output_dtypes=[float],
        dask_gufunc_kwargs={"output_sizes": {"lag": lags}},
    )  # fmt: skip
    return out.assign_coords(lag=np.arange(lags)).transpose("lag", ...).rename("transfer_function")
