"""A source of a recipe to monthly records: a variable in our units, on the wanted layer, with its error and its share of land.

Nothing is loaded here except station series; grids stay lazy until they are measured in blocks of time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from vadose import cf, constants, qc, units
from vadose.benchmark import sources
from vadose.benchmark.once import Once
from vadose.benchmark.recipe import Recipe, Source
from vadose.errors import DimensionError, NotFoundError, TimeAxisError, UnreadableFileError, VadoseError
from vadose.harmonize import layers_to_layer, sensors_to_layer
from vadose.harmonize.depth import profile_weights
from vadose.products.canonical import coordinates
from vadose.vocabulary import VARIABLES

#: Share of the wanted layer that a product's own layer must cover to stand for it.
LEAST_COVER = 0.45
#: Bits of a gridded product's flag that say: this is no soil moisture.
BAD = ("frozen", "snow", "snow_or_frozen", "dense_vegetation", "no_convergence", "unphysical", "out_of_range")
#: A monthly record made from daily data is kept in memory up to this many values, so that each file is read once.
MOST_HELD = 20_000_000
HELD_RECORDS = 12
#: What opening, reading and computing raise where a source is not what the recipe takes it for: told in the results, the rest goes on.
BROKEN = (VadoseError, OSError, ValueError, KeyError, IndexError, TypeError, RuntimeError)


@dataclass(frozen=True)
class Record:
    """Monthly `values` (time, place), their standard error if known, the share of land by flat position, and what was done."""

    values: xr.DataArray
    error: xr.DataArray | None
    land: np.ndarray | None
    notes: tuple[str, ...]
    daily: xr.Dataset | None = None


@dataclass(frozen=True)
class _Key(sources.Key):
    """What makes a record the same: the text of its source, variable, layer and period."""

    variable: str = field(compare=False)
    layer: tuple[float, float] | None = field(compare=False)


def forget() -> None:
    """Close what was opened and drop what was held: files may have changed since."""
    _made.forget()
    sources.forget()


def monthly(values: xr.DataArray) -> xr.DataArray:
    """Means of calendar months of what is there; monthly data stay as they are."""
    if sources.is_monthly(values):
        return values
    out = values.resample(time="MS").mean()
    return out.assign_attrs(values.attrs)


def record(source: Source, variable: str, layer: tuple[float, float] | None, recipe: Recipe) -> Record:
    """Monthly record of a variable of a source in its vocabulary unit, on `layer` [m] if it is soil moisture.

    Monthly files stay lazy; means of daily files are made once for all comparisons of a process.
    """
    return _made(_Key(repr((source, variable, layer, recipe.period)), source, recipe, variable, layer))


@partial(Once, most=HELD_RECORDS)
def _made(key: _Key) -> Record:
    source, variable, layer, recipe = key.source, key.variable, key.layer, key.recipe
    data = sources.dataset(source, recipe)
    _often_enough(source, data)
    notes: list[str] = []
    if variable == "soil_moisture":
        values, error = _moisture(data, layer, source, notes)
        values = _possible(values)
    else:
        values, error = _flux(data, variable, source, notes), None
    values = values.transpose("time", ...)
    daily = data if not sources.is_monthly(data) else None
    out = monthly(values)
    if not sources.is_monthly(values):
        notes.append("months are means of the values there are")
        error = None if error is None else _monthly_error(error)
        if out.size <= MOST_HELD:
            both = xr.Dataset({"values": out} if error is None else {"values": out, "error": error}).compute()
            out, error = both["values"].rename(variable), both.get("error")
    return Record(out, error, _land(source, out, notes), tuple(notes), daily)


def _often_enough(source: Source, data: xr.Dataset) -> None:
    """Raise TimeAxisError for seasons and years: taken for months, they would be compared with the month of their stamp."""
    months = data["time"].dt.year.values * 12 + data["time"].dt.month.values
    if months.size > 2 and np.median(np.abs(np.diff(months))) > 1:
        told = ", ".join(str(t)[:10] for t in data["time"].values[:3])
        raise TimeAxisError(f"source {source.name!r} has values of {told} ...; give months or days")


def _possible(values: xr.DataArray) -> xr.DataArray:
    """Without what no soil can hold: fill values that a file does not declare, and other units than it states."""
    return values.where((values >= 0.0) & (values <= 1.0)).assign_attrs(values.attrs)


def _monthly_error(error):
    """Half of the error variance is taken as common to the days of a month, half as independent."""
    square = (error**2).resample(time="MS")
    mean, count = square.mean(), error.resample(time="MS").count()
    return np.sqrt(mean * (0.5 + 0.5 / count.where(count > 0)))


def _moisture(data, layer, source, notes) -> tuple[xr.DataArray, xr.DataArray | None]:
    error = data.get("soil_moisture_standard_error")
    if "bottom" in data.coords and "station" in data.dims:
        return _stations(data, layer, source, notes), None
    if "station" in data.dims and "soil_moisture" in data and "depth" in data.soil_moisture.dims:
        return _sensors(data, layer, notes), None
    if layer is not None and "soil_moisture_profile" in data:
        bounds = np.asarray(data.layer_bnds.values, float)
        if bounds.ndim == 3:  # merging with other files gave the bounds a time
            bounds = bounds[0]
        out = layers_to_layer(data.soil_moisture_profile, bounds, *layer, dim="layer").soil_moisture
        if bounds[:, 1].max() - layer[0] >= 0.75 * (layer[1] - layer[0]):
            notes.append(f"layers {_text(bounds)} m to {layer[0]:g}-{layer[1]:g} m by overlap")
            return out.drop_vars(["depth", "depth_bnds"], errors="ignore"), None
    if "soil_moisture" in data:
        own = _own_layer(data)
        if layer is not None and own is not None:
            shared = max(0.0, min(own[1], layer[1]) - max(own[0], layer[0]))
            if shared < LEAST_COVER * (layer[1] - layer[0]):
                raise NotFoundError(
                    f"source {source.name!r} has soil moisture of {own[0]:g}-{own[1]:g} m, which does not stand for {layer[0]:g}-{layer[1]:g} m"
                )
            if own != layer:
                notes.append(f"{own[0]:g}-{own[1]:g} m stands for {layer[0]:g}-{layer[1]:g} m")
        values = data.soil_moisture
        flag = data.get("soil_moisture_flag")
        if flag is not None and "flag_masks" in flag.attrs and "station" not in data.dims:
            bad = [m for m in str(flag.attrs["flag_meanings"]).split() if m in BAD]
            if bad:
                values = values.where(~cf.has_flag(flag, *bad)).assign_attrs(values.attrs)
                notes.append(f"values flagged {', '.join(bad)} are left out")
        return values.drop_vars(["depth", "depth_bnds"], errors="ignore"), error
    if "soil_moisture_content" in data and source.column_depth:
        depth = source.column_depth
        if layer is None or abs(layer[1] - depth) > 0.25 * depth:
            raise NotFoundError(
                f"source {source.name!r} has the water of 0-{depth:g} m only, which does not stand for {layer} m"
            )
        notes.append(f"water of the column over {depth:g} m")
        values = (data.soil_moisture_content / (constants.WATER_DENSITY * depth)).assign_attrs(units="m3 m-3")
        return values.rename("soil_moisture"), None
    has = ", ".join(map(str, data.data_vars))
    raise NotFoundError(
        f"source {source.name!r} has no soil moisture (mrso alone needs 'column_depth' in m); it has {has}"
    )


def _text(bounds):
    return " ".join(f"{a:g}-{b:g}" for a, b in bounds[:6]) + (" ..." if len(bounds) > 6 else "")


def _own_layer(data):
    if "depth_bnds" in data.variables and data.depth_bnds.ndim == 1:
        low, high = (float(v) for v in data.depth_bnds.values)
        return round(low, 6), round(high, 6)
    return None


def _stations(data, layer, source, notes):
    """Series of stations whose sensors lie in the layer, of readings that quality control calls usable as liquid water."""
    top, bottom = layer or (0.0, 0.1)
    inside = (data.top.values >= top - 1e-6) & (data.bottom.values <= bottom + 0.05)
    if not inside.any():
        raise NotFoundError(f"source {source.name!r}: no station has a sensor in {top:g}-{bottom:g} m")
    here = data.isel(station=np.flatnonzero(inside))
    judged = qc.flag(here)
    notes.append(f"{int(inside.sum())} stations; readings kept by quality control")
    values = judged.soil_moisture.where(judged.liquid_valid).transpose("time", "station")
    return values.drop_vars([c for c in values.coords if c not in ("time", "lat", "lon", "station")]).assign_attrs(
        units="m3 m-3"
    )


def _sensors(data, layer, notes):
    """The layer's mean of stations with sensors at fixed depths, by the profile through those that it rests on."""
    top, bottom = layer or (0.0, 0.1)
    moisture, depths = data.soil_moisture, data["depth"].values.astype(float)
    used = np.flatnonzero(profile_weights(depths, top, bottom) > 0)
    out = sensors_to_layer(moisture.isel(depth=used), depths[used], top, bottom).soil_moisture
    notes.append(f"sensors at {', '.join(f'{d:g}' for d in depths[used])} m to {top:g}-{bottom:g} m")
    return out.drop_vars(["depth", "depth_bnds"], errors="ignore")


