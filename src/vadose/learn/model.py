"""A trained map model as one value: trees, the predictors they expect, calibrated intervals, area of applicability.

`fit` makes it from a table of samples under a stated split, `predict` uses it on any Dataset with the same predictors,
`save` and `load` keep it in a folder without pickle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from vadose import cf, units
from vadose.errors import DimensionError, UnitsError, VadoseInputError, unknown_name
from vadose.learn import applicability, features, intervals, splits
from vadose.learn.boosted import Boosted, Oblivious
from vadose.learn.forest import Forest
from vadose.typing import Rng

ESTIMATORS: dict[str, Any] = {"forest": Forest, "boosted": Boosted, "oblivious": Oblivious}
LEVELS = (0.05, 0.16, 0.5, 0.84, 0.95)
PLACE_ERROR = 0.03  # m3 m-3: what a point does not tell about its cell
FLAGS = ("outside_area_of_applicability", "missing_predictor", "at_training_limit")
LIMIT_MARGIN = 1e-3
MOST_SHUFFLED = 500  # held-out rows a fold that weigh the predictors
LEAST_WEIGHT = 0.05  # of the weightiest, so that a gross extrapolation of a minor predictor shows


@dataclass(frozen=True)
class Model:
    """What `fit` returns. `widening` is added to both ends of the central 90 and 68 % intervals; see `calibrated_on`."""

    estimator: Any
    predictors: tuple[str, ...]
    units: dict[str, str]
    target: str
    target_units: str
    medians: np.ndarray
    flagged: np.ndarray  # predictors with an indicator of their absence (forest only)
    limits: tuple[float, float]
    observation_error: float
    widening: dict[float, float]
    calibrated_on: str
    area: applicability.Area
    out_of_fold: xr.Dataset = field(repr=False)
    card: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def digest(self) -> str:
        """A short name of the exact model, for output attributes and for resuming maps."""
        text = json.dumps([self.predictors, self.widening, self.calibrated_on, list(self.limits), self.area.limit])
        probe = self.estimator.predict(self._rows(np.tile(self.medians, (2, 1)).astype("float32")))
        return hashlib.sha256((text + probe.tobytes().hex()).encode()).hexdigest()[:16]

    def _rows(self, x: np.ndarray) -> np.ndarray:
        return with_surrogates(x, self.medians, self.flagged) if self.estimator.kind == "forest" else x

    def arrays(self, x: np.ndarray, *, parts: tuple[str, ...] = ("mean", "quantiles", "area")) -> dict[str, np.ndarray]:
        """Plain numbers for rows `x` (row, predictor): mean, standard error, quantiles by level, dissimilarity, flag.

        Quantiles without "mean" give the median in the mean's place and spare a model.
        """
        rows = self._rows(x)
        flag = np.where(np.isfinite(x).all(axis=1), 0, 2).astype("uint8")
        out: dict[str, np.ndarray] = {}
        if "quantiles" in parts:
            q = widen(self.estimator.quantiles(rows, LEVELS), self.widening)
            out |= {f"q{round(100 * level):02d}": q[:, i] for i, level in enumerate(LEVELS)}
            out["standard_error"] = np.hypot((q[:, 3] - q[:, 1]) / 2, self.observation_error)
        out["mean"] = out["q50"] if "q50" in out and "mean" not in parts else self.estimator.predict(rows)
        near = np.minimum(out["mean"] - self.limits[0], self.limits[1] - out["mean"]) < LIMIT_MARGIN
        flag |= np.where(near, 4, 0).astype("uint8")
        if "area" in parts:
            out["dissimilarity"] = self.area.dissimilarity(np.where(np.isfinite(x), x, self.medians))
            flag |= np.where(out["dissimilarity"] > self.area.limit, 1, 0).astype("uint8")
        out["flag"] = flag
        return out

    def predict(self, predictors: xr.Dataset, *, parts: tuple[str, ...] = ("mean", "quantiles", "area")) -> xr.Dataset:
        """Predict a Dataset with the same predictors, of any dims; see `vadose.learn.mapping.predict_map`."""
        from vadose.learn.mapping import predict_map

        return predict_map(self, predictors, parts=parts)

    def check(self, predictors: xr.Dataset) -> xr.Dataset:
        """The predictors in this model's order and units; an error names what is missing or in other units."""
        out = {}
        for name in self.predictors:
            if name not in predictors.variables:
                raise unknown_name("predictor", name, predictors.data_vars)
            array = predictors[name]
            want, have = self.units[name], str(array.attrs.get("units", ""))
            if want != have:
                if not want or not have:
                    raise UnitsError(
                        f"predictor {name!r} was learned in {want or 'no units'!r} and comes in {have or 'no units'!r}; set .attrs['units']"
                    )
                array = units.convert(array, want)
            out[name] = array
        return xr.Dataset(out)


