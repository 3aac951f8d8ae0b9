"""Honest evaluation: one model under several splits side by side, baselines in the same table, skill against climatology.

Three schemes are always shown: the random split (the optimist's number), spatial blocks, and leave-one-station-out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from vadose import cf
from vadose.errors import DimensionError
from vadose.learn import features, intervals, model, splits
from vadose.typing import Rng

SCORES = ("rmsd", "bias", "ubrmsd", "r", "nse")
UNITS = {"rmsd": "m3 m-3", "bias": "m3 m-3", "ubrmsd": "m3 m-3", "r": "1", "nse": "1"}


def score(reference: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """rmsd, bias (other - reference), ubrmsd, r, nse and n over the samples where both have values; NaN with fewer than 3."""
    good = np.isfinite(reference) & np.isfinite(other)
    x, y = np.asarray(reference, float)[good], np.asarray(other, float)[good]
    if x.size < 3:
        return {**dict.fromkeys(SCORES, float("nan")), "n": float(x.size)}
    d = y - x
    with np.errstate(all="ignore"):
        r = float(np.corrcoef(x, y)[0, 1]) if x.std() > 0 and y.std() > 0 else float("nan")
        nse = float(1.0 - np.sum(d**2) / np.sum((x - x.mean()) ** 2)) if x.std() > 0 else float("nan")
    return {
        "rmsd": float(np.sqrt(np.mean(d**2))), "bias": float(d.mean()), "ubrmsd": float(d.std()), "r": r, "nse": nse,
        "n": float(x.size),
    }  # fmt: skip


def schemes(table: xr.Dataset, *, target: str = "soil_moisture", k: int = 10, rng: Rng = 0) -> dict[str, np.ndarray]:
    """Fold numbers of the splits that a table allows: random, time, station, spatial block - each for `out_of_fold`."""
    out = {"random": splits.random_folds(table.sizes["sample"], k=k, rng=rng)}
    if "time" in table.coords and np.unique(table.time.values).size >= 5:
        out["time"] = splits.time_folds(table.time.values)
    if "station" in table.coords and 2 <= np.unique(table.station.values).size < table.sizes["sample"]:
        out["station"] = splits.group_folds(
            table.station.values, k=min(np.unique(table.station.values).size, 50), rng=rng
        )
    if "lat" in table.coords:
        xy = splits.plane(table.lat.values, table.lon.values)
        out["spatial block"] = splits.block_folds(xy, size=splits.block_size(xy, table[target].values), k=k, rng=rng)
    return out


def out_of_fold(
    table: xr.Dataset,
    folds: np.ndarray,
    *,
    target: str,
    predictors: tuple[str, ...],
    estimator: Any = "boosted",
    rng: Rng = 0,
) -> np.ndarray:
    """Predictions (sample,) by estimators that never saw the sample's fold; medians are those of the training part."""
    rng, out = np.random.default_rng(rng), np.full(table.sizes["sample"], np.nan)
    if np.shape(folds) != out.shape:
        raise DimensionError(f"folds must be one number a sample, {out.shape}; got {np.shape(folds)}")
    for _, test in splits.pairs(folds):
        left = np.zeros(out.size, bool)
        left[test] = True
        out[test] = held_out(table, left, target=target, predictors=predictors, estimator=estimator, rng=rng)
    return out


def held_out(
    table: xr.Dataset,
    left: np.ndarray,
    *,
    target: str,
    predictors: tuple[str, ...],
    estimator: Any = "boosted",
    rng: Rng = 0,
) -> np.ndarray:
    """Predictions of the rows that are `left` (sample,) out, by an estimator that learned from the others only."""
    x, y = features.columns(table, predictors), np.asarray(table[target].values, float)
    weight, prototype, train = model.weights(table, target), model.make_estimator(estimator), ~left
    rows = [x[train], x[left]]
    if prototype.kind == "forest":
        flagged = np.flatnonzero(~np.isfinite(rows[0]).all(axis=0))
        rows = [model.with_surrogates(r, model.medians_of(rows[0]), flagged) for r in rows]
    part = prototype.fit(rows[0], y[train], weight=None if weight is None else weight[train], rng=rng)
    return part.predict(rows[1])