def _flux(data, variable, source, notes) -> xr.DataArray:
    wanted = VARIABLES[variable].units
    if variable in data:
        found = data[variable]
    elif variable == "evaporative_fraction" and {"latent_heat_flux", "sensible_heat_flux"} <= set(data.data_vars):
        heat = data.latent_heat_flux + data.sensible_heat_flux
        found = (data.latent_heat_flux / heat.where(heat > 10.0)).assign_attrs(units="1")
        notes.append("latent over latent and sensible heat, where their sum exceeds 10 W m-2")
    elif variable == "evapotranspiration_flux" and "latent_heat_flux" in data:
        warm = data.air_temperature if "air_temperature" in data else 288.15
        found = (data.latent_heat_flux / constants.vaporization_heat(warm)).assign_attrs(units="kg m-2 s-1")
        notes.append("latent heat flux over the heat of vaporization")
    elif variable == "ecosystem_respiration" and {"autotrophic_respiration", "heterotrophic_respiration"} <= set(data):
        found = data.autotrophic_respiration + data.heterotrophic_respiration
        found.attrs["units"] = data.heterotrophic_respiration.attrs["units"]
        notes.append("autotrophic and heterotrophic respiration")
    else:
        raise NotFoundError(f"source {source.name!r} has no {variable}; it has {', '.join(map(str, data.data_vars))}")
    places = {d for axis in ("lat", "lon") if axis in found.coords for d in found[axis].dims}
    extra = [
        d
        for d in found.dims
        if d not in {"time", "lat", "lon", "station", "ncol", "cell", "location", "lndgrid", *places}
    ]
    if extra:
        raise DimensionError(
            f"{variable} of source {source.name!r} has dimension {', '.join(map(str, extra))}; give time and place"
        )
    return units.convert(found, wanted).drop_vars(["depth", "depth_bnds", "height"], errors="ignore").rename(variable)


