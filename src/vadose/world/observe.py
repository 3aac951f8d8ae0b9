"""Instruments that look at the truth: each with its layer, its gaps, its bias and its error, all known.

Every function takes the truth and returns a canonical Dataset with `soil_moisture`, `soil_moisture_standard_error` and
`soil_moisture_flag`. Errors are zero-mean, independent of the truth, and independent between instruments except for
those that share forcing (`reanalysis` and `land_model`): the assumptions that collocation methods make, on purpose.
The table `ERRORS` holds what they are; tests hold the instruments to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from vadose import cf, constants
from vadose.errors import unknown_name
from vadose.world.noise import Modes, normal

FLAGS = ("frozen", "snow", "dense_vegetation", "no_overpass")
DENSE_LEAF_AREA = 4.5
OPACITY_PER_LEAF_AREA = 0.055  # optical depth at L-band per unit of leaf area
FREEZING_EDGE = 1.5  # K of slack around the freezing point within which a retrieval is not trusted


@dataclass(frozen=True)
class Instrument:
    """How an instrument errs: gain and offset on the truth, error sd [m3 m-3], error memory (lag-1), overpasses a week, bottom of its layer [m]."""

    gain: float
    offset: float
    error: float
    memory: float
    overpasses: float
    bottom: float
    title: str


ERRORS: dict[str, Instrument] = {
    "lband": Instrument(0.95, -0.015, 0.030, 0.0, 4.5, 0.05, "L-band radiometer"),
    "cband": Instrument(0.85, 0.010, 0.042, 0.0, 5.5, 0.05, "C-band scatterometer"),
    "merged": Instrument(0.92, 0.000, 0.034, 0.2, 6.0, 0.05, "merged satellite record"),
    "reanalysis": Instrument(0.75, 0.055, 0.030, 0.85, 7.0, 0.07, "reanalysis"),
    "land_model": Instrument(0.85, 0.035, 0.034, 0.85, 7.0, 0.10, "land-surface model"),
}

#: Share of the error variance that reanalysis and land model have in common (they are driven by the same rain errors).
SHARED_VARIANCE = 0.5


def surface(truth: xr.Dataset, bottom: float = 0.05) -> xr.DataArray:
    """The truth over 0 to `bottom` m, by layer overlap."""
    edges = cf.depth_bounds(truth)
    thickness = np.clip(np.minimum(edges[:, 1], bottom) - edges[:, 0], 0.0, None)
    weights = xr.DataArray(thickness / thickness.sum(), dims="depth")
    return (truth.soil_moisture.drop_vars("depth") * weights).sum("depth")


def _noise(truth: xr.Dataset, seed: int, name: str, memory: float = 0.0) -> xr.DataArray:
    """White-in-space noise like the truth's (time, lat, lon); lazy when the truth is."""
    days = (truth.time.values.astype("datetime64[D]") - np.datetime64("1970-01-01")).astype(int)

    def draw(lat, lon):
        rows, columns = np.broadcast_arrays(lat, lon)
        return normal(seed, name, rows.reshape(-1), columns.reshape(-1), days, memory=memory).reshape(
            *rows.shape, days.size
        )

    rows, columns = _places(truth)
    out = xr.apply_ufunc(
        draw,
        rows,
        columns,
        output_core_dims=[["time"]],
        dask="parallelized",
        output_dtypes=[float],
        dask_gufunc_kwargs={"output_sizes": {"time": days.size}},
    )
    return out.assign_coords(time=truth.time).transpose("time", "lat", "lon")


def _shared(truth: xr.Dataset, seed: int, name: str, memory: float) -> xr.DataArray:
    """Smooth noise (length two degrees) that several instruments may share."""
    modes = Modes(seed, name, length=2.0)

    def draw(lat, lon):
        rows, columns = np.broadcast_arrays(lat, lon)
        return modes.moving(rows.reshape(-1), columns.reshape(-1), truth.sizes["time"], memory=memory).reshape(
            *rows.shape, -1
        )

    rows, columns = _places(truth)
    out = xr.apply_ufunc(
        draw,
        rows,
        columns,
        output_core_dims=[["time"]],
        dask="parallelized",
        output_dtypes=[float],
        dask_gufunc_kwargs={"output_sizes": {"time": truth.sizes["time"]}},
    )
    return out.assign_coords(time=truth.time).transpose("time", "lat", "lon")


