"""US Climate Reference Network daily soil moisture: csv with NOAA's column names, or a parquet table. doi:10.1175/JHM-D-12-0146.1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from vadose import cf
from vadose.errors import UnreadableFileError
from vadose.products import tables
from vadose.products.canonical import tidy

DEPTHS = (5, 10, 20, 50, 100)  # cm
MISSING = (-99.0, -9999.0)


def open(path: str | Path) -> xr.Dataset:
    """Daily `soil_moisture` (station, depth, time) [m3 m-3] and `soil_temperature` [K] at the five sensor depths.

    Sentinels -99 and -9999 become NaN. Raises UnreadableFileError naming the file and the columns that are missing.
    """
    if str(path).endswith((".parquet", ".gz")):
        table = pd.read_parquet(path)
    else:
        table = tables.read(tables.text_of(path), path, needed=(), what="a table of USCRN daily data")
    table.columns = [c.lower() for c in table.columns]
    names = {"lst_date": "time", "wbanno": "wban", "longitude": "lon", "latitude": "lat"}
    table = table.rename(columns={k: v for k, v in names.items() if k in table.columns})
    needed = {"time", "wban", "lat", "lon", "soil_moisture_5_daily"}
    if needed - set(table.columns):
        raise UnreadableFileError(
            f"{path}: not USCRN daily data: columns {sorted(needed - set(table.columns))} are missing"
        )
    stamp = table["time"]
    table["time"] = (
        pd.to_datetime(stamp.astype(str), format="%Y%m%d") if stamp.dtype.kind in "iu" else pd.to_datetime(stamp)
    )
    table["wban"] = table["wban"].astype(str).str.zfill(5)
    places = table.groupby("wban")[["lat", "lon"]].median()
    time = pd.DatetimeIndex(sorted(table["time"].unique()))
    data = {}
    for variable, stem, offset in (("soil_moisture", "soil_moisture", 0.0), ("soil_temperature", "soil_temp", 273.15)):
        layers = []
        for depth in DEPTHS:
            column = f"{stem}_{depth}_daily"
            wide = table.pivot_table(
                index="wban", columns="time", values=column, dropna=False, aggfunc="first"
            ).reindex(index=places.index, columns=time)
            values = wide.to_numpy(dtype=float)
            layers.append(np.where(np.isin(values, MISSING), np.nan, values + offset))
        data[variable] = cf.describe(
            xr.DataArray(np.stack(layers, axis=1), dims=("station", "depth", "time")), variable
        )
    coords = {
        "time": time,
        "depth": ("depth", np.array(DEPTHS) / 100.0, {"units": "m", "positive": "down", "standard_name": "depth"}),
        "station": ("station", places.index.to_numpy(dtype=str), {"cf_role": "timeseries_id"}),
        "lat": ("station", places["lat"].to_numpy()),
        "lon": ("station", places["lon"].to_numpy()),
    }
    out = xr.Dataset(data, coords=coords)
    return tidy(out, product="uscrn", source=out)


def standardize(dataset: xr.Dataset) -> xr.Dataset:
    """Files handed over by the catalog -> stations; an opened Dataset passes through."""
    return xr.concat([open(f) for f in dataset.attrs["files"]], "station") if "files" in dataset.attrs else dataset
