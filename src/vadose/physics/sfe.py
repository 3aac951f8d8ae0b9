"""Evaporation and root-zone moisture from the air alone: surface flux equilibrium (M-T1.6).

Over a day and far from the coast, the air near the ground is in balance with the surface below: its temperature and humidity
then tell how the available energy splits into evaporation and warming, without any calibration (McColl, Salvucci and Gentine
2019, doi:10.1029/2019MS001685; McColl and Rigden 2020, doi:10.1029/2020GL087101). Dry soil shows as a low evaporative fraction.

From evaporative fraction to root-zone moisture the published step (Raghav and Kumar 2021, doi:10.1088/1748-9326/ac2441) is a
kernel method whose equations were not seen: the second stage here is vadose's own and marked experimental. Alternatives are
`method="stress"`, `"percentile"` and `"kernel"`.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Literal

import numpy as np
import xarray as xr
from scipy.special import betaincinv, ndtr, ndtri
from scipy.stats import rankdata

from vadose import cf, constants, units
from vadose.constants import AIR_HEAT_CAPACITY, GAS_CONSTANT_VAPOR, VAPOR_RATIO
from vadose.errors import ExperimentalWarning, VadoseInputError, unknown_name
from vadose.physics.exponential import exponential_filter

FLAGS = ("coastal", "cold", "low_energy", "above_equilibrium")
COAST = 100e3  # m, nearer than this the sea's air is felt
COLD = 278.0  # K
LOW_ENERGY = 20.0  # W m-2
PRIESTLEY_TAYLOR = 1.26
MEMORY = 5.0  # d, low-pass of the stress ratio
STRUCTURAL_ERROR = 0.03  # m3 m-3
REFERENCES = "doi:10.1029/2019MS001685 doi:10.1029/2020GL087101"
Method = Literal["percentile", "stress", "kernel"]


@units.declare(relative_humidity="1", air_temperature="K", pressure="Pa")
def specific_humidity(
    relative_humidity: xr.DataArray, air_temperature: xr.DataArray, pressure: xr.DataArray | float = 1.0e5
) -> xr.DataArray:
    """Specific humidity [1] from relative humidity [1], air temperature [K] and pressure [Pa]."""
    if relative_humidity.chunks is None and relative_humidity.size and float(relative_humidity.median()) > 1.5:
        raise VadoseInputError(
            f"relative humidity must be a fraction, its median is {float(relative_humidity.median()):.3g}; give percent with units '%'"
        )
    vapor = relative_humidity * constants.saturation_vapor_pressure(air_temperature)
    return cf.describe(VAPOR_RATIO * vapor / (pressure - (1.0 - VAPOR_RATIO) * vapor), "specific_humidity")


@units.declare(air_temperature="K", specific_humidity="1")
def evaporative_fraction(air_temperature: xr.DataArray, specific_humidity: xr.DataArray) -> xr.DataArray:
    """Share of the available energy that evaporates water [1]: 1 / (1 + R_v c_p T^2 / (lambda^2 q)).

    Daily or longer means. NaN where q <= 0 or T < 200 K.
    """
    heat = constants.vaporization_heat(air_temperature)
    bowen = GAS_CONSTANT_VAPOR * AIR_HEAT_CAPACITY * air_temperature**2 / (heat**2 * specific_humidity)
    out = (1.0 / (1.0 + bowen)).where((specific_humidity > 0) & (air_temperature >= 200.0))
    return cf.describe(out, "evaporative_fraction")


@units.declare(air_temperature="K", pressure="Pa")
def equilibrium_fraction(
    air_temperature: xr.DataArray, pressure: xr.DataArray | float = 1.0e5, *, alpha: float = 1.0
) -> xr.DataArray:
    """Evaporative fraction of a saturated surface [1]: alpha s / (s + gamma). `alpha` 1 equilibrium, 1.26 Priestley-Taylor."""
    heat = constants.vaporization_heat(air_temperature)
    slope = heat * constants.saturation_vapor_pressure(air_temperature) / (GAS_CONSTANT_VAPOR * air_temperature**2)
    gamma = AIR_HEAT_CAPACITY * pressure / (VAPOR_RATIO * heat)
    return (alpha * slope / (slope + gamma)).rename("equilibrium_fraction").assign_attrs(units="1")


@units.declare(
    air_temperature="K",
    specific_humidity="1",
    pressure="Pa",
    net_radiation="W m-2",
    ground_heat_flux="W m-2",
    coast_distance="m",
)
def surface_flux_equilibrium(
    air_temperature: xr.DataArray,
    specific_humidity: xr.DataArray,
    *,
    pressure: xr.DataArray | float = 1.0e5,
    net_radiation: xr.DataArray | None = None,
    ground_heat_flux: xr.DataArray | float = 0.0,
    coast_distance: xr.DataArray | None = None,
    alpha: float = 1.0,
    temperature_error: float = 0.5,
    humidity_error: float = 0.05,
) -> xr.Dataset:
    """Evaporative fraction, evaporation and soil-water stress from daily air temperature and humidity.

    Parameters
    ----------
    air_temperature [K], specific_humidity [1], pressure [Pa] : daily means, any dims.
    net_radiation, ground_heat_flux : [W m-2]; with them `evapotranspiration_flux` is given too.
    coast_distance : [m], for the flag. alpha : of the reference surface. temperature_error [K], humidity_error (relative) :
        standard errors of the inputs.

    Returns
    -------
    Dataset: `evaporative_fraction`, `stress_ratio` (evaporative fraction over that of a saturated surface, clipped at 1), both
    with `_standard_error`; `evapotranspiration_flux` [kg m-2 s-1]; `evaporative_fraction_flag`: `coastal` (< 100 km), `cold`
    (< 278 K), `low_energy` (< 20 W m-2) keep their values, `above_equilibrium` was clipped. A value wherever T and q have one.
    """
    ef = evaporative_fraction(air_temperature, specific_humidity)
    heat = constants.vaporization_heat(air_temperature)
    by_humidity = ef * (1.0 - ef) / specific_humidity
    by_temperature = -2.0 * ef * (1.0 - ef) * (1.0 / air_temperature + 2361.0 / heat)
    sd = np.hypot(by_humidity * humidity_error * specific_humidity, by_temperature * temperature_error)
    reference = equilibrium_fraction(air_temperature, pressure, alpha=alpha)
    ratio = ef / reference
    above = ratio > 1.0 + 1e-9
    flag = above * 8 + (air_temperature < COLD) * 2
    out = xr.Dataset({"evaporative_fraction": ef})
    out["evaporative_fraction_standard_error"] = sd.assign_attrs(units="1")
    out["stress_ratio"] = ratio.clip(max=1.0).assign_attrs(
        units="1", long_name="evaporative fraction relative to a saturated surface"
    )
    out["stress_ratio_standard_error"] = (sd / reference).assign_attrs(units="1")
    if net_radiation is not None:
        energy = net_radiation - ground_heat_flux
        flag = flag + (energy < LOW_ENERGY) * 4
        out["evapotranspiration_flux"] = cf.describe(ef * energy / heat, "evapotranspiration_flux")
    if coast_distance is not None:
        flag = flag + (coast_distance < COAST) * 1
    out["evaporative_fraction_flag"] = flag.where(ef.notnull(), 0).astype("uint8").assign_attrs(cf.flag_attrs(FLAGS))
    out = cf.link(out, "evaporative_fraction", "evaporative_fraction_standard_error", "evaporative_fraction_flag")
    out = cf.link(out, "stress_ratio", "stress_ratio_standard_error", "evaporative_fraction_flag")
    return cf.provenance(out, method="M-T1.6", params={"alpha": alpha}, references=REFERENCES)


@lru_cache(maxsize=64)
def _rank_table(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian-kernel CDF of `n` normal scores on a fine axis of ranks (Silverman's bandwidth)."""
    ranks = np.unique(np.linspace(1, n, min(n, 400)))
    scores = ndtri((np.arange(1, n + 1) - 0.5) / n)
    quartiles = np.percentile(scores, [25, 75])
    width = 0.9 * min(scores.std(ddof=1), (quartiles[1] - quartiles[0]) / 1.34) * n**-0.2 if n > 2 else 1.0
    at = ndtri((ranks - 0.5) / n)
    return ranks, ndtr((at[:, None] - scores[None, :]) / width).mean(axis=1)