def _places(truth):
    rows, columns = xr.broadcast(truth.lat, truth.lon)
    chunks = truth.soil_moisture.chunksizes
    if chunks:
        cut = {d: chunks[d] for d in ("lat", "lon")}
        return rows.chunk(cut), columns.chunk(cut)
    return rows, columns


def _assemble(truth, name, values, sigma, flags, *, seed) -> xr.Dataset:
    kind = ERRORS[name]
    out = xr.Dataset(
        {
            "soil_moisture": cf.describe(values.astype("float32"), "soil_moisture"),
            "soil_moisture_standard_error": (xr.zeros_like(values) + sigma)
            .astype("float32")
            .assign_attrs(units="m3 m-3", long_name="standard error of soil moisture"),
            "soil_moisture_flag": flags.astype("uint8").assign_attrs(
                cf.flag_attrs(FLAGS, long_name="quality of the retrieval")
            ),
        }
    )
    out = cf.link(
        cf.with_depth(out, 0.0, kind.bottom), "soil_moisture", "soil_moisture_standard_error", "soil_moisture_flag"
    )
    return out.assign_attrs(
        title=f"synthetic {kind.title}",
        product=name,
        seed=seed,
        true_gain=kind.gain,
        true_offset=kind.offset,
        true_error_sd=kind.error,
    )


def _flags(truth: xr.Dataset, seen: xr.DataArray) -> xr.DataArray:
    frozen = truth.soil_temperature.isel(depth=0, drop=True) < constants.FREEZING_POINT + FREEZING_EDGE
    snow = truth.snow_amount > 5.0
    dense = truth.leaf_area_index > DENSE_LEAF_AREA
    return frozen * 1 + snow * 2 + dense * 4 + (~seen) * 8


def _overpasses(truth: xr.Dataset, per_week: float, seed: int) -> xr.DataArray:
    """Days with an overpass: a swath pattern that repeats every eight days and drifts with longitude."""
    day = xr.DataArray(
        (truth.time.values.astype("datetime64[D]") - np.datetime64("1970-01-01")).astype(int),
        dims="time",
        coords={"time": truth.time},
    )
    phase = (day * 3.0 / 8.0 + truth.lon / 22.5 + truth.lat / 60.0 + seed % 7) % 1.0
    return (phase < per_week / 7.0).transpose("time", "lat", "lon")


def _satellite(truth: xr.Dataset, name: str, seed: int) -> xr.Dataset:
    kind = ERRORS[name]
    sigma = kind.error * (1.0 + 0.35 * (truth.leaf_area_index / DENSE_LEAF_AREA).clip(max=1.5) - 0.15)
    seen = _overpasses(truth, kind.overpasses, seed + len(name))
    flags = _flags(truth, seen)
    values = kind.gain * surface(truth, kind.bottom) + kind.offset + sigma * _noise(truth, seed, name, kind.memory)
    bad = (flags & 0b1011) > 0  # frozen, snow, not seen; dense vegetation is kept and flagged
    return _assemble(truth, name, values.where(~bad), sigma, flags, seed=seed)


def lband(truth: xr.Dataset, *, seed: int = 1, brightness: bool = False) -> xr.Dataset:
    """An L-band radiometer: 0-5 cm, most days a week, worse under dense plants, blind when frozen.

    With `brightness`, also what it saw: `brightness_temperature_v`, `_h` [K] of the truth by the tau-omega model with 1.3 K of noise, and
    the `vegetation_optical_depth` that was used. (The product's moisture keeps its own known errors; it is not retrieved from these.)
    """
    out = _satellite(truth, "lband", seed)
    if not brightness:
        return out
    from vadose.physics import emission

    opacity = (OPACITY_PER_LEAF_AREA * truth.leaf_area_index).astype(float)
    ground = truth.soil_temperature.isel(depth=0, drop=True)
    moisture = surface(truth).assign_attrs(units="m3 m-3")
    seen = emission.brightness_temperature(moisture, truth.clay, ground, optical_depth=opacity)
    valid = (out.soil_moisture_flag & 0b1011) == 0
    for polarization in ("v", "h"):
        name = f"brightness_temperature_{polarization}"
        values = seen[name] + emission.TEMPERATURE_ERROR * _noise(truth, seed, name)
        out[name] = (
            values.where(valid).astype("float32").assign_attrs(units="K", long_name=seen[name].attrs["long_name"])
        )
    out["vegetation_optical_depth"] = cf.describe(opacity.astype("float32"), "vegetation_optical_depth")
    return out


