"""ASCAT surface soil moisture, percent of saturation: H SAF swaths and cell series (ragged), EUMETSAT L2.

Wagner et al. 1999, doi:10.1016/S0034-4257(99)00036-X.

Percent of saturation is not a volume: multiply by porosity (`vadose.harmonize.quantity`) to compare with volumetric products.
Some L2 files have 655.35 where no value is, without declaring it; whatever lies outside 0 to 100 is no value.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from vadose import cf
from vadose.errors import UnreadableFileError
from vadose.products.canonical import coordinates, tidy

FLAGS = ("processing", "correction", "confidence")
#: Our name -> what the archives call it, the newest first.
MOISTURE = ("surface_soil_moisture", "sm", "soil_moisture", "ssm")
NOISE = ("surface_soil_moisture_noise", "sm_noise", "soil_moisture_error", "ssm_noise")
FLAG_NAMES = {
    "processing": ("processing_flag", "proc_flag", "proc_flag1"),
    "correction": ("correction_flag", "corr_flag", "corr_flags"),
    "confidence": ("conf_flag",),
}
BESIDE = {
    "surface_state": ("surface_flag", "ssf"),
    "sensitivity": ("surface_soil_moisture_sensitivity", "sensitivity", "soil_moisture_sensitivity"),
    "subsurface_scattering_probability": ("subsurface_scattering_probability",),
    "topographic_complexity": ("topographic_complexity", "topo_complex", "tc"),
    "wetland_fraction": ("wetland_fraction", "wetland_frac", "wf"),
    "frozen_probability": ("frozen_soil_probability", "frozen_prob"),
    "snow_probability": ("snow_cover_probability", "snow_prob"),
}
UNITS = {"surface_state": "1", "sensitivity": "dB"}
MISSING_BYTE = {"surface_state": 255}


def _first(dataset: xr.Dataset, names: tuple[str, ...]) -> xr.DataArray | None:
    return next((dataset[n] for n in names if n in dataset.variables), None)


def standardize(dataset: xr.Dataset) -> xr.Dataset:
    """Swaths -> dims (location) with `observation_time`; cell series -> (time, location), the mean of a day's passes.

    `soil_saturation` [1] with standard error and flag bits `processing`, `correction`, `confidence`; `surface_state` (0 unknown,
    1 unfrozen, 2 frozen, 3 melting, 4 ice) and the percentages that presets use are kept beside it. In cell series a day's
    flags are those of any of its passes, the numbers beside are means.
    """
    if "row_size" in dataset.variables or "locationIndex" in dataset.variables:
        return _cell(dataset)
    moisture = _first(dataset, MOISTURE)
    if moisture is None:
        raise UnreadableFileError(f"not ASCAT: expected {' or '.join(MOISTURE)}, found {', '.join(map(str, dataset))}")
    if moisture.ndim == 2:  # rows and nodes of the swath
        per_row = {
            n: v.broadcast_like(moisture)
            for n, v in dataset.data_vars.items()
            if v.ndim == 1 and v.dims[0] in moisture.dims
        }
        dataset = dataset.assign(per_row).stack(location=moisture.dims, create_index=False)
    else:
        dataset = dataset.rename({moisture.dims[0]: "location"})
    out = _variables(dataset)
    places = {
        ours: dataset[theirs].variable
        for ours, names in (("lat", ("latitude", "lat")), ("lon", ("longitude", "lon")))
        for theirs in names
        if theirs in dataset.variables
    }
    out = out.assign_coords({n: (v.dims, v.values) for n, v in places.items()})
    when = _first(dataset, ("time", "utc_line_nodes", "record_start_time"))
    if when is not None and when.dtype.kind == "M":
        out = out.drop_vars("time", errors="ignore")
        out["observation_time"] = (when.dims, when.values)
    return _finish(out, dataset)


def _variables(dataset: xr.Dataset) -> xr.Dataset:
    """Canonical variables on the dimensions of the file."""
    moisture = _first(dataset, MOISTURE)
    if moisture is None:
        raise UnreadableFileError(f"not ASCAT: expected {' or '.join(MOISTURE)}, found {', '.join(map(str, dataset))}")
    good = (moisture >= 0.0) & (moisture <= 100.0)
    out = xr.Dataset({"soil_saturation": cf.describe((moisture / 100.0).where(good), "soil_saturation")})
    bits = xr.zeros_like(moisture, dtype="uint8")
    for place, name in enumerate(FLAGS):
        flag = _first(dataset, FLAG_NAMES[name])
        if flag is not None:
            raw = flag.fillna(0) if flag.dtype.kind == "f" else flag
            bits = bits + ((raw != 0).astype("uint8") << place).astype("uint8")
    out["soil_saturation_flag"] = bits.assign_attrs(cf.flag_attrs(FLAGS, long_name="ASCAT quality"))
    noise = _first(dataset, NOISE)
    if noise is not None:
        kept = good & (noise >= 0.0) & (noise <= 100.0)
        out["soil_saturation_standard_error"] = (
            (noise / 100.0).where(kept).assign_attrs(units="1", long_name="standard error of soil saturation")
        )
    for name, names in BESIDE.items():
        found = _first(dataset, names)
        if found is not None:
            known = (found >= 0) & (found != MISSING_BYTE.get(name, np.inf))
            out[name] = found.astype("float32").where(known).assign_attrs(units=UNITS.get(name, "percent"))
    return out.drop_vars([c for c in out.coords if c not in out.dims])


def _finish(out: xr.Dataset, source: xr.Dataset) -> xr.Dataset:
    linked = ["soil_saturation_flag", *(n for n in ("soil_saturation_standard_error",) if n in out)]
    out = cf.with_depth(coordinates(out), 0.0, 0.05)
    return tidy(cf.link(out, "soil_saturation", *linked), product="ascat", source=source)


def _owners(dataset: xr.Dataset) -> np.ndarray:
    """The location of each observation, for contiguous and indexed ragged arrays."""
    if "locationIndex" in dataset.variables:
        return dataset.locationIndex.values.astype(int)
    size = dataset.row_size.values
    owner = np.repeat(np.arange(size.size), np.where(np.isfinite(size), size, 0).astype(int))
    dim = dataset.row_size.attrs.get("sample_dimension") or str(dataset.time.dims[0])
    if owner.size != dataset.sizes[dim]:
        raise UnreadableFileError(
            f"ASCAT cell: row_size adds up to {owner.size}, but there are {dataset.sizes[dim]} observations"
        )
    return owner


def _cell(dataset: xr.Dataset) -> xr.Dataset:
    """Ragged observations of one 5-degree cell -> daily means (time, location)."""
    owner = _owners(dataset)
    if "time" not in dataset.variables or dataset.time.dtype.kind != "M":
        raise UnreadableFileError("ASCAT cell: no time that can be decoded; open it with decode_times=True")
    out = _variables(dataset)
    day = pd.DatetimeIndex(dataset.time.values).floor("D")
    if day.size == 0:
        raise UnreadableFileError("ASCAT cell: it holds no observation")
    days = pd.date_range(day.min(), day.max(), freq="D")
    places = dataset.sizes[dataset[next(n for n in ("lat", "latitude") if n in dataset.variables)].dims[0]]
    at = days.get_indexer(day) * places + owner
    seen = np.isfinite(out.soil_saturation.values)
    made = {}
    for name, variable in out.data_vars.items():
        values = variable.values
        if name == "soil_saturation_flag":
            result = np.zeros(days.size * places, "uint8")
            np.bitwise_or.at(result, at[seen], values[seen])
        else:
            good = seen & np.isfinite(values)
            count = np.bincount(at[good], minlength=days.size * places)
            with np.errstate(invalid="ignore", divide="ignore"):
                result = np.bincount(at[good], values[good].astype(float), days.size * places) / count
        made[name] = (("time", "location"), result.reshape(days.size, places), variable.attrs)
    daily = xr.Dataset(made, coords={"time": days})
    for ours, names in (("lat", ("lat", "latitude")), ("lon", ("lon", "longitude")), ("location_id", ("location_id",))):
        found = _first(dataset, names)
        if found is not None:
            daily = daily.assign_coords({ours: ("location", found.values)})
    return _finish(daily, dataset)
