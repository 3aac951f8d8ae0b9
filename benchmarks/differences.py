"""Numbers of docs/peers.md: what the peers' formulas give, and what ours give, on the same draws. `python -m benchmarks.differences` prints the table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from scipy import signal, stats

from vadose.harmonize import anomaly, climatology, rescale
from vadose.metrics import compare, rank_scores

Z = stats.norm.ppf(0.975)


def tau_coverage(trials: int = 1500, n: int = 200) -> tuple[float, float]:
    """Share of nominal 95 % intervals of Kendall's tau that hold the truth (2/pi) asin(0.6), days independent."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(trials, n))
    y = 0.6 * x + 0.8 * rng.normal(size=x.shape)
    found = rank_scores(*(xr.DataArray(v, dims=("cell", "time")) for v in (x, y)))
    truth = 2 / np.pi * np.arcsin(0.6)
    center = np.arctanh(found.kendall.values)
    half = Z * 0.431 / np.sqrt(n - 3)
    theirs = np.mean((np.tanh(center - half) <= truth) & (truth <= np.tanh(center + half)))
    ours = np.mean((found.kendall_low.values <= truth) & (truth <= found.kendall_high.values))
    return float(theirs), float(ours)


def memory_coverage(trials: int = 1000, n: int = 1000, phi: float = 0.9) -> dict[str, tuple[float, float]]:
    """The same for bias, ubRMSD and correlation of two AR(1) series that share half of their variance."""
    rng = np.random.default_rng(2)

    def red():
        return signal.lfilter([np.sqrt(1 - phi**2)], [1, -phi], rng.normal(size=(trials, n + 200)), axis=1)[:, 200:]

    common = red()
    x, y = (np.sqrt(0.5) * common + np.sqrt(0.5) * red() for _ in range(2))
    found = compare(*(xr.DataArray(v, dims=("cell", "time")) for v in (x, y)))
    bias, r = found.bias.values, found.pearson.values
    half = stats.t.ppf(0.975, n - 1) * (y - x).std(1, ddof=1) / np.sqrt(n)
    reach = Z / np.sqrt(n - 3)
    low, high = np.tanh(np.arctanh(r) - reach), np.tanh(np.arctanh(r) + reach)
    square, true = n * (y - x).var(1), 1.0  # two halves of independent red noise: the difference has variance 1
    least, most = (np.sqrt(square / stats.chi2.ppf(q, n - 1)) for q in (0.975, 0.025))
    return {
        "bias": (float(np.mean(np.abs(bias) <= half)), float(np.mean((found.bias_low <= 0) & (found.bias_high >= 0)))),
        "ubrmsd": (
            float(np.mean((least <= true) & (true <= most))),
            float(np.mean((found.ubrmsd_low <= true) & (found.ubrmsd_high >= true))),
        ),
        "correlation": (
            float(np.mean((low <= 0.5) & (high >= 0.5))),
            float(np.mean((found.pearson_low <= 0.5) & (found.pearson_high >= 0.5))),
        ),
    }


def anticorrelated() -> tuple[float, float]:
    """Mean after linear rescaling of a source that runs against its reference (whose mean is 0.25), [m3 m-3]."""
    rng = np.random.default_rng(3)
    x = 0.3 + 0.05 * rng.normal(size=2000)
    y = 0.25 - 0.8 * (x - 0.3) + 0.01 * rng.normal(size=x.size)
    slope, intercept = stats.linregress(x, y)[:2]
    source, reference = (xr.DataArray(v, dims="time", name="soil_moisture") for v in (x, y))
    ours = rescale.apply(source, rescale.fit(source, reference, method="linreg")).soil_moisture
    return float(np.mean(abs(slope) * x + intercept)), float(ours.mean())


def annual_cycle() -> tuple[float, float]:
    """Rms of the anomalies of a pure annual cycle of amplitude 1, ten years, which has none.

    The peer's climatology keeps 29 February as day 60 of every year; its anomalies look a day up by its number in its own year,
    so from March on years without a leap day read the day before.
    """
    time = pd.date_range("2007-01-01", periods=3652, freq="D")
    x = xr.DataArray(np.cos(2 * np.pi * np.arange(time.size) / 365.2425), dims="time", coords={"time": time})
    cycle = climatology(x)
    theirs = x.values - cycle.values[time.day_of_year - 1]
    return float(np.sqrt(np.mean(theirs**2))), float(np.sqrt((anomaly(x, cycle) ** 2).mean()))


def one_gap() -> tuple[float, float]:
    """Share of 2000 values that are numbers after matching mean and spread, when one day of the source is missing."""
    rng = np.random.default_rng(4)
    x, y = 0.3 + 0.05 * rng.normal(size=2000), 0.25 + 0.04 * rng.normal(size=2000)
    x[100] = np.nan
    theirs = (x - np.mean(x)) / np.std(x) * np.std(y) + np.mean(y)
    source, reference = (xr.DataArray(v, dims="time", name="soil_moisture") for v in (x, y))
    ours = rescale.apply(source, rescale.fit(source, reference, method="mean_std")).soil_moisture
    return float(np.isfinite(theirs).mean()), float(np.isfinite(ours).mean())


def beyond_the_fit() -> tuple[float, float]:
    """Largest value after CDF matching of data 1.5 times as wet as those fitted: the last segment goes on, or is stopped (`clip`)."""
    rng = np.random.default_rng(5)
    x = np.clip(0.25 + 0.06 * rng.normal(size=3653), 0.03, 0.5)
    source, reference = (xr.DataArray(v, dims="time", name="soil_moisture") for v in (x, 0.05 + 0.8 * x))
    fitted = rescale.fit(source, reference)
    linear, stopped = (
        float(rescale.apply(1.5 * source, fitted, extrapolation=rule).soil_moisture.max())
        for rule in ("linear", "clip")
    )
    return linear, stopped


def rows() -> dict[str, tuple[float, float]]:
    """Row of the page -> number by the peer's formula, ours."""
    memory = memory_coverage()
    return {
        "interval of Kendall's tau": tau_coverage(),
        "interval of bias, AR(1) 0.9": memory["bias"],
        "interval of ubRMSD, AR(1) 0.9": memory["ubrmsd"],
        "interval of correlation, AR(1) 0.9": memory["correlation"],
        "mean after linreg, anticorrelated": anticorrelated(),
        "values left after mean_std with one gap": one_gap(),
        "rms anomaly of a pure annual cycle": annual_cycle(),
        "largest value after CDF matching, 1.5 x wetter": beyond_the_fit(),
    }


if __name__ == "__main__":
    for name, (theirs, ours) in rows().items():
        print(f"| {name} | {theirs:.3f} | {ours:.3f} |")
