"""At what pace soil dries after rain: where reference and model are both daily and bring precipitation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from vadose.benchmark.cells import places
from vadose.benchmark.compare import Pair
from vadose.benchmark.records import Record
from vadose.diagnostics.drydown import drydowns

#: Cells of a model that are looked at: drydowns are fitted one by one.
MOST_CELLS = 400


def drydown_rows(reference: Record, model: Record, measured: Pair) -> pd.DataFrame | None:
    """Median e-folding time [d] of drydowns of both, and exp(-|ln ratio|), by region; None where either is not daily."""
    sides = (reference.daily, model.daily)
    if sides[0] is None or sides[1] is None or not all(_dries(data) for data in sides if data is not None):
        return None
    found = [_paces(data) for data in sides if data is not None]
    rows = []
    for k, region in enumerate(measured.regions):
        inside = measured.inside[k]
        lat, lon = measured.cells.lat[inside], measured.cells.lon[inside]
        if lat.size == 0:
            continue
        box = (lat.min() - 1, lat.max() + 1, lon.min() - 1, lon.max() + 1)
        paces = [p[(a >= box[0]) & (a <= box[1]) & (o >= box[2]) & (o <= box[3]) & np.isfinite(p)] for a, o, p in found]
        middle = [float(np.median(p)) if p.size else np.nan for p in paces]
        score = _alike(*middle)
        low, high = _interval(*paces)
        n = int(np.isfinite(found[1][2]).sum())
        rows += [
            _row(region, "score", "drydown", score, n, "1", low, high),
            _row(region, "quantity", "reference_drydown", middle[0], n, "d"),
            _row(region, "quantity", "model_drydown", middle[1], n, "d"),
        ]
    return pd.DataFrame(rows)


def _dries(data: xr.Dataset) -> bool:
    """Whether it has what a drydown is found in."""
    return {"soil_moisture", "precipitation_flux"} <= set(data.data_vars) and data["time"].dtype.kind == "M"


def _alike(reference: float, model: float) -> float:
    """exp(-|ln ratio|) of two time scales."""
    return float(np.exp(-abs(np.log(model / reference)))) if min(reference, model) > 0 else np.nan


def _interval(reference: np.ndarray, model: np.ndarray, draws: int = 200) -> tuple[float, float]:
    """90 % of the score over draws of cells with replacement; none from fewer than five cells of either."""
    if min(reference.size, model.size) < 5:
        return np.nan, np.nan
    generator = np.random.default_rng(0)
    drawn = [np.median(generator.choice(p, (draws, p.size)), axis=1) for p in (reference, model)]
    low, high = np.percentile([_alike(a, b) for a, b in zip(*drawn, strict=True)], [5, 95])
    return float(low), float(high)


def _row(region, kind, statistic, value, n, units, low=np.nan, high=np.nan):
    return {
        "region": region,
        "kind": kind,
        "statistic": statistic,
        "value": value,
        "low": low,
        "high": high,
        "n": n,
        "units": units,
    }


def _paces(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    moisture, rain = data.soil_moisture, data.precipitation_flux
    if np.median(np.diff(data["time"].values)) < np.timedelta64(20, "h"):
        moisture, rain = (a.resample(time="D").mean().assign_attrs(a.attrs) for a in (moisture, rain))
    space = [d for d in moisture.dims if d != "time"]
    lat, lon = places(moisture)
    flat, water = (
        a.transpose("time", *space).stack(place=space)
        if len(space) > 1
        else a.rename({space[0]: "place"}).transpose("time", "place")
        for a in (moisture, rain)
    )
    at = np.linspace(0, lat.size - 1, min(lat.size, MOST_CELLS)).astype(int)
    fitted = drydowns(
        flat.isel(place=at).drop_vars(["place", "lat", "lon", "station"], errors="ignore").load(),
        water.isel(place=at).drop_vars(["place", "lat", "lon", "station"], errors="ignore").load(),
    )
    tau = fitted["time_scale"]
    event = [d for d in tau.dims if d != "place"]
    return lat[at], lon[at], np.broadcast_to(tau.median(event).values, at.shape)
