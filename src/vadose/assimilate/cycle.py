"""Forecast and analysis over a season: the two-layer bucket as an ensemble, corrected where something was observed (M-T1.5).

The loop itself is compiled (`vadose.assimilate.kernel` cell by cell, `vadose.assimilate.field` with neighbors); here are its words: dims,
units, options, and the Dataset it gives.
"""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass
from typing import Any

import numpy as np
import xarray as xr

from vadose import cf, units
from vadose.assimilate import cell, field, inputs, kernel, spread
from vadose.assimilate.inflation import Adaptive, Relax
from vadose.assimilate.localization import Neighbors, grid_of, weights
from vadose.errors import DimensionError, TimeAxisError, VadoseInputError, unknown_name
from vadose.physics import bucket

METHODS = {
    "open_loop": cell.OPEN_LOOP, "etkf": cell.SQUARE_ROOT, "ensrf": cell.SQUARE_ROOT, "enkf": cell.STOCHASTIC, "particle": cell.PARTICLE,
}  # fmt: skip
FLAGS = ("collapsed", "bounded", "frozen")
FEWEST_ERROR = 1e-4  # m3 m-3
DAY = 86400.0


@dataclass(frozen=True)
class Perturbation:
    """What the ensemble doubts. All multipliers have mean one; standard deviations are per day."""

    rain_cv: float = 0.5
    rain_memory: float = 0.0  # lag-1 correlation of the log of the rain multiplier
    missed_chance: float = 0.0  # of an event on a day, that the rain product did not see
    missed_mean: float = 8.0  # mm
    demand_cv: float = 0.2
    surface_sd: float = 0.005  # m3 m-3 d-1/2
    root_sd: float = 0.0015
    irrigation_chance: float = 0.0  # a day, where `irrigated`
    irrigation_mean: float = 25.0  # mm
    bias_sd: float = 0.0  # m3 m-3, of observation 1 at the start: above 0 the bias is estimated
    bias_drift: float = 0.0  # m3 m-3 d-1/2

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not isinstance(value, int | float | np.number) or not 0 <= value < np.inf:
                raise VadoseInputError(f"{name} of a Perturbation must be a number of 0 or more, got {value!r}")
            if value > 1 and name.endswith("_chance"):
                raise VadoseInputError(f"{name} is a chance a day, 0 to 1; got {value}")
        if self.rain_memory >= 1:
            raise VadoseInputError(
                f"rain_memory is a correlation from day to day, 0 to below 1; got {self.rain_memory}"
            )


