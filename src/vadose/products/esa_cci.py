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
    "all_unreliable",
    "barren",
    "other",
)
#: Bits after which a value is not to be trusted; dense vegetation is kept and flagged.
EXCLUDE = 0b11111101
NO_DATA = 127


def standardize(dataset: xr.Dataset, *, exclude: int = EXCLUDE) -> xr.Dataset:
    """Images (time, lat, lon) or cell series (locations, time) -> canonical. `exclude` is the mask of flag bits to refuse."""
    if "rzsm_1" in dataset:
        return _root_zone(dataset)
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


#: Layers of the root-zone product [m].
LAYERS = {"rzsm_1": (0.0, 0.1), "rzsm_2": (0.1, 0.4), "rzsm_3": (0.4, 1.0)}


def _root_zone(dataset: xr.Dataset) -> xr.Dataset:
    """The root-zone product: its first layer as `soil_moisture`, three layers as a profile, 0 to 1 m as `root_zone_soil_moisture`.

    Fills (-9999) are not declared in its cell series.
    """
    present = [n for n in LAYERS if n in dataset]
    extra = {}
    for name, stem, long_name in (
        ("soil_moisture_profile", "rzsm", "volumetric soil moisture of the layers"),
        ("soil_moisture_profile_standard_error", "uncertainty", "standard error of the layers"),
    ):
        sources = [n.replace("rzsm", stem) for n in present]
        if all(n in dataset for n in sources):
            layers = xr.concat([dataset[n].reset_coords(drop=True) for n in sources], "layer")
            extra[name] = layers.where((layers >= 0) & (layers <= 1)).assign_attrs(units="m3 m-3", long_name=long_name)
    if "rzsm_1m" in dataset:
        column = dataset.rzsm_1m
        extra["root_zone_soil_moisture"] = column.where((column >= 0) & (column <= 1)).assign_attrs(
            units="m3 m-3", long_name="volumetric soil moisture of 0 to 1 m"
        )
    out = soil_moisture(dataset.rzsm_1, top=0.0, bottom=0.1, error=dataset.get("uncertainty_1"), extra=extra)
    out = out.assign_coords(layer_bnds=(("layer", "bnds"), [LAYERS[n] for n in present]))
    return tidy(out.transpose("time", ...), product="esa_cci", source=dataset)
