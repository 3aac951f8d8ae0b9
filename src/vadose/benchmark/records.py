"""A source of a recipe to monthly records: found, opened lazily, in our names and units, on the wanted layer.

Nothing is loaded here except station series; grids stay lazy until they are measured in blocks of time.
"""

from __future__ import annotations

import glob
import json
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from vadose import cf, constants, products, qc, units
from vadose.benchmark.recipe import Recipe, Source
from vadose.errors import DimensionError, NotFoundError, UnreadableFileError, VadoseError
from vadose.harmonize import layers_to_layer, sensors_to_layer
from vadose.harmonize.depth import profile_weights
from vadose.products.opening import open_product
from vadose.vocabulary import VARIABLES

#: Steps of a file that are one task: bounds what is in memory, whatever the length of the record.
CHUNK = 48
#: Share of the wanted layer that a product's own layer must cover to stand for it.
LEAST_COVER = 0.45
#: Bits of a gridded product's flag that say: this is no soil moisture.
BAD = ("frozen", "snow", "snow_or_frozen", "dense_vegetation", "no_convergence", "unphysical", "out_of_range")
READERS = ("ismn", "uscrn", "ameriflux", "fluxnet")
#: A monthly record made from daily data is kept in memory up to this many values, so that each file is read once.
MOST_HELD = 20_000_000
HELD_RECORDS = 12
#: Sources that stay open (lazily) and tables of stations that stay in memory.
HELD_SOURCES, HELD_TABLES = 32, 64


@dataclass(frozen=True)
class Record:
    """Monthly `values` (time, place), their standard error if known, the share of land by flat position, and what was done."""

    values: xr.DataArray
    error: xr.DataArray | None
    land: np.ndarray | None
    notes: tuple[str, ...]
    daily: xr.Dataset | None = None


@dataclass(frozen=True)
class _Key:
    """What makes a source or a record the same: its text; the rest travels along."""

    text: str
    source: Source = field(compare=False)
    variable: str = field(compare=False)
    layer: tuple[float, float] | None = field(compare=False)
    recipe: Recipe = field(compare=False)


def dataset(source: Source, recipe: Recipe) -> xr.Dataset:
    """The canonical Dataset of a source, lazily, cut to the recipe's period. Raises what opening raised, or NotFoundError.

    A source is opened once for all its variables and pages: opening costs more than the months that are read of it.
    """
    return _opened(_Key(repr((source, recipe.period)), source, "", None, recipe))


@lru_cache(maxsize=HELD_SOURCES)
def _opened(key: _Key) -> xr.Dataset:
    source, recipe = key.source, key.recipe
    if source.collection:
        out = open_product(source.collection, time=recipe.period, where=dict(source.where) or None)
    elif source.study:
        out = _study(Path(source.study))
    else:
        out = _files(source)
    if source.places:
        names = [str(s) for s in out.station.values]
        missing = sorted(set(names) - set(source.places))
        if missing:
            raise NotFoundError(
                f"source {source.name!r}: no place is given for station {', '.join(missing)}; 'places' has {', '.join(source.places)}"
            )
        at = np.array([source.places[n] for n in names])
        out = out.assign_coords(lon=("station", at[:, 0]), lat=("station", at[:, 1]))
    if recipe.period is not None:
        first, last = recipe.period
        if out.sizes.get("time", 0) != 12:  # twelve steps may be a climatology, whose year means nothing
            out = out.sel(time=slice(first, last))
        if out.sizes["time"] == 0:
            raise NotFoundError(f"source {source.name!r} has nothing in {first} to {last}")
    return out


def forget() -> None:
    """Close what was opened and drop what was held: files may have changed since."""
    for held in (_made, _opened, _table):
        held.cache_clear()


