"""One product from many (M-T1.3): products harmonized into a cube, errors estimated among themselves, anomalies merged by weight.

The level comes from a reference climatology, the day-to-day variation from all products by the inverse of their error
covariance, so a product with a wrong level still helps with its timing. Gruber et al. 2017, doi:10.1109/TGRS.2017.2734070;
Gruber et al. 2019, doi:10.5194/essd-11-717-2019; precedent: Shi et al. 2025, doi:10.1038/s41597-025-04657-x.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import xarray as xr
from scipy import stats

from vadose import cf, units
from vadose.diagnostics.zones import names_of
from vadose.errors import DimensionError, VadoseInputError, VadoseWarning, unknown_name
from vadose.harmonize.climatology import climatology, expected
from vadose.harmonize.days import one_a_day
from vadose.harmonize.grid import Grid, regrid
from vadose.merge.blend import blend
from vadose.merge.weights import diagonal
from vadose.metrics.collocation import extended, triple_collocation
from vadose.metrics.moments import OTHER, PRODUCT, moments, pooled
from vadose.metrics.pairwise import compare

FAMILIES = ("LSM", "RS", "RA", "ML", "INSITU")
#: Valid days that a monthly mean needs: satellites have gaps, models have none.
MONTH_DAYS = {"RS": 10, "INSITU": 10, "LSM": 25, "RA": 25, "ML": 25}
DISTINCT = 10
POOL_BELOW = 100
FLAGS = ("pooled_errors", "equal_weights", "no_agreement")
SIGNIFICANCE = 0.05


def harmonized(
    products: Mapping[str, xr.Dataset],
    target: Grid,
    *,
    reject: Mapping[str, Sequence[str]] | None = None,
    minimum: float = 0.5,
) -> xr.DataArray:
    """Daily products on one grid: a cube `soil_moisture` (product, time, lat, lon) [m3 m-3] over the days that any has.

    Each Dataset holds `soil_moisture` (time, lat, lon) of the wanted layer. Values with a flag named in `reject[name]`
    (default: every flag named frozen or snow, where there is one) are left out; conservative means where the target is coarser,
    bilinear where it is finer; several samples a day are averaged. Lazy in, lazy out.
    """
    parts = []
    for name, data in products.items():
        values = units.convert(data.soil_moisture, "m3 m-3")
        flag = data.get("soil_moisture_flag")
        if flag is not None:
            known = str(flag.attrs.get("flag_meanings", "")).split()
            wanted = list((reject or {}).get(name, [w for w in ("frozen", "snow") if w in known]))
            if wanted:
                values = values.where(~cf.has_flag(flag, *wanted))
        values = one_a_day(values)
        source = Grid.of(values)
        finer = source.area.mean() <= target.area.mean() * (1 + 1e-9)
        on = regrid(
            values.rename("soil_moisture"), target, method="conservative" if finer else "bilinear", minimum=minimum
        )
        parts.append(on.soil_moisture.drop_vars(["depth", "depth_bnds"], errors="ignore"))
    labels = xr.DataArray(list(products), dims=PRODUCT, name=PRODUCT)
    cube = xr.concat(parts, labels, join="outer", coords="minimal", compat="override", combine_attrs="override")
    return cf.describe(cube.sortby("time"), "soil_moisture")


def monthly(values: xr.DataArray, family: str) -> xr.Dataset:
    """Monthly means of a daily record with `coverage` (share of days): NaN below 10 days for satellites and sensors, 25 for models."""
    if family not in MONTH_DAYS:
        raise unknown_name("family", family, MONTH_DAYS)
    grouped = values.resample(time="MS")
    days = grouped.count()
    length = days.time.dt.days_in_month
    return xr.Dataset(
        {
            str(values.name or "soil_moisture"): grouped.mean()
            .where(days >= MONTH_DAYS[family])
            .assign_attrs(values.attrs),
            "coverage": (days / length).assign_attrs(units="1", long_name="share of days with values"),
        }
    )


def sources_in_common(
    assimilates: Mapping[str, Sequence[str]], correlated: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Pairs of products that share an input by the metadata table and are not declared correlated; warns of each.

    `assimilates` says what each product takes in: forcing, other products, sensors ({"smap_l4": ["smap", "merra2"]}).
    """
    declared = {frozenset(p) for p in correlated}
    found = []
    for a, b in combinations(assimilates, 2):
        first, second = {a, *assimilates[a]}, {b, *assimilates[b]}
        shared = first & second
        if shared and frozenset((a, b)) not in declared:
            found.append((a, b))
            warnings.warn(
                f"{a} and {b} share {', '.join(sorted(shared))}: declare them correlated, or their errors are taken for independent",
                VadoseWarning,
                stacklevel=2,
            )
    return found


