"""SMAP L3 reshuffled to point series (indexed ragged, both passes interleaved), as QA4SM distributes it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from vadose import cf
from vadose.products.canonical import soil_moisture, tidy
from vadose.products.smap import FLAGS, MISSION_ERROR, quality

BITS_NOT_RECOMMENDED = 1


def standardize(dataset: xr.Dataset, *, policy: str = "recommended") -> xr.Dataset:
    """Ragged observations -> daily (time, location): the morning pass, else the afternoon's.

    `policy` "recommended" keeps bit 0 clear; "usable" keeps attempted and successful retrievals. In the v9 series of Hawaii
    the freeze/thaw bits are set on every retrieval, so they decide nothing here; the model's frozen bit is kept as a flag.
    """
    if policy not in ("recommended", "usable"):
        from vadose.errors import unknown_name

        raise unknown_name("policy", policy, ("recommended", "usable"))
    flag = quality(dataset.retrieval_qual_flag, dataset.surface_flag).values
    bad = 1 if policy == "recommended" else 2 + 4
    fill = dataset.retrieval_qual_flag.values.astype(float)
    keep = np.isfinite(dataset.soil_moisture.values) & ((flag & bad) == 0) & np.isfinite(fill) & (fill < 65534)
    table = pd.DataFrame(
        {
            "time": pd.DatetimeIndex(dataset.time.values).floor("D"),
            "location": dataset.locationIndex.values.astype(int),
            "pass": dataset.Overpass.values,
            "value": dataset.soil_moisture.values.astype(float),
            "flag": flag.astype(int) + 16 * (dataset.Overpass.values == 2),
        }
    )[keep]
    table = table.sort_values("pass").drop_duplicates(["time", "location"], keep="first")
    days = pd.date_range(dataset.time.values.min(), dataset.time.values.max(), freq="D").floor("D")
    size = (days.size, dataset.sizes["locations"])
    values, flags = np.full(size, np.nan), np.zeros(size, "uint8")
    at = (days.get_indexer(table["time"]), table["location"].to_numpy())
    values[at], flags[at] = table["value"], table["flag"]
    coords = {
        "time": days,
        "lat": ("location", dataset.lat.values.astype(float)),
        "lon": ("location", dataset.lon.values.astype(float)),
    }
    moisture = xr.DataArray(values, dims=("time", "location"), coords=coords)
    bits = xr.DataArray(
        flags, dims=("time", "location"), coords=coords, attrs=cf.flag_attrs(FLAGS, long_name="SMAP retrieval quality")
    )
    out = soil_moisture(moisture, top=0.0, bottom=0.05, error=xr.full_like(moisture, MISSION_ERROR), flag=bits)
    return tidy(out, product="smap_series", source=dataset)
