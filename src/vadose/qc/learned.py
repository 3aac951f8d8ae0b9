"""What no rule describes: readings unlike the others of their network, found without labels (flag M01).

Two judges that fail in different ways must agree. An isolation forest looks at nine features of each hour; a small
convolutional autoencoder tries to redraw each week of readings and cannot draw what it has never seen. A reading is flagged
where both are more surprised than by 99.5 % of the readings that the rules found clean.

Liu et al. 2008, doi:10.1109/ICDM.2008.17 (isolation forest).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from vadose import cf, units
from vadose.errors import TooFewSamplesError, VadoseInputError
from vadose.harmonize.climatology import climatology, expected
from vadose.qc.flags import FLAGS, ISMN_CODES
from vadose.typing import Rng

WEEK = 168  # hours that the autoencoder sees
STEP = 24  # hours between its windows
TREES = 200
QUANTILE = 0.995
CODE = 12  # numbers that a week must pass through
FEATURES = (
    "moisture", "rate", "curvature", "range_24h", "against_other_depths", "against_season", "soil_temperature",
    "snow_amount", "rain_24h",
)  # fmt: skip


@dataclass(frozen=True)
class Unusual:
    """What was learned: the forest, the autoencoder, the scales of features, and each judge's threshold."""

    forest: Any
    network: Any
    center: np.ndarray
    scale: np.ndarray
    forest_limit: float
    redraw_limit: float


def learn(dataset: xr.Dataset, *, rng: Rng = 0, epochs: int = 30, weeks: int = 3000) -> Unusual:
    """Learn what is usual from flagged hourly series (..., time), using only what the network's rules found clean.

    `weeks` windows at most train the autoencoder. The same `rng` (a seed) gives the same result on the same machine.
    Raises TooFewSamplesError below 30 clean days in all, VadoseInputError without `soil_moisture_flag`.
    """
    if "soil_moisture_flag" not in dataset:
        raise VadoseInputError("no 'soil_moisture_flag'; the rules must speak first: vadose.qc.flag(dataset)")
    from sklearn.ensemble import IsolationForest

    seed = int(np.random.default_rng(rng).integers(2**31))
    table, moisture, rain = _features(dataset)
    clean = _clean(dataset) & np.isfinite(table).all(-1)
    if clean.sum() < 30 * 24:
        raise TooFewSamplesError(f"{int(clean.sum())} clean hours are too few to learn from; 720 (30 days) are needed")
    known = table[clean]
    center = np.median(known, axis=0)
    scale = np.maximum(np.quantile(known, 0.95, axis=0) - np.quantile(known, 0.05, axis=0), 1e-9)
    forest = IsolationForest(n_estimators=TREES, max_samples=1024, random_state=seed)
    sample = np.random.default_rng(seed).permutation(known.shape[0])[:200_000]
    forest.fit((known[sample] - center) / scale)
    network = _train(moisture, rain, clean, epochs, weeks, seed)
    oddness = -forest.score_samples((known - center) / scale)
    error = _redraw_error(network, moisture, rain)[clean]
    return Unusual(
        forest, network, center, scale, float(np.quantile(oddness, QUANTILE)), float(np.nanquantile(error, QUANTILE))
    )


def flag_unusual(dataset: xr.Dataset, model: Unusual) -> xr.Dataset:
    """`dataset` with M01 where both judges are surprised, and `soil_moisture_oddness` (1 at the threshold, the lesser of the two).

    Hourly series (..., time) with `soil_moisture_flag`. Computes. Raises TooFewSamplesError for series shorter than a week.
    """
    table, moisture, rain = _features(dataset)
    whole = np.isfinite(table).all(-1)
    forest = np.full(whole.shape, np.nan)
    forest[whole] = -model.forest.score_samples((table[whole] - model.center) / model.scale)
    error = _redraw_error(model.network, moisture, rain)
    # scores of a forest lie between 0 and 1 with 0.5 for the ordinary: measure from there
    score = np.fmin((forest - 0.4) / (model.forest_limit - 0.4), error / model.redraw_limit)
    score[~whole | ~np.isfinite(error)] = np.nan
    series = dataset["soil_moisture"].transpose(..., "time")
    oddness = xr.DataArray(score.reshape(series.shape), dims=series.dims).transpose(*dataset["soil_moisture"].dims)
    out = dataset.copy(deep=False)
    bits = dataset["soil_moisture_flag"]
    out["soil_moisture_flag"] = (bits | xr.where(oddness > 1.0, FLAGS.mask("M01"), 0).astype("uint32")).assign_attrs(
        bits.attrs
    )
    out["soil_moisture_oddness"] = oddness.assign_attrs(units="1", long_name="oddness: above 1 is flagged M01")
    return cf.link(out, "soil_moisture", "soil_moisture_oddness")


def _clean(dataset):
    flags = dataset["soil_moisture_flag"].transpose(..., "time")
    doubt = FLAGS.mask(*(c for c in ISMN_CODES if c not in ("D04", "D05", "G")), "B01", "B05")
    bits = flags.values.reshape(-1, flags.sizes["time"])
    known = dataset["soil_moisture"].transpose(..., "time").values.reshape(bits.shape)
    return np.isfinite(known) & ((bits & doubt) == 0)


def _rows(dataset, name, like, unit):
    """A variable as (series, time) beside soil moisture; zero where the dataset does not have it."""
    if name not in dataset:
        return np.zeros(like.shape).reshape(-1, like.sizes["time"])
    array = units.convert(dataset[name], unit).broadcast_like(like).transpose(*like.dims)
    return np.nan_to_num(array.values.astype(float)).reshape(-1, like.sizes["time"])


