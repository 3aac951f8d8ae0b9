"""History files of the E3SM and CLM land models (h0), on rows and columns or on the cells of a mesh (lndgrid, ne30pg3)."""

from __future__ import annotations

import numpy as np
import xarray as xr

from vadose import cf
from vadose.errors import UnreadableFileError
from vadose.products.canonical import coordinates, tidy

#: History variables that are summed -> our name and the factor to our unit (their unit is checked by name only).
SUMS: dict[tuple[str, ...], tuple[str, float]] = {
    ("QSOIL", "QVEGE", "QVEGT"): ("evapotranspiration_flux", 1.0),  # mm s-1 is kg m-2 s-1
    ("RAIN", "SNOW"): ("precipitation_flux", 1.0),
    ("TSA",): ("air_temperature", 1.0),
    ("GPP",): ("gross_primary_productivity", 1e-3),  # g to kg of carbon
    ("HR",): ("heterotrophic_respiration", 1e-3),
    ("ER",): ("ecosystem_respiration", 1e-3),
    ("QRUNOFF",): ("runoff_flux", 1.0),
    ("EFLX_LH_TOT",): ("latent_heat_flux", 1.0),
    ("FSH",): ("sensible_heat_flux", 1.0),
    ("TLAI",): ("leaf_area_index", 1.0),
    ("H2OSNO",): ("snow_amount", 1.0),
}
#: Thickness of the ten hydrologically active layers where a file does not hold DZSOI [m].
THICKNESS = (0.0175, 0.0276, 0.0455, 0.0750, 0.1236, 0.2038, 0.3360, 0.5539, 0.9133, 1.1370)
TOP_LAYER = (0.0, 0.1)


def standardize(dataset: xr.Dataset) -> xr.Dataset:
    """Canonical names, units and layers; steps get the middle of their bounds, for the stamp of h0 files is the end of the month."""
    known = {n for names in SUMS for n in names} | {"SOILWATER_10CM", "H2OSOI"}
    if not known & set(dataset.data_vars):
        raise UnreadableFileError(
            f"no ELM or CLM history variable known to vadose ({', '.join(sorted(known))}) in {', '.join(map(str, dataset.data_vars))}"
        )
    data = _middle(dataset)
    out = xr.Dataset()
    for names, (ours, factor) in SUMS.items():
        if set(names) <= set(data.data_vars):
            total = sum((data[n] for n in names[1:]), start=data[names[0]])
            out[ours] = cf.describe(total * factor, ours)
    if "H2OSOI" in data:
        out["soil_moisture_profile"], bounds = _layers(data)
        out = out.assign_coords(layer_bnds=(("layer", "bnds"), bounds))
    if "SOILWATER_10CM" in data:
        top, bottom = TOP_LAYER
        out["soil_moisture"] = cf.describe(data.SOILWATER_10CM / (1000.0 * (bottom - top)), "soil_moisture")
        out = cf.with_depth(out, top, bottom)
    places = {n: data[n] for n in ("lat", "lon") if n in data.variables and n not in out.coords}
    return tidy(coordinates(out.assign_coords(places)), product="elm", source=dataset)


def _middle(data: xr.Dataset) -> xr.Dataset:
    name = data["time"].attrs.get("bounds", "time_bounds") if "time" in data.variables else ""
    if name not in data.variables:
        return data
    bounds = data[name]
    edge = next(d for d in bounds.dims if d != "time")
    first, last = bounds.isel({edge: 0}).values, bounds.isel({edge: 1}).values
    return data.assign_coords(time=first + (last - first) / 2)


def _layers(data: xr.Dataset) -> tuple[xr.DataArray, np.ndarray]:
    dim = next(d for d in data.H2OSOI.dims if str(d).startswith("lev"))
    size = data.sizes[dim]
    if "DZSOI" in data:
        thickness = data.DZSOI.mean([d for d in data.DZSOI.dims if d != dim], skipna=True).values
    else:
        size = min(size, len(THICKNESS))
        thickness = np.array(THICKNESS[:size])
    edges = np.concatenate([[0.0], np.cumsum(thickness[:size])])
    values = data.H2OSOI.isel({dim: slice(0, size)}).drop_vars(dim, errors="ignore").rename({dim: "layer"})
    return values.assign_attrs(units="m3 m-3", long_name="volumetric soil moisture of the layers"), np.stack(
        [edges[:-1], edges[1:]], axis=1
    )
