"""Climate zones and tables by zone (M-X15, M-T1.3): Koppen-Geiger classes, aridity, area-weighted summaries and scores.

Koppen-Geiger by the rules of Peel et al. 2007, doi:10.5194/hess-11-1633-2007, with the numbering of Beck et al. 2018,
doi:10.1038/sdata.2018.214. Aridity classes of UNEP 1997.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from vadose import units
from vadose.errors import DimensionError, VadoseInputError
from vadose.typing import Rng

#: Class 0 means no data; class k is KOPPEN[k - 1].
KOPPEN = (
    "Af", "Am", "Aw", "BWh", "BWk", "BSh", "BSk", "Csa", "Csb", "Csc", "Cwa", "Cwb", "Cwc", "Cfa", "Cfb", "Cfc",
    "Dsa", "Dsb", "Dsc", "Dsd", "Dwa", "Dwb", "Dwc", "Dwd", "Dfa", "Dfb", "Dfc", "Dfd", "ET", "EF",
)  # fmt: skip
#: Letters of the five main groups in order, and what they are called.
GROUPS = {"A": "tropical", "B": "arid", "C": "temperate", "D": "cold", "E": "polar"}
#: Upper limit of the aridity index P/PET of each class.
ARIDITY = (("hyper-arid", 0.05), ("arid", 0.2), ("semi-arid", 0.5), ("dry sub-humid", 0.65), ("humid", np.inf))

_SUMMER = np.array([False] * 3 + [True] * 6 + [False] * 3)  # April to September
_DAYS = np.array([31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def monthly_climate(air_temperature: xr.DataArray, precipitation_flux: xr.DataArray) -> xr.Dataset:
    """Mean year of a record: `air_temperature` [degC] and `precipitation` [mm per month] by `month` (1..12)."""
    temperature = units.convert(air_temperature, "degC").groupby("time.month").mean()
    rain = units.convert(precipitation_flux, "mm d-1").groupby("time.month").mean()
    if temperature.sizes["month"] != 12 or rain.sizes["month"] != 12:
        raise VadoseInputError("a climate needs all twelve months; the record lacks some")
    total = rain * xr.DataArray(_DAYS, dims="month", coords={"month": np.arange(1, 13)})
    return xr.Dataset(
        {
            "air_temperature": temperature.assign_attrs(units="degC"),
            "precipitation": total.assign_attrs(units="mm", long_name="precipitation per month"),
        }
    )


def koppen_geiger(
    air_temperature: xr.DataArray, precipitation: xr.DataArray, lat: float | xr.DataArray
) -> xr.DataArray:
    """Koppen-Geiger class (1..30, 0 where data are missing) from twelve monthly means.

    `air_temperature` [degC, or as its units say] and `precipitation` [mm per month] have `month` of length 12, January first; `lat` decides which
    half is summer only where both halves are equally warm. Arid classes are tested first. Names are in `flag_meanings`.
    """
    for array in (air_temperature, precipitation):
        if array.sizes.get("month") != 12:
            raise DimensionError(f"twelve months are needed along 'month'; {array.name!r} has {dict(array.sizes)}")
    lat = lat if isinstance(lat, xr.DataArray) else xr.DataArray(lat)
    one = dict.fromkeys(("month",), -1)
    given = units.taken_as(air_temperature, "degC"), units.taken_as(precipitation, "mm")
    t, p = (a.chunk(one) if a.chunks is not None else a for a in given)
    out = xr.apply_ufunc(
        _classify,
        t.drop_vars("month", errors="ignore"),
        p.drop_vars("month", errors="ignore"),
        lat,
        input_core_dims=[["month"], ["month"], []],
        dask="parallelized",
        output_dtypes=["uint8"],
    )
    return out.rename("climate_zone").assign_attrs(
        long_name="Koppen-Geiger climate class",
        flag_values=np.arange(len(KOPPEN) + 1, dtype="uint8"),
        flag_meanings=" ".join(("none", *KOPPEN)),
        references="doi:10.5194/hess-11-1633-2007",
    )


def _classify(t, p, lat):
    """t [degC], p [mm] (..., 12) -> class; the formulae of the module's first reference, written as masks."""
    lat = np.broadcast_to(lat, np.broadcast_shapes(np.shape(lat), t.shape[:-1]))
    t, p = (np.broadcast_to(a, (*lat.shape, 12)) for a in (t, p))
    known = np.isfinite(t).all(-1) & np.isfinite(p).all(-1)
    mat, map_, hot, cold = t.mean(-1), p.sum(-1), t.max(-1), t.min(-1)
    warm, cool = t[..., _SUMMER].mean(-1), t[..., ~_SUMMER].mean(-1)
    northern = np.where(warm == cool, lat >= 0, warm > cool)
    half = np.where(northern[..., None], _SUMMER, ~_SUMMER)
    summer, winter = np.where(half, p, np.nan), np.where(half, np.nan, p)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(map_ > 0, np.nansum(summer, -1) / map_, 0.5)
        s_dry, s_wet = (
            np.nanmin(np.where(known[..., None], summer, 0.0), -1),
            np.nanmax(np.where(known[..., None], summer, 0.0), -1),
        )
        w_dry, w_wet = (
            np.nanmin(np.where(known[..., None], winter, 0.0), -1),
            np.nanmax(np.where(known[..., None], winter, 0.0), -1),
        )
    threshold = 10.0 * (2.0 * mat + np.where(share >= 0.7, 28.0, np.where(share <= 0.3, 0.0, 14.0)))
    dry = p.min(-1)
    months_warm = (t > 10).sum(-1)

    arid = map_ < threshold
    tropical = ~arid & (cold >= 18)
    polar = ~arid & ~tropical & (hot <= 10)
    temperate = ~arid & ~tropical & ~polar & (cold > 0)
    continental = ~arid & ~tropical & ~polar & ~temperate
    desert = arid & (map_ < threshold / 2)
    dry_summer = (s_dry < 40) & (s_dry < w_wet / 3)
    dry_winter = ~dry_summer & (w_dry < s_wet / 10)
    season = np.where(dry_summer, 0, np.where(dry_winter, 1, 2))
    heat = np.where(hot >= 22, 0, np.where(months_warm >= 4, 1, np.where(continental & (cold < -38), 3, 2)))

    out = np.zeros(lat.shape, "uint8")
    out = np.where(desert, np.where(mat >= 18, 4, 5), out)
    out = np.where(arid & ~desert, np.where(mat >= 18, 6, 7), out)
    out = np.where(tropical, np.where(dry >= 60, 1, np.where(dry >= 100 - map_ / 25, 2, 3)), out)
    out = np.where(temperate, 8 + 3 * season + np.minimum(heat, 2), out)
    out = np.where(continental, 17 + 4 * season + heat, out)
    out = np.where(polar, np.where(hot > 0, 29, 30), out)
    return np.where(known, out, 0).astype("uint8")