def run(
    precipitation: xr.DataArray,
    potential_evaporation: xr.DataArray,
    observation: xr.DataArray | None = None,
    standard_error: xr.DataArray | float | None = None,
    *,
    method: str = "etkf",
    members: int = 50,
    lag: int = 0,
    perturbation: Perturbation | None = None,
    inflation: float | Relax | Adaptive = 1.02,
    localization: Neighbors | None = None,
    operator: tuple[tuple[float, float], tuple[float, float]] = ((1.0, 0.0), (0.0, 1.0)),
    initial: xr.DataArray | tuple[float, float] | None = None,
    initial_sd: float = 0.03,
    parameter_sd: tuple[float, float, float] = (0.0, 0.0, 0.0),
    frozen: xr.DataArray | None = None,
    irrigated: xr.DataArray | None = None,
    jitter: float = 0.005,
    depths: tuple[float, float] = (0.05, 0.95),
    intervals: bool = True,
    seed: int = 0,
    **parameters: xr.DataArray | float,
) -> xr.Dataset:
    """Assimilate soil moisture into the two-layer bucket, cell by cell or, with `localization`, with the cells around.

    Parameters
    ----------
    precipitation, potential_evaporation : (time, ...) water fluxes, daily and gap-free.
    observation : (time, ...) of the surface layer, or with `depth` of length 2 for both layers [m3 m-3]; NaN: not seen.
    standard_error : of the observation, same unit; a number or an array that broadcasts to it.
    method : "etkf" or "ensrf" (square root, no observation noise; observations come one by one here, where both are the same;
        default), "enkf" (perturbed observations), "particle" (for states that jump; use 200 members or more), "open_loop"
        (observations only give innovations).
    members : ensemble size; the mean and 90 % interval of all come out.
    lag : days that an observation may correct backwards (fixed-lag smoother); 0 filters.
    inflation : how the spread is kept from shrinking too far: a factor of at least 1 on the anomalies before every analysis, or
        `inflation.Relax()` (towards the forecast's spread), or `inflation.Adaptive()` (what the innovations ask for). Particles have
        their `jitter` instead.
    localization : `localization.Neighbors(radius)` on a grid (lat and lon, or y and x in m), for the square-root filters: observations
        of neighbors count too, less with distance. None (default) keeps cells apart, which is fastest and right where errors of
        neighbors have nothing in common.
    operator : what observation k sees of layers 1 and 2; ((1, 0), (.05, .95)) for a surface and a 0-1 m probe.
    initial, initial_sd : soil moisture of both layers at the start (field capacity by default) and its standard deviation.
    parameter_sd : spread of field capacity [m3 m-3], log10 of conductivity, infiltration shape between members.
    frozen : (time, ...) where true nothing moves, rain runs off and nothing is assimilated.
    irrigated : (time, ...) where irrigation is an unknown forcing (needs `perturbation.irrigation_chance`).
    parameters : of the bucket, see `vadose.physics.bucket.PARAMETERS`.

    Returns
    -------
    Dataset: `soil_moisture` (time, depth, ...) and its `_standard_error`, `_q05`, `_q95`; `evapotranspiration_flux`,
    `runoff_flux`, `drainage_flux`, `water_flux` (rain and irrigation that reached the members), `increment_flux`: what the
    analysis and the model error added, so that d(storage) = water - ET - runoff - drainage + increment for lag 0;
    `innovation` and `innovation_standard_error` (time, observation, ...; inflation included), `inflation_factor` (time, depth, ...; NaN without
    analysis), `irrigation_flux`, `irrigation_chance` (of more than 1 mm), `bias`, and `soil_moisture_flag`. Lazy in, lazy out; the same
    whatever the chunks (with `localization` the grid becomes one chunk, since neighbors meet every day).

    Raises
    ------
    NotFoundError (unknown method), VadoseInputError (errors that are not positive, options that contradict each other),
    DimensionError, TimeAxisError, UnitsError.

    Surface observations need not help the root zone where only drainage connects the layers and the rain is good: in a
    twin with well-known rain the root-zone error rose by 7 % on average. Look at the innovations and an open loop.
    """
    if method not in METHODS:
        raise unknown_name("filter", method, METHODS)
    inputs.numbers(
        members=members, lag=lag, operator=operator, initial=initial, initial_sd=initial_sd, parameter_sd=parameter_sd,
        jitter=jitter, depths=depths,
    )  # fmt: skip
    perturbation = perturbation or Perturbation()
    if not isinstance(perturbation, Perturbation):
        raise VadoseInputError(f"perturbation must be an assimilate.Perturbation(...), got {perturbation!r}")
    if (irrigated is not None) != (perturbation.irrigation_chance > 0):
        raise VadoseInputError(
            "irrigation is an unknown forcing where irrigated= says so and with Perturbation(irrigation_chance=...) above 0: pass both or none"
        )
    rule, numbers = _inflation(inflation, method)
    for array in (precipitation, potential_evaporation):
        cf.check_time(array)
    rain = units.convert(precipitation, "mm d-1")
    demand = units.convert(potential_evaporation, "mm d-1")
    if rain.sizes["time"] != demand.sizes["time"]:
        raise TimeAxisError(
            f"precipitation has {rain.sizes['time']} days, potential evaporation {demand.sizes['time']}"
        )
    demand = inputs.dated(
        inputs.placed(demand, rain, "potential evaporation"), rain.time, "potential evaporation", whole=True
    )
    inputs.daily(rain, "precipitation")
    like = xr.broadcast(rain, demand)[0].transpose(..., "time")
    grid = None if localization is None else _grid(localization, like, method)
    if grid is not None:
        like = like.transpose(*grid, "time")
    seen, variance = _observations(like, observation, standard_error)
    soil = bucket._complete(parameters)
    start = initial if initial is not None else (soil["field_capacity"], soil["field_capacity"])
    pair = [start.isel(depth=k, drop=True) for k in (0, 1)] if isinstance(start, xr.DataArray) else list(start)
    noise = astuple(perturbation)
    still = like.isel(time=0, drop=True)
    flags = [_mask(frozen, like, "frozen"), _mask(irrigated, like, "irrigated")]
    options = {
        "operator": np.asarray(operator, float), "start_sd": float(initial_sd), "parameter_sd": np.asarray(parameter_sd, float),
        "depths": (depths[0] * 1000.0, depths[1] * 1000.0), "members": members, "method": METHODS[method], "lag": lag,
        "noise": noise, "rule": rule, "inflation": numbers, "jitter": float(jitter), "want": intervals, "near": None,
    }  # fmt: skip
    fields = [
        inputs.placed(v, still, n) if isinstance(v, xr.DataArray) else xr.full_like(still, float(v))
        for n, v in (("initial", pair[0]), ("initial", pair[1]), *((n, soil[n]) for n in bucket.PARAMETERS))
    ]
    arrays = [like, demand, *flags, *seen, *variance, _keys(still, seed), *fields]
    whole: list[str] = []  # dims that the kernel sees whole, besides time
    if grid is not None and localization is not None:
        whole = list(grid)
        rows, columns = (like[d].values for d in grid)
        options["near"] = weights(rows, columns, localization, degrees=grid == ("lat", "lon"))
        arrays = [_full(a, like if "time" in a.dims else still) for a in arrays]
    if any(a.chunks is not None for a in arrays):
        one = {*whole, "time"}
        arrays = [a.chunk({d: -1 for d in a.dims if d in one}) if a.chunks is not None else a for a in arrays]
    core = [[*whole, "time"]] * 8 + [whole] * (len(arrays) - 8)
    states, fluxes = xr.apply_ufunc(
        _kernel, *arrays, kwargs=options, input_core_dims=core,
        output_core_dims=[[*whole, "time", "state"], [*whole, "time", "flux"]],
        dask="parallelized", output_dtypes=[float, float], join="override",
        dask_gufunc_kwargs={"output_sizes": {"state": len(cell.STATES), "flux": len(cell.FLUXES)}, "allow_rechunk": True},
    )  # fmt: skip
    return _dataset(states, fluxes, precipitation, depths, method, members, lag)


