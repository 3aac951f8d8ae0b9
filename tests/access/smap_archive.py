"""Small files laid out like SMAP L3: for tests that index and read archives."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

AM, PM = "Soil_Moisture_Retrieval_Data_AM", "Soil_Moisture_Retrieval_Data_PM"
PATTERN = r"_(\d{8})_R\d+_(\d{3})\.h5$"
SHAPE, CHUNKS = (40, 60), (20, 30)


def smap_like(
    path: Path, day: int, *, fill=-9999.0, chunks=CHUNKS, scale=None, extra=None, hole=False, seed=0, inside=None
) -> np.ndarray:
    """One day: two groups, floats with fills, integer flags, fixed text; returns the morning's values with NaN.

    `inside` is the first and last moment that the file's metadata state.
    """
    rng = np.random.default_rng(1000 * seed + day)
    values = rng.uniform(0.05, 0.5, SHAPE).astype("f4")
    values[rng.random(SHAPE) < 0.3] = np.nan
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        if inside is not None:
            extent = file.create_group("Metadata/Extent")
            extent.attrs["rangeBeginningDateTime"], extent.attrs["rangeEndingDateTime"] = inside
        for group, suffix in ((AM, ""), (PM, "_pm")):
            g = file.create_group(group)
            stored = np.where(np.isnan(values), fill, values if scale is None else np.round(values / scale))
            kind = "f4" if scale is None else "i2"
            d = g.create_dataset(
                "soil_moisture" + suffix, SHAPE, kind, chunks=chunks, shuffle=True, compression="gzip", fillvalue=fill
            )
            if hole:
                d[: SHAPE[0] // 2] = stored[: SHAPE[0] // 2]
            else:
                d[:] = stored
            d.attrs["_FillValue"] = np.dtype(kind).type(fill)
            d.attrs["units"] = np.bytes_("cm**3/cm**3")
            if scale is not None:
                d.attrs["scale_factor"] = np.float32(scale)
            q = g.create_dataset(
                "retrieval_qual_flag" + suffix,
                SHAPE,
                "u2",
                chunks=chunks,
                shuffle=True,
                compression="gzip",
                fillvalue=65534,
            )
            q[:] = np.where(np.isnan(values), 65534, 0)
            q.attrs["_FillValue"] = np.uint16(65534)
            g.create_dataset("tb_time_utc" + suffix, SHAPE, "S24", chunks=chunks, compression="gzip")[:] = (
                b"2017-01-01T00:00:00.000Z"
            )
            if extra:
                g.create_dataset(extra + suffix, SHAPE, "f4", chunks=chunks)[:] = 1.0
    if hole:
        values[SHAPE[0] // 2 :] = np.nan
    return values


def name_of(day: int, revision: int = 1) -> str:
    stamp = (np.datetime64("2017-01-01") + np.timedelta64(day, "D")).astype(str).replace("-", "")
    return f"SMAP_L3_SM_P_{stamp}_R19240_{revision:03d}.h5"


STEPS = {
    "format": "hdf5",
    "groups": [AM, PM],
    "time": {"from": "name", "pattern": PATTERN, "format": "%Y%m%d"},
    "keep": "highest revision",
    "dims": {2: ["y", "x"]},
    "chunks": {"time": 30},
    "series": ["soil_moisture"],
}
