"""NEON soil water content (DP1.00094.001), half-hourly tables of the basic or expanded package.

Depths come from the sensor positions, and are right only with the correction table that NEON published: `depths=`.
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

FLAGS = ("failed_quality",)
WHAT = "NEON SWS_30_minute: startDateTime, VSWCMean, VSWCFinalQF"
#: A file of the basic package: NEON.D17.SJER.DP1.00094.001.001.501.030.SWS_30_minute.2022-06.basic.20221204T220000Z.csv
NAME = re.compile(r"NEON\.(D\d\d)\.([A-Z]{4})\.DP1\.00094\.001\.(\d{3})\.(\d{3})\.\d{3}\.SWS_30_minute")
#: Expanded uncertainties are given at a coverage factor of 2.
COVERAGE = 2.0


def _files(place: str | Path | Iterable[str | Path]) -> list[str | Path]:
    if isinstance(place, str | Path):
        path = Path(place)
        if not path.is_dir():
            return [place]
        found = sorted(p for p in path.rglob("*SWS_30_minute*.csv*"))
        if not found:
            raise UnreadableFileError(
                f"{place}: no *SWS_30_minute*.csv in this folder; expected the unpacked NEON package"
            )
        return [*found]
    return list(place)


def _table(path: str | Path) -> pd.DataFrame:
    """One file with site, position, time, values and the line numbers checked."""
    raw = tables.read(
        tables.text_of(path), path, needed=("startDateTime", "VSWCMean", "VSWCFinalQF"), what=WHAT,
        dtype={"horizontalPosition": str, "verticalPosition": str, "siteID": str},
    )  # fmt: skip
    named = NAME.search(Path(str(path)).name)
    if "horizontalPosition" not in raw or "verticalPosition" not in raw:
        if named is None:
            raise UnreadableFileError(
                f"{path}: line 1: no horizontalPosition and verticalPosition, and the name is not that of a NEON file"
            )
        raw["siteID"], raw["horizontalPosition"], raw["verticalPosition"] = named.group(2, 3, 4)
    out = raw[["horizontalPosition", "verticalPosition"]].copy()
    out["site"] = raw["siteID"] if "siteID" in raw else (named.group(2) if named else "NEON")
    out["time"] = tables.times(raw, "startDateTime", path)
    for ours, theirs in (
        ("value", "VSWCMean"),
        ("failed", "VSWCFinalQF"),
        ("sigma", "VSWCExpUncert"),
        ("z", "zOffset"),
    ):
        out[ours] = tables.numbers(raw, theirs, path) if theirs in raw else np.nan
    return out


def _depth_table(path: str | Path) -> pd.DataFrame:
    """The correction table: site, position, depth and the period for which it holds."""
    raw = tables.read(
        tables.text_of(path), path, what="NEON sensor depths: siteID, horizontalPosition.HOR, verticalPosition.VER, sensorDepth, startDateTime",
        needed=("siteID", "horizontalPosition.HOR", "verticalPosition.VER", "sensorDepth", "startDateTime"),
        dtype={"horizontalPosition.HOR": str, "verticalPosition.VER": str}, na_values=["NA"],
    )  # fmt: skip
    out = pd.DataFrame({"site": raw.siteID, "key": raw["horizontalPosition.HOR"] + "." + raw["verticalPosition.VER"]})
    out["z"] = tables.numbers(raw, "sensorDepth", path)
    out["start"] = tables.times(raw, "startDateTime", path)
    end = raw["endDateTime"] if "endDateTime" in raw else pd.Series(np.nan, raw.index)
    out["end"] = pd.to_datetime(end, utc=True, errors="coerce").dt.tz_localize(None).fillna(pd.Timestamp("2262-01-01"))
    return out


def open(
    place: str | Path | Iterable[str | Path], *, depths: str | Path | None = None, failed: str = "drop"
) -> xr.Dataset:
    """Half-hourly `soil_moisture` (station, time) in UTC; a station is one sensor at one depth, `SJER/001.501@0.06m`.

    Parameters
    ----------
    place : a file, several, or the folder of an unpacked package; plain or gzip.
    depths : NEON's table of corrected sensor depths. A sensor whose depth changes within the record becomes two stations.
        Without it depths are those of `zOffset` in the file, NaN where it has none.
    failed : "drop" makes values that fail the final quality flag NaN (about half of them do), "keep" keeps them; the bit
        `failed_quality` says which in both cases.

    Raises UnreadableFileError naming file and line; VadoseInputError for another word for `failed`.
    """
    if failed not in ("drop", "keep"):
        raise VadoseInputError(f"failed must be 'drop' or 'keep', got {failed!r}")
    rows = pd.concat([_table(path) for path in _files(place)], ignore_index=True)
    rows["key"] = rows["horizontalPosition"] + "." + rows["verticalPosition"]
    if depths is not None:
        rows["z"] = _corrected(rows, _depth_table(depths))
    depth = (-rows["z"]).round(4)
    rows["station"] = rows["site"] + "/" + rows["key"] + depth.map(lambda d: f"@{d:.2f}m" if np.isfinite(d) else "")
    rows = rows.assign(depth=depth).drop_duplicates(["station", "time"])
    time = pd.DatetimeIndex(np.sort(rows["time"].unique()))
    names, k = np.unique(rows["station"].to_numpy(dtype=str), return_inverse=True)
    at = (k, time.get_indexer(pd.Index(rows["time"])))

    def wide(values, fill, kind):
        out = np.full((names.size, time.size), fill, kind)
        out[at] = values
        return xr.DataArray(out, dims=("station", "time"))

    bad = rows["failed"].to_numpy() != 0
    values = rows["value"].to_numpy()
    possible = (values >= 0) & (values <= 1) & (~bad if failed == "drop" else True)
    deep = np.full(names.size, np.nan)
    deep[k] = rows["depth"]
    out = xr.Dataset(
        {
            "soil_moisture": cf.describe(wide(np.where(possible, values, np.nan), np.nan, float), "soil_moisture"),
            "soil_moisture_standard_error": wide(
                np.where(possible, rows["sigma"] / COVERAGE, np.nan), np.nan, float
            ).assign_attrs(units="m3 m-3", long_name="standard error of soil moisture"),
            "soil_moisture_flag": wide(bad, 0, "uint8").assign_attrs(cf.flag_attrs(FLAGS, long_name="NEON quality")),
        },
        coords={
            "time": time,
            "station": ("station", names, {"cf_role": "timeseries_id"}),
            "depth": ("station", deep, {"units": "m", "positive": "down", "standard_name": "depth"}),
        },
    )
    out = cf.link(out, "soil_moisture", "soil_moisture_standard_error", "soil_moisture_flag")
    return tidy(out, product="neon", source=out)


def _corrected(rows: pd.DataFrame, table: pd.DataFrame) -> np.ndarray:
    """The depth that held at each time; where the table has no row, the file's own."""
    z = rows["z"].to_numpy(dtype=float).copy()
    for (site, key), part in rows.groupby(["site", "key"]):
        for row in table[(table.site == site) & (table.key == key)].itertuples():
            inside = (part["time"] >= row.start) & (part["time"] < row.end)
            z[part.index[inside]] = row.z
    return z


def standardize(dataset: xr.Dataset) -> xr.Dataset:
    """Files handed over by the catalog -> stations; an opened Dataset passes through."""
    return open(dataset.attrs["files"]) if "files" in dataset.attrs else dataset
