"""Products that are told rather than programmed: names, units, layers and flags of `declared.yaml`, put into canonical form.

A product whose meaning needs more than that (two passes a day, ragged series, text) has a module of its own.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
import xarray as xr

from vadose import cf, units
from vadose.constants import WATER_DENSITY
from vadose.errors import UnreadableFileError
from vadose.products.canonical import coordinates, tidy
from vadose.vocabulary import VARIABLES

#: Volumetric layers that are a mean over a depth: amounts of water become volumes by their thickness.
VOLUMES = ("soil_moisture", "root_zone_soil_moisture", "soil_moisture_profile")
LONG_NAMES = {
    "root_zone_soil_moisture": "volumetric soil moisture of the root zone",
    "soil_moisture_profile": "volumetric soil moisture of the layers",
}
#: Ground below this is frozen [K]; more water in snow than this counts as snow [kg m-2].
FREEZING, SNOW = 273.15, 5.0


@lru_cache(maxsize=1)
def table() -> dict[str, dict[str, Any]]:
    """All declared products by name."""
    import yaml

    return yaml.safe_load(resources.files("vadose.products").joinpath("declared.yaml").read_text("utf-8"))


def standardize(dataset: xr.Dataset, product: str) -> xr.Dataset:
    """`dataset` as its producer wrote it -> what the table says of `product`: whatever of it is there. Lazy in, lazy out.

    Values outside what is possible become NaN; so do those that a refused flag marks, and the flag says why.
    UnreadableFileError where none of the product's variables is in the file.
    """
    told = table()[product]
    data = _on_our_dims(dataset, told)
    out = xr.Dataset()
    errors = {}
    for name, row in told["variables"].items():
        values = _stack(data, row, told["layered"]) if "layered" in told else _first(data, row["from"])
        if values is None:
            continue
        out[name] = _values(values.isel(row.get("at", {})), name, row)
        error = row.get("error")
        spread = _first(data, error["from"]) if error else None
        if spread is not None:
            errors[name] = _values(spread, name, {**row, **error, "valid": None})
    profile = _profile(data, told)
    if profile is not None:
        out["soil_moisture_profile"] = profile
    if not out.data_vars:
        wanted = ", ".join(str(_names(r["from"])[0]) for r in told["variables"].values())
        raise UnreadableFileError(
            f"not {product}: expected one of {wanted}, found {', '.join(map(str, dataset.data_vars)) or 'nothing'}"
        )
    for name, spread in errors.items():
        unit = out[name].attrs["units"]
        attrs = {"units": unit, "long_name": f"standard error of {out[name].attrs['long_name']}"}
        out[f"{name}_standard_error"] = spread.where(out[name].notnull() & (spread > 0)).assign_attrs(attrs)
    out = _flagged(out, data, told)
    out = coordinates(_placed(out, data, told))
    out = _with_layers(out, told)
    for name in told["variables"]:
        beside = [n for n in (f"{name}_standard_error", _flag_name(told)) if n in out and n != name]
        if name in out and beside:
            out = cf.link(out, name, *beside)
    if "time" in out.dims:
        out = out.transpose("time", ...)
    if {"lat", "lon"} <= set(out.dims):
        out = out.transpose(..., "lat", "lon")
    if told.get("reference"):
        out.attrs["references"] = f"https://doi.org/{told['reference']}"
    return tidy(out, product=product, source=dataset)


def _names(names: str | list[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _first(data: xr.Dataset, names: str | list[str]) -> xr.DataArray | None:
    return next((data[n].reset_coords(drop=True) for n in _names(names) if n in data.variables), None)


def _on_our_dims(dataset: xr.Dataset, told: dict[str, Any]) -> xr.Dataset:
    wanted = {k: v for k, v in told.get("dims", {}).items() if k in dataset.dims}
    return dataset.rename({k: v for k, v in wanted.items() if v not in dataset.variables}) if wanted else dataset


def _unit(values: xr.DataArray, told: str) -> str:
    """The unit of an array: the file's own where it is one of the same kind, else the one that is told."""
    own = values.attrs.get("units")
    return str(own) if own is not None and units.compatible(str(own), told) else told


