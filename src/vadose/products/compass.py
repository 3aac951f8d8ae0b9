"""COMPASS-FME soil sensors, levels 1 (csv) and 2 (parquet or csv): one long table a site, plot, year and variable.

Level 1 keeps every reading with flags; level 2 is on 15 minutes with short gaps interpolated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from vadose import cf
from vadose.errors import UnreadableFileError, VadoseInputError
from vadose.products import tables
from vadose.products.canonical import tidy

#: Stem of research_name -> (our variable, factor, offset): soil-vwc-10cm, soil-temp-10cm, soil-EC-10cm (uS cm-1).
VARIABLES = {
    "soil-vwc": ("soil_moisture", 1.0, 0.0),
    "soil-temp": ("soil_temperature", 1.0, 273.15),
    "soil-EC": ("electrical_conductivity", 1e-4, 0.0),
}
RESEARCH = re.compile(r"^(soil-[A-Za-z]+)-(\d+)cm$")
FLAGS = (
    "out_of_bounds",
    "out_of_service",
    "possible_outlier",
    "interpolated",
    "some_dropped",
    "filled_by_annual_cycle",
)
LEVEL_1 = ("F_OOB", "F_OOS", "F_MAD")
NEEDED = ("Site", "Plot", "TIMESTAMP", "Instrument", "Instrument_ID", "Sensor_ID", "Location", "research_name", "Value")
WHAT = f"a COMPASS-FME level 1 or 2 table: {', '.join(NEEDED)}"
#: Loggers run on Eastern Standard Time all the year (metadata of levels 1 and 2): hours to add to get UTC.
UTC_OFFSET = -5.0


def _read(path: str | Path) -> pd.DataFrame:
    """One file as text or parquet; the index counts lines (rows of parquet from 1)."""
    if str(path).endswith(".parquet"):
        try:
            table = pd.read_parquet(path)
        except Exception as error:
            raise UnreadableFileError(f"{path}: not a readable parquet file: {error}") from error
        missing = [c for c in NEEDED if c not in table]
        if missing:
            raise UnreadableFileError(f"{path}: columns {', '.join(missing)} are missing; expected {WHAT}")
        table.index = pd.RangeIndex(1, len(table) + 1)
        return table
    kept_as_text = dict.fromkeys(("Site", "Plot", "Instrument_ID", "Sensor_ID", "Location", "TIMESTAMP"), str)
    return tables.read(tables.text_of(path), path, needed=NEEDED, what=WHAT, dtype=kept_as_text)


def _times(table: pd.DataFrame, path: str | Path, utc_offset: float) -> pd.DatetimeIndex:
    return tables.times(table, "TIMESTAMP", path) - pd.Timedelta(hours=utc_offset)


def _one(path: str | Path, filled: bool, utc_offset: float) -> pd.DataFrame:
    table = _read(path)
    parts = table["research_name"].astype(str).str.extract(RESEARCH)
    known = parts[0].isin(VARIABLES)
    table, parts = table[known], parts[known]
    out = pd.DataFrame(index=table.index)
    if table.empty:
        return out
    words = [table[c].fillna("").astype(str) for c in ("Site", "Plot", "Instrument_ID", "Sensor_ID", "Location")]
    station = words[0]
    for word in words[1:]:
        station = station + word.where(word == "", "_" + word)
    out["station"] = station + "@" + (parts[1].astype(float) / 100).map("{:.2f}m".format)
    out["depth"], out["stem"] = parts[1].astype(float) / 100, parts[0]
    out["time"] = _times(table, path, utc_offset)
    out["value"] = tables.numbers(table, "Value", path)
    bits = np.zeros(len(table), "uint8")
    for place, flag in enumerate(LEVEL_1):
        if flag in table:
            bits |= ((tables.numbers(table, flag, path) == 1).astype("uint8") << place).astype("uint8")
    if "N_avg" in table:
        bits[(table["N_avg"] == 0).to_numpy() & out["value"].notna().to_numpy()] |= 8
        bits[(table["N_drop"] > 0).to_numpy()] |= 16
    if filled and "Value_MAC" in table:
        gap = out["value"].isna() & table["Value_MAC"].notna()
        out.loc[gap, "value"] = table.loc[gap, "Value_MAC"]
        bits[gap.to_numpy()] |= 32
    return out.assign(bits=bits)


def open(
    place: str | Path | Iterable[str | Path], *, filled: bool = False, utc_offset: float = UTC_OFFSET
) -> xr.Dataset:
    """Soil sensors (station, time) in UTC; a station is one sensor at one depth, `PTR_UP_A_1@0.10m`.

    Parameters
    ----------
    place : a file, several, or a folder (every *_L1_*.csv, *_L2_*.parquet, *_L2_*.csv below it).
    filled : put the mean annual cycle of level 2 into gaps, with the bit `filled_by_annual_cycle`.
    utc_offset : hours from UTC of the stamps; the projects' loggers stay on Eastern Standard Time.

    Flags say out of bounds, out of service, possible outlier (level 1), interpolated and some dropped (level 2). Nothing is
    removed but moisture outside 0 to 1. Of readings with the same stamp the first is kept.
    Raises UnreadableFileError naming file and line, or all files where none holds a soil variable.
    """
    if isinstance(place, str | Path):
        path = Path(place)
        patterns = ("*_L1_*.csv", "*_L2_*.parquet", "*_L2_*.csv")
        files = sorted(p for q in patterns for p in path.rglob(q)) if path.is_dir() else [path]
    else:
        files = [Path(p) for p in place]
    if not files:
        raise VadoseInputError(f"{place}: no *_L1_*.csv or *_L2_*.parquet; expected COMPASS-FME levels 1 or 2")
    rows = [t for t in (_one(p, filled, utc_offset) for p in files) if len(t)]
    if not rows:
        raise UnreadableFileError(
            f"no soil variable (soil-vwc-10cm, soil-temp-10cm, soil-EC-10cm ...) in {', '.join(p.name for p in files[:5])}"
        )
    table = pd.concat(rows, ignore_index=True).drop_duplicates(["station", "stem", "time"])
    time = pd.DatetimeIndex(np.sort(table["time"].unique()))
    names = np.unique(table["station"].to_numpy(dtype=str))
    data = {}
    for stem, part in table.groupby("stem"):
        variable, factor, offset = VARIABLES[str(stem)]
        at = (np.searchsorted(names, part["station"].to_numpy(dtype=str)), time.get_indexer(pd.Index(part["time"])))
        values, bits = np.full((names.size, time.size), np.nan), np.zeros((names.size, time.size), "uint8")
        values[at], bits[at] = part["value"] * factor + offset, part["bits"]
        if variable == "soil_moisture":
            values[(values < 0) | (values > 1)] = np.nan
        data[variable] = cf.describe(xr.DataArray(values, dims=("station", "time")), variable)
        data[f"{variable}_flag"] = xr.DataArray(
            bits, dims=("station", "time"), attrs=cf.flag_attrs(FLAGS, long_name="COMPASS-FME flags")
        )
    depth = table.drop_duplicates("station").set_index("station")["depth"].reindex(names).to_numpy()
    out = xr.Dataset(
        data,
        coords={
            "time": time,
            "station": ("station", names, {"cf_role": "timeseries_id"}),
            "depth": ("station", depth, {"units": "m", "positive": "down", "standard_name": "depth"}),
        },
    )
    for name in [n for n in data if not n.endswith("_flag")]:
        out = cf.link(out, name, f"{name}_flag")
    return tidy(out, product="compass", source=out)


def standardize(dataset: xr.Dataset) -> xr.Dataset:
    """Files handed over by the catalog -> stations; an opened Dataset passes through."""
    return open(dataset.attrs["files"]) if "files" in dataset.attrs else dataset
