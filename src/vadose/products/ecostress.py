"""ECOSTRESS evapotranspiration: tiles of 70 m at irregular times (L3T JET, L4T ESI; Collection 1 ECO3ETPTJPL), and tower matchups.

Collections differ in units: Collection 1 gives daily ET as a mean energy [W m-2], later ones as water [mm d-1]. Both become
`evapotranspiration_flux` [kg m-2 s-1]. `SM` of these files is a downscaled model, not a retrieval: it is not independent truth
and is left out. doi:10.5067/ECOSTRESS/ECO_L3T_JET.002
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from scipy.ndimage import binary_dilation

from vadose import cf
from vadose.errors import UnreadableFileError
from vadose.products.canonical import tidy

LATENT_HEAT = 2.45e6  # J kg-1, as the products use
FLAGS = ("cloud", "water", "near_cloud", "mask_missing")
FILL = 255  # of the cloud and water layers
DILATION = 2  # pixels around clouds (vadose's choice)
#: Daily layers in [mm d-1] (Collections 2 and 3), best first; ETdaily is the median of the four models.
DAILY = ("ETdaily", "PTJPLSMdaily", "STICJPLdaily", "BESSJPLdaily", "PMJPLdaily")
#: Daily layer of Collection 1 in [W m-2].
FIRST = "ETdaily"


def watts_to_depth(energy):
    """Mean latent heat of a day [W m-2] -> evaporation [mm d-1]."""
    return energy * 86400.0 / LATENT_HEAT


def depth_to_watts(depth):
    """Evaporation [mm d-1] -> mean latent heat of a day [W m-2]."""
    return depth * LATENT_HEAT / 86400.0


def _collection(dataset: xr.Dataset) -> int:
    name = str(dataset.attrs.get("short_name", dataset.attrs.get("ShortName", dataset.attrs.get("product", ""))))
    return 1 if name.startswith("ECO3ET") else 2


def standardize(dataset: xr.Dataset) -> xr.Dataset:
    """One tile -> `evapotranspiration_flux` (y, x) with `_standard_error` where the models' spread is given, and its flag.

    Clouds, two pixels around them, open water, and pixels for which the mask layers hold their fill become NaN, each with a flag. `evaporative_stress_index` [1] and `potential_evaporation_flux` where the
    file has them. The exact overpass time stays in `time`.
    """
    layer = next((name for name in DAILY if name in dataset), None)
    if layer is None and "ESI" not in dataset:
        raise UnreadableFileError(
            f"not ECOSTRESS ET: expected one of {', '.join(DAILY)} or ESI, found {', '.join(map(str, dataset.data_vars))}"
        )
    reference = dataset[layer] if layer else dataset["ESI"]
    cloud, no_cloud_mask = _mask(dataset, "cloud", reference)
    water, no_water_mask = _mask(dataset, "water", reference)
    unknown = no_cloud_mask | no_water_mask
    whole = (
        cloud.chunk(dict.fromkeys(cloud.dims[-2:], -1)) if cloud.chunks else cloud
    )  # neighbors may lie in other tiles
    near = xr.apply_ufunc(
        _dilate, whole, input_core_dims=[list(cloud.dims[-2:])], output_core_dims=[list(cloud.dims[-2:])],
        dask="parallelized", output_dtypes=[bool],
    ).transpose(*cloud.dims)  # fmt: skip
    clear = ~(near | water | unknown)
    out = xr.Dataset()
    linked = ["evapotranspiration_flag"]
    if layer:
        depth = watts_to_depth(reference) if _collection(dataset) == 1 else reference
        out["evapotranspiration_flux"] = cf.describe(depth.where(clear) / 86400.0, "evapotranspiration_flux")
        if "ETinstUncertainty" in dataset and "ETinst" in dataset:
            share = dataset["ETinstUncertainty"] / dataset["ETinst"].where(dataset["ETinst"] > 10.0)
            out["evapotranspiration_flux_standard_error"] = (out["evapotranspiration_flux"] * share).assign_attrs(
                units="kg m-2 s-1"
            )
            linked.append("evapotranspiration_flux_standard_error")
    if "ESI" in dataset:
        out["evaporative_stress_index"] = (
            dataset["ESI"].where(clear).assign_attrs(units="1", long_name="ET over potential ET")
        )
    if "PET" in dataset:
        out["potential_evaporation_flux"] = cf.describe(
            dataset["PET"].where(clear) / 86400.0, "potential_evaporation_flux"
        )
    flag = cloud * 1 + water * 2 + (near & ~cloud) * 4 + unknown * 8
    out["evapotranspiration_flag"] = flag.astype("uint8").assign_attrs(cf.flag_attrs(FLAGS))
    if layer:
        out = cf.link(out, "evapotranspiration_flux", *linked)
    return tidy(out, product="ecostress", source=dataset)


def _mask(dataset, name, like):
    """Where the condition holds, and where the layer does not say (its fill, decoded or not)."""
    if name not in dataset:
        nowhere = xr.zeros_like(like, dtype=bool)
        return nowhere, nowhere
    layer = dataset[name]
    return layer == 1, layer.isnull() | (layer == FILL)


def _dilate(cloud):
    structure = np.ones((2 * DILATION + 1, 2 * DILATION + 1), dtype=bool)
    if cloud.ndim == 2:
        return binary_dilation(cloud, structure)
    return np.stack([binary_dilation(c, structure) for c in cloud.reshape(-1, *cloud.shape[-2:])]).reshape(cloud.shape)


#: Columns of the calibration/validation table -> (name, unit).
_MATCHUPS = {
    "JET": ("latent_heat_flux_ecostress", "W m-2"), "STICinst": ("latent_heat_flux_stic", "W m-2"), "BESSinst": ("latent_heat_flux_bess", "W m-2"),
    "PTJPLSMinst": ("latent_heat_flux_ptjplsm", "W m-2"), "MOD16inst": ("latent_heat_flux_mod16", "W m-2"),
    "ETinstUncertainty": ("latent_heat_flux_ecostress_standard_error", "W m-2"), "LEcorr50": ("latent_heat_flux", "W m-2"),
    "LE_filt": ("latent_heat_flux_unclosed", "W m-2"), "H_filt": ("sensible_heat_flux", "W m-2"), "NETRAD_filt": ("net_radiation", "W m-2"),
    "G_filt": ("ground_heat_flux", "W m-2"), "LST": ("surface_temperature", "K"), "NDVI": ("ndvi", "1"), "SM": ("model_moisture", "1"),
    "SM_surf": ("soil_moisture", "m3 m-3"), "SM_rz": ("root_zone_moisture", "m3 m-3"), "Rn": ("net_radiation_ecostress", "W m-2"),
    "PET": ("potential_latent_heat", "W m-2"),
}  # fmt: skip


def open_matchups(path: str | Path) -> xr.Dataset:
    """Overpasses beside flux towers: (match) latent heat of ECOSTRESS's models and of the tower (closed energy balance), and states.

    Negative moisture becomes NaN; vegetation classes in capitals; climate classes as Koppen writes them (Bsk, not BSK).
    """
    table = pd.read_csv(path)
    missing = {"ID", "time_utc", "JET"} - set(table.columns)
    if missing:
        raise UnreadableFileError(
            f"{path}: not the ECOSTRESS matchup table: columns {', '.join(sorted(missing))} are missing"
        )
    data: dict[str, tuple] = {}
    for column, (name, unit) in _MATCHUPS.items():
        if column in table:
            values = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=float)
            if name in ("soil_moisture", "root_zone_moisture"):
                values = np.where((values > 0) & (values < 1), values, np.nan)
            data[name] = ("match", values, {"units": unit})
    data["vegetation"] = ("match", table["vegetation"].astype(str).str.upper().to_numpy(dtype=str))
    data["climate"] = ("match", table["climate"].astype(str).str.capitalize().to_numpy(dtype=str))
    coords = {
        "time": ("match", pd.to_datetime(table["time_utc"]).to_numpy()),
        "station": ("match", table["ID"].to_numpy(dtype=str)),
    }
    out = xr.Dataset(data, coords=coords)
    return tidy(out, product="ecostress_matchups", source=out)