def _inflation(inflation: float | Relax | Adaptive, method: str) -> tuple[int, tuple[float, float, float]]:
    """The rule and its numbers, as `kernel.run` wants them."""
    if isinstance(inflation, Relax | Adaptive) and method == "particle":
        raise VadoseInputError(f"particles are not inflated, got {inflation}; pass jitter, or another method")
    if isinstance(inflation, Relax):
        return spread.RELAX, (float(inflation.share), 1.0, 1.0)
    if isinstance(inflation, Adaptive):
        return spread.ADAPT, (float(inflation.memory), float(inflation.limits[0]), float(inflation.limits[1]))
    if (
        isinstance(inflation, bool)
        or not isinstance(inflation, int | float | np.number)
        or not 1.0 <= inflation < np.inf
    ):
        raise VadoseInputError(
            f"inflation must be a factor of at least 1 (1.02 widens by 2 %), inflation.Relax() or inflation.Adaptive(); got {inflation!r}"
        )
    return spread.MULTIPLY, (float(inflation), 1.0, 1.0)


def _grid(localization: Neighbors, like: xr.DataArray, method: str) -> tuple[str, str]:
    """Rows and columns of the grid on which neighbors meet."""
    if not isinstance(localization, Neighbors):
        raise VadoseInputError(f"localization must be localization.Neighbors(radius=...) or None, got {localization!r}")
    if METHODS[method] != cell.SQUARE_ROOT:
        raise VadoseInputError(f"localization needs a square-root filter (etkf or ensrf), got {method!r}")
    return grid_of(like)


