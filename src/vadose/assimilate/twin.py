"""Synthetic twins: a truth, a model with wrong weather, instruments that err - and scores against what is known (M-T1.5).

An assimilation that cannot improve a twin will not improve the Earth.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from vadose import cf
from vadose.physics import bucket
from vadose.typing import Rng

LOAM: dict[str, Any] = {
    "porosity": 0.46,
    "wilting_point": 0.137,
    "critical_point": 0.24,
    "field_capacity": 0.28,
    "conductivity": 372.0,
    "exponent": 5.35,
}
SPIN_UP = 60  # days that are not scored


def lognormal(rng: np.random.Generator, cv: float, shape: tuple[int, ...]) -> np.ndarray:
    """Multipliers of mean one and coefficient of variation `cv`."""
    sd = np.sqrt(np.log(1.0 + cv**2))
    return np.exp(sd * rng.normal(size=shape) - 0.5 * sd**2)


def weather(cells: int = 12, *, years: int = 3, rng: Rng = 0, chance: float = 0.25, mean: float = 9.0) -> xr.Dataset:
    """Rain (a day in four, exponential of 9 mm) and potential evaporation (a sine of the year) of independent cells, mm d-1."""
    rng = np.random.default_rng(rng)
    days = int(365.25 * years)
    rain = rng.exponential(mean, (cells, days)) * (rng.random((cells, days)) < chance)
    demand = 3.0 + 2.5 * np.sin(2 * np.pi * (np.arange(days) - 100) / 365.0)
    time = pd.date_range("2015-01-01", periods=days)
    data = {
        "precipitation_flux": (("cell", "time"), rain, {"units": "mm d-1"}),
        "potential_evaporation_flux": (("cell", "time"), np.tile(demand, (cells, 1)), {"units": "mm d-1"}),
    }
    return xr.Dataset(data, coords={"time": time}).transpose("time", "cell")


def truth(
    forcing: xr.Dataset, *, initial: tuple[float, float] = (0.25, 0.25), irrigation: xr.DataArray | None = None
) -> xr.DataArray:
    """Soil moisture (time, depth, cell) of the loam bucket under the true weather and any hidden irrigation [mm d-1]."""
    rain = (
        forcing.precipitation_flux
        if irrigation is None
        else (forcing.precipitation_flux + irrigation).assign_attrs(units="mm d-1")
    )
    return bucket.two_layer(rain, forcing.potential_evaporation_flux, initial=initial, **LOAM).soil_moisture


def degrade(
    forcing: xr.Dataset,
    *,
    rain_cv: float = 1.0,
    rain_factor: float = 0.7,
    missed: float = 0.2,
    demand_factor: float = 1.1,
    rng: Rng = 1,
) -> xr.Dataset:
    """The weather as a model gets it: rain times lognormal noise and a factor, events missing, evaporation too strong."""
    rng = np.random.default_rng(rng)
    shape = forcing.precipitation_flux.shape
    keep = rng.random(shape) >= missed
    rain = forcing.precipitation_flux * lognormal(rng, rain_cv, shape) * rain_factor * keep
    return forcing.assign(
        precipitation_flux=rain.assign_attrs(units="mm d-1"),
        potential_evaporation_flux=(forcing.potential_evaporation_flux * demand_factor).assign_attrs(units="mm d-1"),
    )


def observe(
    true: xr.DataArray, *, standard_error: float = 0.03, every: int = 3, layers: int = 2, rng: Rng = 2
) -> xr.DataArray:
    """The truth with white noise every few days; NaN between, and for layer 2 unless `layers` is 2."""
    noisy = true + standard_error * np.random.default_rng(rng).normal(size=true.shape)
    seen = xr.DataArray(np.arange(true.sizes["time"]) % every == 0, dims="time", coords={"time": true.time})
    out = noisy.where(seen)
    if layers == 1:
        out = out.where(xr.DataArray([True, False], dims="depth"))
    return cf.describe(out, "soil_moisture")


def score(result: xr.Dataset, open_loop: xr.DataArray, true: xr.DataArray) -> xr.Dataset:
    """Errors against the truth after the spin-up: rmsd of analysis and open loop, their ratio, 90 % coverage, spread over error.

    Dims depth and cell; the ratio is below one where assimilation helped.
    """
    late = slice(SPIN_UP, None)
    t, a, o = (v.isel(time=late) for v in (true, result.soil_moisture, open_loop))
    rmsd = np.sqrt(((a - t) ** 2).mean("time"))
    base = np.sqrt(((o - t) ** 2).mean("time"))
    held = (t >= result.soil_moisture_q05.isel(time=late)) & (t <= result.soil_moisture_q95.isel(time=late))
    spread = np.sqrt((result.soil_moisture_standard_error.isel(time=late) ** 2).mean("time"))
    out = xr.Dataset(
        {
            "rmsd": rmsd,
            "open_loop_rmsd": base,
            "ratio": rmsd / base,
            "coverage": held.mean("time"),
            "spread_skill": spread / rmsd,
        }
    )
    for name in out.data_vars:
        out[name].attrs = {"units": "m3 m-3" if "rmsd" in str(name) else "1"}
    return cf.provenance(out, method="M-T1.5")
