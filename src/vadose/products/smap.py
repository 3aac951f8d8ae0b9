"""SMAP L3 radiometer soil moisture (SPL3SMP): 0-5 cm, morning pass preferred, recommended quality only.

Flags after the product's user guide: bit 0 of `retrieval_qual_flag` clear means recommended (test the fill first: 65534 has
it clear too). doi:10.5067/4XXOGX0OOW1S
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from vadose import cf
from vadose.errors import UnreadableFileError
from vadose.products.canonical import soil_moisture, tidy

FLAGS = (
    "not_recommended",
    "not_attempted",
    "not_successful",
    "freeze_thaw_undefined",
    "afternoon_pass",
    "snow_or_ice",
    "frozen_ground",
    "dense_vegetation",
)
FILL = 65534
#: Error sd where the product gives none: the mission's requirement [m3 m-3].
MISSION_ERROR = 0.04


def quality(retrieval: xr.DataArray, surface: xr.DataArray) -> xr.DataArray:
    """Our flag bits from the two bit fields; fills give 0 (there is no value then). Integer or float-decoded input."""
    bits = retrieval.fillna(FILL).astype("uint16") if retrieval.dtype.kind == "f" else retrieval.astype("uint16")
    ground = surface.fillna(FILL).astype("uint16") if surface.dtype.kind == "f" else surface.astype("uint16")
    valid = bits < FILL
    ground = ground.where(ground < FILL, 0).astype("uint16")
    out = (bits & 0b1111) + ((ground >> 5) & 1) * 32 + ((ground >> 8) & 1) * 64 + ((ground >> 10) & 1) * 128
    return out.where(valid, 0).astype("uint8").assign_attrs(cf.flag_attrs(FLAGS, long_name="SMAP retrieval quality"))


def recommended(retrieval: xr.DataArray) -> xr.DataArray:
    """Where a retrieval is recommended: no fill, bit 0 clear."""
    bits = retrieval.fillna(FILL).astype("uint16") if retrieval.dtype.kind == "f" else retrieval.astype("uint16")
    return (bits < FILL) & ((bits & 1) == 0)


def standardize(dataset: xr.Dataset) -> xr.Dataset:
    """Both passes of a day -> one value: the morning's where recommended, else the afternoon's, flagged as such."""
    if "soil_moisture" not in dataset:
        raise UnreadableFileError(
            f"not SMAP L3: expected soil_moisture (and soil_moisture_pm), found {', '.join(map(str, dataset.data_vars))}"
        )
    morning = dataset.soil_moisture.where(recommended(dataset.retrieval_qual_flag))
    flag = quality(dataset.retrieval_qual_flag, dataset.surface_flag)
    values = morning
    if "soil_moisture_pm" in dataset:
        afternoon = dataset.soil_moisture_pm.where(recommended(dataset.retrieval_qual_flag_pm))
        later = quality(dataset.retrieval_qual_flag_pm, dataset.surface_flag_pm)
        use = morning.isnull() & afternoon.notnull()
        values = xr.where(use, afternoon, morning)
        flag = xr.where(use, later | np.uint8(16), flag, keep_attrs=False).astype("uint8").assign_attrs(flag.attrs)
    error = xr.full_like(values, MISSION_ERROR)
    out = soil_moisture(values, top=0.0, bottom=0.05, error=error, flag=flag)
    return tidy(
        out.assign_coords({n: dataset[n] for n in ("lat", "lon") if n in dataset.variables}),
        product="smap",
        source=dataset,
    )