def _values(values: xr.DataArray, name: str, row: dict[str, Any]) -> xr.DataArray:
    """Impossible values out, our units, our attributes."""
    if row.get("scale") and not values.attrs.get("scaled_by_file", 0):
        values = (values * row["scale"]).assign_attrs(values.attrs)
    if row.get("valid"):
        low, high = row["valid"]
        values = values.where((values >= low) & (values <= high))
    known = VARIABLES.get(name)
    unit = _unit(values, row["units"])
    goal = row.get("to") or (known.units if known else ("m3 m-3" if name in VOLUMES else row["units"]))
    layer: list[float] = row.get("layer") or []
    if name in VOLUMES and units.compatible(unit, "kg m-2"):
        values = units.convert(values.assign_attrs(units=unit), "kg m-2") / (WATER_DENSITY * (layer[1] - layer[0]))
    else:
        if "accumulated" in row:
            values = _rate(values, row["accumulated"])
            goal = row.get("to", "kg m-2")
        values = units.convert(values.assign_attrs(units=unit), goal)
    if "accumulated" in row:
        goal = "kg m-2 s-1"
    if name in VOLUMES:
        values = values.where((values >= 0.0) & (values <= 1.0))
    attrs = {} if known else {"units": goal, "long_name": row.get("long_name", LONG_NAMES.get(name, name.replace("_", " ")))}  # fmt: skip
    if layer and name != "soil_moisture" and name != "soil_saturation":
        attrs["depth_bounds"] = f"{layer[0]} {layer[1]}"
    return cf.describe(values, name, **attrs)


def _rate(values: xr.DataArray, over: int | str) -> xr.DataArray:
    """Amounts as amounts a second: summed over so many seconds, or growing from midnight (UTC) on."""
    if over != "midnight":
        return (values / float(over)).assign_attrs(values.attrs)
    step = values["time"].diff("time").astype("timedelta64[s]").astype(float).reindex(time=values["time"])
    # The first step after midnight holds its own amount; those later hold all since then.
    hour = values["time"].dt.hour + values["time"].dt.minute / 60.0
    since = xr.where(hour == 0, 24.0, hour) * 3600.0
    fresh = since <= step.bfill("time").fillna(np.inf)
    rate = (values - values.shift(time=1).where(~fresh, 0.0)) / xr.where(fresh, since, step)
    return rate.clip(min=0.0).assign_attrs(values.attrs)


def _stack(data: xr.Dataset, row: dict[str, Any], layers: list[list[float]]) -> xr.DataArray | None:
    """The layers of a variable that are there, along `layer`; those that are not are empty."""
    there = [_first(data, n) for n in row["from"]]
    some = next((a for a in there if a is not None), None)
    if some is None:
        return None
    whole = [some.astype("float32") * np.nan if a is None else a for a in there]
    assert len(whole) == len(layers)
    return xr.concat(whole, "layer", coords="minimal", compat="override", combine_attrs="override")


def _profile(data: xr.Dataset, told: dict[str, Any]) -> xr.DataArray | None:
    row = told.get("profile")
    if row is None:
        return None
    bounds = row["layers"]
    if "dim" in row:
        whole = _first(data, row["from"])
        if whole is None or row["dim"] not in whole.dims:
            return None
        layers = [whole.isel({row["dim"]: k}) for k in range(len(bounds))]
    else:
        found = [_first(data, names) for names in row["from"]]
        if any(a is None for a in found):
            return None
        layers = [a for a in found if a is not None]
    made = [
        _values(a, "soil_moisture_profile", {**row, "layer": layer}) for a, layer in zip(layers, bounds, strict=True)
    ]
    out = xr.concat(made, "layer", coords="minimal", compat="override", combine_attrs="override")
    out.attrs = {"units": "m3 m-3", "long_name": LONG_NAMES["soil_moisture_profile"]}
    return out


def _main(told: dict[str, Any]) -> str:
    return next(iter(told["variables"]))