def _land(source: Source, values: xr.DataArray, notes: list[str]) -> np.ndarray | None:
    """Share of land by flat position from the source's land fraction file (sftlf in %, LANDFRAC or landfrac as a share)."""
    if source.land_fraction is None:
        return None
    with sources.raw(source.land_fraction) as held:
        name = next((n for n in ("sftlf", "landfrac", "LANDFRAC", "land_fraction") if n in held), None)
        if name is None:
            raise UnreadableFileError(
                f"{source.land_fraction} holds no sftlf or landfrac; it holds {', '.join(map(str, held.data_vars))}"
            )
        share = coordinates(held[[name]])[name].load()
    if "time" in share.dims:
        share = share.isel(time=0)
    share = share / 100.0 if float(share.max()) > 1.5 else share
    shape = tuple(n for d, n in values.sizes.items() if d != "time")
    if share.shape != shape:
        raise DimensionError(f"land fraction of source {source.name!r} has shape {share.shape}, its data {shape}")
    for axis in ("lat", "lon"):
        if axis in share.coords and axis in values.coords and not sources.same_places(share[axis], values[axis]):
            raise DimensionError(
                f"land fraction of source {source.name!r} is on another grid than its data ({axis} differs)"
            )
    notes.append("cells count by their share of land")
    return share.values.ravel()


def try_record(source: Source, variable: str, layer: Any, recipe: Recipe) -> Record | str:
    """The record, or why there is none."""
    try:
        return record(source, variable, layer, recipe)
    except BROKEN as error:
        return why(error)


def why(error: Exception) -> str:
    """An error in one line, for tables of what failed."""
    if isinstance(error, OSError) and error.strerror:
        told = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    else:
        told = str(error.args[0] if error.args else error)
    told = " ".join(told.split())
    return told if isinstance(error, VadoseError) else f"{type(error).__name__}: {told}"