def compare(
    table: xr.Dataset,
    *,
    target: str = "soil_moisture",
    predictors: tuple[str, ...],
    estimator: Any = "boosted",
    folds: dict[str, np.ndarray] | None = None,
    rng: Rng = 0,
) -> xr.Dataset:
    """One estimator under every scheme, with climatology and a linear model under the same folds.

    Returns
    -------
    Dataset over `scheme` and `model` (estimator, linear, climatology) with rmsd, bias (other - reference), ubrmsd, r, nse,
    n, the number of folds, and `skill` = 1 - (rmsd / rmsd of climatology)^2; `no_skill` where it is not positive.
    """
    predictors = model.predictors_of(table, target, predictors)
    folds = folds or schemes(table, target=target)
    prototype = model.make_estimator(estimator)
    names = [prototype.kind, "linear", "climatology"]
    y = np.asarray(table[target].values, float)
    x = features.columns(table, predictors).astype(float)
    rows = {}
    for scheme, fold in folds.items():
        rows[scheme, names[0]] = score(
            y, out_of_fold(table, fold, target=target, predictors=predictors, estimator=prototype, rng=rng)
        )
        rows[scheme, "linear"] = score(y, _linear(x, y, fold))
        rows[scheme, "climatology"] = score(y, _mean(y, fold))
    shape = (len(folds), len(names))
    out = xr.Dataset(coords={"scheme": list(folds), "model": names})
    unit = str(table[target].attrs.get("units", "m3 m-3"))
    for s in (*SCORES, "n"):
        values = np.array([rows[a, b][s] for a in folds for b in names]).reshape(shape)
        out[s] = (("scheme", "model"), values, {"units": unit if UNITS.get(s) == "m3 m-3" else "1"})
    out["folds"] = ("scheme", [np.unique(f).size for f in folds.values()])
    out["skill"] = (1.0 - (out.rmsd / out.rmsd.sel(model="climatology", drop=True)) ** 2).assign_attrs(units="1")
    out["no_skill"] = out.skill <= 0
    return cf.provenance(out, method="M-T1.1", references="doi:10.1111/ecog.02881")


def _mean(y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    out = np.empty(y.size)
    for train, test in splits.pairs(folds):
        out[test] = y[train].mean()
    return out


def _linear(x: np.ndarray, y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Ridge regression on standardized predictors, means and scales from the training part only."""
    out = np.empty(y.size)
    for train, test in splits.pairs(folds):
        center = np.nan_to_num(np.nanmean(x[train], axis=0))
        scale = np.nan_to_num(np.nanstd(x[train], axis=0))
        scale = np.where(scale > 0, scale, 1.0)
        a, b = (np.nan_to_num((x[p] - center) / scale) for p in (train, test))
        gram = a.T @ a + 1e-3 * train.size * np.eye(a.shape[1])
        out[test] = y[train].mean() + b @ np.linalg.solve(gram, a.T @ (y[train] - y[train].mean()))
    return out


def interval_table(trained: model.Model, truth: xr.DataArray, predicted: xr.Dataset) -> xr.Dataset:
    """What the intervals of a map are worth where the truth is known: coverage, width and error, in and out of the area.

    Returns a Dataset over `where` (everywhere, inside, outside): coverage of the 90 % interval, its mean width, rmsd, n.
    """
    t = trained.target
    low, high, mean = (predicted[n].values.reshape(-1) for n in (f"{t}_q05", f"{t}_q95", t))
    y = truth.transpose(*predicted[t].dims).values.reshape(-1)
    inside = ~cf.has_flag(predicted[f"{t}_flag"], "outside_area_of_applicability").values.reshape(-1) & np.isfinite(
        mean
    )
    parts = {"everywhere": np.isfinite(mean), "inside": inside, "outside": ~inside & np.isfinite(mean)}
    rows = {
        "coverage": [intervals.coverage(y[m], low[m], high[m]) for m in parts.values()],
        "width": [float(np.nanmean((high - low)[m])) if m.any() else np.nan for m in parts.values()],
        "rmsd": [score(y[m], mean[m])["rmsd"] for m in parts.values()],
        "n": [int(m.sum()) for m in parts.values()],
    }
    return xr.Dataset({n: ("where", v) for n, v in rows.items()}, coords={"where": list(parts)})
