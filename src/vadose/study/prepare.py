"""Open a source and bring it to the study's days, layer and places; what cannot be read is told, not hidden."""

from __future__ import annotations

import glob
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from vadose import products, qc
from vadose.errors import NotFoundError, StudyError, VadoseError
from vadose.harmonize import Grid, at_points, layers_to_layer, regrid
from vadose.harmonize.days import one_a_day
from vadose.products.opening import cut, open_product
from vadose.study.model import Source, Study

#: Products whose reader takes the files itself.
TEXT = ("ismn", "uscrn", "ameriflux")


@dataclass
class Failures:
    """What could not be read, in the order it was met: (what, why)."""

    rows: list[dict[str, str]] = field(default_factory=list)

    def add(self, source: str, what: str, why: object) -> None:
        self.rows.append({"source": source, "what": what, "why": str(why)})


def opened(source: Source, study: Study, failures: Failures) -> xr.Dataset:
    """The canonical Dataset of a source, cut to the study's period and region. Raises StudyError when nothing of it can be read."""
    if source.collection:
        data = open_product(source.collection, time=study.period, bbox=study.bbox)
        for reason in data.attrs.get("failed", []):
            failures.add(source.name, reason.split(":")[0], reason)
        return data
    names = sorted({name for pattern in source.files for name in (glob.glob(pattern) or [pattern])})
    parts = []
    for name in names:
        if "://" not in name and not glob.glob(name):
            failures.add(
                source.name, name, f"no file is {name}; correct 'files' of {source.name!r}, or the variable in it"
            )
            continue
        try:
            parts.append(_one(name, str(source.product)))
        except (VadoseError, OSError, ValueError, KeyError) as error:
            failures.add(source.name, name, f"{type(error).__name__}: {error}")
    if not parts:
        raise StudyError(
            f"source {source.name!r}: none of {len(names)} file(s) could be read; first: {failures.rows[-1]['why'] if failures.rows else 'no file matches'}"
        )
    dim = "station" if "station" in parts[0].dims else "time"
    data = (
        parts[0] if len(parts) == 1 else xr.concat(parts, dim, data_vars="minimal", coords="minimal", compat="override")
    )
    data = data.sel(time=slice(study.period[0], study.period[1]))
    return cut(data, study.bbox)


def _one(name: str, product: str) -> xr.Dataset:
    if product in TEXT:
        return products.module(product).open(name)
    with xr.open_dataset(name) as raw:
        return products.standardize(raw, product).load()


def at_layer(data: xr.Dataset, study: Study) -> xr.DataArray:
    """Soil moisture of the study's layer: from layers by overlap where there are any, else the product's own surface layer."""
    if "soil_moisture_profile" in data and "layer_bnds" in data.variables:
        out = layers_to_layer(
            data.soil_moisture_profile, data.layer_bnds.values, *study.layer, dim="layer"
        ).soil_moisture
        return out.drop_vars(["depth", "depth_bnds"], errors="ignore")
    return data.soil_moisture.drop_vars(["depth", "depth_bnds"], errors="ignore")


def to_grid(values: xr.DataArray, study: Study) -> xr.DataArray:
    """On the study's grid: conservatively, or as its file says."""
    target = Grid.regular(study.bbox, float(study.resolution or 1.0))
    name = str(values.name or "soil_moisture")
    return regrid(values.rename(name), target, method=study.regrid)[name]


def to_places(values: xr.DataArray, places: xr.DataArray) -> xr.DataArray:
    """At the reference's locations: the nearest of the source's own."""
    out = at_points(values, places.lat.reset_coords(drop=True), places.lon.reset_coords(drop=True), reach=1.0)
    return out.assign_coords(location=np.arange(out.sizes["location"]))


def source_on_study(source: Source, study: Study, failures: Failures, places: Any) -> xr.Dataset:
    """One source, ready to be compared: `soil_moisture` (time, lat, lon) or (time, location), daily over the whole period."""
    values = one_a_day(at_layer(opened(source, study, failures), study))
    if study.resolution is not None:
        values = to_grid(values, study)
    elif places is not None:
        values = to_places(values, places)
    else:
        values = values.assign_coords(location=np.arange(values.sizes["location"]))
    days = pd.date_range(study.period[0], study.period[1], freq="D")
    values = values.reindex(time=days).transpose("time", ...).astype("float32").compute()
    if not bool(values.notnull().any()):
        look = f"`vadose catalog show {source.collection}` tells what it covers; " if source.collection else ""
        raise NotFoundError(
            f"source {source.name!r} has no value from {study.period[0]} to {study.period[1]} within {list(study.bbox)}; "
            f"{look}change 'period' or 'bbox'"
        )
    return values.rename("soil_moisture").to_dataset()


def station_series(source: Source, study: Study, failures: Failures, tell: Callable[[str], None]) -> xr.Dataset | None:
    """Stations of the layer inside the region: daily means of readings that quality control calls usable as liquid water.

    `soil_moisture` (time, station), `readings` and `readings_kept` (station); None with a word when there are none.
    """
    try:
        data = opened(source, study, failures)
    except VadoseError as error:
        failures.add(source.name, "stations", error)
        return None
    if "depth" in data.soil_moisture.dims:  # sensors at fixed depths: the shallowest
        data = data.isel(depth=0, drop=True)
    if "bottom" in data.coords:
        data = data.isel(station=(data.bottom.values <= study.layer[1] + 0.05))
    if data.sizes["station"] == 0:
        tell(
            f"no station of {source.collection or Path(source.files[0]).name} measures the study's layer within {study.bbox}"
        )
        return None
    if data.sizes["time"] == 0 or not bool(data.soil_moisture.notnull().any()):
        tell(
            f"the {data.sizes['station']} station(s) in the region have no reading from {study.period[0]} to {study.period[1]}"
        )
        return None
    judged = qc.flag(data)
    kept = judged.soil_moisture.where(judged.liquid_valid)
    out = one_a_day(kept.transpose("time", "station")).rename("soil_moisture").to_dataset()
    return out.assign(readings=judged.soil_moisture.count("time"), readings_kept=kept.count("time"))
