"""Quality control of a network: every rule on many sensors. The peer is the pandas formulation that one would write, sensor by sensor."""

from __future__ import annotations

import numpy as np

from benchmarks.harness import Job

SENSORS, HOURS = 40, 2 * 8760
CODES = ("C01", "C02", "D01", "D04", "D06", "D07", "D08", "D09")


def network():
    """Hourly soil moisture [%], rain [mm h-1] and soil temperature [degC] of sensors (sensor, hour) with faults and gaps."""
    rng = np.random.default_rng(1)
    rain = np.where(rng.random((SENSORS, HOURS)) < 0.03, rng.exponential(2.0, (SENSORS, HOURS)), 0.0)
    x = np.empty((SENSORS, HOURS))
    x[:, 0] = 25.0
    for t in range(1, HOURS):
        x[:, t] = np.minimum(
            x[:, t - 1] - 0.004 * (x[:, t - 1] - 8) + 1.2 * rain[:, t] * (rng.random(SENSORS) < 0.8), 42.0
        )
    x += rng.normal(0, 0.03, x.shape)
    for row in x:
        for s in rng.integers(100, HOURS - 300, 20):
            row[s] += rng.choice([-1, 1]) * rng.uniform(3, 15)
        for s in rng.integers(100, HOURS - 300, 5):
            row[s : s + rng.integers(20, 200)] = row[s - 1] * 0.5
        for s in rng.integers(100, HOURS - 300, 8):
            row[s : s + rng.integers(1, 60)] = np.nan
    year = np.cos(2 * np.pi * np.arange(HOURS) / 8766)
    warm = 8 - 12 * year + rng.normal(0, 0.5, (SENSORS, HOURS))
    return {"moisture": np.round(x, 4), "rain": np.round(rain, 3), "temperature": np.round(warm, 2)}


def _time():
    import pandas as pd

    return pd.date_range("2015-01-01", periods=HOURS, freq="h")


def ours(data):
    import xarray as xr

    from vadose import qc
    from vadose.qc.flags import FLAGS

    dims = ("station", "time")
    made = qc.flag(
        xr.Dataset(
            {
                "soil_moisture": (dims, data["moisture"], {"units": "%"}),
                "precipitation_flux": (dims, data["rain"], {"units": "mm h-1"}),
                "soil_temperature": (dims, data["temperature"], {"units": "degC"}),
            },
            coords={"time": _time()},
        ),
        depth=0.05,
        frost=False,
    )
    bits = made.soil_moisture_flag.values
    return np.array([(bits & FLAGS.mask(code)) != 0 for code in CODES])


def warm(data):
    ours({name: values[:, :HOURS] for name, values in data.items()})


def _spikes(x, second):
    up, before = x / x.shift(1), x.shift(1)
    peak = ((x > before) & (x > x.shift(-1))) | ((x < before) & (x < x.shift(-1)))
    flat_top = (x == x.shift(-1)) & (((x > before) & (x > x.shift(-2))) | ((x < before) & (x < x.shift(-2))))
    balance = (second.shift(1) / second.shift(-1)).abs().round(3)
    around = x.rolling(25, center=True)
    mean = (around.sum() - x) / 24
    squares = ((x * x).rolling(25, center=True).sum() - x * x - 24 * mean**2) / 23
    ratio = up.round(3)
    hit = (
        (peak | flat_top)
        & ((ratio > 1.15) | (ratio < 0.85))
        & (balance > 0.8)
        & (balance < 1.2)
        & ((squares / mean).abs() < 1)
    )
    return hit | (hit & flat_top).shift(1, fill_value=False)


def _breaks(x, first, second):
    step = x.diff()
    usual = (first.rolling(25, center=True, min_periods=4).mean() * 10).abs()
    edge = (
        ((step / x).abs() > 0.1) & (step.abs() > 1) & (x != 0) & (second != 0)
        & (first.abs() > usual) & ~np.isclose(first.abs(), usual)
        & ((second.shift(1) / second).abs().round(1) == 1.0) & ((second / second.shift(-2)).abs() > 10)
    )  # fmt: skip
    return (edge & (first < 0)) | ((step.abs() > 5) & (x == 0)), edge & (first > 0)


def _plateau(x, drop):
    ahead = x[::-1].rolling(13)
    relative = (ahead.var().round(4) / ahead.mean().round(4))[::-1].to_numpy()
    out, inside, last = np.zeros(len(x), bool), False, -1
    values, starts = x.to_numpy(), drop.to_numpy()
    for t in range(len(x)):
        calm = relative[t] < 0.001
        inside = bool(calm and (inside or starts[t]))
        if np.isnan(values[t]):
            last = -1
        elif inside:
            last = t
        out[t] = last >= 0 and t - last <= 12 and t >= 12
    return out


def theirs(data):
    import pandas as pd

    time, found = _time(), []
    for k in range(SENSORS):
        x, rain, temperature = (pd.Series(data[n][k], index=time) for n in ("moisture", "rain", "temperature"))
        after, before = x.shift(-1), x.shift(1)
        first, second = (after - before) / 2, after - 2 * x + before
        day = x.rolling(25, min_periods=1).std() * 2
        rise = x - x.shift(24)
        dry = rain.rolling(24, min_periods=1).sum().round(1) < 1.25
        drop, jump = _breaks(x, first, second)
        found.append(
            np.array([
                x < 0, x > 60, temperature < 0, (x.diff() > 0) & (rise > day) & ~np.isclose(rise, day) & dry,
                _spikes(x, second), drop, jump, _plateau(x, drop),
            ]) & x.notna().to_numpy()
        )  # fmt: skip
    return np.stack(found, axis=1)


def agreement(mine, other):
    differ = {code: int((a != b).sum()) for code, a, b in zip(CODES, mine, other, strict=True) if (a != b).any()}
    return f"{f'hours that differ: {differ}' if differ else 'identical flags'} ({int(other.sum())} set, {mine.size} judged)"


JOBS = (
    Job(
        "qc", "eight rules of the network", f"{SENSORS} sensors x 2 y hourly", "pandas, sensor by sensor",
        network, ours, theirs, agreement, warm=warm, packages=("numpy", "pandas"),
    ),
)  # fmt: skip
