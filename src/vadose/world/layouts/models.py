"""Reanalysis, land model and Earth system models: ERA5-Land, GLDAS Noah, CMIP6 (all netCDF)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from vadose import cf

SYNTHETIC = "vadose synthetic Earth; not a real model"
ERA5_LAYERS = ((0.0, 0.07), (0.07, 0.28), (0.28, 1.0), (1.0, 2.89))  # m
GLDAS_LAYERS = ((0.0, 0.1), (0.1, 0.4), (0.4, 1.0), (1.0, 2.0))  # m


def _layered(surface: xr.DataArray, truth: xr.Dataset, layers) -> list[xr.DataArray]:
    """The surface estimate carried downward: each layer as a mix of it and the truth's deep layer, bias included."""
    offset = (surface - truth.soil_moisture.isel(depth=0, drop=True)).rolling(time=10, min_periods=1).mean()
    deep = truth.soil_moisture.isel(depth=1, drop=True) + offset
    shares = np.exp(-np.array([top for top, _ in layers]) / 0.15)
    return [(share * surface + (1.0 - share) * deep).clip(0.01, 0.9).drop_attrs(deep=False) for share in shares]


def _save(out: xr.Dataset, path: Path) -> None:
    lat, lon = (d for d in out.sizes if str(d).startswith(("lat", "lon")))
    packed = {"zlib": True, "complevel": 4, "shuffle": True, "dtype": "float32", "significant_digits": 5}
    out.to_netcdf(
        path,
        encoding={
            v: {**packed, "chunksizes": tuple(1 if d == "time" else n for d, n in out[v].sizes.items())}
            for v in out.data_vars
            if {"time", lat, lon} <= set(out[v].dims)
        },
    )


def write_era5_land(analysis: xr.Dataset, truth: xr.Dataset, path: Path) -> None:
    """A month as ERA5-Land: swvl1-4, stl1-2, t2m, tp (m accumulated over the day), sd (m of water), north to south."""
    out = xr.Dataset()
    for k, layer in enumerate(
        _layered(analysis.soil_moisture.drop_vars(["depth", "depth_bnds"], errors="ignore"), truth, ERA5_LAYERS), 1
    ):
        out[f"swvl{k}"] = layer.assign_attrs(units="m**3 m**-3", long_name=f"Volumetric soil water layer {k}")
    for k in (1, 2):
        out[f"stl{k}"] = truth.soil_temperature.isel(depth=k - 1, drop=True).assign_attrs(
            units="K", long_name=f"Soil temperature level {k}"
        )
    out["t2m"] = truth.air_temperature.assign_attrs(units="K", long_name="2 metre temperature", standard_name="")
    out["tp"] = (truth.precipitation_flux * 86400.0 / 1000.0).assign_attrs(
        units="m", long_name="Total precipitation", standard_name=""
    )
    out["sd"] = (truth.snow_amount / 1000.0).assign_attrs(
        units="m of water equivalent", long_name="Snow depth water equivalent", standard_name=""
    )
    out = (
        out.drop_vars("depth_bnds", errors="ignore")
        .rename(lat="latitude", lon="longitude")
        .isel(latitude=slice(None, None, -1))
    )
    _save(
        out.assign_attrs(
            Conventions="CF-1.6", title="synthetic reanalysis in the layout of ERA5-Land", source=SYNTHETIC
        ),
        path,
    )


def write_gldas(land: xr.Dataset, truth: xr.Dataset, path: Path) -> None:
    """A month of daily images as GLDAS-2.1 Noah: water in kg m-2 a layer, layers of unequal thickness."""
    out = xr.Dataset()
    names = ("SoilMoi0_10cm_inst", "SoilMoi10_40cm_inst", "SoilMoi40_100cm_inst", "SoilMoi100_200cm_inst")
    for name, (top, bottom), layer in zip(
        names,
        GLDAS_LAYERS,
        _layered(land.soil_moisture.drop_vars(["depth", "depth_bnds"], errors="ignore"), truth, GLDAS_LAYERS),
        strict=True,
    ):
        out[name] = (layer * 1000.0 * (bottom - top)).assign_attrs(
            units="kg m-2", standard_name="soil_moisture_content", long_name="Soil moisture", cell_methods="time: point"
        )
    out["SoilTMP0_10cm_inst"] = truth.soil_temperature.isel(depth=0, drop=True).assign_attrs(
        units="K", standard_name="soil_temperature", long_name="Soil temperature"
    )
    out["SWE_inst"] = truth.snow_amount.assign_attrs(
        units="kg m-2", standard_name="liquid_water_content_of_surface_snow", long_name="Snow depth water equivalent"
    )
    out = out.drop_vars("depth_bnds", errors="ignore")
    _save(
        out.assign_attrs(
            title="synthetic land model in the layout of GLDAS-2.1 Noah", source=SYNTHETIC, missing_value=-9999.0
        ),
        path,
    )


