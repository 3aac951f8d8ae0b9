"""Daily flux-tower tables: FLUXNET2015 (csv or workbook), and the Noah model's half-hourly point file of Bondville.

FLUXNET: doi:10.1038/s41597-020-0534-3; soil water in percent, vapor pressure deficit in hPa, pressure in kPa, -9999 missing.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from vadose import cf, constants
from vadose.errors import UnreadableFileError
from vadose.products import tables
from vadose.products.canonical import tidy

#: Column -> (name, factor, offset). Carbon in gC m-2 d-1, rain in mm d-1, heat in W m-2.
COLUMNS = {
    "TA_F": ("air_temperature", 1.0, 273.15),
    "PA_F": ("surface_air_pressure", 1000.0, 0.0),
    "P_F": ("precipitation_flux", 1.0 / 86400.0, 0.0),
    "NETRAD": ("net_radiation", 1.0, 0.0),
    "SW_IN_F": ("shortwave_radiation", 1.0, 0.0),
    "G_F_MDS": ("ground_heat_flux", 1.0, 0.0),
    "LE_F_MDS": ("latent_heat_flux", 1.0, 0.0),
    "H_F_MDS": ("sensible_heat_flux", 1.0, 0.0),
    "SWC_F_MDS_1": ("soil_moisture", 0.01, 0.0),
    "TS_F_MDS_1": ("soil_temperature", 1.0, 273.15),
    "GPP_NT_VUT_REF": ("gross_primary_productivity", 1e-3 / 86400.0, 0.0),
    "RECO_NT_VUT_REF": ("ecosystem_respiration", 1e-3 / 86400.0, 0.0),
}
MISSING = -9999.0


def open(path: str | Path, *, quality: float = 0.5) -> xr.Dataset:
    """One tower's daily table -> (time), SI units, with `specific_humidity` from deficit, temperature and pressure.

    Values whose quality column (share of measured or well-filled half hours) is below `quality` become NaN. Workbooks need openpyxl.
    """
    name = str(path)
    if name.lower().endswith((".xlsx", ".xls")):
        table = pd.read_excel(name)
        table.index = table.index + 2
    else:
        table = tables.read(tables.text_of(name), name, needed=(), what="a daily FLUXNET table")
    if "TIMESTAMP" not in table or "TA_F" not in table:
        raise UnreadableFileError(
            f"{name}: not a daily FLUXNET table: no TIMESTAMP and TA_F; found {', '.join(map(str, table.columns[:8]))}"
        )
    table = table[table["TIMESTAMP"].notna()].copy()
    table["TIMESTAMP"] = table["TIMESTAMP"].astype(str).str.removesuffix(".0")
    time = tables.times(table, "TIMESTAMP", name, format="%Y%m%d")
    data = {}

    def column(key: str) -> np.ndarray:
        values = tables.numbers(table, key, name)
        values = np.where(values <= MISSING, np.nan, values)
        flag = f"{key}_QC" if f"{key}_QC" in table else None
        if flag and table[flag].max() > 0 and key not in ("TA_F", "PA_F", "P_F", "VPD_F"):
            values = np.where(pd.to_numeric(table[flag], errors="coerce") >= quality, values, np.nan)
        return values

    for key, (variable, factor, offset) in COLUMNS.items():
        if key in table:
            data[variable] = cf.describe(xr.DataArray(column(key) * factor + offset, dims="time"), variable)
    if {"VPD_F", "PA_F"} <= set(table.columns):
        deficit, pressure = column("VPD_F") * 100.0, data["surface_air_pressure"].values
        vapor = np.maximum(constants.saturation_vapor_pressure(data["air_temperature"].values) - deficit, 1.0)
        q = constants.VAPOR_RATIO * vapor / (pressure - (1.0 - constants.VAPOR_RATIO) * vapor)
        data["specific_humidity"] = cf.describe(xr.DataArray(q, dims="time"), "specific_humidity")
    site = re.search(r"[A-Z]{2}-[A-Za-z0-9]{3}", Path(name).name)
    out = xr.Dataset(data, coords={"time": time.to_numpy(), "station": site.group() if site else Path(name).stem})
    return tidy(out, product="fluxnet", source=out)


#: Columns of the Noah point file that are used: position, name, factor, offset.
_NOAH = {
    "air_temperature": (4, 1.0, 273.15), "relative_humidity": (5, 0.01, 0.0), "surface_air_pressure": (6, 100.0, 0.0),
    "shortwave_radiation": (7, 1.0, 0.0), "net_radiation": (10, 1.0, 0.0), "ground_heat_flux": (11, 1.0, 0.0),
    "precipitation_flux": (12, 25.4 / 1800.0, 0.0), "soil_temperature": (16, 1.0, 273.15), "sensible_heat_flux": (26, 1.0, 0.0),
    "latent_heat_flux": (27, 1.0, 0.0), "soil_moisture": (30, 1.0, 0.0), "soil_moisture_20": (31, 1.0, 0.0), "soil_moisture_60": (32, 1.0, 0.0),
}  # fmt: skip


def open_noah_point(path: str | Path, *, year: int, utc_offset: float = -6.0) -> xr.Dataset:
    """The half-hourly forcing and validation table of the Noah model (33 columns, no header) -> (time) in UTC, SI units.

    Stamps are local standard time at the end of the interval (30, 100, 130 ... HHMM); rain is in inches per half hour; -6999 is missing.
    """
    table = pd.read_csv(path, sep=r"\s+", header=None)
    if table.shape[1] != 33:
        raise UnreadableFileError(f"{path}: expected 33 columns of the Noah point file, found {table.shape[1]}")
    clock, day = table[1].astype(int), table[0].astype(int)
    years = year + (day.diff() < 0).cumsum()  # the last interval of a year ends on day 1 of the next
    start = pd.to_datetime(years.astype(str) + "-01-01")
    end = start + pd.to_timedelta(day - 1, "D") + pd.to_timedelta(clock // 100 * 60 + clock % 100, "min")
    time = end - pd.Timedelta(minutes=30) - pd.Timedelta(hours=utc_offset)
    data = {}
    for name, (position, factor, offset) in _NOAH.items():
        values = table[position].to_numpy(dtype=float)
        values = np.where(values <= -6999, np.nan, values) * factor + offset
        data[name] = cf.describe(xr.DataArray(values, dims="time"), name)
        if name.startswith("soil_moisture_"):
            data[name].attrs["units"] = "m3 m-3"
    out = xr.Dataset(data, coords={"time": time.to_numpy()}).sortby("time")
    return tidy(out.drop_duplicates("time"), product="noah_point", source=out)


def standardize(dataset: xr.Dataset) -> xr.Dataset:
    """Files handed over by the catalog -> towers; an opened Dataset passes through."""
    return xr.concat([open(f) for f in dataset.attrs["files"]], "station") if "files" in dataset.attrs else dataset