def _study(folder: Path) -> xr.Dataset:
    """The merged product of a study's folder, or of the package that `vadose archive` made of it, with its layer."""
    places = [folder / "merged.zarr", folder / "merged.zarr.zip", folder / "data" / "merged.zarr.zip"]
    path = next((p for p in places if p.exists()), None)
    if path is None:
        raise NotFoundError(f"{places[0]} is not there; make it first: vadose run STUDY --output {folder}")
    if path.suffix == ".zip":
        from zarr.storage import ZipStore

        out = xr.open_zarr(ZipStore(path, mode="r"), consolidated=False)
    else:
        out = xr.open_zarr(path, consolidated=False)
    told = path.parent / "provenance.json"
    layer = json.loads(told.read_text()).get("layer_m") if told.exists() else None
    return cf.with_depth(out, *map(float, layer)) if layer and "depth_bnds" not in out.variables else out


def _files(source: Source) -> xr.Dataset:
    names = sorted({n for pattern in source.files for n in (glob.glob(pattern) or [pattern])})
    missing = [n for n in names if "://" not in n and not Path(n).exists()]
    if missing:
        raise UnreadableFileError(f"source {source.name!r}: no file matches {', '.join(missing)}")
    if source.product in READERS:
        parts = [_table(str(source.product), n) for n in names]
        return parts[0] if len(parts) == 1 else xr.concat(parts, "station", join="outer")
    by_variables: dict[frozenset, list[xr.Dataset]] = {}
    for name in names:
        raw = _raw(name)
        if "time" not in raw.dims:
            continue
        one = products.standardize(raw.chunk(time=CHUNK), str(source.product))
        by_variables.setdefault(frozenset(map(str, one.data_vars)), []).append(one)
    if not by_variables:
        raise UnreadableFileError(f"source {source.name!r}: none of {len(names)} file(s) has a time dimension")
    joined = [
        p[0]
        if len(p) == 1
        else xr.concat(p, "time", data_vars="minimal", coords="minimal", compat="override").sortby("time")
        for p in by_variables.values()
    ]
    return xr.merge([_months(d) for d in joined], join="outer", compat="override", combine_attrs="override")


@lru_cache(maxsize=HELD_TABLES)
def _table(product: str, name: str) -> xr.Dataset:
    """The stations of a table, read once for all variables of a recipe: a workbook takes seconds."""
    out = products.module(product).open(name)
    return out if "station" in out.dims else out.expand_dims("station")


def _raw(name: str) -> xr.Dataset:
    """A file or Zarr store, lazily. netCDF-4 through h5netcdf, which holds 1 MB of a variable where netCDF4 holds 64 MB of each file."""
    if name.rstrip("/").endswith(".zarr"):
        return xr.open_zarr(name, consolidated=None)
    local = Path(name)
    if local.is_file():
        with local.open("rb") as head:
            if head.read(8) == b"\x89HDF\r\n\x1a\n":
                return xr.open_dataset(name, engine="h5netcdf")
    return xr.open_dataset(name)


def _months(data: xr.Dataset) -> xr.Dataset:
    """Monthly stamps to the first of the month: files of one model stamp the middle, the end or the start."""
    if not is_monthly(data):
        return data
    time = data["time"].dt
    calendar = str(getattr(time, "calendar", "standard"))
    stamps = [f"{y:04d}-{m:02d}" for y, m in zip(time.year.values, time.month.values, strict=True)]
    whole = xr.date_range(
        stamps[0],
        periods=_span(time),
        freq="MS",
        calendar=calendar,
        use_cftime=calendar not in ("standard", "gregorian", "proleptic_gregorian"),
    )
    at = {f"{t.year:04d}-{t.month:02d}": k for k, t in enumerate(whole)}
    return data.assign_coords(time=whole[[at[s] for s in stamps]])


def _span(time):
    return int((time.year.values[-1] - time.year.values[0]) * 12 + time.month.values[-1] - time.month.values[0] + 1)


def is_monthly(data: xr.Dataset | xr.DataArray) -> bool:
    """Whether steps are months (a single step counts)."""
    if data.sizes["time"] < 2:
        return True
    key = data["time"].dt.year.values * 12 + data["time"].dt.month.values
    return bool((np.diff(key) >= 1).all())


