"""Stations and towers: ISMN header+values text and AmeriFlux BASE csv."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

#: ISMN short name -> (our variable, whether one file a sensor depth, offset or factor to ISMN's unit).
ISMN_VARIABLES = {"sm": "soil_moisture", "ts": "soil_temperature", "p": "precipitation_flux"}


def ismn_names(station: xr.Dataset) -> list[str]:
    """File names of one station under the archive's root: network/station/network_network_station_variable_from_to_sensor_start_end.stm."""
    network, name = str(station.attrs["network"]), str(station.station.values)
    first, last = (pd.Timestamp(station.time.values[k]).strftime("%Y%m%d") for k in (0, -1))
    names = []
    for short, variable in ISMN_VARIABLES.items():
        depths = station.sensor_depth.values if "sensor_depth" in station[variable].dims else [0.0]
        names += [
            f"{network}/{name}/{network}_{network}_{name}_{short}_{d:.6f}_{d:.6f}_SYNTH-PROBE_{first}_{last}.stm"
            for d in depths
        ]
    return names


def write_ismn(station: xr.Dataset, name: str, path: Path) -> None:
    """One file in the header+values format: a header line, then `date time value flag provider-flag`, hourly, UTC.

    Flags are `M` where no value is and `U` (not checked) elsewhere: doubt is the reader's work, not the writer's.
    """
    parts = Path(name).name.split("_")
    short, depth = parts[3], float(parts[4])
    data = station[ISMN_VARIABLES[short]]
    if "sensor_depth" in data.dims:
        data = data.sel(sensor_depth=depth, method="nearest")
    values = data.values.astype(float)
    if short == "ts":
        values = values - 273.15
    elif short == "p":
        values = values * 3600.0
    stamps = pd.DatetimeIndex(station.time.values).strftime("%Y/%m/%d %H:%M")
    network, site = str(station.attrs["network"]), str(station.station.values)
    header = f"{network} {network} {site} {float(station.lat):10.5f} {float(station.lon):10.5f} {float(station.elevation):8.2f} {depth:.4f} {depth:.4f} SYNTH-PROBE"
    with open(path, "w", encoding="ascii") as file:
        file.write(header + "\n")
        file.write(
            "\n".join(f"{t} {v:12.4f} {'U' if np.isfinite(v) else 'M'} M" for t, v in zip(stamps, values, strict=True))
        )
        file.write("\n")


def write_ameriflux(tower: xr.Dataset, path: Path) -> None:
    """One tower as AmeriFlux BASE: two comment lines, paired time stamps, soil water in percent, -9999 for missing.

    Time stamps are the tower's own, which the format has in local standard time; the step is that of `tower.time`.
    """
    start = pd.DatetimeIndex(tower.time.values)
    step = start[1] - start[0]
    table = pd.DataFrame(
        {
            "TIMESTAMP_START": start.strftime("%Y%m%d%H%M"),
            "TIMESTAMP_END": (start + step).strftime("%Y%m%d%H%M"),
            "TA_1_1_1": tower.air_temperature.values - 273.15,
            "P_1_1_1": tower.precipitation_flux.values * step.total_seconds(),
            "NETRAD_1_1_1": tower.net_radiation.values,
            "G_1_1_1": tower.ground_heat_flux.values,
            "LE_1_1_1": tower.latent_heat_flux.values,
            "H_1_1_1": tower.sensible_heat_flux.values,
            "GPP_PI": tower.gross_primary_productivity.values / 12.011e-9,
            "SWC_1_1_1": tower.soil_moisture.values * 100.0,
        }
    ).round(4)
    site = str(tower.station.values)
    with open(path, "w", encoding="ascii") as file:
        file.write(f"# Site: {site}\n# Version: 1-5 (synthetic: vadose synthetic Earth, not a real tower)\n")
        table.fillna(-9999).to_csv(file, index=False)
