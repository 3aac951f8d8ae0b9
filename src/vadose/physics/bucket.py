"""A conservative two-layer soil-water bucket at a daily step (M-X14a).

Order within a day, so that water is never made or lost: infiltration and runoff; evapotranspiration from both layers;
drainage from layer 1 to layer 2; drainage out of layer 2. Everything is in mm (kg m-2) inside.

The model is vadose's own choice of process order; its parts are standard: a saturation-excess curve (Zhao 1992,
doi:10.1016/0022-1694(92)90096-E), a linear stress function between wilting and critical point, and Campbell conductivity.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import xarray as xr
from numba import njit

from vadose import cf, units
from vadose.errors import DimensionError, TimeAxisError, VadoseInputError

LAYER_BOUNDS = ((0.0, 0.05), (0.05, 1.0))  # m
SECONDS_PER_DAY = 86400.0

#: Parameter -> (default, unit, meaning). Where the default is None the caller must give a field or number.
PARAMETERS: dict[str, tuple[float | None, str, str]] = {
    "porosity": (None, "1", "soil moisture at saturation"),
    "field_capacity": (None, "m3 m-3", "soil moisture above which water drains"),
    "wilting_point": (None, "m3 m-3", "soil moisture at which transpiration stops"),
    "critical_point": (None, "m3 m-3", "soil moisture below which evapotranspiration is limited"),
    "conductivity": (None, "mm d-1", "saturated hydraulic conductivity"),
    "exponent": (None, "1", "Clapp-Hornberger b"),
    "residual": (0.02, "m3 m-3", "soil moisture that never leaves"),
    "infiltration_shape": (2.0, "1", "exponent of the saturation-excess curve"),
    "surface_share": (0.3, "1", "share of potential evaporation met by the surface layer"),
}


@njit(cache=True, nogil=True)
def day(s1, s2, p, demand, max1, max2, fc1, fc2, res1, res2, wp, crit, ks, power, beta, share, depth1, depth2):
    """One day of one cell, all water in mm: storages and forcing in, (s1, s2, ET, runoff, drainage) out. For compiled loops."""
    infiltration = p * (1.0 - min(s1 / max1, 1.0) ** beta)
    runoff = p - infiltration
    s1 += infiltration
    if s1 > max1:
        runoff += s1 - max1
        s1 = max1
    stress1 = min(max((s1 / depth1 - wp) / (crit - wp), 0.0), 1.0)
    stress2 = min(max((s2 / depth2 - wp) / (crit - wp), 0.0), 1.0)
    a1 = min(demand * share * stress1, max(s1 - res1, 0.0))
    a2 = min(demand * (1.0 - share) * stress2, max(s2 - res2, 0.0))
    s1 -= a1
    s2 -= a2
    if s1 > fc1:
        down = max(min(ks * (s1 / max1) ** power, s1 - fc1), 0.0)
        s1 -= down
        s2 += down
    if s2 > max2:
        runoff += s2 - max2
        s2 = max2
    out = 0.0
    if s2 > fc2:
        out = max(min(ks * (s2 / max2) ** power, s2 - fc2), 0.0)
        s2 -= out
    return s1, s2, a1 + a2, runoff, out


@njit(cache=True, nogil=True)
def _run(rain, demand, state, porosity, fc, wp, crit, ks, b, residual, beta, share, depth1, depth2, theta, fluxes):
    """One pass over (cells, days): `theta` (cells, days, 2) and `fluxes` (cells, days, 3: ET, runoff, drainage) are filled."""
    cells, days = rain.shape
    for c in range(cells):
        max1, max2 = porosity[c] * depth1, porosity[c] * depth2
        fc1, fc2 = fc[c] * depth1, fc[c] * depth2
        res1, res2 = residual[c] * depth1, residual[c] * depth2
        power = 2.0 * b[c] + 3.0
        s1, s2 = state[c, 0] * depth1, state[c, 1] * depth2
        for t in range(days):
            s1, s2, et, runoff, out = day(
                s1, s2, rain[c, t], demand[c, t], max1, max2, fc1, fc2, res1, res2, wp[c], crit[c], ks[c], power, beta[c],
                share[c], depth1, depth2,
            )  # fmt: skip
            theta[c, t, 0], theta[c, t, 1] = s1 / depth1, s2 / depth2
            fluxes[c, t, 0], fluxes[c, t, 1], fluxes[c, t, 2] = et, runoff, out


def _kernel(rain, demand, first, second, *fields, depths):
    """Arrays (..., time) and fields (...) -> (..., time, 5): theta of both layers, ET, runoff, drainage [mm d-1]."""
    cells = np.broadcast_shapes(rain.shape[:-1], demand.shape[:-1], *(np.shape(f) for f in (first, second, *fields)))
    shape = (*cells, rain.shape[-1])
    flat = [np.ascontiguousarray(np.broadcast_to(f, cells).reshape(-1), dtype=float) for f in (first, second, *fields)]
    p = np.ascontiguousarray(np.broadcast_to(rain, shape).reshape(-1, shape[-1]), dtype=float)
    e = np.ascontiguousarray(np.broadcast_to(demand, shape).reshape(-1, shape[-1]), dtype=float)
    theta = np.empty((*p.shape, 2))
    fluxes = np.empty((*p.shape, 3))
    limits: tuple[Any, ...] = tuple(flat[2:])
    _run(p, e, np.stack(flat[:2], axis=1), *limits, depths[0], depths[1], theta, fluxes)  # type: ignore[call-arg]
    return np.concatenate([theta, fluxes], axis=-1).reshape(*shape, 5)


def two_layer(
    precipitation: xr.DataArray,
    potential_evaporation: xr.DataArray,
    *,
    initial: xr.DataArray | tuple[float, float] | None = None,
    depths: tuple[float, float] = (0.05, 0.95),
    **parameters: xr.DataArray | float,
) -> xr.Dataset:
    """Run the two-layer bucket.

    Parameters
    ----------
    precipitation, potential_evaporation : (time, ...) water fluxes; any unit of mass or depth over time. Daily, gap-free:
        from a missing day on a cell is NaN.
    initial : soil moisture [m3 m-3] of both layers at the start, a pair or an array with `depth` of length 2; field capacity by default.
    depths : thickness of the layers [m].
    parameters : see `PARAMETERS`; numbers in its units, or arrays without time (converted where they state units). They may have dimensions that the forcing has not (soils under one
        sky); the result then has them too.

    Returns
    -------
    Dataset with `soil_moisture` (time, depth, ...) [m3 m-3] and `evapotranspiration_flux`, `runoff_flux`, `drainage_flux`
    (time, ...) [kg m-2 s-1], without standard errors: those of forcing and parameters rule, so run it with both redrawn. Precipitation = ET + runoff + drainage + change of storage to rounding error.

    Raises
    ------
    VadoseInputError for missing or inconsistent parameters, DimensionError where time is missing, TimeAxisError for steps that are not
    days. Lazy in, lazy out.
    """
    for array in (precipitation, potential_evaporation):
        if "time" not in array.dims:
            raise DimensionError(f"{array.name!r} has no dimension 'time'; it has {array.dims}")
    _daily(precipitation)
    fields = _complete(parameters)
    rain = units.convert(precipitation, "mm d-1")
    demand = units.convert(potential_evaporation, "mm d-1")
    first: Any
    second: Any
    if isinstance(initial, xr.DataArray):
        start = units.taken_as(initial, "m3 m-3")
        first, second = start.isel(depth=0, drop=True), start.isel(depth=1, drop=True)
    else:
        pair = initial if initial is not None else (fields["field_capacity"], fields["field_capacity"])
        first, second = pair
    if rain.chunks is not None:
        rain = rain.chunk(time=-1)
    if demand.chunks is not None:
        demand = demand.chunk(time=-1)
    values = [first, second, *(fields[name] for name in PARAMETERS)]
    out = xr.apply_ufunc(
        _kernel,
        rain,
        demand,
        *values,
        input_core_dims=[["time"], ["time"], *([[]] * len(values))],
        output_core_dims=[["time", "part"]],
        dask="parallelized",
        output_dtypes=[float],
        dask_gufunc_kwargs={"output_sizes": {"part": 5}},
        kwargs={"depths": (depths[0] * 1000.0, depths[1] * 1000.0)},
    )
    moisture = out.isel(part=slice(0, 2)).rename(part="depth").transpose("time", "depth", ...)
    bounds = np.array([[0.0, depths[0]], [depths[0], depths[0] + depths[1]]])
    result: dict[str, xr.DataArray] = {"soil_moisture": cf.describe(moisture, "soil_moisture")}
    for i, name in enumerate(("evapotranspiration_flux", "runoff_flux", "drainage_flux")):
        flux = (out.isel(part=2 + i) / SECONDS_PER_DAY).transpose("time", ...)
        result[name] = cf.describe(flux, name)
    dataset = xr.Dataset(result).assign_coords(depth=bounds.mean(axis=1), depth_bnds=(("depth", "bnds"), bounds))
    dataset["depth"].attrs = {"standard_name": "depth", "units": "m", "positive": "down", "bounds": "depth_bnds"}
    return cf.provenance(dataset, method="M-X14a")


def _daily(forcing):
    """Raise unless the step is a day, where the axis is one of dates: an hour would count as a day."""
    time = forcing["time"].values
    if time.dtype.kind == "M" and time.size > 1:
        step = np.median(np.diff(time) / np.timedelta64(1, "h"))
        if step != 24.0:
            raise TimeAxisError(
                f"the bucket steps by days, the forcing by {step:g} h; take daily means with vadose.harmonize.daily_mean"
            )


def _in_units(value, unit, name):
    """Fields that say their units come in those of `PARAMETERS`: conductivity from texture is per hour, the bucket's per day."""
    if isinstance(value, xr.DataArray) and value.attrs.get("units"):
        return units.convert(value if value.name else value.rename(name), unit)
    return value


