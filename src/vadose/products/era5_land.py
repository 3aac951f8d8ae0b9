"""ERA5 and ERA5-Land: soil water of four layers, temperature, rain, snow. doi:10.5194/essd-13-4349-2021."""

from __future__ import annotations

import xarray as xr

from vadose import cf
from vadose.errors import UnreadableFileError
from vadose.products.canonical import coordinates, soil_moisture, tidy

#: Layer -> top and bottom [m].
LAYERS = {1: (0.0, 0.07), 2: (0.07, 0.28), 3: (0.28, 1.0), 4: (1.0, 2.89)}


def standardize(dataset: xr.Dataset) -> xr.Dataset:
    """The first layer as `soil_moisture` (0-7 cm), all layers as `soil_moisture_profile`, weather where it is there.

    Frozen and snow-covered values are flagged, not removed: models hold total water.
    """
    if "swvl1" not in dataset:
        raise UnreadableFileError(f"not ERA5(-Land): expected swvl1, found {', '.join(map(str, dataset.data_vars))}")
    extra = {}
    if "t2m" in dataset:
        extra["air_temperature"] = cf.describe(dataset.t2m, "air_temperature")
    if "tp" in dataset:  # metres of water accumulated over the day; tiny negative values come from packing
        extra["precipitation_flux"] = cf.describe((dataset.tp * 1000.0 / 86400.0).clip(min=0.0), "precipitation_flux")
    if "sd" in dataset:
        extra["snow_amount"] = cf.describe((dataset.sd * 1000.0).clip(min=0.0), "snow_amount")
    if "stl1" in dataset:
        extra["soil_temperature"] = cf.describe(dataset.stl1, "soil_temperature")
    cold = (dataset.stl1 < 273.15) if "stl1" in dataset else xr.zeros_like(dataset.swvl1, dtype=bool)
    snow = (dataset.sd > 0.005) if "sd" in dataset else xr.zeros_like(dataset.swvl1, dtype=bool)
    flag = (
        (cold * 1 + snow * 2)
        .astype("uint8")
        .assign_attrs(cf.flag_attrs(("frozen", "snow"), long_name="state of the soil"))
    )
    out = soil_moisture(dataset.swvl1, top=LAYERS[1][0], bottom=LAYERS[1][1], flag=flag, extra=extra)
    present = [k for k in LAYERS if f"swvl{k}" in dataset]
    if len(present) > 1:
        profile = xr.concat([dataset[f"swvl{k}"].reset_coords(drop=True) for k in present], "layer").assign_attrs(
            units="m3 m-3", long_name="volumetric soil moisture of the layers"
        )
        out["soil_moisture_profile"] = coordinates(profile.to_dataset(name="p")).p
        out = out.assign_coords(layer_bnds=(("layer", "bnds"), [LAYERS[k] for k in present]))
    return tidy(out.transpose("time", ...), product="era5_land", source=dataset)
