"""A landscape of 100 m cells whose soil moisture is known: the twin of the chain from satellites and probes to the root zone.

Hills, soils that follow them, leaves, radar passes every six days, a radiometer footprint as large as the whole scene, and a
handful of probes. Everything is idealized; numbers are vadose's own choice.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from scipy.ndimage import gaussian_filter

from vadose import cf
from vadose.assimilate.twin import lognormal
from vadose.learn import features
from vadose.physics import bucket
from vadose.physics.pedotransfer import saxton_rawls
from vadose.typing import Rng

SPACING = 100.0  # m
DEGREE = 111_195.0  # m


def make(side: int = 40, *, days: int = 270, rng: Rng = 0) -> xr.Dataset:
    """The truth and what instruments and maps say of it, from April on.

    Returns
    -------
    Dataset (time, lat, lon): `soil_moisture` (time, depth, lat, lon) of 0-0.05 and 0.05-1 m; true `precipitation_flux` and
    `potential_evaporation_flux` [mm d-1]; `field_capacity`, `wilting_point`, `porosity`, `conductivity`, `exponent`; predictors a mapper
    has: `sand_map`, `clay_map` (with errors), terrain, `ndvi`, `backscatter` [dB, every sixth day], `coarse_soil_moisture` (the
    footprint's mean with noise, two days in three); and `model_precipitation` as a weather model would give it.
    """
    rng = np.random.default_rng(rng)

    def smooth(sd):
        field = gaussian_filter(rng.normal(size=(side, side)), sd, mode="wrap")
        return field / field.std()

    at = (
        44.0 + np.arange(side) * SPACING / DEGREE,
        -95.0 + np.arange(side) * SPACING / (DEGREE * np.cos(np.deg2rad(44))),
    )
    time = pd.date_range("2018-04-01", periods=days)
    coords = {"time": time, "lat": at[0], "lon": at[1]}

    def still(values, units, name):
        return xr.DataArray(
            values, dims=("lat", "lon"), coords={"lat": at[0], "lon": at[1]}, attrs={"units": units}, name=name
        )

    elevation = still(300 + 18 * smooth(6) + 4 * smooth(2), "m", "elevation")
    hills = features.terrain(elevation, spacing=SPACING)
    valley = (hills.topographic_wetness - hills.topographic_wetness.mean()) / hills.topographic_wetness.std()
    sand = (0.42 + 0.16 * smooth(4) - 0.05 * valley).clip(0.05, 0.9)
    clay = ((0.95 - sand) * (0.38 + 0.08 * smooth(5))).clip(0.03, 0.6)
    limits = saxton_rawls(sand.assign_attrs(units="1"), clay.assign_attrs(units="1"))
    rain = rng.exponential(9.0, days) * (rng.random(days) < 0.25)
    season = np.sin(2 * np.pi * (time.dayofyear.values - 100) / 365.0)
    soil = {
        "porosity": limits.saturation_moisture, "field_capacity": limits.field_capacity, "wilting_point": limits.wilting_point,
        "conductivity": (limits.conductivity * 24).assign_attrs(units="mm d-1"), "exponent": limits.exponent,
    }  # fmt: skip
    water = xr.DataArray(rain, dims="time", coords={"time": time}, attrs={"units": "mm d-1"}, name="precipitation_flux")
    demand = xr.DataArray(
        3.0 + 2.5 * season,
        dims="time",
        coords={"time": time},
        attrs={"units": "mm d-1"},
        name="potential_evaporation_flux",
    )
    grid = xr.ones_like(sand)
    out = bucket.two_layer(
        (water * grid).assign_attrs(units="mm d-1").rename("p"),
        (demand * grid).assign_attrs(units="mm d-1").rename("e"),
        initial=(0.25, 0.25),
        **soil,
    )
    theta = out.soil_moisture.transpose("time", "depth", "lat", "lon")
    ndvi = (
        0.25
        + 0.45
        * np.clip(xr.DataArray(season, dims="time", coords={"time": time}), 0, 1)
        * (1 + 0.2 * still(smooth(5), "1", "n"))
    ).clip(0.1, 0.9)
    noise = xr.DataArray(rng.normal(0, 0.7, (days, side, side)), dims=("time", "lat", "lon"), coords=coords)
    passes = xr.DataArray(np.arange(days) % 6 == 2, dims="time", coords={"time": time})
    surface = theta.isel(depth=0, drop=True)
    radar = (-17.0 + 32.0 * surface - 4.0 * ndvi + noise).where(passes)
    seen = xr.DataArray(np.arange(days) % 3 != 0, dims="time", coords={"time": time})
    coarse = surface.mean(("lat", "lon")) + rng.normal(0, 0.02, days)
    wrong = water * lognormal(rng, 0.8, (days,)) * 0.8 * (rng.random(days) >= 0.15)
    sand_map = (sand + 0.05 * smooth(3)).clip(0.02, 0.9)
    clay_map = np.minimum((clay + 0.03 * smooth(3)).clip(0.02, 0.7), 0.95 - sand_map)
    predictors = {
        "sand_map": still(sand_map.values, "1", "sand_map"),
        "clay_map": still(clay_map.values, "1", "clay_map"),
        "elevation": elevation, "topographic_wetness": hills.topographic_wetness, "slope": hills.slope,
        "ndvi": ndvi.transpose("time", "lat", "lon").assign_attrs(units="1"),
        "backscatter": radar.transpose("time", "lat", "lon").assign_attrs(units="dB"),
        "coarse_soil_moisture": coarse.where(seen).assign_attrs(units="m3 m-3"),
        "model_precipitation": wrong.assign_attrs(units="mm d-1"), "precipitation_flux": water, "potential_evaporation_flux": demand,
    }  # fmt: skip
    dataset = xr.Dataset({"soil_moisture": theta, **soil, **predictors}).assign_coords(
        depth_bnds=(("depth", "bnds"), [[0.0, 0.05], [0.05, 1.0]])
    )
    dataset["soil_moisture"].attrs = out.soil_moisture.attrs
    return cf.provenance(dataset.assign_attrs(title="a landscape of 100 m cells, synthetic"))


def probes(scene: xr.Dataset, n: int = 12, *, standard_error: float = 0.02, rng: Rng = 1) -> xr.DataArray:
    """Daily soil moisture of `n` probes at random cells (station, depth, time) with white noise, and their places."""
    rng = np.random.default_rng(rng)
    rows, columns = (xr.DataArray(rng.integers(0, scene.sizes[d], n), dims="station") for d in ("lat", "lon"))
    at = scene.soil_moisture.isel(lat=rows, lon=columns).transpose("station", "depth", "time")
    noisy = at + rng.normal(0, standard_error, at.shape)
    return cf.describe(noisy, "soil_moisture").assign_coords(station=[f"probe-{k:02d}" for k in range(n)])
