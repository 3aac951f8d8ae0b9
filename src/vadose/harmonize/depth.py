"""Any layers or point sensors to one layer (M-X2): overlap weights, or a piecewise-linear profile integrated exactly."""

from __future__ import annotations

import numpy as np
import xarray as xr

from vadose import cf, units
from vadose.errors import DimensionError, VadoseInputError

MINIMUM_COVERAGE = 0.75
#: Vertical correlation length of errors [m] and its value there: vadose's choice.
CORRELATION_LENGTH, CORRELATION = 0.30, float(np.exp(-1.0))
#: A profile is trusted down to this many times the depth of its last sensor.
REACH = 1.5


def overlap(bounds: np.ndarray, top: float, bottom: float) -> np.ndarray:
    """Length [m] of each layer inside the target layer."""
    return np.clip(np.minimum(bounds[:, 1], bottom) - np.maximum(bounds[:, 0], top), 0.0, None)


def layers_to_layer(
    values: xr.DataArray,
    bounds: np.ndarray,
    top: float,
    bottom: float,
    *,
    dim: str = "depth",
    error: xr.DataArray | None = None,
) -> xr.Dataset:
    """Layer means (…, dim) [m3 m-3, or as its units say] with `bounds` (layers, 2) [m] -> the mean over top..bottom, with `coverage` and standard error.

    NaN where layers with values cover less than three quarters of the target. Errors of layers are correlated by
    exp(-distance / 0.3 m).
    """
    _check(top, bottom)
    weight = xr.DataArray(overlap(np.asarray(bounds, float), top, bottom), dims=dim)
    values = units.taken_as(values, "m3 m-3").drop_vars(dim, errors="ignore")
    present = weight * values.notnull()
    total = present.sum(dim)
    coverage = total / (bottom - top)
    mean = (values * weight).sum(dim) / total.where(total > 0)
    out = xr.Dataset(
        {
            "soil_moisture": cf.describe(mean.where(coverage >= MINIMUM_COVERAGE - 1e-9), "soil_moisture"),
            "coverage": coverage.assign_attrs(units="1", long_name="share of the layer that is known"),
        }
    )
    if error is not None:
        share = present / total.where(total > 0)
        sd = _error(share, error, np.asarray(bounds, float).mean(axis=1), dim)
        out["soil_moisture_standard_error"] = sd.where(out.soil_moisture.notnull())
    return cf.with_depth(out, top, bottom)


def sensors_to_layer(
    values: xr.DataArray,
    depths: np.ndarray,
    top: float,
    bottom: float,
    *,
    dim: str = "depth",
    error: xr.DataArray | None = None,
    extrapolate: bool = False,
) -> xr.Dataset:
    """Point sensors (…, dim) at `depths` [m] -> the mean over top..bottom of the piecewise-linear profile through them.

    The profile is constant above the first and below the last sensor. Below 1.5 times the last sensor it is not trusted:
    NaN, unless `extrapolate`, which sets the flag `extrapolated`. A sensor without value makes NaN: drop it first.
    """
    _check(top, bottom)
    z = np.asarray(depths, dtype=float)
    if z.size != values.sizes[dim] or (np.diff(z) <= 0).any():
        raise DimensionError(
            f"depths must be increasing, one a sensor: got {z.tolist()} for {values.sizes[dim]} sensors"
        )
    share = xr.DataArray(profile_weights(z, top, bottom), dims=dim)
    beyond = bottom > REACH * z[-1] + 1e-12
    values = units.taken_as(values, "m3 m-3").drop_vars(dim, errors="ignore")
    mean = (values * share).sum(dim, skipna=False)
    if beyond and not extrapolate:
        mean = mean * np.nan
    out = xr.Dataset({"soil_moisture": cf.describe(mean, "soil_moisture")})
    flag = xr.full_like(mean, 1 if beyond and extrapolate else 0, dtype="uint8")
    out["soil_moisture_flag"] = flag.assign_attrs(cf.flag_attrs(("extrapolated",)))
    linked = ["soil_moisture_flag"]
    if error is not None:
        sd = _error(share, error, z, dim)
        out["soil_moisture_standard_error"] = sd.where(mean.notnull())
        linked.append("soil_moisture_standard_error")
    return cf.link(cf.with_depth(out, top, bottom), "soil_moisture", *linked)


def profile_weights(z: np.ndarray, top: float, bottom: float) -> np.ndarray:
    """Weight of each sensor in the mean of the piecewise-linear profile over top..bottom: the profile is linear in the values."""
    nodes = np.unique(np.concatenate([[top, bottom], z[(z > top) & (z < bottom)]]))
    out = np.zeros(z.size)
    for k in range(z.size):
        unit = np.zeros(z.size)
        unit[k] = 1.0
        out[k] = np.trapezoid(np.interp(nodes, z, unit), nodes) / (bottom - top)
    return out


def _error(share, error, centers, dim):
    distance = np.abs(centers[:, None] - centers[None, :])
    correlation = xr.DataArray(CORRELATION ** (distance / CORRELATION_LENGTH), dims=(dim, "_other"))
    error = units.taken_as(error, "m3 m-3").drop_vars(dim, errors="ignore")
    part = (share * error).where(share > 0, 0.0)  # a layer that takes no part need not know its error
    variance = xr.dot(part, correlation, part.rename({dim: "_other"}), dim=[dim, "_other"])
    return np.sqrt(variance).assign_attrs(units="m3 m-3", long_name="standard error of soil moisture")


def _check(top, bottom):
    if not 0 <= top < bottom:
        raise VadoseInputError(f"a layer needs 0 <= top < bottom in m, got {top} to {bottom}")
