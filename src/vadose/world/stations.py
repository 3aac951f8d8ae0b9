"""Sensors in the ground: hourly soil moisture with a sub-daily wiggle, representativeness error and planted faults."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from vadose import cf, constants
from vadose.typing import Rng

FAULT_KINDS = ("spike", "drop", "plateau", "frozen")
SENSOR_DEPTHS = (0.05, 0.50)  # m
SENSOR_ERROR = 0.012  # m3 m-3, white
PLACE_ERROR = 0.030  # m3 m-3, a lasting difference between the point and its cell


def network(truth: xr.Dataset, n: int = 30, *, rng: Rng = 7, faults: bool = True, name: str = "SYNTH") -> xr.Dataset:
    """A network of `n` stations at random cells.

    Returns hourly `soil_moisture` (station, sensor_depth, time) [m3 m-3], `soil_temperature` [K], `precipitation_flux`,
    `true_soil_moisture` of the sensor's volume without error, and `fault` (bit mask of `FAULT_KINDS`: what was planted).
    """
    rng = np.random.default_rng(rng)
    rows = rng.integers(0, truth.sizes["lat"], n)
    columns = rng.integers(0, truth.sizes["lon"], n)
    at = {"lat": xr.DataArray(rows, dims="station"), "lon": xr.DataArray(columns, dims="station")}
    cells = truth[["soil_moisture", "soil_temperature", "precipitation_flux"]].isel(at).load()
    hours = pd.date_range(truth.time.values[0], truth.time.values[-1] + np.timedelta64(23, "h"), freq="h")
    daily = cells.transpose("station", "depth", "time", ...)

    def hourly(values: np.ndarray) -> np.ndarray:
        middle = np.arange(truth.sizes["time"]) * 24.0 + 12.0
        return np.apply_along_axis(lambda v: np.interp(np.arange(hours.size), middle, v), -1, values)

    moisture = hourly(daily.soil_moisture.values)
    temperature = hourly(daily.soil_temperature.values) + np.array([3.0, 0.3])[None, :, None] * np.sin(
        2 * np.pi * (hours.hour.values - 9) / 24
    )
    rain = np.repeat(daily.precipitation_flux.values, 24, axis=-1) * _storm_hours(rng, n, truth.sizes["time"])
    place = rng.normal(0.0, PLACE_ERROR, (n, 2, 1))
    values = moisture + place + rng.normal(0.0, SENSOR_ERROR / 2, moisture.shape)
    values = np.clip(values, 0.01, 0.75)
    fault = np.zeros(values.shape, dtype="uint8")
    if faults:
        values, fault = _plant(values, temperature, rng)
    out = xr.Dataset(
        {
            "soil_moisture": (("station", "sensor_depth", "time"), values.astype("float32")),
            "soil_temperature": (("station", "sensor_depth", "time"), temperature.astype("float32")),
            "precipitation_flux": (("station", "time"), rain.astype("float32")),
            "true_soil_moisture": (("station", "sensor_depth", "time"), moisture.astype("float32")),
            "fault": (
                ("station", "sensor_depth", "time"),
                fault,
                cf.flag_attrs(FAULT_KINDS, long_name="planted fault"),
            ),
        },
        coords={
            "time": hours,
            "sensor_depth": (
                "sensor_depth",
                list(SENSOR_DEPTHS),
                {"units": "m", "positive": "down", "standard_name": "depth"},
            ),
            "station": ("station", [f"{name}-{k:03d}" for k in range(n)], {"cf_role": "timeseries_id"}),
            "lat": ("station", truth.lat.values[rows]),
            "lon": ("station", truth.lon.values[columns]),
            "elevation": ("station", truth.elevation.values[rows, columns].astype(float)),
        },
    )
    for variable in ("soil_moisture", "soil_temperature", "precipitation_flux"):
        out[variable] = cf.describe(out[variable], variable)
    out["true_soil_moisture"].attrs = {**out.soil_moisture.attrs, "long_name": "true soil moisture around the sensor"}
    return out.assign_attrs(title=f"synthetic station network {name}", network=name)


def _storm_hours(rng, n, days):
    """Share of a day's rain in each hour, times 24: one storm of one to eight hours."""
    share = np.zeros((n, days, 24))
    start = rng.integers(0, 17, (n, days))
    length = rng.integers(1, 9, (n, days))
    hours = np.arange(24)
    inside = (hours >= start[..., None]) & (hours < (start + length)[..., None])
    share[inside] = 1.0
    return (share / share.sum(-1, keepdims=True) * 24.0).reshape(n, -1)


