"""GLDAS-2.1 Noah: kg m-2 a layer of unequal thickness -> m3 m-3. doi:10.1175/BAMS-85-3-381."""

from __future__ import annotations

import xarray as xr

from vadose import cf
from vadose.errors import UnreadableFileError
from vadose.products.canonical import coordinates, soil_moisture, tidy

#: Variable -> top and bottom [m].
LAYERS = {
    "SoilMoi0_10cm_inst": (0.0, 0.1),
    "SoilMoi10_40cm_inst": (0.1, 0.4),
    "SoilMoi40_100cm_inst": (0.4, 1.0),
    "SoilMoi100_200cm_inst": (1.0, 2.0),
}


def standardize(dataset: xr.Dataset) -> xr.Dataset:
    """The top layer as `soil_moisture` (0-10 cm), all layers as `soil_moisture_profile`; frozen and snow flagged."""
    first = next(iter(LAYERS))
    if first not in dataset:
        raise UnreadableFileError(f"not GLDAS Noah: expected {first}, found {', '.join(map(str, dataset.data_vars))}")
    layers = {
        name: dataset[name] / (1000.0 * (bottom - top)) for name, (top, bottom) in LAYERS.items() if name in dataset
    }
    extra = {}
    if "SoilTMP0_10cm_inst" in dataset:
        extra["soil_temperature"] = cf.describe(dataset.SoilTMP0_10cm_inst, "soil_temperature")
    if "SWE_inst" in dataset:
        extra["snow_amount"] = cf.describe(dataset.SWE_inst, "snow_amount")
    cold = (
        extra["soil_temperature"] < 273.15 if "soil_temperature" in extra else xr.zeros_like(layers[first], dtype=bool)
    )
    snow = extra["snow_amount"] > 5.0 if "snow_amount" in extra else xr.zeros_like(layers[first], dtype=bool)
    flag = (
        (cold * 1 + snow * 2)
        .astype("uint8")
        .assign_attrs(cf.flag_attrs(("frozen", "snow"), long_name="state of the soil"))
    )
    out = soil_moisture(layers[first], top=0.0, bottom=0.1, flag=flag, extra=extra)
    if len(layers) > 1:
        profile = xr.concat([a.reset_coords(drop=True) for a in layers.values()], "layer").assign_attrs(
            units="m3 m-3", long_name="volumetric soil moisture of the layers"
        )
        out["soil_moisture_profile"] = coordinates(profile.to_dataset(name="p")).p
        out = out.assign_coords(layer_bnds=(("layer", "bnds"), [LAYERS[n] for n in layers]))
    return tidy(out.transpose("time", ...), product="gldas", source=dataset)