def make_estimator(estimator: Any) -> Any:
    """A fresh estimator from its name in `ESTIMATORS` or from an instance whose options are copied."""
    if isinstance(estimator, str):
        if estimator not in ESTIMATORS:
            raise unknown_name("estimator", estimator, ESTIMATORS)
        return ESTIMATORS[estimator]()
    if type(estimator) not in ESTIMATORS.values():
        raise VadoseInputError(
            f"estimator must be one of {', '.join(map(repr, ESTIMATORS))}, or an instance such as learn.Forest(trees=200); got {estimator!r}"
        )
    return type(estimator)(**estimator.options)


def predictors_of(table: xr.Dataset, target: str, predictors: Any = None) -> tuple[str, ...]:
    """Names of the predictors, all other variables where none are given; unknown ones and the target itself are errors."""
    if target not in table:
        raise unknown_name("target", target, table.data_vars)
    taught = (target, f"{target}_standard_error")
    if not predictors:
        return tuple(str(n) for n in table.data_vars if n not in taught)
    chosen = (predictors,) if isinstance(predictors, str) else tuple(map(str, predictors))
    for name in chosen:
        if name not in table.variables:
            raise unknown_name("predictor", name, table.data_vars)
        if name in taught:
            raise VadoseInputError(f"{name!r} is what is to be learned; as a predictor it would teach its own answer")
    return chosen


def medians_of(x: np.ndarray) -> np.ndarray:
    """Median of each predictor (row, predictor) over the rows that have it, 0 where none has."""
    out, some = np.zeros(x.shape[1], x.dtype), np.isfinite(x).any(axis=0)
    out[some] = np.nanmedian(x[:, some], axis=0)
    return out


def with_surrogates(x: np.ndarray, medians: np.ndarray, flagged: np.ndarray) -> np.ndarray:
    """Missing values replaced by medians, with one 0/1 column a predictor of `flagged` that says where."""
    missing = ~np.isfinite(x)
    filled = np.where(missing, medians.astype(x.dtype), x)
    return np.concatenate([filled, missing[:, flagged].astype(x.dtype)], axis=1) if flagged.size else filled


def widen(quantiles: np.ndarray, widening: dict[float, float]) -> np.ndarray:
    """Quantiles at `LEVELS` (row, 5) with the conformal widening of the 90 and 68 % intervals, still in order."""
    out = quantiles.copy()
    for low, high, share in ((0, 4, 0.9), (1, 3, 0.68)):
        out[:, low] -= widening.get(share, 0.0)
        out[:, high] += widening.get(share, 0.0)
    return np.sort(out, axis=1)


def weights(table: xr.Dataset, target: str) -> np.ndarray | None:
    """Sample weights 1 / (s_obs^2 + 0.03^2) from `<target>_standard_error`; None where the table carries none."""
    name = f"{target}_standard_error"
    return 1.0 / (table[name].values ** 2 + PLACE_ERROR**2) if name in table else None