def kernel_percentile(stress: xr.DataArray) -> xr.DataArray:
    """Place of each value in its own record (time, ...), 0..1, smoothed by a Gaussian kernel over normal scores.

    Ranks come first, so any increasing transform of the input gives the same result. Needs the whole series of a cell.
    """
    cf.check_time(stress)

    def kernel(values):
        flat = values.reshape(-1, values.shape[-1])
        out = np.full(flat.shape, np.nan)
        for row, target in zip(flat, out, strict=True):
            good = np.isfinite(row)
            if good.sum() > 1:
                ranks, table = _rank_table(int(good.sum()))
                target[good] = np.interp(rankdata(row[good]), ranks, table)
        return out.reshape(values.shape)

    out = xr.apply_ufunc(
        kernel,
        stress.chunk(time=-1) if stress.chunks is not None else stress,
        input_core_dims=[["time"]],
        output_core_dims=[["time"]],
        dask="parallelized",
        output_dtypes=[float],
    )
    return out.transpose(*stress.dims).rename("percentile").assign_attrs(units="1")


def _quantiles(percentile, low, high, reference):
    """Soil moisture at a percentile: of `reference` (time, ...) where given, else of Beta(2, 2) between the limits."""
    if reference is None:
        unit = xr.apply_ufunc(lambda p: betaincinv(2.0, 2.0, p), percentile, dask="parallelized", output_dtypes=[float])
        return low + unit * (high - low)

    def kernel(p, record):
        shape = p.shape
        out = np.full((int(np.prod(shape[:-1], dtype=int)), shape[-1]), np.nan)
        records = np.broadcast_to(record, (*shape[:-1], record.shape[-1])).reshape(-1, record.shape[-1])
        for target, row, values in zip(out, p.reshape(-1, shape[-1]), records, strict=True):
            good = np.sort(values[np.isfinite(values)])
            if good.size > 1:
                target[:] = np.interp(row, (np.arange(good.size) + 0.5) / good.size, good)
        return out.reshape(shape)

    record = reference.rename(time="record")
    return xr.apply_ufunc(
        kernel,
        percentile,
        record.chunk(record=-1) if record.chunks is not None else record,
        input_core_dims=[["time"], ["record"]],
        output_core_dims=[["time"]],
        dask="parallelized",
        output_dtypes=[float],
    ).transpose(*percentile.dims)