def monthly(values: xr.DataArray) -> xr.DataArray:
    """Means of calendar months of what is there; monthly data stay as they are."""
    if is_monthly(values):
        return values
    out = values.resample(time="MS").mean()
    return out.assign_attrs(values.attrs)


def record(source: Source, variable: str, layer: tuple[float, float] | None, recipe: Recipe) -> Record:
    """Monthly record of a variable of a source in its vocabulary unit, on `layer` [m] if it is soil moisture.

    Monthly files stay lazy; means of daily files are made once for all comparisons of a process.
    """
    return _made(_Key(repr((source, variable, layer, recipe.period)), source, variable, layer, recipe))


@lru_cache(maxsize=HELD_RECORDS)
def _made(key: _Key) -> Record:
    source, variable, layer, recipe = key.source, key.variable, key.layer, key.recipe
    with warnings.catch_warnings():
        # months of a calendar without leap days keep their year and month, which is all that is used of them
        warnings.filterwarnings("ignore", "Converting a CFTimeIndex", RuntimeWarning)
        data = dataset(source, recipe)
    notes: list[str] = []
    if variable == "soil_moisture":
        values, error = _moisture(data, layer, source, notes)
    else:
        values, error = _flux(data, variable, source, notes), None
    values = values.transpose("time", ...)
    daily = data if not is_monthly(data) else None
    out = monthly(values)
    if not is_monthly(values):
        notes.append("months are means of the values there are")
        error = None if error is None else _monthly_error(error)
        if out.size <= MOST_HELD:
            both = xr.Dataset({"values": out} if error is None else {"values": out, "error": error}).compute()
            out, error = both["values"].rename(variable), both.get("error")
    return Record(out, error, _land(source, out, notes), tuple(notes), daily)


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
    extra = [d for d in found.dims if d not in ("time", "lat", "lon", "station", "ncol", "cell", "location", "lndgrid")]
    if extra:
        raise DimensionError(
            f"{variable} of source {source.name!r} has dimension {', '.join(map(str, extra))}; give time and place"
        )
    return units.convert(found, wanted).drop_vars(["depth", "depth_bnds", "height"], errors="ignore").rename(variable)


def _land(source: Source, values: xr.DataArray, notes: list[str]) -> np.ndarray | None:
    """Share of land by flat position from the source's land fraction file (sftlf in %, LANDFRAC or landfrac as a share)."""
    if source.land_fraction is None:
        return None
    with xr.open_dataset(source.land_fraction) as raw:
        name = next((n for n in ("sftlf", "landfrac", "LANDFRAC", "land_fraction") if n in raw), None)
        if name is None:
            raise UnreadableFileError(
                f"{source.land_fraction} holds no sftlf or landfrac; it holds {', '.join(map(str, raw.data_vars))}"
            )
        share = raw[name].load()
    if "time" in share.dims:
        share = share.isel(time=0)
    share = share / 100.0 if float(share.max()) > 1.5 else share
    shape = tuple(n for d, n in values.sizes.items() if d != "time")
    if "lon" in share.dims and bool((share.lon > 180).any()):
        share = share.assign_coords(lon=(share.lon + 180.0) % 360.0 - 180.0).sortby("lon")
    if "lat" in share.dims:
        share = share.sortby("lat")
    if share.shape != shape:
        raise DimensionError(f"land fraction of source {source.name!r} has shape {share.shape}, its data {shape}")
    notes.append("cells count by their share of land")
    return share.values.ravel()


def try_record(source: Source, variable: str, layer: Any, recipe: Recipe) -> Record | str:
    """The record, or why there is none."""
    try:
        return record(source, variable, layer, recipe)
    except (VadoseError, OSError, ValueError, KeyError) as error:
        return f"{type(error).__name__}: {error.args[0] if error.args else error}"
