"""SMAP L4 (SPL4SMGP): three-hourly model with assimilated radiances, 9 km EASE-Grid 2.0; surface 0-5 cm, root zone 0-1 m.

Reichle et al. 2019, doi:10.1029/2019MS001729. These are model values that drew on SMAP: never the third of a triplet with SMAP.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from vadose import cf
from vadose.errors import UnreadableFileError
from vadose.products.canonical import soil_moisture, tidy

LAYERS = {"sm_surface": (0.0, 0.05), "sm_rootzone": (0.0, 1.0)}
#: Their name -> ours; temperatures in K, snow and fluxes in kg m-2 (s-1) as ours.
RENAMED = {
    "soil_temp_layer1": "soil_temperature", "snow_mass": "snow_amount", "land_evapotranspiration_flux": "evapotranspiration_flux",
    "precipitation_total_surface_flux": "precipitation_flux", "surface_temp": "surface_temperature",
    "overland_runoff_flux": "runoff_flux",
}  # fmt: skip
GROUPS = ("Geophysical_Data", "Analysis_Data")


def open(path: str | Path) -> xr.Dataset:
    """One granule (HDF5) -> canonical; the time is that of the file's name, the middle of its three hours.

    Raises UnreadableFileError naming the file where it is no SPL4SMGP or SPL4SMAU granule.
    """
    import h5py

    try:
        with h5py.File(path) as file:
            group = next((g for g in GROUPS if g in file), None)
            if group is None:
                raise UnreadableFileError(
                    f"{path}: not SMAP L4: no group {' or '.join(GROUPS)}, found {', '.join(file)}"
                )
            data = {
                n: (("y", "x"), np.where(v[:] > -9998, v[:], np.nan))
                for n, v in file[group].items()
                if v.ndim == 2 and v.dtype.kind == "f"
            }
            places = {}
            for theirs, ours, axis in (("cell_lat", "lat", 1), ("cell_lon", "lon", 0)):
                if theirs in file:
                    grid = file[theirs][:]
                    places[ours] = ("y" if axis else "x", np.where(grid > -9998, grid, -np.inf).max(axis=axis))
    except OSError as error:
        if isinstance(error, UnreadableFileError):
            raise
        raise UnreadableFileError(f"{path}: not a readable HDF5 file: {error}") from error
    stamp = re.search(r"_(\d{8}T\d{6})_", Path(path).name)
    coords = dict(places)
    raw = xr.Dataset(data, coords=coords)
    if stamp:
        raw = raw.expand_dims(time=[pd.Timestamp(stamp.group(1)).to_datetime64().astype("datetime64[ns]")])
    return standardize(raw)


def standardize(dataset: xr.Dataset) -> xr.Dataset:
    """`sm_surface` as `soil_moisture` (0-5 cm), `sm_rootzone` as `root_zone_soil_moisture` (0-1 m), weather where it is there."""
    name = next((n for n in ("sm_surface", "sm_surface_analysis") if n in dataset), None)
    if name is None:
        raise UnreadableFileError(
            f"not SMAP L4: expected sm_surface, found {', '.join(map(str, dataset.data_vars))}; open the group Geophysical_Data"
        )
    extra = {ours: cf.describe(_known(dataset[theirs]), ours) for theirs, ours in RENAMED.items() if theirs in dataset}
    deep = next((n for n in ("sm_rootzone", "sm_rootzone_analysis") if n in dataset), None)
    if deep is not None:
        values = _known(dataset[deep])
        extra["root_zone_soil_moisture"] = values.where((values >= 0) & (values <= 1)).assign_attrs(
            units="m3 m-3", long_name="volumetric soil moisture of 0 to 1 m", depth_bounds="0.0 1.0"
        )
    surface = _known(dataset[name])
    nothing = xr.zeros_like(surface, dtype=bool)
    cold = extra["soil_temperature"] < 273.15 if "soil_temperature" in extra else nothing
    snow = extra["snow_amount"] > 5.0 if "snow_amount" in extra else nothing
    flag = (
        (cold * 1 + snow * 2)
        .astype("uint8")
        .assign_attrs(cf.flag_attrs(("frozen", "snow"), long_name="state of the soil"))
    )
    error = dataset.get("sm_surface_analysis_ensstd")
    out = soil_moisture(surface, top=0.0, bottom=0.05, error=error, flag=flag, extra=extra)
    return tidy(out, product="smap_l4", source=dataset)


def _known(values: xr.DataArray) -> xr.DataArray:
    return values.where(values > -9998)
