"""Bring an observation to what the model can be compared with: its climatology, its season, its layer (M-T1.5, M-X5).

Assimilating an observation with another mean or another range moves the model without news. Parameters are fitted on a
stated period only, so that the scores of the rest stay honest. Reichle and Koster 2004, doi:10.1029/2004GL020938.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from vadose import cf
from vadose.errors import VadoseInputError, unknown_name
from vadose.harmonize import rescale

METHODS = ("cdf", "mean_std", "anomaly")


def to_model(
    observation: xr.DataArray,
    model: xr.DataArray,
    *,
    standard_error: xr.DataArray | float | None = None,
    method: str = "cdf",
    train: slice | None = None,
    window: int = 35,
) -> xr.Dataset:
    """`observation` on the scale of `model` (an open loop), with its error scaled alike.

    Parameters
    ----------
    method : "cdf" (percentile matching), "mean_std" (first two moments), or "anomaly": the observation's deviation from its own
        smoothed seasonal cycle on top of the model's, which keeps news and drops climatology (NASA-LIS practice).
    train : period of the fit, for example `slice("2015", "2017")`; all times when left out.
    window : days of the moving window of the seasonal cycle ("anomaly").

    Returns
    -------
    Dataset with the rescaled observation under its name, `<name>_standard_error` when `standard_error` was given.
    """
    if method not in METHODS:
        raise unknown_name("bias operator", method, METHODS)
    name = str(observation.name or "soil_moisture")
    observation, model = xr.align(observation, model, join="left")
    part = (lambda a: a.sel(time=train)) if train is not None else (lambda a: a)
    if method == "anomaly":
        scaled = observation - _cycle(part(observation), observation, window) + _cycle(part(model), model, window)
        factor: xr.DataArray | float = 1.0
    else:
        fitted = rescale.fit(part(observation), part(model), method=method)
        scaled = rescale.apply(observation, fitted)[name]
        both = part(observation).notnull() & part(model).notnull()
        factor = part(model).where(both).std("time") / part(observation).where(both).std("time")
    out = scaled.assign_attrs(observation.attrs).rename(name).to_dataset()
    if standard_error is not None:
        error = (
            standard_error * factor
            if isinstance(standard_error, xr.DataArray)
            else xr.zeros_like(scaled) + standard_error * factor
        )
        out[f"{name}_standard_error"] = error.assign_attrs(units="m3 m-3", long_name=f"standard error of {name}")
        out = cf.link(out, name, f"{name}_standard_error")
    return cf.provenance(
        out, step=f"brought to the model's climatology by {method}", references="doi:10.1029/2004GL020938"
    )


def _cycle(part: xr.DataArray, like: xr.DataArray, window: int) -> xr.DataArray:
    """Mean by day of the year over a moving window that wraps around the year, at the times of `like`."""
    day = part.time.dt.dayofyear.values
    wanted = like.time.dt.dayofyear.values
    rows = []
    for d in range(1, 367):
        away = np.abs(day - d)
        use = np.minimum(away, 366 - away) <= window // 2
        rows.append(
            part.isel(time=np.flatnonzero(use)).mean("time") if use.any() else part.isel(time=0, drop=True) * np.nan
        )
    table = xr.concat(rows, "dayofyear", coords="minimal", compat="override")
    return table.isel(dayofyear=xr.DataArray(wanted - 1, dims="time")).assign_coords(time=like.time)


def depth_average(top: float, bottom: float, *, depths: tuple[float, float] = (0.05, 0.95)) -> tuple[float, float]:
    """Weights of the two layers in the mean over `top` to `bottom` [m], for the `operator` of `vadose.assimilate.run`."""
    edges = (0.0, depths[0], depths[0] + depths[1])
    if not 0 <= top < bottom <= edges[2] + 1e-9:
        raise VadoseInputError(f"a layer from {top} to {bottom} m does not lie in the model's 0 to {edges[2]:g} m")
    share = [max(0.0, min(bottom, edges[k + 1]) - max(top, edges[k])) / (bottom - top) for k in (0, 1)]
    return share[0], share[1]
