"""CMIP6 land variables: mrsos (top 0.1 m), mrsol (layers), mrso (column), fluxes and weather, with their bounds."""

from __future__ import annotations

import numpy as np
import xarray as xr

from vadose import cf, units
from vadose.errors import DimensionError, UnreadableFileError
from vadose.products.canonical import coordinates, tidy
from vadose.vocabulary import VARIABLES

#: CMIP6 variable -> our name for those that only change name.
RENAMED = {
    "evspsbl": "evapotranspiration_flux",
    "pr": "precipitation_flux",
    "tas": "air_temperature",
    "gpp": "gross_primary_productivity",
    "hfls": "latent_heat_flux",
    "hfss": "sensible_heat_flux",
    "lai": "leaf_area_index",
    "ra": "autotrophic_respiration",
    "rh": "heterotrophic_respiration",
    "mrro": "runoff_flux",
    "snw": "snow_amount",
}
#: Fluxes that cannot be negative: what is below zero is rounding, and is set to zero.
NON_NEGATIVE = ("precipitation_flux", "gross_primary_productivity")
TOP_LAYER = (0.0, 0.1)
#: Unit of mrsos, mrsol and mrso.
WATER = "kg m-2"
#: Where cells lie, on rows and columns or along the cells of a mesh.
PLACES = ("lat", "lon", "latitude", "longitude")


def standardize(dataset: xr.Dataset) -> xr.Dataset:
    """Whatever of the known variables is in `dataset` -> canonical. Masked ocean stays NaN; kg m-2 becomes m3 m-3 by the bounds.

    Raises UnitsError for a variable that states another kind of quantity; one that states none is in CMIP6's unit.
    """
    known = {"mrsos", "mrsol", "mrso", *RENAMED} & set(dataset.data_vars)
    if not known:
        raise UnreadableFileError(
            f"no CMIP6 land variable known to vadose ({', '.join(sorted({'mrsos', 'mrsol', 'mrso', *RENAMED}))}) in {', '.join(map(str, dataset.data_vars))}"
        )
    out = xr.Dataset()
    for name in sorted(known & set(RENAMED)):
        ours = RENAMED[name]
        values = _in(dataset[name], VARIABLES[ours].units)
        out[ours] = cf.describe(values.clip(min=0.0) if ours in NON_NEGATIVE else values, ours)
    if "mrsol" in dataset:
        out["soil_moisture_profile"], bounds = _layers(dataset)
        out = out.assign_coords(layer_bnds=(("layer", "bnds"), bounds))
    if "mrso" in dataset:
        out["soil_moisture_content"] = cf.describe(
            _in(dataset.mrso, WATER).clip(min=0.0), "soil_moisture_content", long_name="water of the whole soil column"
        )
    if "mrsos" in dataset:
        top, bottom = _scalar_bounds(dataset)
        values = (_in(dataset.mrsos, WATER).clip(min=0.0) / (1000.0 * (bottom - top))).reset_coords(drop=True)
        out["soil_moisture"] = cf.describe(values, "soil_moisture")
        out = cf.with_depth(out.drop_vars("depth", errors="ignore"), top, bottom)
    places = {n: dataset[n] for n in PLACES if n in dataset.variables and n not in out.coords}
    return tidy(coordinates(out.assign_coords(places)), product="cmip6", source=dataset)


def _in(values: xr.DataArray, unit: str) -> xr.DataArray:
    return units.convert(values, unit) if str(values.attrs.get("units", "")).strip() else values


def _scalar_bounds(dataset):
    if "depth_bnds" in dataset.variables and dataset.depth_bnds.ndim == 1:
        low, high = map(float, dataset.depth_bnds.values)
        return low, high
    return TOP_LAYER


def _layers(dataset):
    dim = next((d for d in dataset.mrsol.dims if d in ("depth", "sdepth", "solth", "soil")), None)
    if dim is None:
        raise DimensionError(f"mrsol has no depth dimension; it has {dataset.mrsol.dims}")
    name = dataset[dim].attrs.get("bounds", f"{dim}_bnds") if dim in dataset.variables else f"{dim}_bnds"
    if name not in dataset.variables:
        raise DimensionError(f"mrsol needs the bounds of its layers ({name}), which the file does not hold")
    bounds = np.atleast_2d(dataset[name].values)
    thickness = xr.DataArray(bounds[:, 1] - bounds[:, 0], dims=dim)
    values = (_in(dataset.mrsol, WATER).drop_vars(dim, errors="ignore") / (1000.0 * thickness)).rename({dim: "layer"})
    return values.assign_attrs(units="m3 m-3", long_name="volumetric soil moisture of the layers"), bounds
