"""Any file that follows the CF conventions: standard names say what its variables are, units are converted, layers come from bounds."""

from __future__ import annotations

import numpy as np
import xarray as xr

from vadose import cf, units
from vadose.constants import WATER_DENSITY
from vadose.errors import DimensionError, UnreadableFileError
from vadose.products.canonical import coordinates, tidy
from vadose.vocabulary import BY_STANDARD_NAME

VOLUME = "volume_fraction_of_condensed_water_in_soil"
#: Water of a layer, by its name today and its older one.
MASS = ("mass_content_of_water_in_soil_layer", "moisture_content_of_soil_layer")
COLUMN = ("mass_content_of_water_in_soil", "soil_moisture_content")
#: Standard names that mean one of our variables beside the one of the vocabulary.
ALSO = {"water_evaporation_flux": "water_evapotranspiration_flux"}
NOT_BY_NAME = (VOLUME, *MASS, *COLUMN)


def standardize(dataset: xr.Dataset) -> xr.Dataset:
    """Every variable whose CF standard name vadose knows, in our names and units; water in layers as m3 m-3 by the bounds of depth.

    Raises UnreadableFileError when no standard name is known, DimensionError when water of a layer has no depth bounds.
    """
    named: dict[str, list[str]] = {}
    for name, values in dataset.data_vars.items():
        standard = str(values.attrs.get("standard_name", ""))
        named.setdefault(ALSO.get(standard, standard), []).append(str(name))
    out = xr.Dataset()
    for standard, names in named.items():
        row = BY_STANDARD_NAME.get(standard)
        if row is not None and standard not in NOT_BY_NAME and "units" in dataset[names[0]].attrs:
            out[row.name] = cf.describe(units.convert(dataset[names[0]], row.units), row.name)
    for standard in (VOLUME, *MASS):
        for name in named.get(standard, ()):
            out = _with_water(out, dataset, name, mass=standard != VOLUME)
    for standard in COLUMN:
        if standard in named:
            column = units.convert(dataset[named[standard][0]], "kg m-2")
            out["soil_moisture_content"] = cf.describe(
                column, "soil_moisture_content", long_name="water of the whole soil column"
            )
    if not out.data_vars:
        found = ", ".join(f"{n} ({v.attrs.get('standard_name', 'none')})" for n, v in dataset.data_vars.items())
        raise UnreadableFileError(
            f"no variable has a CF standard name that vadose knows (such as {VOLUME}, {MASS[0]}, precipitation_flux); found {found}"
        )
    places = {n: dataset[n] for n in ("lat", "lon") if n in dataset.variables and n not in out.coords}
    return tidy(coordinates(out.assign_coords(places)), product="cf", source=dataset)


def _with_water(out: xr.Dataset, data: xr.Dataset, name: str, *, mass: bool) -> xr.Dataset:
    """`out` with the water of one variable: a profile where depth is a dimension, one layer where it is not."""
    values = data[name]
    depth = next((c for c in values.coords if _is_depth(data[c])), None)
    bounds = None if depth is None else _bounds(data, str(depth))
    if mass and bounds is None:
        raise DimensionError(
            f"{name} is water of a layer [kg m-2], but the file holds no bounds of its depth; add them, or give {VOLUME}"
        )
    values = units.convert(values, "kg m-2" if mass else "m3 m-3")
    if depth in values.dims:
        dim = str(depth)
        if bounds is None:
            raise DimensionError(f"{name} has a dimension {dim} without bounds; a layer needs a top and a bottom")
        thickness = xr.DataArray(bounds[:, 1] - bounds[:, 0], dims="layer")
        values = values.drop_vars(dim).rename({dim: "layer"})
        values = values / (WATER_DENSITY * thickness) if mass else values
        out["soil_moisture_profile"] = values.assign_attrs(
            units="m3 m-3", long_name="volumetric soil moisture of the layers"
        )
        return out.assign_coords(layer_bnds=(("layer", "bnds"), bounds))
    if bounds is None:
        out["soil_moisture"] = cf.describe(values, "soil_moisture")
        return out
    top, bottom = map(float, bounds[0])
    values = values / (WATER_DENSITY * (bottom - top)) if mass else values
    out["soil_moisture"] = cf.describe(values.drop_vars(str(depth)), "soil_moisture")
    return cf.with_depth(out, top, bottom)


def _is_depth(coordinate: xr.DataArray) -> bool:
    standard = coordinate.attrs.get("standard_name")
    return standard == "depth" or (standard is None and coordinate.name in ("depth", "sdepth"))


def _bounds(data: xr.Dataset, depth: str) -> np.ndarray | None:
    """Top and bottom of each layer [m], (layer, 2)."""
    name = data[depth].attrs.get("bounds", f"{depth}_bnds")
    if name not in data.variables:
        return None
    scale = units.convert(xr.DataArray(1.0, attrs={"units": data[depth].attrs.get("units", "m")}), "m")
    return np.sort(np.atleast_2d(np.abs(data[name].values.astype(float))) * float(scale), axis=1)
