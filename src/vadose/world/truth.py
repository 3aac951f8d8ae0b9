"""The truth: weather, soil, plants and water of any region at any resolution.

Everything is idealized but behaves: an arid west and a humid east, winter snow and frozen soil in the north, storms that
travel, dry spells, peat. Water is conserved exactly by the two-layer bucket. Numbers are vadose's own choice; they aim at
plausible statistics, not at any place on the real Earth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import ndtr

from vadose import cf, constants
from vadose.errors import VadoseInputError
from vadose.physics import bucket
from vadose.physics.pedotransfer import saxton_rawls
from vadose.world.noise import Modes

DAY = 86400.0
SNOW_TEMPERATURE = 273.65  # K, below which precipitation is snow
MELT_RATE = 3.0  # mm per day and kelvin above freezing
PRESSURE = 9.6e4  # Pa, everywhere


def make(
    bbox: tuple[float, float, float, float] = (-104.0, 34.0, -84.0, 56.0),
    resolution: float = 0.25,
    start: str = "2017-01-01",
    end: str = "2018-12-31",
    seed: int = 42,
    chunks: dict[str, int] | None = None,
) -> xr.Dataset:
    """The truth of a region.

    Parameters
    ----------
    bbox : west, south, east, north [degrees]; cell centers lie half a cell inside.
    resolution : cell size [degrees].
    start, end : first and last day, both included (daily values).
    seed : another seed, another world.
    chunks : `{"lat": n, "lon": m}` makes it lazy on dask; values do not depend on it.

    Returns
    -------
    Dataset (time, lat, lon) with weather, snow, plants, `soil_moisture` (time, depth, lat, lon) of two layers (0-0.05 m and
    0.05-1 m) and the water fluxes, in the vocabulary's names and units; static soil fields without time. Storage at the
    start is `initial_soil_moisture` (depth, lat, lon), so that the water balance can be closed.
    """
    west, south, east, north = bbox
    if not (west < east and south < north and south >= -90 and north <= 90):
        raise VadoseInputError(
            f"bbox must be (west, south, east, north) with west < east and south < north, got {bbox}"
        )
    if resolution <= 0 or resolution > min(east - west, north - south):
        raise VadoseInputError(
            f"resolution must be positive and no larger than the region, got {resolution} for {bbox}"
        )
    time = pd.date_range(start, end, freq="D")
    if time.size == 0:
        raise VadoseInputError(f"end {end} is before start {start}")
    lat = np.round(np.arange(south + resolution / 2, north, resolution), 6)
    lon = np.round(np.arange(west + resolution / 2, east, resolution), 6)
    if not chunks:
        return _block(lat, lon, time, seed)
    return _lazy(lat, lon, time, seed, chunks)


def _lazy(lat, lon, time, seed, chunks):
    """The same through `xr.map_blocks`: one task a spatial chunk makes all variables of it."""
    import dask.array as da

    like = _block(lat[:1], lon[:1], time, seed)
    sizes: dict[Any, int] = {"lat": lat.size, "lon": lon.size}
    cut: dict[Any, int] = {d: min(chunks.get(d, sizes[d]), sizes[d]) for d in sizes}

    def blank(array: xr.DataArray) -> xr.DataArray:
        shape = tuple(sizes.get(d, n) for d, n in array.sizes.items())
        blocks = tuple(cut.get(d, n) for d, n in array.sizes.items())
        return xr.DataArray(da.empty(shape, chunks=blocks, dtype=array.dtype), dims=array.dims, attrs=array.attrs)

    template = xr.Dataset({n: blank(v) for n, v in like.data_vars.items()}, attrs=like.attrs)
    template = template.assign_coords(
        {
            **{n: like[n] for n in ("time", "depth", "depth_bnds")},
            "lat": ("lat", lat, like.lat.attrs),
            "lon": ("lon", lon, like.lon.attrs),
        }
    )
    cells = xr.Dataset(
        {"cell": (("lat", "lon"), da.zeros((lat.size, lon.size), chunks=(cut["lat"], cut["lon"])))},
        coords={"lat": lat, "lon": lon},
    )

    def run(block: xr.Dataset) -> xr.Dataset:
        return _block(block.lat.values, block.lon.values, time, seed)

    return xr.map_blocks(run, cells, template=template)


def _block(lat, lon, time, seed) -> xr.Dataset:
    """All variables of a block, computed cell by cell as (cells, days) and folded into (time, lat, lon)."""
    rows, columns = (a.reshape(-1) for a in np.meshgrid(lat, lon, indexing="ij"))
    land = _soil(rows, columns, seed)
    sky = _weather(rows, columns, time, seed)
    snow, liquid = _snow(sky["air_temperature"], sky["precipitation"])
    soil_temperature = _soil_temperature(sky["air_temperature"], snow)
    lai = _leaf_area(sky["air_temperature"], land["greenness"])
    demand = _potential_evaporation(sky["air_temperature"], sky["net_radiation"]) * (
        soil_temperature[:, 0] > constants.FREEZING_POINT
    )

    def series(values, name, **attrs):
        return cf.describe(
            xr.DataArray(values.reshape(lat.size, lon.size, -1), dims=("lat", "lon", "time")), name, **attrs
        ).transpose("time", "lat", "lon")

    def field(values, name):
        return cf.describe(xr.DataArray(values.reshape(lat.size, lon.size), dims=("lat", "lon")), name)

    static = {n: field(land[n], n) for n in ("sand", "clay", "organic_matter", "elevation")}
    limits = saxton_rawls(
        static["sand"], static["clay"], static["organic_matter"].clip(max=0.08).assign_attrs(units="1")
    )
    peat = static["organic_matter"] > 0.12
    static["porosity"] = cf.describe(xr.where(peat, 0.75, limits.saturation_moisture), "porosity")
    static["field_capacity"] = cf.describe(xr.where(peat, 0.45, limits.field_capacity), "field_capacity")
    static["wilting_point"] = cf.describe(limits.wilting_point, "wilting_point")
    parameters = {n: static[n] for n in ("porosity", "field_capacity", "wilting_point")}
    water = xr.DataArray(
        liquid.reshape(lat.size, lon.size, -1),
        dims=("lat", "lon", "time"),
        attrs={"units": "mm d-1"},
        name="water at the surface",
    )
    evaporation = xr.DataArray(
        demand.reshape(water.shape), dims=water.dims, attrs={"units": "mm d-1"}, name="potential evaporation"
    )
    initial = static["wilting_point"] + (static["field_capacity"] - static["wilting_point"]) * xr.DataArray(
        land["wet_start"].reshape(lat.size, lon.size), dims=("lat", "lon")
    )
    flows = bucket.two_layer(
        water,
        evaporation,
        initial=(initial, initial),
        conductivity=(limits.conductivity * 24.0).assign_attrs(units="mm d-1"),
        exponent=limits.exponent,
        **parameters,
    )

    data = {
        "soil_moisture": flows.soil_moisture.transpose("time", "depth", "lat", "lon"),
        "evapotranspiration_flux": flows.evapotranspiration_flux.transpose("time", "lat", "lon"),
        "runoff_flux": flows.runoff_flux.transpose("time", "lat", "lon"),
        "drainage_flux": flows.drainage_flux.transpose("time", "lat", "lon"),
        "precipitation_flux": series(sky["precipitation"] / DAY, "precipitation_flux"),
        "potential_evaporation_flux": series(demand / DAY, "potential_evaporation_flux"),
        "air_temperature": series(sky["air_temperature"], "air_temperature"),
        "specific_humidity": series(sky["specific_humidity"], "specific_humidity"),
        "net_radiation": series(sky["net_radiation"], "net_radiation"),
        "shortwave_radiation": series(sky["shortwave_radiation"], "shortwave_radiation"),
        "snow_amount": series(snow, "snow_amount"),
        "leaf_area_index": series(lai, "leaf_area_index"),
        **static,
        "initial_soil_moisture": cf.describe(
            initial.expand_dims(depth=2), "soil_moisture", long_name="soil moisture before the first day"
        ),
    }
    layers = [series(soil_temperature[:, k], "soil_temperature") for k in range(2)]
    data["soil_temperature"] = (
        xr.concat(layers, "depth").transpose("time", "depth", "lat", "lon").assign_attrs(layers[0].attrs)
    )
    coordinates: dict[str, Any] = {
        "time": ("time", time, {"standard_name": "time", "long_name": "day (UTC)"}),
        "lat": ("lat", lat, {"standard_name": "latitude", "units": "degrees_north"}),
        "lon": ("lon", lon, {"standard_name": "longitude", "units": "degrees_east"}),
        "depth": flows.depth,
        "depth_bnds": flows.depth_bnds,
    }
    out = xr.Dataset(
        {n: v.astype("float32") if n != "soil_moisture" else v for n, v in data.items()}, coords=coordinates
    )
    return cf.provenance(
        out.assign_attrs(title="vadose synthetic Earth: the truth", Conventions=cf.CONVENTIONS, seed=seed),
        method="M-X14a",
    )


def _humidity_of_climate(lat, lon, seed):
    """How humid a place is, from 0 (desert) to 1 (rain forest): a west-east wave and large random patches."""
    wave = np.cos(2.0 * np.pi * (np.asarray(lon) + 84.0) / 40.0)
    return 1.0 / (1.0 + np.exp(-(1.6 * wave + 0.7 * Modes(seed, "climate", length=9.0).still(lat, lon))))


def _soil(lat, lon, seed):
    sand = 0.10 + 0.75 * ndtr(Modes(seed, "sand", length=2.5).still(lat, lon))
    clay = (0.95 - sand) * (0.15 + 0.45 * ndtr(Modes(seed, "clay", length=2.5).still(lat, lon)))
    humid = _humidity_of_climate(lat, lon, seed)
    peat = ndtr(2.0 * (Modes(seed, "peat", length=1.5).still(lat, lon) - 1.2) + 0.12 * (np.abs(lat) - 50.0))
    organic = 0.01 + 0.03 * humid + 0.25 * np.where(np.abs(lat) > 45.0, peat, 0.0)
    elevation = 400.0 + 350.0 * Modes(seed, "relief", length=3.0).still(lat, lon) - 500.0 * (humid - 0.5)
    return {
        "sand": sand,
        "clay": clay,
        "organic_matter": organic,
        "elevation": elevation,
        "greenness": 0.15 + 0.85 * humid,
        "wet_start": 0.25 + 0.6 * humid,
    }


def _weather(lat, lon, time, seed):
    days = time.size
    year = 2.0 * np.pi * (time.day_of_year.values - 1) / 365.25
    hemisphere = np.where(lat >= 0, 1.0, -1.0)[:, None]
    season = -np.cos(year - 0.35)[None, :] * hemisphere  # warmest some three weeks after midsummer
    humid = _humidity_of_climate(lat, lon, seed)[:, None]

    storms = Modes(seed, "storms", length=2.2).moving(lat, lon, days, memory=0.45, drift=3.0)
    spells = Modes(seed, "spells", length=5.0).moving(lat, lon, days, memory=0.965)
    chance = np.clip(0.05 + 0.30 * humid + 0.05 * season * (1.0 - humid) - 0.03, 0.03, 0.6)
    exceed = 1.0 - ndtr(0.87 * storms + 0.49 * spells)
    amount = (3.5 + 5.0 * humid) * (1.0 + 0.35 * season)
    rain = np.where(exceed < chance, -amount * np.log(np.clip(exceed / chance, 1e-6, 1.0)), 0.0)

    mean = 301.0 - 0.0105 * lat[:, None] ** 2
    swing = 2.0 + 0.30 * np.abs(lat[:, None])
    anomaly = 3.6 * Modes(seed, "airmass", length=6.0).moving(lat, lon, days, memory=0.75, drift=2.0)
    temperature = mean + swing * season + anomaly - 1.5 * (rain > 0)

    clear = _insolation(lat, time) * 0.72
    cloud = np.where(rain > 0, 0.55, 0.12 + 0.18 * humid) + 0.05 * np.tanh(spells)
    shortwave = clear * (1.0 - 0.75 * cloud)
    net = 0.77 * shortwave - (85.0 - 50.0 * cloud)
    relative = np.clip(0.38 + 0.32 * humid + 0.18 * (rain > 0) + 0.04 * spells, 0.1, 0.98)
    vapor = relative * constants.saturation_vapor_pressure(temperature)
    humidity = constants.VAPOR_RATIO * vapor / (PRESSURE - (1 - constants.VAPOR_RATIO) * vapor)
    return {
        "precipitation": rain,
        "air_temperature": temperature,
        "shortwave_radiation": shortwave,
        "net_radiation": net,
        "specific_humidity": humidity,
    }


def _insolation(lat, time):
    """Daily mean radiation at the top of the atmosphere [W m-2] (cells, days) from declination and hour angle."""
    declination = 0.4093 * np.sin(2.0 * np.pi * (time.day_of_year.values - 81) / 365.25)[None, :]
    phi = np.deg2rad(np.clip(lat, -89.9, 89.9))[:, None]
    hour = np.arccos(np.clip(-np.tan(phi) * np.tan(declination), -1.0, 1.0))
    return (
        1361.0 / np.pi * (hour * np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.sin(hour))
    )


def _snow(temperature, precipitation):
    """Snow water equivalent [mm] and the water that reaches the soil [mm d-1]: a degree-day store that loses nothing."""
    store = np.zeros(temperature.shape[0])
    swe, water = np.empty_like(precipitation), np.empty_like(precipitation)
    for t in range(precipitation.shape[1]):
        cold = temperature[:, t] < SNOW_TEMPERATURE
        store += np.where(cold, precipitation[:, t], 0.0)
        melt = np.minimum(store, MELT_RATE * np.maximum(temperature[:, t] - constants.FREEZING_POINT, 0.0))
        store -= melt
        swe[:, t] = store
        water[:, t] = np.where(cold, 0.0, precipitation[:, t]) + melt
    return swe, water


def _soil_temperature(air, snow):
    """Temperature of both layers [K] (cells, 2, days): air temperature, slower with depth and under snow."""
    out = np.empty((air.shape[0], 2, air.shape[1]))
    for layer, lag in enumerate((3.0, 25.0)):
        now = air[:, : min(30, air.shape[1])].mean(axis=1)
        for t in range(air.shape[1]):
            pace = 1.0 / (lag * (1.0 + np.minimum(snow[:, t], 60.0) / 20.0))
            now = now + pace * (air[:, t] - now)
            out[:, layer, t] = now
    return out


def _leaf_area(air, greenness):
    """Leaf area index (cells, days): opens with the warmth of the last month, up to what the climate bears."""
    warmth = np.empty_like(air)
    now = air[:, 0].copy()
    for t in range(air.shape[1]):
        now += (air[:, t] - now) / 25.0
        warmth[:, t] = now
    return 0.2 + 5.3 * greenness[:, None] / (1.0 + np.exp(-(warmth - 284.0) / 2.5))


def _potential_evaporation(temperature, net_radiation):
    """Priestley-Taylor [mm d-1] with alpha 1.26 (doi:10.1175/1520-0493(1972)100<0081:OTAOSH>2.3.CO;2), never negative."""
    heat = constants.vaporization_heat(temperature)
    slope = heat * constants.saturation_vapor_pressure(temperature) / (constants.GAS_CONSTANT_VAPOR * temperature**2)
    gamma = constants.AIR_HEAT_CAPACITY * PRESSURE / (constants.VAPOR_RATIO * heat)
    return np.maximum(1.26 * slope / (slope + gamma) * np.maximum(net_radiation, 0.0) / heat * DAY, 0.0)


def write_truth(
    store: Any,
    *,
    bbox: tuple[float, float, float, float] = (-180.0, -60.0, 180.0, 80.0),
    resolution: float = 0.25,
    start: str = "2010-01-01",
    end: str = "2019-12-31",
    seed: int = 42,
    cells: int = 24,
    variables: tuple[str, ...] | None = None,
    report: Callable[[int, int], None] | None = None,
) -> None:
    """Write a large world into a Zarr store in bounded memory, on whatever dask scheduler or cluster is active.

    `store` is anything zarr writes to. `cells` is the side of a chunk: a chunk of 24 x 24 cells and ten years is 8 MB a
    variable. Latitude bands are written one after another, so memory is that of one band however large the world is;
    `report(done, bands)` hears of each. Memory and time grow linearly with cells and days.
    """
    world = make(bbox, resolution, start, end, seed, chunks={"lat": cells, "lon": cells})
    if variables is not None:
        world = world[list(variables)]
    world.to_zarr(store, compute=False, mode="w", consolidated=False)
    bands = range(0, world.sizes["lat"], cells)
    fixed = [n for n in world.variables if "lat" not in world[n].dims]
    for done, first in enumerate(bands, 1):
        world.isel(lat=slice(first, first + cells)).drop_vars(fixed).to_zarr(
            store, region={"lat": slice(first, min(first + cells, world.sizes["lat"]))}, consolidated=False
        )
        if report:
            report(done, len(bands))
