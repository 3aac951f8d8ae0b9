"""SMAP L2 radiometer half-orbits (SPL2SMP): points along the swath, recommended quality only. doi:10.1109/TGRS.2016.2561938.

Quality bits as in L3; each cell has its own time (`tb_time_seconds`, seconds since 2000-01-01 12:00 UTC).
"""

from __future__ import annotations

import xarray as xr

from vadose import cf
from vadose.errors import UnreadableFileError
from vadose.products import smap
from vadose.products.canonical import soil_moisture, tidy


def standardize(dataset: xr.Dataset) -> xr.Dataset:
    """One row a cell -> dims (location); `observation_time` is the moment each cell was seen."""
    if "soil_moisture" not in dataset or "retrieval_qual_flag" not in dataset:
        raise UnreadableFileError(
            f"not SMAP L2: expected soil_moisture and retrieval_qual_flag, found {', '.join(map(str, dataset.data_vars))}; "
            "open the group Soil_Moisture_Retrieval_Data"
        )
    dim = dataset.soil_moisture.dims[0]
    ds = dataset.rename({dim: "location"})
    values = ds.soil_moisture.where(smap.recommended(ds.retrieval_qual_flag))
    flag = smap.quality(ds.retrieval_qual_flag, ds.surface_flag)
    declared = ds.get("soil_moisture_error")
    error = xr.full_like(values, smap.MISSION_ERROR)
    if declared is not None:
        error = declared.where((declared > 0) & (declared < 1), smap.MISSION_ERROR)
    extra = {}
    if "surface_temperature" in ds:
        ground = ds.surface_temperature
        extra["soil_temperature"] = cf.describe(ground.where(ground > 200.0), "soil_temperature")
    out = soil_moisture(
        values.assign_coords(lat=ds.latitude.where(ds.latitude > -9000), lon=ds.longitude.where(ds.longitude > -9000)),
        top=0.0,
        bottom=0.05,
        error=error,
        flag=flag,
        extra=extra,
    )
    if "tb_time_seconds" in ds:
        seconds = ds.tb_time_seconds.where(ds.tb_time_seconds > 0)
        out["observation_time"] = (
            "location",
            xr.coding.times.decode_cf_datetime(seconds.values, "seconds since 2000-01-01T12:00:00", "standard").astype(
                "datetime64[ns]"
            ),
        )
    return tidy(out, product="smap_l2", source=dataset)
