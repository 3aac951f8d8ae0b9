"""US Climate Reference Network daily soil moisture: NOAA's daily01 text, csv with its column names, or a parquet table. doi:10.1175/JHM-D-12-0146.1."""

from __future__ import annotations

from collections.abc import Iterable
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
#: Columns of daily01, which its text files do not name.
COLUMNS = (
    "WBANNO", "LST_DATE", "CRX_VN", "LONGITUDE", "LATITUDE", "T_DAILY_MAX", "T_DAILY_MIN", "T_DAILY_MEAN", "T_DAILY_AVG",
    "P_DAILY_CALC", "SOLARAD_DAILY", "SUR_TEMP_DAILY_TYPE", "SUR_TEMP_DAILY_MAX", "SUR_TEMP_DAILY_MIN", "SUR_TEMP_DAILY_AVG",
    "RH_DAILY_MAX", "RH_DAILY_MIN", "RH_DAILY_AVG", *(f"SOIL_{v}_{d}_DAILY" for v in ("MOISTURE", "TEMP") for d in DEPTHS),
)  # fmt: skip


def open(place: str | Path | Iterable[str | Path]) -> xr.Dataset:
    """Daily `soil_moisture` (station, depth, time) [m3 m-3] and `soil_temperature` [K] at the five sensor depths.

    `place` is a file, or several: NOAA's daily01 text (one a station and year), csv with its column names, parquet. Sentinels -99
    and -9999 become NaN. Raises UnreadableFileError naming the file and the columns that are missing.
    """
    paths = [place] if isinstance(place, str | Path) else list(place)
    table = pd.concat([_table(p) for p in paths], ignore_index=True)
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


def _table(path: str | Path) -> pd.DataFrame:
    """One file: `time`, `wban`, `lat`, `lon` and the sensors' columns."""
    if str(path).endswith((".parquet", ".gz")):
        table = pd.read_parquet(path)
    else:
        text = tables.text_of(path)
        if str(path).endswith(".txt"):
            text = _with_names(text, path)
        table = tables.read(text, path, needed=(), what="a table of USCRN daily data")
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
    return table


def _with_names(text: str, path: str | Path) -> str:
    """NOAA's text of columns without names as comma-separated text with them."""
    rows = [line.split() for line in text.split("\n") if line.strip()]
    wrong = next((k for k, row in enumerate(rows, 1) if len(row) != len(COLUMNS)), None)
    if wrong is not None:
        raise UnreadableFileError(
            f"{path}: line {wrong}: {len(rows[wrong - 1])} fields; daily01 has {len(COLUMNS)} (hourly02 is not read)"
        )
    return "\n".join([",".join(COLUMNS), *(",".join(row) for row in rows)])


def standardize(dataset: xr.Dataset) -> xr.Dataset:
    """Files handed over by the catalog -> stations; an opened Dataset passes through."""
    return open(dataset.attrs["files"]) if "files" in dataset.attrs else dataset