def usable(cube: xr.DataArray) -> xr.DataArray:
    """Whether each product has `DISTINCT` (10) or more different values at a place: constant and coarsely quantized ones carry no error estimate."""

    def kernel(values):
        flat = np.sort(values.reshape(-1, values.shape[-1]), axis=1)
        steps = (np.diff(flat, axis=1) > 0).sum(1)  # NaN sorts last and compares false
        return ((steps + np.isfinite(flat).any(1)) >= DISTINCT).reshape(values.shape[:-1])

    data = cube.chunk(time=-1) if cube.chunks is not None else cube
    return xr.apply_ufunc(kernel, data, input_core_dims=[["time"]], dask="parallelized", output_dtypes=[bool])


def agreeing(anomalies: xr.DataArray, *, significance: float = SIGNIFICANCE) -> xr.DataArray:
    """Whether each product (product, ...) is significantly and positively correlated with another one, at the effective number of samples.

    One-sided t test of each pair's correlation. Where errors cannot be estimated, this decides who takes part at all (Gruber et al. 2017).
    """
    names = list(anomalies[PRODUCT].values)
    found = [xr.zeros_like(anomalies.isel({PRODUCT: 0, "time": 0}, drop=True), dtype=bool) for _ in names]
    for i, j in combinations(range(len(names)), 2):
        pair = compare(*(anomalies.isel({PRODUCT: k}, drop=True) for k in (i, j)))
        r, degrees = pair.pearson.clip(-0.999999, 0.999999), (pair.n_eff - 2).where(pair.n_eff > 2)
        t = r * np.sqrt(degrees / (1 - r**2))
        p = xr.apply_ufunc(stats.t.sf, t, degrees, dask="parallelized", output_dtypes=[float])
        found[i], found[j] = found[i] | (p < significance), found[j] | (p < significance)
    return xr.concat(found, xr.DataArray(names, dims=PRODUCT, name=PRODUCT)).rename("agreeing")


def error_estimates(
    anomalies: xr.DataArray,
    *,
    correlated: Sequence[tuple[str, str]] = (),
    zones: xr.DataArray | None = None,
    pool_below: int = POOL_BELOW,
) -> xr.Dataset:
    """Errors of products among themselves from their anomalies (product, time, ...): triple or N-way collocation.

    With `zones` (classes over the spatial dimensions), places with fewer than `pool_below` common samples, or where collocation
    fails, take the estimates of their zone's pooled state (flag `pooled_errors`). Returns what `vadose.metrics.extended` returns,
    with `signal_variance` and `estimate_flag`.
    """
    state = moments(anomalies)
    out = _estimate(state, correlated, n_min=min(pool_below, 100) if zones is None else pool_below)
    good = out.error_variance.notnull().all(PRODUCT)
    pooled_here = xr.zeros_like(good)
    if zones is not None:
        spatial = [str(d) for d in anomalies.dims if d not in (PRODUCT, "time")]
        for number in names_of(zones):
            here = zones == number
            if number == 0 or not bool(here.any()):
                continue
            masked = xr.Dataset(
                {"n": state.n.where(here, 0.0), "mean": state["mean"], "comoment": state.comoment.where(here, 0.0)}
            )
            whole = _estimate(pooled(masked, spatial), correlated, n_min=pool_below)
            take = here & ~good
            pooled_here = pooled_here | (take & whole.error_variance.notnull().all(PRODUCT))
            for name in ("error_variance", "error_sd", "correlation", "snr_db", "signal_variance", "error_covariance"):
                out[name] = xr.where(take, whole[name], out[name]).transpose(*out[name].dims)
    out["n"] = state.n
    good = out.error_variance.notnull().all(PRODUCT)
    flag = (pooled_here * 1 + (~good) * 2).astype("uint8")
    out["estimate_flag"] = flag.assign_attrs(cf.flag_attrs(FLAGS, long_name="where error estimates come from"))
    return out


def _estimate(state, correlated, *, n_min):
    if state.sizes[PRODUCT] == 3 and not correlated:
        out = triple_collocation(state, n_min=n_min)
        total = out.error_variance / (1 - out.correlation**2)
        out["signal_variance"] = total - out.error_variance
        out["error_covariance"] = diagonal(out.error_variance)
    else:
        out = extended(state, correlated=correlated, n_min=n_min)
    keep = ["error_variance", "error_sd", "correlation", "snr_db", "signal_variance", "error_covariance", "n"]
    return out[keep]