def _complete(parameters):
    unknown = set(parameters) - set(PARAMETERS)
    if unknown:
        raise VadoseInputError(f"the bucket knows no {sorted(unknown)}; its parameters are {', '.join(PARAMETERS)}")
    given = {
        name: _in_units(parameters.get(name, default), unit, name) for name, (default, unit, _) in PARAMETERS.items()
    }
    if given["critical_point"] is None and given["wilting_point"] is not None and given["field_capacity"] is not None:
        given["critical_point"] = given["wilting_point"] + 0.75 * (given["field_capacity"] - given["wilting_point"])
    missing = [name for name, value in given.items() if value is None]
    if missing:
        raise VadoseInputError(
            f"the bucket needs {', '.join(missing)}; take them from texture with vadose.physics.pedotransfer"
        )
    order = ("residual", "wilting_point", "critical_point", "field_capacity", "porosity")
    for low, high in itertools.pairwise(order):
        a, b = given[low], given[high]
        lazy = any(getattr(v, "chunks", None) for v in (a, b))
        if (
            not lazy
            and bool(np.any(xr.DataArray(a) >= xr.DataArray(b)))  # dimensions meet by name
            and (low, high) != ("critical_point", "field_capacity")
        ):
            raise VadoseInputError(
                f"{low} must be below {high} everywhere; found {np.max(np.asarray(a)):.3f} and {np.min(np.asarray(b)):.3f}"
            )
    return given