def fit(
    table: xr.Dataset,
    *,
    target: str = "soil_moisture",
    predictors: tuple[str, ...] | list[str] | None = None,
    estimator: Any = "boosted",
    folds: np.ndarray | None = None,
    calibrated_on: str | None = None,
    rng: Rng = 0,
) -> Model:
    """Train on a table of samples and calibrate on folds that hold no neighbors.

    Parameters
    ----------
    table : Dataset over `sample` (see `vadose.learn.features.samples`) with the target, predictors, `lat` and `lon`.
    predictors : names; all other variables over `sample` when left out.
    estimator : "boosted" (default), "forest" (citable baseline), "oblivious" (fastest maps, extra `trees`), or an instance.
    folds : fold number a sample; 10 spatial blocks of twice the variogram's range when left out.
    calibrated_on : what the folds are, in words; stored with the model and in every map. Folds that leak (a station in several of
        them, the same place teaching and testing) must be called by their name here, such as "random folds".

    Returns
    -------
    Model with 90 and 68 % intervals calibrated out of fold, area of applicability, and the out-of-fold predictions.

    Raises
    ------
    NotFoundError (target, predictor or estimator unknown), VadoseInputError (targets missing, folds that leak), TooFewSamplesError.
    """
    rng = np.random.default_rng(rng)
    chosen = features.drop_constant(table, predictors_of(table, target, predictors))
    x, y = features.columns(table, chosen), np.asarray(table[target].values, float)
    if not np.isfinite(y).all():
        raise VadoseInputError(f"{int((~np.isfinite(y)).sum())} samples have no {target}; drop them before training")
    if folds is None:
        for name in ("lat", "lon"):
            if name not in table.variables:
                raise DimensionError(
                    f"spatial blocks need {name!r} of every sample, and the table has none; pass folds"
                )
        xy = splits.plane(table.lat.values, table.lon.values)
        folds = splits.block_folds(xy, size=splits.block_size(xy, y), rng=0)
        calibrated_on = calibrated_on or "spatial blocks"
    else:
        folds = np.asarray(folds)
        if folds.shape != y.shape:
            raise DimensionError(f"folds must be one number a sample, {y.shape}; got {folds.shape}")
        if calibrated_on is None:
            _refuse_shared(table, folds)
    calibrated_on = calibrated_on or "folds of the caller"
    flagged = np.flatnonzero(~np.isfinite(x).all(axis=0))
    weight, prototype = weights(table, target), make_estimator(estimator)

    def filler(part: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """Rows as the estimator wants them, gaps filled with the medians of `part`."""
        known = medians_of(part)
        return (lambda r: with_surrogates(r, known, flagged)) if prototype.kind == "forest" else (lambda r: r)

    mean, quantiles = np.full(y.size, np.nan), np.full((y.size, len(LEVELS)), np.nan)
    growth, shuffler = np.zeros(len(chosen)), rng.spawn(1)[0]
    for train, test in splits.pairs(folds):
        rows = filler(x[train])
        part = make_estimator(prototype).fit(
            rows(x[train]), y[train], weight=None if weight is None else weight[train], rng=rng
        )
        mean[test] = part.predict(rows(x[test]))
        quantiles[test] = part.quantiles(rows(x[test]), LEVELS)
        growth += _growth(part, rows, x[test], y[test], shuffler)
    widening = {
        share: intervals.widening(intervals.scores(y, quantiles[:, a], quantiles[:, b]), coverage=share)
        for a, b, share in ((0, 4, 0.9), (1, 3, 0.68))
    }
    final = make_estimator(prototype).fit(filler(x)(x), y, weight=weight, rng=rng)
    area = applicability.fit(x, folds=folds, importance=np.maximum(growth, LEAST_WEIGHT * growth.max()))
    sigma = table.get(f"{target}_standard_error")
    oof = table[[target]].assign(
        predicted=("sample", mean), fold=("sample", folds), quantile=(("sample", "level"), widen(quantiles, widening))
    ).assign_coords(level=list(LEVELS))  # fmt: skip
    return Model(
        final, chosen, features.describe_units(table, chosen), target, str(table[target].attrs.get("units", "m3 m-3")), medians_of(x),
        flagged, (float(y.min()), float(y.max())), 0.0 if sigma is None else float(np.sqrt(np.mean(sigma.values**2))),
        widening, calibrated_on, area, oof,
    )  # fmt: skip


def _refuse_shared(table: xr.Dataset, folds: np.ndarray) -> None:
    """Raise where a station lies in several folds: intervals calibrated there hold at stations that taught, nowhere else."""
    if "station" in table.coords:
        word, names = "stations", np.asarray(table.station.values)
        _, member = np.unique(names, return_inverse=True)
    elif {"lat", "lon"} <= set(table.coords):
        word, names = "places", np.column_stack([table.lat.values, table.lon.values])
        _, member = np.unique(names, axis=0, return_inverse=True)
    else:
        return
    pairs = np.unique(np.stack([np.ravel(member), np.unique(folds, return_inverse=True)[1]]), axis=1)
    shared = np.flatnonzero(np.bincount(pairs[0]) > 1)
    if shared.size:
        first = names[np.flatnonzero(np.ravel(member) == shared[0])[0]]
        raise VadoseInputError(
            f"{shared.size} {word} lie in several folds, the first is {first}: they would teach and test. Split with "
            "splits.group_folds (by station) or splits.block_folds, or say what the folds are with calibrated_on"
        )


def _growth(part: Any, rows: Any, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How much the squared error of held-out rows grows when each predictor is shuffled among them: the axes' weights."""
    at = rng.permutation(y.size)[:MOST_SHUFFLED]
    copies = np.repeat(x[at][None], x.shape[1] + 1, axis=0)
    for j in range(x.shape[1]):
        copies[j + 1, :, j] = copies[0, rng.permutation(at.size), j]
    predicted = part.predict(rows(copies.reshape(-1, x.shape[1]))).reshape(-1, at.size)
    error = ((predicted - y[at]) ** 2).sum(axis=1)
    return error[1:] - error[0]


def with_card(model: Model, card: dict[str, Any]) -> Model:
    """The model with its card attached (see `vadose.learn.card`)."""
    return replace(model, card=card)


def describe(values: xr.DataArray, target: str, target_units: str) -> xr.DataArray:
    """A predicted array with the target's name and attributes."""
    return cf.describe(values, target, units=target_units)