def _observations(like, observation, standard_error):
    """Two arrays of observations and two of variances, NaN where there is none."""
    nothing = xr.full_like(like, np.nan, dtype=float)
    if observation is None:
        return (nothing, nothing), (nothing, nothing)
    if standard_error is None:
        raise VadoseInputError(
            "observations need their standard_error [m3 m-3]; without it the filter cannot weigh them"
        )
    values = units.convert(observation, "m3 m-3")
    if "time" not in values.dims:
        raise DimensionError(f"observation has no dimension 'time'; it has {values.dims}")
    if "depth" in values.dims and values.sizes["depth"] > 2:
        raise DimensionError(
            f"the model has 2 layers, the observation {values.sizes['depth']}; see vadose.harmonize for layers"
        )
    if not isinstance(standard_error, xr.DataArray):
        if not standard_error > 0:
            raise VadoseInputError(
                f"standard_error must be positive, got {standard_error}; use at least {FEWEST_ERROR}"
            )
        standard_error = xr.full_like(values, float(standard_error), dtype=float)
    elif "units" in standard_error.attrs:
        standard_error = units.convert(standard_error, "m3 m-3")
    if standard_error.chunks is None and bool((standard_error <= 0).any()):
        raise VadoseInputError(f"standard_error must be positive everywhere, found {float(standard_error.min()):g}")
    both = []
    for name, array in (("observation", values), ("standard_error", standard_error)):
        array = inputs.dated(inputs.placed(array, like, name), like.time, name)
        layers = (
            [array.isel(depth=k, drop=True) for k in range(array.sizes["depth"])] if "depth" in array.dims else [array]
        )
        both.append([*(v.drop_vars("depth", errors="ignore") for v in layers), nothing][:2])
    seen, error = both
    if len(seen) == 2 and "depth" not in values.dims:
        seen, error = [seen[0], nothing], [error[0], nothing]
    return tuple(seen), tuple(
        e * abs(e) for e in error
    )  # keeps the sign, which is looked at where lazy errors are known


def _full(array: xr.DataArray, like: xr.DataArray) -> xr.DataArray:
    """With all dims of `like`, by position as without a grid."""
    return array.expand_dims({d: like.sizes[d] for d in like.dims if d not in array.dims}).transpose(*like.dims)


def _mask(mask: xr.DataArray | None, like: xr.DataArray, what: str) -> xr.DataArray:
    if mask is None:
        return xr.zeros_like(like, dtype=bool)
    here = inputs.dated(inputs.placed(mask, like, what), like.time, what, whole=True)
    return xr.broadcast(here.fillna(0).astype(bool), like)[0].transpose(*like.dims)


def _keys(still: xr.DataArray, seed: int) -> xr.DataArray:
    """A number a cell from its place (lat and lon where it has them, else its position) and the seed."""
    base = np.random.SeedSequence([seed, 7_919]).generate_state(1, np.uint64)[0]
    total: Any = xr.DataArray(np.uint64(base))
    for salt, dim in enumerate(still.dims, 1):
        at = still[dim].values if dim in ("lat", "lon") else np.arange(still.sizes[dim])
        number = (np.round((at + 360.0) * 1e5) if dim in ("lat", "lon") else at).astype(np.uint64)
        with np.errstate(over="ignore"):
            total = total + xr.DataArray(
                (number + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15 + 2 * salt), dims=str(dim)
            )
            total = total ^ (total >> np.uint64(29))
            total = total * np.uint64(0xBF58476D1CE4E5B9)
    out = xr.DataArray(np.broadcast_to(total.values, still.shape).copy(), dims=still.dims)
    return out.chunk(dict(zip(still.dims, still.chunks, strict=True))) if still.chunks is not None else out


def _kernel(
    rain,
    demand,
    frozen,
    irrigated,
    y1,
    y2,
    r1,
    r2,
    key,
    first,
    second,
    *soil,
    operator,
    start_sd,
    parameter_sd,
    depths,
    members,
    method,
    lag,
    noise,
    rule,
    inflation,
    jitter,
    want,
    near,
):
    """Arrays (..., time) and (...) -> (..., time, state) and (..., time, flux)."""
    shape = np.broadcast_shapes(rain.shape, demand.shape)
    days = shape[-1]

    def wide(a, kind=float):  # copies: views would be read-only, another type to the compiler
        return np.array(np.broadcast_to(a, shape), dtype=kind, order="C").reshape(-1, days)

    def still(a, kind=float):
        return np.array(np.broadcast_to(a, shape[:-1]), dtype=kind, order="C").reshape(-1)

    p, e = wide(rain), wide(demand)
    observed = np.stack([wide(y1), wide(y2)], axis=-1)
    variance = np.stack([wide(r1), wide(r2)], axis=-1)
    if (variance <= 0).any():
        raise VadoseInputError("standard_error must be positive everywhere; pass at least 1e-4 m3 m-3")
    observed = np.where(variance > 0, observed, np.nan)
    states = np.full((p.shape[0], days, len(cell.STATES)), np.nan)
    fluxes = np.full((p.shape[0], days, len(cell.FLUXES)), np.nan)
    names = list(bucket.PARAMETERS)
    ground = np.stack([still(soil[names.index(n)]) for n in cell.SOIL], axis=-1)
    start = np.stack([still(first), still(second)], axis=-1)
    good = np.isfinite(p).all(1) & np.isfinite(e).all(1) & np.isfinite(ground).all(1) & np.isfinite(start).all(1)
    masks, keys = (wide(frozen, bool), wide(irrigated, bool)), still(key, np.uint64)
    rest = (start_sd, ground, parameter_sd, *depths, members, method, lag, noise, rule, inflation)
    if near is not None:
        field.run(
            p, e, *masks, observed, variance, operator, keys, start, *rest, near["near"], near["share"], near["down"], near["across"],
            good, want, states, fluxes,
        )  # type: ignore[call-arg]  # fmt: skip
    elif good.all():
        kernel.run(p, e, *masks, observed, variance, operator, keys, start, *rest, jitter, want, states, fluxes)  # type: ignore[call-arg]
    elif good.any():
        i = np.flatnonzero(good)
        out = states[i], fluxes[i]
        each = (a[i] for a in (p, e, *masks, observed, variance))
        rest = (start_sd, ground[i], *rest[2:])
        kernel.run(*each, operator, keys[i], start[i], *rest, jitter, want, *out)  # type: ignore[call-arg]
        states[i], fluxes[i] = out
    return states.reshape(*shape, -1), fluxes.reshape(*shape, -1)