def unified(
    cube: xr.DataArray,
    *,
    correlated: Sequence[tuple[str, str]] = (),
    reference: str = "median",
    zones: xr.DataArray | None = None,
    pool_below: int = POOL_BELOW,
    spread: bool = False,
    nonneg: bool = True,
    shrinkage: float = 0.0,
    significance: float = SIGNIFICANCE,
) -> xr.Dataset:
    """The unified product of a cube (product, time, ...) of daily soil moisture on one grid and layer.

    Parameters
    ----------
    cube : three or more products; see `harmonized`. Lazy in, lazy out (time in one chunk).
    correlated : pairs of products whose errors are correlated (shared forcing, assimilation of one in the other).
    reference : product that gives the climatology and the amplitude of anomalies, or "median" of all.
    zones : classes (lat, lon); places with too few common samples take their zone's errors.
    spread : add the variance between products' rescaled values to the stated error (for systematic differences).
    significance : where errors cannot be estimated, products whose anomalies agree with no other at this level take no part.

    Returns
    -------
    `soil_moisture`, `soil_moisture_standard_error` [m3 m-3], `n_products`, `weight` (product, time, ...), by place `error_sd`
    (product, on the reference's scale), `correlation` (product, with the unknown truth), `signal_ratio`, `n`, `agreeing` (product), and
    `estimate_flag`: `equal_weights` (no valid estimate; products that agree with another one are averaged, the error is half their
    usual spread about each other), `no_agreement` (and no two products agree: no value).
    """
    if PRODUCT not in cube.dims or "time" not in cube.dims:
        raise DimensionError(f"the cube needs dimensions {PRODUCT!r} and 'time'; it has {cube.dims}")
    names = [str(p) for p in cube[PRODUCT].values]
    if len(names) < 3:
        raise VadoseInputError(f"a unified product needs three products or more, got {names}")
    if reference != "median" and reference not in names:
        raise unknown_name("reference", reference, [*names, "median"])
    if cube.chunks is not None:
        cube = cube.chunk({PRODUCT: -1, "time": -1})
    cube = cube.where(usable(cube))
    cycle = climatology(cube.transpose("time", ...)).transpose("dayofyear", PRODUCT, ...)
    anomalies = (cube - expected(cycle, cube.time)).transpose(PRODUCT, "time", ...)
    errors = error_estimates(anomalies, correlated=correlated, zones=zones, pool_below=pool_below)
    level = cycle.median(PRODUCT) if reference == "median" else cycle.sel({PRODUCT: reference}, drop=True)

    amplitude = np.sqrt(errors.signal_variance.where(errors.signal_variance > 0))
    fallback = anomalies.std("time")
    amplitude = amplitude.where(amplitude.notnull().all(PRODUCT), fallback)
    base = amplitude.median(PRODUCT) if reference == "median" else amplitude.sel({PRODUCT: reference}, drop=True)
    ratio = base / amplitude.where(amplitude > 0)
    scaled = (anomalies * ratio).transpose(PRODUCT, "time", ...)
    c = errors.error_covariance * ratio * ratio.rename({PRODUCT: OTHER})
    agree = agreeing(anomalies, significance=significance)
    c = _or_equal(c, scaled, agree)
    out = blend(scaled, c, nonneg=nonneg, shrinkage=shrinkage)
    value = (out.soil_moisture + expected(level, cube.time)).transpose("time", ...)
    variance = out.soil_moisture_standard_error**2
    if spread:
        variance = variance + (scaled.std(PRODUCT) ** 2).where(out.n_products > 1, 0.0)
    result = xr.Dataset({"soil_moisture": cf.describe(value, "soil_moisture")})
    result["soil_moisture_standard_error"] = np.sqrt(variance).assign_attrs(out.soil_moisture_standard_error.attrs)
    result["n_products"], result["weight"] = out.n_products, out.weight
    result["error_sd"] = (errors.error_sd * ratio).assign_attrs(
        units="m3 m-3", long_name="error standard deviation of the product's anomalies on the common scale"
    )
    result["correlation"] = errors.correlation.assign_attrs(units="1", long_name="correlation with the unknown truth")
    result["signal_ratio"] = ratio.assign_attrs(
        units="1", long_name="factor that brings the product's anomalies to the common scale"
    )
    lone = ((errors.estimate_flag & 2) != 0) & ~agree.any(PRODUCT)
    result["n"] = errors.n
    result["estimate_flag"] = (errors.estimate_flag + lone * 4).astype("uint8").assign_attrs(errors.estimate_flag.attrs)
    result["agreeing"] = agree.assign_attrs(long_name="anomalies agree significantly with another product", units="1")
    result = cf.link(result, "soil_moisture", "soil_moisture_standard_error", "n_products", "estimate_flag")
    result.attrs.update(Conventions=cf.CONVENTIONS, title="unified ensemble soil moisture")
    params = {"products": names, "correlated": [list(p) for p in correlated], "reference": reference, "pool_below": pool_below, "spread": spread}  # fmt: skip
    return cf.provenance(result, method="M-T1.3", params=params, references="doi:10.1109/TGRS.2017.2734070")


def _or_equal(c, scaled, agree):
    """The error covariance; where it is missing, equal variances of those who agree: half the mean square difference of their pairs."""
    whole = c.notnull().all([PRODUCT, OTHER])
    taking = scaled.where(agree)
    count = agree.sum(PRODUCT)
    common = ((taking - taking.mean(PRODUCT)) ** 2).mean([PRODUCT, "time"]) * (count / (count - 1).where(count > 1))
    there = agree & scaled.notnull().any("time")
    labels = scaled[PRODUCT].values
    same = xr.DataArray(np.eye(labels.size, dtype=bool), dims=(PRODUCT, OTHER), coords={PRODUCT: labels, OTHER: labels})
    equal = xr.where(same, common.where(there), 0.0)
    return c.where(whole, equal).transpose(..., PRODUCT, OTHER)
