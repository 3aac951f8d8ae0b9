"""Means of a release as arrays (sensor, time) in Zarr: what a model or a network reads, where rows suit people and tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from vadose.stream.design import Variable

#: Sensors and steps of a chunk: a year of 15-minute means of a plot's sensors in one piece (M-T1.7).
CHUNKS = (64, 35_040)
COUNTS = ("n_avg", "n_drop", "interpolated", "network_flag")
WORDS = {
    "n_avg": "number of values in the mean; 0 with a value: interpolated",
    "n_drop": "number of values left out because of a flag",
    "interpolated": "1 where a short gap was filled",
    "network_flag": "checks of hourly soil moisture, bit mask",
    "annual_cycle": "median of that time of day around that day of the year",
}


def write_cube(path: Path, means: pd.DataFrame, variable: Variable, step: str) -> None:
    """Write the L2 rows `means` of one variable as a Zarr store (sensor, time); times UTC, `site` and `plot` beside each sensor.

    A sensor without rows at a time is NaN there, with counts of 0.
    """
    own = means.drop_duplicates("sensor").set_index("sensor")[["site", "plot"]].sort_index()
    data = means.drop(columns=["site", "plot", "variable"]).set_index(["sensor", "time"]).to_xarray()
    counts = [name for name in COUNTS if name in data]
    for name in counts:
        data[name] = data[name].fillna(0).astype("i4")
    for name, words in WORDS.items():
        if name in data:
            data[name].attrs = {"long_name": words, "units": variable.units if name == "annual_cycle" else "1"}
    data["value"].attrs = {
        "long_name": variable.description or variable.name,
        "units": variable.units,
        "cell_methods": f"time: mean (interval: {step})",
        "ancillary_variables": " ".join(counts),
    }
    # Text of variable length: that of fixed length has no specification in Zarr 3 that other readers share.
    text = {name: ("sensor", own[name].to_numpy(dtype=object)) for name in own.columns}
    data = data.assign_coords({"sensor": data.sensor.values.astype(object)} | text)
    data = data.assign_attrs(Conventions="CF-1.11", variable=variable.name)
    data["time"].attrs = {"standard_name": "time", "axis": "T"}
    chunks = tuple(min(c, n) for c, n in zip(CHUNKS, data["value"].shape, strict=True))
    encoding: dict = {str(name): {"chunks": chunks} for name in data.data_vars}
    encoding["time"] = {"units": "minutes since 1970-01-01", "dtype": "i8", "chunks": (data.sizes["time"],)}
    data.to_zarr(path, mode="w", consolidated=False, zarr_format=3, encoding=encoding)
