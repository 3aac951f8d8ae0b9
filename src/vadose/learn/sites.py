"""Leave sites, leave regions: how well a network knows places it never saw, by phase of the ground and depth (M-T1.2).

Baselines are always in the table: climatology of the training sites, a linear model, trees, and the water balance of a bucket. A
network that beats none of them is not worth its electricity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from vadose import cf
from vadose.errors import VadoseInputError
from vadose.learn import sequence, splits
from vadose.learn.boosted import Boosted
from vadose.learn.evaluate import SCORES, UNITS, score
from vadose.learn.windows import PHASES, Cube, phases

PARTS = ("all", *PHASES)
MEMORY_DAYS = (1, 3, 7, 30, 90)


def leave_out(
    data: Cube,
    groups: np.ndarray,
    train: Callable[[Cube, Cube], Any],
    *,
    k: int | None = None,
    held_out: float = 0.15,
    seed: int = 0,
) -> xr.DataArray:
    """Predictions (station, time, depth) of every site by a model that never saw its group (site or region).

    `train(train_cube, held_out_cube)` returns anything with `.predict(cube) -> Dataset`; `held_out` is the share of the
    training groups that is set aside for early stopping and calibration.
    """
    folds = splits.group_folds(groups, k=k, rng=seed)
    out = np.full(data.y.shape, np.nan)
    for n, (rest, test) in enumerate(splits.pairs(folds)):
        names = np.unique(groups[rest])
        aside = np.random.default_rng([seed, n]).choice(names, max(1, round(held_out * names.size)), replace=False)
        keep = rest[~np.isin(groups[rest], aside)]
        if keep.size == 0:
            raise VadoseInputError(f"{names.size} groups are too few to set some aside; use smaller groups")
        stop = rest[np.isin(groups[rest], aside)]
        splits.refuse_leak(groups[np.concatenate([keep, stop])], groups[test], what="site")
        out[test] = train(data.at(keep), data.at(stop)).predict(data.at(test)).soil_moisture.values
    coords = {"station": data.sites, "time": data.time, "depth": data.depths}
    return cf.describe(xr.DataArray(out, dims=("station", "time", "depth"), coords=coords), "soil_moisture")


def network(spec: sequence.Spec | None = None, *, seed: int = 0) -> Callable[[Cube, Cube], sequence.SequenceModel]:
    """A `train` function for `leave_out` with one network."""
    return lambda train, stop: sequence.fit(train, spec, held_out=stop, seed=seed)


class _Table:
    """Baselines learn from rows (site, day): today's inputs, their means over the last days, the attributes, the season."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def rows(self, data: Cube) -> np.ndarray:
        if data.x.ndim != 3:
            middle = data.x[..., data.x.shape[-2] // 2, data.x.shape[-1] // 2]
        else:
            middle = data.x
        total = np.concatenate([np.zeros_like(middle[:, :1]), np.cumsum(middle, axis=1, dtype="float64")], axis=1)
        days = np.arange(middle.shape[1])
        past = [
            ((total[:, days + 1] - total[:, np.maximum(days + 1 - n, 0)]) / np.minimum(days + 1, n)[None, :, None])
            for n in MEMORY_DAYS
        ]
        angle = 2 * np.pi * day_of_year(data.time) / 365.25
        season = np.broadcast_to(np.column_stack([np.sin(angle), np.cos(angle)]), (*middle.shape[:2], 2))
        fixed = np.broadcast_to(data.static[:, None], (*middle.shape[:2], data.static.shape[1]))
        return np.concatenate([*past, season, fixed], axis=-1).astype("float32")

    def fit(self, data: Cube) -> _Table:
        rows, self.models, rng = self.rows(data), [], np.random.default_rng(0)
        for d in range(data.y.shape[-1]):
            x, y = rows[data.valid[..., d]], data.y[..., d][data.valid[..., d]].astype(float)
            if not y.size:  # a depth without targets has no prediction
                self.models.append(lambda new: np.full(len(new), np.nan))
                continue
            use = rng.permutation(y.size)[:20_000]
            self.models.append(
                _ridge(x, y) if self.kind == "linear" else Boosted(rounds=150, levels=()).fit(x[use], y[use]).predict
            )
        return self

    def predict(self, data: Cube) -> xr.Dataset:
        rows = self.rows(data)
        flat = rows.reshape(-1, rows.shape[-1])
        values = np.stack([m(flat).reshape(rows.shape[:2]) for m in self.models], axis=-1)
        return xr.Dataset({"soil_moisture": (("station", "time", "depth"), np.clip(values, 0.0, data.upper[:, None]))})


class _Climatology:
    """Mean of the training sites by day of the year, smoothed over a month."""

    def fit(self, data: Cube) -> _Climatology:
        day = day_of_year(data.time)
        self.table = np.empty((367, data.y.shape[-1]))
        y = np.where(data.valid, data.y, np.nan)
        for d in range(367):
            away = np.abs(day - d)
            near = np.minimum(away, 366 - away) <= 15
            n = data.valid[:, near].sum(axis=(0, 1))
            self.table[d] = np.where(n > 0, np.nansum(y[:, near], axis=(0, 1)) / np.maximum(n, 1), np.nan)
        return self

    def predict(self, data: Cube) -> xr.Dataset:
        values = np.broadcast_to(self.table[day_of_year(data.time)], data.y.shape)
        return xr.Dataset({"soil_moisture": (("station", "time", "depth"), values.copy())})


def day_of_year(time: np.ndarray) -> np.ndarray:
    """1 to 366."""
    days = time.astype("datetime64[D]")
    return (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(int) + 1


def _ridge(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    center, scale = x.mean(0), np.where(x.std(0) > 1e-8, x.std(0), 1.0)
    a = (x - center) / scale
    weight = np.linalg.solve(a.T @ a + 1e-3 * y.size * np.eye(a.shape[1]), a.T @ (y - y.mean()))
    return lambda new: y.mean() + ((new - center) / scale) @ weight


BASELINES: dict[str, Callable[[Cube, Cube], Any]] = {
    "climatology": lambda train, stop: _Climatology().fit(train),
    "linear": lambda train, stop: _Table("linear").fit(train),
    "trees": lambda train, stop: _Table("trees").fit(train),
}


def bucket(
    *, rain: str, demand: str, surface: float = 0.06, steps: int = 60, days: int = 730, seed: int = 0
) -> Callable[[Cube, Cube], Any]:
    """A `train` function for `leave_out`: the two-layer water balance, parameters learned from attributes (needs PyTorch).

    `rain` and `demand` name the inputs in mm d-1; targets down to `surface` [m] are held against the upper layer (5 cm), deeper
    ones against the lower. A site without attributes gets the one soil that suits all training sites. It learns from the first `days`
    of the training part, since a step costs what its days cost and a handful of parameters needs no more.
    """

    def train(part: Cube, stop: Cube) -> _Bucket:
        from vadose.learn import hybrid

        layer = [0 if d <= surface else 1 for d in np.asarray(part.depths, float)]
        if np.asarray(part.depths).dtype.kind in "iu":  # layers without a depth: numbered from the surface
            layer = [min(int(d), 1) for d in part.depths]
        fitted = hybrid.fit(
            part.between(slice(0, days)),
            rain=rain,
            demand=demand,
            steps=steps,
            rate=0.06,
            seed=seed,
            observe=lambda moisture: moisture[..., layer],
        )
        return _Bucket(fitted, layer)

    return train


class _Bucket:
    """A trained bucket that answers at the depths of the targets."""

    def __init__(self, fitted: Any, layer: list[int]) -> None:
        self.fitted, self.layer = fitted, layer

    def predict(self, data: Cube) -> xr.Dataset:
        moisture = self.fitted.predict(data).soil_moisture.values[..., self.layer]
        return xr.Dataset({"soil_moisture": (("station", "time", "depth"), moisture)})


def baselines(*, rain: str, demand: str, **options: Any) -> dict[str, Callable[[Cube, Cube], Any]]:
    """Climatology, linear model, trees and bucket, for inputs `rain` and `demand` in mm d-1; `options` as for `bucket`."""
    return {**BASELINES, "bucket": bucket(rain=rain, demand=demand, **options)}


def table(data: Cube, predictions: Mapping[str, xr.DataArray], *, days: int = 7) -> xr.Dataset:
    """Scores of several predictions at sites they never saw, over (model, phase, depth): pooled and per-site median.

    `phase` is all, thawed, transition (within `days` of a freeze or thaw), frozen; `rmsd`, `bias` (prediction - observation),
    `ubrmsd`, `r`, `nse`, `n`, `rmsd_median` over sites, and `skill` against climatology where that is among them.
    """
    phase = phases(data.frozen, days=days)
    masks = [np.ones(phase.shape, bool), *[phase == p for p in range(len(PHASES))]]
    names = list(predictions)
    out = {s: np.full((len(names), len(PARTS), data.y.shape[-1]), np.nan) for s in (*SCORES, "n", "rmsd_median")}
    for i, name in enumerate(names):
        values = predictions[name].transpose("station", "time", "depth").values
        for j, mask in enumerate(masks):
            for d in range(data.y.shape[-1]):
                use = mask & data.valid[..., d]
                row = score(np.where(use, data.y[..., d], np.nan), values[..., d])
                sites = [
                    score(np.where(u, y, np.nan), v)["rmsd"]
                    for u, y, v in zip(use, data.y[..., d], values[..., d], strict=True)
                ]
                for s, v in row.items():
                    out[s][i, j, d] = v
                with np.errstate(all="ignore"):
                    out["rmsd_median"][i, j, d] = np.nanmedian(sites) if np.isfinite(sites).any() else np.nan
    dims = ("model", "phase", "depth")
    result = xr.Dataset(
        {s: (dims, v, {"units": UNITS.get(s.replace("_median", ""), "1")}) for s, v in out.items()},
        coords={"model": names, "phase": list(PARTS), "depth": data.depths},
    )
    if "climatology" in names:
        result["skill"] = (1 - (result.rmsd / result.rmsd.sel(model="climatology", drop=True)) ** 2).assign_attrs(
            units="1"
        )
    return cf.provenance(result, method="M-T1.2")