def main_group(zones: xr.DataArray) -> xr.DataArray:
    """Main group of Koppen-Geiger classes: 1..5 for A (tropical) to E (polar), 0 for none."""
    letters = np.array([0, *(1 + "ABCDE".index(name[0]) for name in KOPPEN)], dtype="uint8")
    return xr.apply_ufunc(lambda z: letters[z], zones, dask="parallelized", output_dtypes=["uint8"]).assign_attrs(
        long_name="main Koppen-Geiger group",
        flag_values=np.arange(6, dtype="uint8"),
        flag_meanings=" ".join(("none", *GROUPS.values())),
    )


def aridity(precipitation: xr.DataArray, potential_evaporation: xr.DataArray) -> xr.Dataset:
    """Aridity index P / PET of two totals or means in the same kind of units, and its class (1 hyper-arid .. 5 humid)."""
    demand = units.convert(potential_evaporation, units.of(precipitation))
    index = precipitation / demand.where(demand > 0)
    number = sum(((index >= limit) * 1 for _, limit in ARIDITY[:-1]), xr.ones_like(index, dtype=int))
    return xr.Dataset(
        {
            "aridity_index": index.assign_attrs(units="1", long_name="precipitation over potential evaporation"),
            "aridity_class": number.where(index.notnull(), 0)
            .astype("uint8")
            .assign_attrs(
                flag_values=np.arange(6, dtype="uint8"),
                flag_meanings=" ".join(("none", *(name.replace(" ", "_") for name, _ in ARIDITY))),
            ),
        }
    )


def names_of(zones: xr.DataArray) -> dict[int, str]:
    """Number -> name of the classes of a zone map, from its `flag_values` and `flag_meanings` (numbers name themselves without)."""
    words = str(zones.attrs.get("flag_meanings", "")).split()
    values = np.atleast_1d(zones.attrs.get("flag_values", []))
    if len(words) == len(values) and words:
        return {int(v): w for v, w in zip(values, words, strict=True)}
    return {int(v): str(int(v)) for v in np.unique(zones.values[np.isfinite(zones.values)])}