def _flag_name(told: dict[str, Any]) -> str:
    return (told.get("flag") or {}).get("name", f"{_main(told)}_flag")


def _flagged(out: xr.Dataset, data: xr.Dataset, told: dict[str, Any]) -> xr.Dataset:
    """The product's flag in our form; values that it refuses become NaN."""
    row = told.get("flag") or {}
    marks = {w: m for w, m in row.get("marks", {}).items() if m["from"] in data.variables}
    words = {w: _marked(data[m["from"]].reset_coords(drop=True), m, row.get("missing")) for w, m in marks.items()}
    if told.get("state"):
        words |= {
            word: out[name] < limit if below else out[name] > limit
            for word, name, limit, below in (
                ("frozen", "soil_temperature", FREEZING, True),
                ("snow", "snow_amount", SNOW, False),
            )
            if name in out
        }
    if not words:
        return out
    kind = np.min_scalar_type((1 << len(words)) - 1)
    bits = sum((where.astype(kind) << np.array(k, kind)).astype(kind) for k, where in enumerate(words.values()))
    name = _flag_name(told)
    out[name] = xr.DataArray(bits).astype(kind).assign_attrs(cf.flag_attrs(tuple(words), long_name="quality as the producer gives it"))  # fmt: skip
    refused = [w for w in row.get("refuse", ()) if w in words]
    if refused:
        bad = words[refused[0]]
        for word in refused[1:]:
            bad = bad | words[word]
        for variable in (_main(told), f"{_main(told)}_standard_error"):
            if variable in out:
                out[variable] = out[variable].where(~bad)
    return out


def _marked(values: xr.DataArray, mark: dict[str, Any], missing: float | None) -> xr.DataArray:
    """Where a flag's mark is set; where the flag says nothing itself, it is not."""
    known = values.notnull() if values.dtype.kind == "f" else xr.ones_like(values, dtype=bool)
    if missing is not None:
        known = known & (values != missing)
    if "above" in mark:
        return known & (values > mark["above"])
    raw = values.where(known, 0).astype("int64")
    if "equals" in mark:
        return known & raw.isin(mark["equals"])
    wanted = sum(1 << bit for bit in mark["bits"])
    return known & ((raw & wanted) != 0)


def _placed(out: xr.Dataset, data: xr.Dataset, told: dict[str, Any]) -> xr.Dataset:
    """Where the values lie: coordinates of the file, or rows and columns that its arrays repeat."""
    places = {n: data[n] for n in ("lat", "lon", "latitude", "longitude", "x", "y") if n in data.variables and n not in told.get("places", {})}  # fmt: skip
    kept = {}
    for name, array in places.items():
        if set(array.dims) <= set(out.dims) and name not in out.coords and name not in out.data_vars:
            kept[name] = array.variable
    for ours, place in told.get("places", {}).items():
        theirs, dim = place if isinstance(place, list) else (place, None)
        if theirs not in data.variables:
            continue
        array = data[theirs].reset_coords(drop=True)
        array = array.where((array >= -180.0) & (array <= 360.0))
        if dim is not None:
            array = array.max([d for d in array.dims if d != dim], skipna=True)
        kept[ours] = array.compute().variable if array.ndim == 1 else array.variable
    out = out.drop_vars([n for n in kept if n in out.coords and n not in out.dims]).assign_coords(kept)
    if "crs" in told and {"x", "y"} <= set(out.dims):
        out.attrs["crs"] = told["crs"]
    elif "crs" in data.attrs:
        out.attrs["crs"] = data.attrs["crs"]
    return out


def _with_layers(out: xr.Dataset, told: dict[str, Any]) -> xr.Dataset:
    layer = next(
        (told["variables"][n].get("layer") for n in ("soil_moisture", "soil_saturation") if n in out),
        None,
    )
    if layer:
        out = cf.with_depth(out.drop_vars("depth", errors="ignore"), *layer)
    bounds = told.get("layered") or (told["profile"]["layers"] if "soil_moisture_profile" in out else None)
    return out.assign_coords(layer_bnds=(("layer", "bnds"), bounds)) if bounds and "layer" in out.dims else out