def _plant(values, temperature, rng):
    """Spikes (one hour up), drops (one hour down), plateaus (a stuck sensor) and freezing, and where each was planted."""
    values, fault = values.copy(), np.zeros(values.shape, dtype="uint8")
    stations, sensors, hours = values.shape
    for i in range(stations):
        for k in range(sensors):
            count = max(1, hours // 2200)
            for at in rng.integers(48, hours - 48, count):
                values[i, k, at] += rng.uniform(0.08, 0.25)
                fault[i, k, at] |= 1
            for at in rng.integers(48, hours - 48, count):
                values[i, k, at] = max(0.01, values[i, k, at] - rng.uniform(0.08, 0.2))
                fault[i, k, at] |= 2
            for at in rng.integers(48, max(49, hours - 300), max(1, count // 3)):
                length = int(rng.integers(24, 240))
                values[i, k, at : at + length] = values[i, k, at]
                fault[i, k, at : at + length] |= 4
    frozen = temperature < constants.FREEZING_POINT
    liquid = 1.0 / (1.0 + np.exp(-(temperature - 272.6) * 4.0))  # sensors see liquid water only
    values = np.where(frozen, np.maximum(values * np.clip(liquid, 0.25, 1.0), 0.02), values)
    fault |= np.where(frozen, 8, 0).astype("uint8")
    return values, fault


#: What a tower's fluxes come down to at night [W m-2].
NIGHT = {
    "net_radiation": -50.0,
    "ground_heat_flux": -10.0,
    "sensible_heat_flux": -15.0,
    "latent_heat_flux": 0.0,
    "gross_primary_productivity": 0.0,
}
STEPS = 48  # half hours of a day


def half_hourly(towers: xr.Dataset) -> xr.Dataset:
    """Daily towers (station, time) with a course over the day, in local standard time: every day's mean stays what it was.

    Fluxes follow the sun between 6 and 18 h and rest at their night value (`NIGHT`; a day whose mean lies below it stays
    level), air is warmest at 15 h, rain falls in one storm of two hours, and a day of the input is a day on the tower's clock.
    """
    days = towers.sizes["time"]
    hour = (np.arange(STEPS) + 0.5) / 2.0
    sun = np.clip(np.sin(np.pi * (hour - 6.0) / 12.0), 0.0, None)
    sun /= sun.mean()
    warmth = np.cos(2.0 * np.pi * (hour - 15.0) / 24.0)
    begin = np.arange(days) * 17 % (STEPS - 4)
    storm = (np.arange(STEPS) >= begin[:, None]) & (np.arange(STEPS) < begin[:, None] + 4)
    out = xr.Dataset(
        coords={
            **{k: v for k, v in towers.coords.items() if "time" not in v.dims},
            "time": np.repeat(towers.time.values, STEPS) + np.tile(np.arange(STEPS) * np.timedelta64(30, "m"), days),
        },
        attrs=towers.attrs,
    )
    for name, array in towers.data_vars.items():
        mean = array.transpose("station", "time").values[..., None]
        if name in NIGHT:
            night = np.minimum(NIGHT[name], mean)
            course = night + (mean - night) * sun
        elif name == "precipitation_flux":
            course = mean * storm * (STEPS / 4)
        elif name == "air_temperature":
            course = mean + 4.0 * warmth
        else:
            course = np.broadcast_to(mean, (*mean.shape[:2], STEPS))
        out[name] = (("station", "time"), course.reshape(len(mean), -1), array.attrs)
    return out


def flux_towers(truth: xr.Dataset, n: int = 4, *, rng: Rng = 11) -> xr.Dataset:
    """Daily flux towers: energy balance, carbon and soil water at `n` cells (station, time), closure error 10 to 25 %."""
    rng = np.random.default_rng(rng)
    at = {d: xr.DataArray(rng.integers(0, truth.sizes[d], n), dims="station") for d in ("lat", "lon")}
    cell = truth.isel(at).load()
    heat = constants.vaporization_heat(cell.air_temperature)
    latent = cell.evapotranspiration_flux * heat
    ground = 0.08 * cell.net_radiation
    closure = xr.DataArray(rng.uniform(0.75, 0.9, n), dims="station")
    sensible = (cell.net_radiation - ground - latent) * closure

    def noisy(array, scale):
        return array + xr.DataArray(rng.normal(0.0, scale, array.shape), dims=array.dims)

    out = xr.Dataset(
        {
            "latent_heat_flux": cf.describe(noisy(latent * closure, 6.0), "latent_heat_flux"),
            "sensible_heat_flux": cf.describe(noisy(sensible, 6.0), "sensible_heat_flux"),
            "net_radiation": cf.describe(cell.net_radiation, "net_radiation"),
            "ground_heat_flux": cf.describe(noisy(ground, 2.0), "ground_heat_flux"),
            "gross_primary_productivity": cf.describe(
                noisy(cell.evapotranspiration_flux * 2.2e-3 * cell.leaf_area_index / 2.0, 2e-9).clip(min=0),
                "gross_primary_productivity",
            ),
            "soil_moisture": cf.describe(noisy(cell.soil_moisture.isel(depth=0, drop=True), 0.01), "soil_moisture"),
            "air_temperature": cf.describe(cell.air_temperature, "air_temperature"),
            "specific_humidity": cf.describe(cell.specific_humidity, "specific_humidity"),
            "precipitation_flux": cf.describe(cell.precipitation_flux, "precipitation_flux"),
        }
    )
    return (
        out.transpose("station", "time", ...)
        .assign_coords(station=("station", [f"SY-T{k:02d}" for k in range(n)]))
        .assign_attrs(title="synthetic flux towers")
    )