def _features(dataset):
    """Features (series, time, 9), moisture and rain (series, time) of hourly series."""
    cf.check_time(dataset["soil_moisture"])
    like = units.convert(dataset["soil_moisture"], "m3 m-3").transpose(..., "time")
    x = like.values.astype(float).reshape(-1, like.sizes["time"])
    rate = np.gradient(x, axis=1)
    before, after = np.roll(x, 1, axis=1), np.roll(x, -1, axis=1)
    curvature = np.where(np.arange(x.shape[1]) % (x.shape[1] - 1) == 0, 0.0, after - 2 * x + before)
    window = like.rolling(time=25, center=True, min_periods=6)
    spread = (window.max() - window.min()).transpose(*like.dims).values.reshape(x.shape)
    apart = (like - like.median("sensor_depth")) if "sensor_depth" in like.dims else xr.zeros_like(like)
    other = (apart - apart.median("time")).transpose(*like.dims).values.reshape(x.shape)
    rain = _rows(dataset, "precipitation_flux", like, "mm h-1")
    total = np.cumsum(rain, axis=1)
    fallen = total - np.pad(total, ((0, 0), (24, 0)))[:, : total.shape[1]]
    columns = (
        x, rate, curvature, spread, other, _against_season(like).reshape(x.shape),
        _rows(dataset, "soil_temperature", like, "degC"), _rows(dataset, "snow_amount", like, "kg m-2"), fallen,
    )  # fmt: skip
    return np.stack(columns, axis=-1), x, rain


def _against_season(series):
    daily = series.resample(time="1D").mean()
    usual = climatology(daily).fillna(daily.mean("time"))
    return (series - expected(usual, series.time)).transpose(*series.dims).values


def _windows(moisture, rain):
    """Weeks (windows, 2, hours) from every series, their place (series, start), centered and in units of 0.1 m3 m-3 and 5 mm."""
    hours = moisture.shape[1]
    if hours < WEEK:
        raise TooFewSamplesError(f"series of {hours} hours are shorter than the {WEEK} hours of a window")
    starts = np.unique(np.r_[np.arange(0, hours - WEEK + 1, STEP), hours - WEEK])
    at = np.arange(WEEK)
    place = [(k, s) for k in range(moisture.shape[0]) for s in starts]
    series = np.array([k for k, _ in place])
    index = np.array([s for _, s in place])[:, None] + at
    filled = np.stack([_filled(row) for row in moisture])
    x = filled[series[:, None], index]
    x = (x - np.median(x, axis=1, keepdims=True)) / 0.1
    return np.stack([x, np.minimum(rain[series[:, None], index] / 5.0, 4.0)], axis=1).astype("float32"), series, index


def _filled(row):
    good = np.isfinite(row)
    return np.interp(np.arange(row.size), np.flatnonzero(good), row[good]) if good.any() else np.zeros(row.size)


def _train(moisture, rain, clean, epochs, weeks, seed):
    """An autoencoder of clean weeks: two channels in, moisture out, through `CODE` numbers a week."""
    import torch
    from torch import nn

    data, series, index = _windows(moisture, rain)
    whole = clean[series[:, None], index].mean(axis=1) > 0.98
    data = data[whole] if whole.sum() >= 50 else data
    data = data[np.random.default_rng(seed).permutation(data.shape[0])[:weeks]]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv1d(2, 16, 7, stride=2, padding=3), nn.ReLU(), nn.Conv1d(16, 24, 5, stride=2, padding=2), nn.ReLU(),
            nn.Flatten(), nn.Linear(24 * 42, CODE), nn.Linear(CODE, 24 * 42), nn.ReLU(), nn.Unflatten(1, (24, 42)),
            nn.ConvTranspose1d(24, 16, 4, stride=2, padding=1), nn.ReLU(), nn.ConvTranspose1d(16, 1, 4, stride=2, padding=1),
        )  # fmt: skip
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        tensor = torch.from_numpy(data)
        for _ in range(epochs):
            for batch in torch.randperm(tensor.shape[0]).split(64):
                optimizer.zero_grad()
                loss = nn.functional.smooth_l1_loss(network(tensor[batch])[:, 0], tensor[batch, 0], beta=0.1)
                loss.backward()
                optimizer.step()
    return network.eval()


def _redraw_error(network, moisture, rain):
    """How far each hour is from the autoencoder's drawing of it: the change around the hour that it did not draw (series, time).

    Differences to the neighbors are compared, not levels, so that a whole week drawn too low is not a surprise in every hour.
    """
    import torch

    data, series, index = _windows(moisture, rain)
    with torch.no_grad():
        drawn = np.concatenate([network(part)[:, 0].numpy() for part in torch.from_numpy(data).split(512)])
    miss = data[:, 0] - drawn
    edge = np.pad(miss, ((0, 0), (1, 1)), mode="edge")
    sharp = np.maximum(np.abs(miss - edge[:, :-2]), np.abs(miss - edge[:, 2:]))
    total, count = np.zeros(moisture.shape), np.zeros(moisture.shape)
    np.add.at(total, (series[:, None], index), sharp)
    np.add.at(count, (series[:, None], index), 1.0)
    return np.where(np.isfinite(moisture), total / np.maximum(count, 1.0), np.nan)