def _nadaraya_watson(stress, training, leaf_area):
    """Mean of the model's moisture, weighted by likeness in stress and leaf area."""
    theta, b, lai = (
        np.asarray(training[name], dtype=float).ravel() for name in ("soil_moisture", "stress_ratio", "leaf_area_index")
    )
    good = np.isfinite(theta) & np.isfinite(b) & np.isfinite(lai)
    theta, b, lai = theta[good], b[good], lai[good]
    if theta.size < 30:
        raise VadoseInputError(f"the training climatology has {theta.size} complete values, at least 30 are needed")
    widths = [1.06 * max(v.std(), 1e-6) * v.size ** (-1 / 6) for v in (b, lai)]

    def kernel(x, y):
        x, y = np.broadcast_arrays(x, y)
        out = np.empty(x.size)
        for start in range(0, x.size, 2000):
            part = slice(start, start + 2000)
            distance = ((x.ravel()[part, None] - b) / widths[0]) ** 2 + ((y.ravel()[part, None] - lai) / widths[1]) ** 2
            weight = np.exp(-0.5 * (distance - distance.min(axis=1, keepdims=True)))
            out[part] = (weight @ theta) / weight.sum(axis=1)
        return np.where(np.isfinite(x) & np.isfinite(y), out.reshape(x.shape), np.nan)

    return xr.apply_ufunc(kernel, stress, leaf_area, dask="parallelized", output_dtypes=[float])


