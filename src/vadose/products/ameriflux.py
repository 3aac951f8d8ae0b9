"""AmeriFlux BASE and FLUXNET csv: fluxes, weather and soil water (percent in the files) of one tower a file."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import xarray as xr

from vadose import cf
from vadose.errors import UnreadableFileError
from vadose.products import tables
from vadose.products.canonical import tidy

#: Column stem -> (our variable, factor, offset). GPP comes in umol CO2 m-2 s-1 in BASE, gC m-2 d-1 in daily FLUXNET.
COLUMNS = {
    "TA": ("air_temperature", 1.0, 273.15),
    "P": ("precipitation_flux", 1.0, 0.0),
    "NETRAD": ("net_radiation", 1.0, 0.0),
    "G": ("ground_heat_flux", 1.0, 0.0),
    "LE": ("latent_heat_flux", 1.0, 0.0),
    "H": ("sensible_heat_flux", 1.0, 0.0),
    "GPP_PI": ("gross_primary_productivity", 12.011e-9, 0.0),
    "SWC": ("soil_moisture", 0.01, 0.0),
    "TS": ("soil_temperature", 1.0, 273.15),
}
MISSING = -9999


def open(path: str | Path, *, storage_options: dict | None = None) -> xr.Dataset:
    """One tower -> (time): the first sensor of each kind, -9999 as NaN, rain as a flux of the file's own step.

    `time` is where each interval starts, in the tower's local standard time: files do not tell how far that is from UTC.

    Raises UnreadableFileError naming the file when the time stamps or all known columns are missing.
    """
    table = tables.read(
        tables.text_of(path, storage_options),
        path,
        needed=(),
        what="an AmeriFlux BASE or FLUXNET table",
        na_values=[str(MISSING), "-9999.0"],
    )
    start = next((c for c in ("TIMESTAMP_START", "TIMESTAMP") if c in table.columns), None)
    if start is None:
        raise UnreadableFileError(
            f"{path}: no TIMESTAMP_START or TIMESTAMP column; found {', '.join(table.columns[:8])}"
        )
    digits = table[start].astype(str).str.removesuffix(".0")
    table[start] = digits
    form = "%Y%m%d%H%M" if len(digits.iloc[0]) == 12 else "%Y%m%d"
    time = pd.Series(tables.times(table, start, path, format=form))
    step = (time.iloc[1] - time.iloc[0]).total_seconds() if len(time) > 1 else 86400.0
    data = {}
    for stem, (variable, factor, offset) in COLUMNS.items():
        column = next((c for c in table.columns if re.fullmatch(rf"{stem}(_F_MDS)?(_1)?(_1_1)?", c)), None)
        if column is None:
            continue
        values = tables.numbers(table, column, path) * factor + offset
        if variable == "precipitation_flux":
            values = values / step
        data[variable] = cf.describe(xr.DataArray(values, dims="time"), variable)
    if not data:
        raise UnreadableFileError(
            f"{path}: none of {', '.join(COLUMNS)} is among the columns {', '.join(table.columns[:12])}"
        )
    site = re.search(r"[A-Z]{2}-[A-Za-z0-9]{3}", Path(str(path)).name)
    out = xr.Dataset(data, coords={"time": ("time", time.to_numpy())}).expand_dims(
        station=[site.group() if site else Path(str(path)).stem]
    )
    return tidy(out, product="ameriflux", source=out)


def standardize(dataset: xr.Dataset) -> xr.Dataset:
    """Files handed over by the catalog -> towers; an opened Dataset passes through."""
    return xr.concat([open(f) for f in dataset.attrs["files"]], "station") if "files" in dataset.attrs else dataset