def _dataset(states, fluxes, like, depths, method, members, lag) -> xr.Dataset:
    bounds = np.array([[0.0, depths[0]], [depths[0], depths[0] + depths[1]]])

    def pair(source, names, first, dim="depth"):
        part = source.isel(**{names: slice(first, first + 2)}).rename({names: dim})
        return part.transpose("time", dim, ...)

    def one(source, names, index):
        return source.isel(**{names: index}).transpose("time", ...)

    out: dict[str, xr.DataArray] = {"soil_moisture": cf.describe(pair(states, "state", 0), "soil_moisture")}
    for name, first, text in (
        ("standard_error", 2, "ensemble standard deviation"),
        ("q05", 4, "5 % quantile"),
        ("q95", 6, "95 % quantile"),
    ):
        out[f"soil_moisture_{name}"] = pair(states, "state", first).assign_attrs(
            units="m3 m-3", long_name=f"soil moisture, {text}"
        )
    for name, index in (("evapotranspiration_flux", 1), ("runoff_flux", 2), ("drainage_flux", 3)):
        out[name] = cf.describe(one(fluxes, "flux", index) / DAY, name)
    for name, index in (("water_flux", 0), ("increment_flux", 4)):
        out[name] = (one(fluxes, "flux", index) / DAY).assign_attrs(
            units="kg m-2 s-1", long_name=name.replace("_", " ")
        )
    out["irrigation_flux"] = cf.describe(one(states, "state", 8) / DAY, "irrigation_flux")
    out["irrigation_chance"] = one(states, "state", 9).assign_attrs(
        units="1", long_name="chance of more than 1 mm of irrigation"
    )
    out["bias"] = one(states, "state", 10).assign_attrs(
        units="m3 m-3", long_name="estimated bias of the surface observation"
    )
    out["inflation_factor"] = pair(fluxes, "flux", 10).assign_attrs(
        units="1", long_name="factor of the ensemble's anomalies at the analysis"
    )
    for name, first in (("innovation", 5), ("innovation_standard_error", 7)):
        out[name] = pair(fluxes, "flux", first, "observation").assign_attrs(
            units="m3 m-3", long_name=name.replace("_", " ")
        )
    flag = one(fluxes, "flux", 9).fillna(0).astype("uint8")
    out["soil_moisture_flag"] = flag.assign_attrs(cf.flag_attrs(FLAGS, long_name="quality of the analysis"))
    dataset = xr.Dataset({n: v.rename(n) for n, v in out.items()})
    dataset = dataset.assign_coords(depth=bounds.mean(axis=1), depth_bnds=(("depth", "bnds"), bounds), time=like.time)
    dataset["depth"].attrs = {"standard_name": "depth", "units": "m", "positive": "down", "bounds": "depth_bnds"}
    dataset = cf.link(dataset, "soil_moisture", "soil_moisture_standard_error", "soil_moisture_flag")
    return cf.provenance(dataset, method="M-T1.5", params={"method": method, "members": members, "lag": lag})