def cband(truth: xr.Dataset, *, seed: int = 1) -> xr.Dataset:
    """A C-band scatterometer: noisier, damped; in m3 m-3 (real ones distribute percent of saturation: divide by `porosity`)."""
    return _satellite(truth, "cband", seed)


def merged(truth: xr.Dataset, *, seed: int = 1) -> xr.Dataset:
    """A merged satellite record like ESA CCI."""
    return _satellite(truth, "merged", seed)


def _model(truth: xr.Dataset, name: str, seed: int) -> xr.Dataset:
    kind = ERRORS[name]
    common = _shared(truth, seed, "forcing", kind.memory)
    own = _shared(truth, seed, name, kind.memory)
    error = kind.error * (np.sqrt(SHARED_VARIANCE) * common + np.sqrt(1.0 - SHARED_VARIANCE) * own)
    values = kind.gain * surface(truth, kind.bottom) + kind.offset + error
    flags = _flags(truth, xr.ones_like(truth.snow_amount, dtype=bool)) & 0b11
    return _assemble(truth, name, values, kind.error, flags, seed=seed)


def reanalysis(truth: xr.Dataset, *, seed: int = 1) -> xr.Dataset:
    """A reanalysis: gap-free, wet, damped; its error remembers and is shared with `land_model`."""
    return _model(truth, "reanalysis", seed)


def land_model(truth: xr.Dataset, *, seed: int = 1) -> xr.Dataset:
    """A land-surface model driven by the reanalysis' weather."""
    return _model(truth, "land_model", seed)


#: Planted faults of an Earth-system-model run and what each does.
FAULTS = {
    "dry_bias": "soil moisture 0.06 m3 m-3 too low everywhere",
    "late_season": "the annual cycle comes two months late",
    "wrong_relationship": "evaporation does not respond to dry soil",
    "missing_north": "no values north of 50 degrees",
}


def earth_system_model(
    truth: xr.Dataset, *, faults: tuple[str, ...] = (), seed: int = 1, name: str = "ESM"
) -> xr.Dataset:
    """Monthly output of a free-running model: its own weather (right in climate, wrong in date) with planted faults.

    Returns `soil_moisture` (time monthly, depth, lat, lon), `evapotranspiration_flux`, `precipitation_flux`,
    `air_temperature`, `gross_primary_productivity`; see `FAULTS`.
    """
    for fault in faults:
        if fault not in FAULTS:
            raise unknown_name("planted fault", fault, FAULTS)
    wanted = [
        "soil_moisture",
        "evapotranspiration_flux",
        "precipitation_flux",
        "air_temperature",
        "leaf_area_index",
        "potential_evaporation_flux",
    ]
    out = truth[wanted].resample(time="MS").mean()
    noise = _noise(truth, seed, name, 0.9).resample(time="MS").mean()
    out["soil_moisture"] = (out.soil_moisture + 0.03 * noise).clip(0.02, 0.8)
    out["evapotranspiration_flux"] = out.evapotranspiration_flux * (1.0 + 0.1 * noise)
    if "late_season" in faults:
        shifted = out.copy(deep=False)
        for variable in ("soil_moisture", "evapotranspiration_flux"):
            shifted[variable] = out[variable].roll(time=2, roll_coords=False)
        out = shifted
    if "dry_bias" in faults:
        out["soil_moisture"] = (out.soil_moisture - 0.06).clip(min=0.01)
    if "wrong_relationship" in faults:
        out["evapotranspiration_flux"] = 0.55 * out.potential_evaporation_flux
    out["gross_primary_productivity"] = out.evapotranspiration_flux * 2.2e-3 * out.leaf_area_index / 2.0
    if "missing_north" in faults:
        out = out.where(out.lat < 50.0)
    for variable in (
        "soil_moisture",
        "evapotranspiration_flux",
        "precipitation_flux",
        "air_temperature",
        "gross_primary_productivity",
    ):
        out[variable] = cf.describe(out[variable], variable)
    out = out.assign_coords(depth=truth.depth, depth_bnds=truth.depth_bnds)
    return out.drop_vars(["leaf_area_index", "potential_evaporation_flux"]).assign_attrs(
        title=f"synthetic Earth system model {name}", product=name, planted_faults=" ".join(faults), seed=seed
    )
