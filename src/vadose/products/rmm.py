"""The official MJO index of the Bureau of Meteorology: a text table of RMM1, RMM2, phase and amplitude, one row a day."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from vadose.errors import UnreadableFileError
from vadose.products.canonical import tidy

MISSING = 900.0  # 999 and 1.E36 stand for missing


def open(path: str | Path) -> xr.Dataset:
    """`rmm1`, `rmm2`, `amplitude` [1], `phase` (1..8, 0 missing) on days; `preliminary` where the value may still change."""
    names = ["year", "month", "day", "rmm1", "rmm2", "phase", "amplitude", "source"]
    try:
        table = pd.read_csv(path, sep=r"\s+", skiprows=2, header=None, names=names, dtype={"source": str})
        time = pd.to_datetime(table[["year", "month", "day"]])
        numbers = table[["rmm1", "rmm2", "amplitude"]].astype(float)
    except (ValueError, TypeError) as error:
        raise UnreadableFileError(
            f"{path}: expected two header lines and rows of year month day RMM1 RMM2 phase amplitude source ({error})"
        ) from error
    data: dict[str, tuple] = {}
    for name in numbers:
        values = numbers[name].to_numpy()
        data[str(name)] = ("time", np.where(np.abs(values) >= MISSING, np.nan, values), {"units": "1"})
    number = table["phase"].to_numpy()
    data["phase"] = ("time", np.where((number >= 1) & (number <= 8), number, 0).astype("int8"), {"units": "1"})
    data["preliminary"] = ("time", table["source"].str.startswith("Prelim").to_numpy(dtype=bool))
    out = xr.Dataset(data, coords={"time": time.to_numpy()})
    return tidy(out, product="rmm", source=out)


def standardize(dataset: xr.Dataset) -> xr.Dataset:
    """Files handed over by the catalog -> one series; an opened Dataset passes through."""
    return open(dataset.attrs["files"][0]) if "files" in dataset.attrs else dataset