#: CMIP6 variable -> (our variable, standard name, units, table, factor from ours).
CMIP6_VARIABLES: dict[str, tuple[str, str, str, str]] = {
    "mrsos": ("soil_moisture", "mass_content_of_water_in_soil_layer", "kg m-2", "Lmon"),
    "mrsol": ("soil_moisture", "mass_content_of_water_in_soil_layer", "kg m-2", "Emon"),
    "evspsbl": ("evapotranspiration_flux", "water_evapotranspiration_flux", "kg m-2 s-1", "Amon"),
    "pr": ("precipitation_flux", "precipitation_flux", "kg m-2 s-1", "Amon"),
    "tas": ("air_temperature", "air_temperature", "K", "Amon"),
    "gpp": (
        "gross_primary_productivity",
        "gross_primary_productivity_of_biomass_expressed_as_carbon",
        "kg m-2 s-1",
        "Lmon",
    ),
}


def cmip6_name(model: str, variable: str, run: xr.Dataset) -> str:
    """The file name of the CMIP6 convention under its model's folder."""
    table = CMIP6_VARIABLES[variable][3]
    first, last = (np.datetime_as_string(run.time.values[k], "M").replace("-", "") for k in (0, -1))
    return f"cmip6/{model}/{variable}_{table}_{model}_historical_r1i1p1f1_gn_{first}-{last}.nc"


def write_cmip6(run: xr.Dataset, variable: str, path: Path, *, model: str) -> None:
    """One variable of a run as CMIP6: noleap calendar, bounds of every axis, longitudes 0 to 360."""
    ours, standard_name, units, table = CMIP6_VARIABLES[variable]
    data = run[ours]
    edges = cf.depth_bounds(run)
    coords: dict = {}
    if variable == "mrsos":  # the top 0.1 m: layer 1 and a slice of layer 2
        thickness = np.clip(np.minimum(edges[:, 1], 0.1) - edges[:, 0], 0.0, None)
        data = (data.drop_vars("depth") * xr.DataArray(thickness * 1000.0, dims="depth")).sum("depth", min_count=1)
        coords = {
            "depth": (
                (),
                0.05,
                {"units": "m", "standard_name": "depth", "positive": "down", "axis": "Z", "bounds": "depth_bnds"},
            ),
            "depth_bnds": ("bnds", [0.0, 0.1]),
        }
    elif variable == "mrsol":
        data = data * xr.DataArray((edges[:, 1] - edges[:, 0]) * 1000.0, dims="depth")
        coords = {
            "depth": (
                "depth",
                edges.mean(axis=1),
                {"units": "m", "standard_name": "depth", "positive": "down", "axis": "Z", "bounds": "depth_bnds"},
            ),
            "depth_bnds": (("depth", "bnds"), edges),
        }
    months = run.time.dt.year.values * 12 + run.time.dt.month.values - 1
    starts = np.array([_noleap_days(m) for m in months])
    ends = np.array([_noleap_days(m + 1) for m in months])
    half = float(abs(run.lat[1] - run.lat[0])) / 2
    lon = np.mod(run.lon.values, 360.0)
    out = xr.Dataset(
        {variable: (data.dims, data.values.astype("float32"), {"standard_name": standard_name, "units": units, "cell_methods": "area: mean where land time: mean", "cell_measures": "area: areacella"})},
        coords={
            "time": ("time", (starts + ends) / 2, {"units": "days since 1850-01-01", "calendar": "noleap", "standard_name": "time", "bounds": "time_bnds"}),
            "lat": ("lat", run.lat.values, {"units": "degrees_north", "standard_name": "latitude", "bounds": "lat_bnds"}),
            "lon": ("lon", lon, {"units": "degrees_east", "standard_name": "longitude", "bounds": "lon_bnds"}),
            "time_bnds": (("time", "bnds"), np.stack([starts, ends], axis=1)),
            "lat_bnds": (("lat", "bnds"), np.stack([run.lat.values - half, run.lat.values + half], axis=1)),
            "lon_bnds": (("lon", "bnds"), np.stack([lon - half, lon + half], axis=1)),
            **coords,
        },
        attrs={
            "Conventions": "CF-1.7 CMIP-6.2", "mip_era": "CMIP6", "activity_id": "CMIP", "experiment_id": "historical", "source_id": model, "variant_label": "r1i1p1f1", "variable_id": variable,
            "table_id": table, "grid_label": "gn", "institution": SYNTHETIC, "planted_faults": str(run.attrs.get("planted_faults", "")),
        },
    )  # fmt: skip
    bare = {name: {"_FillValue": None} for name in out.coords}
    out.to_netcdf(path, encoding={variable: {"zlib": True, "complevel": 1, "_FillValue": np.float32(1e20)}, **bare})


def _noleap_days(month: int) -> float:
    """Days from 1850-01-01 to the start of a month (counted as year * 12 + month - 1) in a calendar of 365 days."""
    lengths = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    year, number = divmod(int(month), 12)
    return float((year - 1850) * 365 + lengths[:number].sum())