def moisture_from_stress(
    stress_ratio: xr.DataArray,
    *,
    wilting_point: xr.DataArray | float,
    field_capacity: xr.DataArray | float,
    method: Method = "percentile",
    exponent: float = 1.0,
    reference: xr.DataArray | None = None,
    training: xr.Dataset | None = None,
    leaf_area: xr.DataArray | float | None = None,
    memory: float | None = MEMORY,
    average: int = 7,
) -> xr.DataArray:
    """Root-zone moisture [m3 m-3] from the stress ratio (time, ...). Experimental: see the module's text.

    `method`: "stress" - wilting point + b^(1/exponent) (field capacity - wilting point); "percentile" - place of the trailing
    `average`-day mean of b in its record, mapped to `reference` (time, ...) or to Beta(2, 2) between the limits; "kernel" -
    conditional mean E[moisture | b, leaf area] of a model climatology `training` (`soil_moisture`, `stress_ratio`,
    `leaf_area_index`). `memory` [d]: exponential filter before inversion. Missing only where b is missing.
    """
    cf.check_time(stress_ratio)
    b = stress_ratio
    if memory is not None:
        b = exponential_filter(stress_ratio, memory, minimum_quality=0.0).soil_water_index
        b = b.where(stress_ratio.notnull())
    low, high = wilting_point, field_capacity
    if method == "stress":
        theta = low + b ** (1.0 / exponent) * (high - low)
    elif method == "percentile":
        mean = b.rolling(time=average, min_periods=1).mean().where(b.notnull())
        theta = _quantiles(kernel_percentile(mean), low, high, reference)
    elif method == "kernel":
        if training is None or leaf_area is None:
            raise VadoseInputError("method 'kernel' needs training (a model climatology) and leaf_area")
        theta = _nadaraya_watson(b, training, leaf_area)
    else:
        raise unknown_name("root-zone method", method, ("percentile", "stress", "kernel"))
    return cf.describe(theta.transpose(*stress_ratio.dims), "soil_moisture", long_name="root-zone soil moisture")


def _without_season(stress, net_radiation, limit):
    """The seasonal mean taken out of months whose mean net radiation is below `limit`: energy, not water, rules them."""
    month = stress.time.dt.month
    dark = (net_radiation.groupby(month).mean("time") < limit).sel(month=month).drop_vars("month")
    usual = stress.groupby(month).mean("time").sel(month=month).drop_vars("month")
    return xr.where(dark, stress - usual + stress.mean("time"), stress).transpose(*stress.dims)


def root_zone_moisture(
    equilibrium: xr.Dataset,
    *,
    wilting_point: xr.DataArray | float,
    field_capacity: xr.DataArray | float,
    method: Method = "percentile",
    net_radiation: xr.DataArray | None = None,
    radiation_limit: float = 50.0,
    **options,
) -> xr.Dataset:
    """Gap-free daily root-zone moisture (0-1 m, nominal) from `surface_flux_equilibrium`. Experimental.

    With `net_radiation` [W m-2], months below `radiation_limit` on average lose their seasonal cycle first. `options` go to
    `moisture_from_stress`. Returns `soil_moisture` with `soil_moisture_standard_error`: input errors through the stress form,
    the spread of the methods that could be run, and 0.03 m3 m-3 for what the theory leaves out.
    """
    warnings.warn(
        "root-zone moisture from surface flux equilibrium: the published kernel step was not seen; this second stage is "
        "vadose's own (methods 'percentile', 'stress', 'kernel')",
        ExperimentalWarning,
        stacklevel=2,
    )
    stress = equilibrium["stress_ratio"]
    if net_radiation is not None:
        stress = _without_season(stress, net_radiation, radiation_limit)
    limits = {"wilting_point": wilting_point, "field_capacity": field_capacity}
    others = ["stress", "percentile"] + (["kernel"] if options.get("training") is not None else [])
    ways = {name: moisture_from_stress(stress, method=name, **limits, **options) for name in {*others, method}}  # type: ignore[arg-type]
    theta = ways[method]
    members = xr.concat([ways[name] for name in sorted(ways)], "way", coords="minimal", compat="override")
    by_input = equilibrium["stress_ratio_standard_error"] * (field_capacity - wilting_point)
    variance = by_input**2 + members.var("way", ddof=1) + STRUCTURAL_ERROR**2
    error = (variance**0.5).assign_attrs(units="m3 m-3")
    out = xr.Dataset({"soil_moisture": theta, "soil_moisture_standard_error": error})
    out["soil_moisture_flag"] = equilibrium["evaporative_fraction_flag"]
    out = cf.with_depth(cf.link(out, "soil_moisture", "soil_moisture_standard_error", "soil_moisture_flag"), 0.0, 1.0)
    return cf.provenance(
        out.assign_attrs(experimental="the published kernel step was not seen"),
        method="M-T1.6",
        params={"method": method},
        references=f"{REFERENCES} doi:10.1088/1748-9326/ac2441",
    )
