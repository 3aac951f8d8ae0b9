"""Doubt every reading of hourly series: the flags of the International Soil Moisture Network and those for sites that freeze.

Dorigo et al. 2013, doi:10.2136/vzj2012.0097. Nothing is removed: readings keep their values and get bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from vadose import cf, units
from vadose.constants import FREEZING_POINT
from vadose.errors import DimensionError, VadoseInputError, unknown_name
from vadose.physics import pedotransfer
from vadose.qc import boreal, rules
from vadose.qc.flags import FLAGS, ISMN_CODES, NOT_LIQUID

HOUR = np.timedelta64(1, "h")
SHORTEST = 30 * 24  # hours
TWO_YEARS = 2 * 8766  # hours
WINDOWS = ("hours", "samples")
HIGHEST = ("series", "two_years")

#: What the checks can use besides soil moisture: name -> units they are brought to.
_SERIES = {
    "soil_temperature": "degC", "air_temperature": "degC", "reanalysis_soil_temperature": "degC",
    "precipitation_flux": "mm h-1", "reanalysis_precipitation_flux": "mm h-1", "snow_amount": "kg m-2", "snow_depth": "m",
}  # fmt: skip


def flag(
    dataset: xr.Dataset,
    *,
    depth: xr.DataArray | float | None = None,
    saturation: xr.DataArray | float | None = None,
    frost: bool = True,
    windows: str = "hours",
    highest: str = "series",
) -> xr.Dataset:
    """`dataset` with `soil_moisture_flag` (bits of `vadose.qc.FLAGS`) and `liquid_valid` (usable as liquid water, bool).

    Parameters
    ----------
    dataset : `soil_moisture` (..., time) [m3 m-3] on hours, sorted; hours may be missing. Used where present, each with units:
        `soil_temperature`, `air_temperature`, `reanalysis_soil_temperature`, `precipitation_flux`,
        `reanalysis_precipitation_flux`, `snow_amount`, `snow_depth`, and without time `saturation_moisture` (else `porosity`,
        else from `sand`, `clay`, `organic_matter`), `organic_matter` (mass fraction), `organic_layer` (m).
    depth : top of the sensor [m]; default the coordinate `top`, `sensor_depth` or `depth`, else the surface.
    saturation : upper limit for C03 [m3 m-3]; default from the dataset as above; without one C03 is not checked.
    frost : also B01 to B07, which need soil temperature (or the bit `no_temp` says so) or snow.
    windows : "hours" lets no window reach over a gap, and D09 holds while the series is constant, as published. "samples" is the
        network's own code: windows count readings and bridge gaps, and D09 ends where variance rises, which smooth series may
        not do for weeks. On series without gaps and slow changes the flags are the same.
    highest : level that D10 is measured against: the highest of the "series" or of the "two_years" up to each hour.

    Returns
    -------
    The dataset, with flags of an earlier judge kept as `soil_moisture_provider_flag`. Missing readings have no bits. Series that
    are not hourly, or shorter than 30 days, get the limits and temperature checks only, and a bit that says so.
    Lazy in, lazy out (time must fit in memory, one chunk a series).

    Raises
    ------
    UnitsError, TimeAxisError, DimensionError, NotFoundError (an unknown choice).
    """
    if windows not in WINDOWS:
        raise unknown_name("kind of windows", windows, WINDOWS)
    if highest not in HIGHEST:
        raise unknown_name("highest level", highest, HIGHEST)
    if "soil_moisture" not in dataset:
        raise DimensionError(f"no variable 'soil_moisture'; the dataset has {sorted(map(str, dataset.data_vars))}")
    cf.check_time(dataset.soil_moisture)
    if dataset.sizes["time"] == 0:
        raise DimensionError("the series has no time; there is nothing to judge")
    series, static = _inputs(dataset, depth, saturation)
    position, hourly = _hours(dataset)
    options = {
        "names": (*series, *static), "position": position, "hourly": hourly, "frost": frost,
        "bridged": windows == "samples", "highest": 0 if highest == "series" else TWO_YEARS,
    }  # fmt: skip
    arrays = [_one_chunk(a) for a in series.values()] + list(static.values())
    core = [["time"]] * len(series) + [[]] * len(static)
    bits, liquid = xr.apply_ufunc(
        _judge, *arrays, kwargs=options, input_core_dims=core, output_core_dims=[["time"], ["time"]],
        dask="parallelized", output_dtypes=["uint32", "bool"], dask_gufunc_kwargs={"allow_rechunk": True},
    )  # fmt: skip
    order = dataset.soil_moisture.dims
    out = dataset.copy(deep=False)
    if "soil_moisture_flag" in out:
        out["soil_moisture_provider_flag"] = out["soil_moisture_flag"]
    out["soil_moisture_flag"] = bits.transpose(*order).assign_attrs(FLAGS.attrs())
    out["liquid_valid"] = liquid.transpose(*order).assign_attrs(long_name="usable as liquid water", units="1")
    out = cf.link(out, "soil_moisture", "soil_moisture_flag", "liquid_valid")
    return cf.provenance(
        out, method="M-T1.2", params={"windows": windows, "highest": highest, "frost": frost},
        references=FLAGS.references, step=f"qc.flag(windows={windows})",
    )  # fmt: skip


def good(dataset: xr.Dataset) -> xr.DataArray:
    """Where no check of the network found a reason to doubt (flag G), bool."""
    if "soil_moisture_flag" not in dataset:
        raise VadoseInputError("no 'soil_moisture_flag'; make one with vadose.qc.flag(dataset)")
    return cf.has_flag(dataset["soil_moisture_flag"], "G")


def _one_chunk(array: xr.DataArray) -> xr.DataArray:
    return array.chunk(time=-1) if array.chunks is not None else array


def _hours(dataset):
    """Position of each time on a full hourly axis, and whether the axis is one (with gaps allowed)."""
    index = dataset.indexes["time"]
    since = (index - index[0]) / HOUR
    position = np.asarray(since, dtype=float)
    steps = np.diff(position)
    whole = np.abs(position - np.rint(position)) < 1e-6
    hourly = bool(whole.all() and steps.size and np.median(steps) < 1.5)
    return (np.rint(position).astype(np.int64) if hourly else np.arange(position.size)), hourly


def _inputs(dataset, depth, saturation):
    """Everything that the checks use: series by name in their units, and values without time by name."""
    series = {"soil_moisture": units.convert(dataset["soil_moisture"], "m3 m-3")}
    for name, unit in _SERIES.items():
        if name in dataset:
            series[name] = units.convert(dataset[name], unit)
            if unit == "degC" and dataset[name].attrs.get("units") != unit:
                series[name] = series[name].round(3)  # 273.15 K in single precision is not below zero
    static: dict[str, Any] = {"depth": _depth(dataset, depth)}
    hydraulics = _hydraulics(dataset)
    limit = saturation if saturation is not None else hydraulics.pop("saturation", None)
    if limit is not None:
        limit = units.taken_as(limit, "m3 m-3")
        static["saturation"] = limit if isinstance(limit, xr.DataArray) else xr.DataArray(float(limit))
    static |= {k: v for k, v in hydraulics.items() if k != "saturation"}
    for name, unit in (("porosity", "1"), ("organic_matter", "1"), ("organic_layer", "m")):
        if name in dataset:
            static[name] = units.taken_as(dataset[name], unit)
    for name, value in static.items():
        if "time" in value.dims:
            raise DimensionError(f"{name} must not have a time dimension, got {value.dims}")
    bare = {n: a.drop_vars([c for c in a.coords if c not in a.dims], errors="ignore") for n, a in static.items()}
    return series, bare


def _depth(dataset, depth):
    if depth is not None:
        return units.taken_as(depth, "m") if isinstance(depth, xr.DataArray) else xr.DataArray(float(depth))
    for name in ("top", "sensor_depth", "depth"):
        if name in dataset.coords and "time" not in dataset[name].dims:
            return units.taken_as(dataset[name].astype(float, keep_attrs=True), "m")
    return xr.DataArray(0.0)


def _hydraulics(dataset):
    out = {}
    for name in ("saturation_moisture", "porosity"):
        if name in dataset and "saturation" not in out:
            out["saturation"] = dataset[name]
    if "sand" in dataset and "clay" in dataset:
        matter = units.taken_as(dataset["organic_matter"], "1").clip(max=0.08) if "organic_matter" in dataset else 0.025
        soil = pedotransfer.saxton_rawls(dataset["sand"], dataset["clay"], matter)
        out.setdefault("saturation", soil.saturation_moisture)
        out["exponent"] = soil.exponent
        out["suction"] = boreal.saturation_suction(soil.field_capacity, soil.saturation_moisture, soil.exponent)
    return out


def _judge(*arrays, names, position, hourly, frost, bridged, highest):
    """Bits and liquid validity of all series: arrays as named, those with time last."""
    count = len([n for n in names if n == "soil_moisture" or n in _SERIES])
    time = arrays[0].shape[-1]
    lead = np.broadcast_shapes(*[a.shape[:-1] for a in arrays[:count]], *[a.shape for a in arrays[count:]])
    rows = {
        n: np.broadcast_to(a, (*lead, time)).reshape(-1, time)
        for n, a in zip(names[:count], arrays[:count], strict=True)
    }
    single = {n: np.broadcast_to(a, lead).reshape(-1) for n, a in zip(names[count:], arrays[count:], strict=True)}
    size = int(position[-1]) + 1 if position.size else 0
    bits = np.zeros((int(np.prod(lead)), time), np.uint32)
    liquid = np.zeros(bits.shape, bool)
    for k in range(bits.shape[0]):
        full = {}
        for name, values in rows.items():
            full[name] = np.full(size, np.nan)
            full[name][position] = values[k]
        fixed = {name: float(values[k]) for name, values in single.items()}
        b, ok = _one(full, fixed, hourly, frost, bridged, highest)
        bits[k], liquid[k] = b[position], ok[position]
    return bits.reshape(*lead, time), liquid.reshape(*lead, time)


def _one(full: Mapping[str, np.ndarray], fixed: Mapping[str, float], hourly, frost, bridged, highest):
    """Bits (uint32) and liquid validity (bool) of one series on full hours."""
    moisture = full["soil_moisture"]
    x = rules.scaled(moisture)
    known = np.isfinite(x)
    hits: dict[str, np.ndarray] = _limits(x, fixed) | _cold(full)
    present = np.flatnonzero(known)
    long_enough = present.size > 0 and (not hourly or present[-1] - present[0] + 1 >= SHORTEST)
    if hourly and long_enough:
        hits |= _rules(x, full, fixed, bridged, highest)
    if frost and hourly and long_enough:
        hits |= _boreal(x, full, fixed, hits)
    if not hourly:
        hits["not_hourly"] = known
    elif not long_enough:
        hits["too_short"] = known
    bits = np.zeros(x.size, np.uint32)
    for code, where in hits.items():
        bits[where & known] |= np.uint32(FLAGS.mask(code))
    doubted = np.uint32(FLAGS.mask(*ISMN_CODES[:-1]))
    bits[known & ((bits & doubted) == 0)] |= np.uint32(FLAGS.mask("G"))
    liquid = known & ((bits & np.uint32(FLAGS.mask(*NOT_LIQUID))) == 0)
    cold = (bits & np.uint32(FLAGS.mask("D01", "D02", "D03"))) != 0
    temperature = full.get("soil_temperature", np.full(x.size, np.nan))
    return bits, liquid & (~cold | (temperature > boreal.FROZEN_BELOW))


def _limits(x, fixed):
    upper, saturated = 60.0, 100.0 * fixed.get("saturation", np.nan)
    organic = (
        fixed.get("organic_matter", 0.0) > boreal.ORGANIC_SHARE
        or fixed.get("organic_layer", 0.0) > boreal.ORGANIC_LAYER
    )
    if organic:
        upper = saturated = min(95.0, 100.0 * fixed.get("porosity", 0.90) + 5.0)
    percent = x / rules.PERCENT
    out = {"C01": percent < 0, "C02": percent > upper, "C03": percent > np.round(saturated, 4)}
    return out | ({"B06": np.isfinite(x)} if organic else {})


def _cold(full):
    names = {"D01": "soil_temperature", "D02": "air_temperature", "D03": "reanalysis_soil_temperature"}
    return {code: full[name] < 0 for code, name in names.items() if name in full}


def _rules(x, full, fixed, bridged, highest):
    first, second = rules.derivatives(x)
    drop, jump = rules.breaks(x, first, second)
    out = {"D06": rules.spikes(x, second), "D07": drop, "D08": jump}
    depth = fixed["depth"]
    if not depth >= rules.SURFACE:
        least = rules.minimum_rain(depth)
        for code, name in (("D04", "precipitation_flux"), ("D05", "reanalysis_precipitation_flux")):
            if name in full:
                out[code] = rules.rises_without_rain(x, full[name], least, code == "D04", bridged and code == "D05")
    top = rules.highest_so_far(x, highest)
    take = np.isfinite(x) if bridged else np.ones(x.size, bool)
    for code, found in (
        ("D09", rules.low_plateau(x[take], drop[take], bridged)),
        ("D10", rules.saturated_plateau(x[take], first[take], top[take])),
    ):
        out[code] = np.zeros(x.size, bool)
        out[code][take] = found
    return out


def _boreal(x, full, fixed, hits):
    out: dict[str, np.ndarray] = {}
    if "soil_temperature" in full:
        temperature = full["soil_temperature"]
        out |= {
            "B01": boreal.frozen(temperature),
            "B02": boreal.zero_curtain(temperature),
            "B07": boreal.thaw_rise(x, temperature),
        }
        out["no_temp"] = np.isnan(temperature)
        if {"saturation", "exponent", "suction"} <= set(fixed):
            kelvin = xr.DataArray(temperature + FREEZING_POINT)
            share = boreal.liquid_fraction(kelvin, exponent=fixed["exponent"], suction=fixed["suction"]).values
            most = 1.15 * fixed["saturation"] * share + 0.02
            out["B05"] = (temperature < 0) & (x / 1e6 > most)
    else:
        out["no_temp"] = np.isfinite(x)
    snow = np.zeros(x.size, bool)
    if "snow_amount" in full:
        snow |= full["snow_amount"] > boreal.SNOW_AMOUNT
        melting = boreal.melt_rise(x, full["snow_amount"])
        out["B04"] = melting
        for code in ("D04", "D05"):
            if code in hits:
                out[code] = hits[code] & ~melting
    if "snow_depth" in full:
        snow |= full["snow_depth"] > boreal.SNOW_DEPTH
    return out | {"B03": snow}