def cell_area(data: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Relative cell areas cos(lat)."""
    if "lat" not in data.coords:
        raise DimensionError("area weights need a coordinate 'lat' in degrees")
    lat = data["lat"]
    return lat.copy(data=np.cos(np.deg2rad(lat.values)))


def zone_table(
    values: xr.Dataset, zones: xr.DataArray, *, weight: xr.DataArray | None = None, whole: str = "all"
) -> pd.DataFrame:
    """Area-weighted summaries of maps by zone: rows (zone, variable) with `mean`, `sd` over cells, `cells`, `area_share`.

    Weights are cos(lat) unless given. Cells without value or in class 0 count nowhere. The last rows (`whole`) are of all
    cells together: the area-weighted mean of the zones' means.
    """
    weight = cell_area(zones) if weight is None else weight
    names = {k: v for k, v in names_of(zones).items() if k != 0}
    rows = []
    for variable, field in values.data_vars.items():
        extra = [d for d in field.dims if d not in zones.dims]
        for labels, part in _parts(field, extra):
            field_, zone_, weight_ = xr.broadcast(part, zones, weight)
            v, z, w = field_.values.ravel(), zone_.values.ravel(), weight_.values.ravel()
            good = np.isfinite(v) & np.isfinite(z) & (z != 0) & (w > 0)
            total = w[good].sum()
            chosen = [(name, good & (z == number)) for number, name in names.items()]
            for name, here in [*((n, h) for n, h in chosen if h.any()), (whole, good)]:
                rows.append({"zone": name, "variable": str(variable), **labels, **_summary(v[here], w[here], total)})
    return pd.DataFrame(rows)


def _parts(field, extra):
    """The field for every label of its other dimensions."""
    if not extra:
        yield {}, field
        return
    for label in field[extra[0]].values:
        for inner, part in _parts(field.sel({extra[0]: label}, drop=True), extra[1:]):
            yield {extra[0]: label, **inner}, part


def _summary(v, w, total):
    if not v.size:
        return {"mean": np.nan, "sd": np.nan, "cells": 0, "area_share": 0.0}
    mean = float((w * v).sum() / w.sum())
    return {
        "mean": mean,
        "sd": float(np.sqrt((w * (v - mean) ** 2).sum() / w.sum())),
        "cells": int(v.size),
        "area_share": float(w.sum() / total),
    }


def performance_table(
    scores: xr.Dataset,
    zones: xr.DataArray,
    *,
    names: Sequence[str] | Mapping[str, str] | None = None,
    block: float = 3.0,
    draws: int = 500,
    level: float = 0.95,
    rng: Rng = 0,
) -> pd.DataFrame:
    """Scores by zone, land cover or any other classes: area-weighted mean with an interval, quartiles and number of cells.

    `scores` are maps (lat, lon), with `product` or other dimensions if wanted; `names` picks among them. Neighboring cells are
    not independent: intervals come from drawing squares of `block` degrees, not cells. NaN with fewer than four squares.
    """
    generator = np.random.default_rng(rng)
    chosen = scores[list(names)] if names is not None else scores
    square = xr.DataArray(np.floor(zones["lat"] / block) * 1e6 + np.floor(zones["lon"] / block))
    weight = cell_area(zones)
    labels = {k: v for k, v in names_of(zones).items() if k != 0}
    rows = []
    for score, field in chosen.data_vars.items():
        extra = [d for d in field.dims if d not in zones.dims]
        for keys, part in _parts(field, extra):
            arrays = [a.values.ravel() for a in xr.broadcast(part, zones, weight, square)]
            v, z, w, s = arrays
            good = np.isfinite(v) & (z != 0)
            groups = [(name, good & (z == number)) for number, name in labels.items()] + [("all", good)]
            for name, here in groups:
                if not here.any():
                    continue
                low, high = _interval(v[here], w[here], s[here], draws, level, generator)
                quarter = np.quantile(v[here], [0.25, 0.5, 0.75])
                rows.append(
                    {
                        "zone": name, "score": str(score), **keys, "value": float(np.average(v[here], weights=w[here])), "low": low, "high": high,
                        "lower_quartile": float(quarter[0]), "median": float(quarter[1]), "upper_quartile": float(quarter[2]),
                        "units": field.attrs.get("units", "1"), "cells": int(here.sum()),
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def _interval(v, w, square, draws, level, generator):
    _, at = np.unique(square, return_inverse=True)
    count = at.max() + 1
    if count < 4:
        return np.nan, np.nan
    top, bottom = np.bincount(at, w * v, count), np.bincount(at, w, count)
    picked = generator.integers(0, count, (draws, count))
    means = top[picked].sum(1) / bottom[picked].sum(1)
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)
