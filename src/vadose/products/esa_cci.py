"""ESA CCI and C3S soil moisture, images and cell series: 0-5 cm nominal, values that carry any flag are left out.

doi:10.5194/essd-11-717-2019. `sm_uncertainty` of some C3S versions has -9999 without declaring it.
"""

from __future__ import annotations

import xarray as xr

from vadose import cf
from vadose.errors import UnreadableFileError
from vadose.products.canonical import soil_moisture, tidy

FLAGS = (
    "snow_or_frozen",
    "dense_vegetation",
    "no_convergence",
    "unphysical",
    "weights_below_threshold",
    "few_products",
    "barren",
    "other",
)
#: Bits after which a value is not to be trusted; dense vegetation is kept and flagged.
EXCLUDE = 0b11111101
NO_DATA = 127


def standardize(dataset: xr.Dataset, *, exclude: int = EXCLUDE) -> xr.Dataset:
    """Images (time, lat, lon) or cell series (locations, time) -> canonical. `exclude` is the mask of flag bits to refuse."""
    name = next((n for n in ("sm", "SM") if n in dataset), None)
    if name is None:
        raise UnreadableFileError(
            f"not ESA CCI / C3S soil moisture: expected 'sm', found {', '.join(map(str, dataset.data_vars))}"
        )
    raw = dataset["flag"] if "flag" in dataset else xr.zeros_like(dataset[name])
    bits = raw.fillna(NO_DATA).astype("int16")
    # Cell series number their flags 1, 2, 3, ... in a list of meanings; the numbers themselves are the bit sums of the images.
    bits = bits.where((bits >= 0) & (bits < NO_DATA), 0).astype("uint8")
    values = dataset[name].where((bits & exclude) == 0)
    error = dataset.get("sm_uncertainty")
    flag = bits.assign_attrs(cf.flag_attrs(FLAGS, long_name="CCI quality"))
    out = soil_moisture(values, top=0.0, bottom=0.05, error=error, flag=flag)
    order = [d for d in ("time", "location", "lat", "lon") if d in out.soil_moisture.dims]
    return tidy(out.transpose(*order, ...), product="esa_cci", source=dataset)
