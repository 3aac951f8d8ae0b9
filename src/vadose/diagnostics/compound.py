"""Hazards that come together: drought with heat, rain on wet soil, dryness that turns to flood (M-T2.1).

Likelihood multiplication after Zscheischler and Seneviratne 2017, doi:10.1126/sciadv.1700263: how much more often two extremes
meet than if they did not know each other. Copulas and return periods are in `vadose.diagnostics.copula`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numba import njit

from vadose import cf
from vadose.diagnostics import copula
from vadose.diagnostics.pentads import along_time
from vadose.errors import TooFewSamplesError, VadoseInputError
from vadose.typing import Rng


@njit(cache=True, nogil=True)
def _spells(mask, least, gap, out):
    """Runs of at least `least` days; runs at most `gap` days apart become one."""
    cells, n = mask.shape
    for c in range(cells):
        t, last = 0, -(10**9)
        while t < n:
            if not mask[c, t]:
                t += 1
                continue
            s = t
            while t < n and mask[c, t]:
                t += 1
            if t - s >= least:
                if 0 < s - last - 1 <= gap:
                    out[c, last + 1 : s] = True
                out[c, s:t] = True
                last = t - 1


def spells(mask: xr.DataArray, *, least: int = 1, gap: int = 0) -> xr.DataArray:
    """`mask` (time, ...) without runs shorter than `least` days and with pauses of at most `gap` days between runs filled.

    A missing value of a mask of numbers (1, 0, NaN) is false. Lazy in, lazy out.
    """
    cf.check_time(mask)

    def kernel(values):
        flat = np.ascontiguousarray(values.reshape(-1, values.shape[-1]))
        out = np.zeros(flat.shape, dtype=bool)
        _spells(flat, least, gap, out)
        return out.reshape(values.shape)

    known = mask if mask.dtype.kind == "b" else mask.fillna(0)  # a missing value is no hazard
    return along_time(kernel, known.astype(bool), dtypes=(bool,)).transpose(*mask.dims)


def drought_with_heat(
    moisture_percentile: xr.DataArray,
    temperature_percentile: xr.DataArray,
    *,
    dry: float = 20.0,
    hot: float = 90.0,
    gap: int = 2,
) -> xr.DataArray:
    """Days in a dry spell (percentile <= `dry` for 10 days) and a heat wave (> `hot` for 3 days) at once; short pauses filled."""
    drought = spells(moisture_percentile <= dry, least=10)
    heat = spells(temperature_percentile > hot, least=3)
    return spells(drought & heat, gap=gap).rename("drought_with_heat")


def rain_on_wet_soil(
    moisture_percentile: xr.DataArray,
    precipitation: xr.DataArray,
    *,
    wet: float = 90.0,
    heavy: float = 0.95,
    gap: int = 2,
) -> xr.DataArray:
    """Days of heavy rain (above the `heavy` quantile of wet days) on soil that was wet the day before."""
    data = precipitation.chunk(time=-1) if precipitation.chunks is not None else precipitation
    limit = data.where(data > 0).quantile(heavy, dim="time").drop_vars("quantile")
    before = moisture_percentile.shift(time=1) >= wet
    return spells(before & (precipitation > limit), gap=gap).rename("rain_on_wet_soil")


def whiplash(
    moisture_percentile: xr.DataArray, *, dry: float = 20.0, wet: float = 80.0, days: int = 30
) -> xr.DataArray:
    """First days at or above `wet` that follow a day at or below `dry` within `days` days."""
    recent = (moisture_percentile <= dry).rolling(time=days + 1, min_periods=1).max() > 0
    now = moisture_percentile >= wet
    first = now & ~now.shift(time=1, fill_value=False)
    return (first & recent).rename("whiplash")


def label_events(
    mask: xr.DataArray, severity: xr.DataArray | None = None, *, cell_area: xr.DataArray | float = 1.0, block: int = 365
) -> pd.DataFrame:
    """Events of a mask (time, lat, lon): cells that touch in space or time (26 neighbors) belong together.

    Works through time in blocks of `block` steps and joins labels across their borders, so that a long record need not fit in
    memory. Returns one row an event: `start`, `end`, `duration` [d], `cell_days`, `severity` (sum), `area` (largest on one day,
    unit of `cell_area`), largest severity first. `severity` and `cell_area` may have their dimensions in any order; a missing value of
    a mask of numbers is false. Cells do not touch across the first and last column.
    """
    from scipy.ndimage import label

    if mask.ndim != 3 or mask.dims[0] != "time":
        raise VadoseInputError(f"mask must be (time, y, x), got {mask.dims}")
    places = mask.isel(time=0, drop=True)
    area = xr.DataArray(cell_area).astype(float).broadcast_like(places).transpose(*places.dims).values
    weights = None if severity is None else severity.transpose(*mask.dims)
    parent: list[int] = [0]

    def root(a: int) -> int:
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        return a

    rows: list[tuple[int, int, float, float, int]] = []  # label, time, severity, area, cells
    previous = None
    for start in range(0, mask.sizes["time"], block):
        part = np.nan_to_num(mask.isel(time=slice(start, start + block)).values).astype(bool)
        weight = (
            np.ones(part.shape)
            if weights is None
            else np.nan_to_num(weights.isel(time=slice(start, start + block)).values)
        )
        labels, count = label(part, structure=np.ones((3, 3, 3)))
        offset = len(parent)
        parent.extend(range(offset, offset + count))
        labels = np.where(labels > 0, labels + offset - 1, 0)
        if previous is not None:
            _join(previous, labels[0], root, parent)
        for t in range(part.shape[0]):
            where = labels[t] > 0
            if where.any():
                ids, inverse = np.unique(labels[t][where], return_inverse=True)
                s = np.bincount(inverse, weight[t][where])
                a = np.bincount(inverse, area[where])
                n = np.bincount(inverse)
                rows.extend(
                    (int(i), start + t, float(x), float(y), int(z)) for i, x, y, z in zip(ids, s, a, n, strict=True)
                )
        previous = labels[-1]
    if not rows:
        return pd.DataFrame(columns=["start", "end", "duration", "cell_days", "severity", "area"])
    table = pd.DataFrame(rows, columns=["event", "t", "severity", "area", "cell_days"])
    table["event"] = [root(e) for e in table["event"]]
    daily = table.groupby(["event", "t"], as_index=False).sum()
    out = daily.groupby("event").agg(
        first=("t", "min"),
        last=("t", "max"),
        cell_days=("cell_days", "sum"),
        severity=("severity", "sum"),
        area=("area", "max"),
    )
    time = mask.time.values
    out.insert(0, "start", time[out["first"]])
    out.insert(1, "end", time[out["last"]])
    out.insert(2, "duration", out["last"] - out["first"] + 1)
    return out.drop(columns=["first", "last"]).sort_values("severity", ascending=False).reset_index(drop=True)


def _join(before, after, root, parent):
    """Union of labels that touch across a time border, diagonals included."""
    padded = np.pad(before, 1)
    for dy in range(3):
        for dx in range(3):
            near = padded[dy : dy + after.shape[0], dx : dx + after.shape[1]]
            touch = (near > 0) & (after > 0)
            for a, b in {(int(x), int(y)) for x, y in zip(near[touch], after[touch], strict=True)}:
                parent[root(b)] = root(a)


def likelihood_multiplication(
    first: xr.DataArray,
    second: xr.DataArray,
    *,
    p_first: float = 0.1,
    p_second: float = 0.1,
    draws: int = 1000,
    rng: Rng = 0,
) -> xr.Dataset:
    """How much more often two hazards exceed their upper `p` on the same day than if they were independent.

    first, second : (time, ...), larger is worse (for drought give 1 - percentile). Returns `multiplication_factor` p12 / (p1 p2)
    with a 90 % interval (`_low`, `_high`) that redraws whole years, `risk_ratio` P(second | first) / P(second), and `p_value`
    against independence by shuffling the years of one series (at least 10 years, else NaN). Where the two never met, the
    upper bound follows the rule of three. Computes per chunk of cells; lazy in, lazy out.
    """
    cf.check_time(first)
    if not (0 < p_first < 1 and 0 < p_second < 1):
        raise VadoseInputError(f"p_first and p_second are shares between 0 and 1, got {p_first} and {p_second}")
    year = first.time.dt.year.values
    position = (first.time.dt.dayofyear.values - 1).clip(max=364)
    seed = np.random.default_rng(rng).integers(2**31)

    def kernel(a, b):
        shape = a.shape[:-1]
        a, b = a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])
        out = np.full((a.shape[0], 5), np.nan)
        for k in range(a.shape[0]):
            out[k] = _multiply(a[k], b[k], year, position, (p_first, p_second), draws, np.random.default_rng(seed))
        return out.reshape(*shape, 5)

    values = along_time(kernel, first, second, output="part", size=5)
    names = (
        "multiplication_factor",
        "multiplication_factor_low",
        "multiplication_factor_high",
        "risk_ratio",
        "p_value",
    )
    out = xr.Dataset({n: values.isel(part=i, drop=True).assign_attrs(units="1") for i, n in enumerate(names)})
    return cf.provenance(
        out, method="M-T2.1", params={"p_first": p_first, "p_second": p_second}, references="doi:10.1126/sciadv.1700263"
    )


def _multiply(a, b, year, position, p, draws, rng):
    good = np.isfinite(a) & np.isfinite(b)
    if good.sum() < 30:
        return np.full(5, np.nan)
    x = good & (a > np.quantile(a[good], 1 - p[0]))
    y = good & (b > np.quantile(b[good], 1 - p[1]))
    years, index = np.unique(year, return_inverse=True)
    days = np.bincount(index, good)
    n1, n2, n12 = np.bincount(index, x), np.bincount(index, y), np.bincount(index, x & y)

    def factor(w):
        bottom = (w @ n1) * (w @ n2)
        return np.where(bottom > 0, (w @ n12) * (w @ days) / np.where(bottom > 0, bottom, 1), np.nan)

    one = np.ones(years.size)
    lmf = float(factor(one))
    weights = rng.multinomial(years.size, np.full(years.size, 1 / years.size), size=draws)
    low, high = np.nanquantile(factor(weights), [0.05, 0.95])
    if n12.sum() == 0:
        low, high = 0.0, 3.0 / days.sum() / (n1.sum() * n2.sum() / days.sum() ** 2)
    p_value = np.nan
    if years.size >= 10:
        grid_x, grid_y = np.zeros((years.size, 365)), np.zeros((years.size, 365))
        np.maximum.at(grid_x, (index, position), x)
        np.maximum.at(grid_y, (index, position), y)
        together = grid_x @ grid_y.T
        rows = np.arange(years.size)
        chance = np.array([together[rows, rng.permutation(years.size)].sum() for _ in range(draws)])
        p_value = (1 + (chance >= together[rows, rows].sum()).sum()) / (draws + 1)
    return np.array([lmf, low, high, (n12.sum() / n1.sum()) / (n2.sum() / days.sum()), p_value])


def antecedent_control(
    flood: np.ndarray, rain: np.ndarray, moisture: np.ndarray, *, bins: int = 4
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Does moisture before rain decide about floods? Share of floods by rain and moisture bin, and a logistic regression.

    flood: 0/1; rain and moisture: any unit, one value an event. The regression is on standardized rain, moisture and their product;
    its table gives `estimate`, `standard_error`, `odds_ratio` (per standard deviation). At least 50 events.
    """
    flood, rain, moisture = (np.asarray(v, dtype=float) for v in (flood, rain, moisture))
    good = np.isfinite(flood) & np.isfinite(rain) & np.isfinite(moisture)
    if good.sum() < 50:
        raise TooFewSamplesError(f"{int(good.sum())} events, at least 50 are needed")
    frame = pd.DataFrame({"flood": flood[good], "rain": rain[good], "moisture": moisture[good]})
    cut = frame.assign(
        rain=pd.qcut(frame["rain"], bins, duplicates="drop"),
        moisture=pd.qcut(frame["moisture"], bins, duplicates="drop"),
    )
    shares = cut.pivot_table(index="rain", columns="moisture", values="flood", aggfunc="mean", observed=False)
    z = (frame[["rain", "moisture"]] - frame[["rain", "moisture"]].mean()) / frame[["rain", "moisture"]].std()
    x = np.column_stack([np.ones(len(z)), z["rain"], z["moisture"], z["rain"] * z["moisture"]])
    beta = np.zeros(4)
    for _ in range(50):
        probability = 1 / (1 + np.exp(-np.clip(x @ beta, -30, 30)))
        w = np.maximum(probability * (1 - probability), 1e-9)
        step = np.linalg.solve(
            x.T @ (x * w[:, None]) + 1e-6 * np.eye(4), x.T @ (frame["flood"].to_numpy() - probability)
        )
        beta += step
        if np.abs(step).max() < 1e-10:
            break
    error = np.sqrt(np.diag(np.linalg.inv(x.T @ (x * w[:, None]) + 1e-6 * np.eye(4))))
    names = ["intercept", "rain", "moisture", "rain x moisture"]
    table = pd.DataFrame({"estimate": beta, "standard_error": error, "odds_ratio": np.exp(beta)}, index=names)
    return shares, table


def dependence_map(
    first: xr.DataArray, second: xr.DataArray, *, at: float = 0.9, interval: float = 1.0, rng: Rng = 0
) -> xr.Dataset:
    """The copula of two hazards in each cell, by AIC, and what it means for return periods.

    first, second : (year, ...), one value a year (larger is worse). Returns `family` (number in the list of the attribute
    `flag_meanings`, -1 with fewer than 20 pairs), `parameter`, `lower_tail`, `upper_tail`, and `return_period_and`, `return_period_or` [units of
    `interval`] of both, or either, above their `at` quantile. Lazy in, lazy out; about 0.1 s a cell.
    """
    names = list(copula.FAMILIES)

    def kernel(a, b):
        shape = a.shape[:-1]
        a, b = a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])
        out = np.full((a.shape[0], 6), np.nan)
        out[:, 0] = -1
        for k in range(a.shape[0]):
            try:
                best = copula.fit_copula(a[k], b[k], rng=rng)
            except TooFewSamplesError:
                continue
            periods = copula.return_periods(best, at, at, interval=interval)
            out[k] = names.index(best.family), best.parameters[0], *best.tails, periods["and"], periods["or"]
        return out.reshape(*shape, 6)

    arrays = [x.chunk(year=-1) if x.chunks is not None else x for x in (first, second)]
    values = xr.apply_ufunc(
        kernel,
        *arrays,
        input_core_dims=[["year"], ["year"]],
        output_core_dims=[["part"]],
        dask="parallelized",
        output_dtypes=[float],
        dask_gufunc_kwargs={"output_sizes": {"part": 6}},
    )
    parts = ("family", "parameter", "lower_tail", "upper_tail", "return_period_and", "return_period_or")
    out = xr.Dataset({n: values.isel(part=i, drop=True).assign_attrs(units="1") for i, n in enumerate(parts)})
    out["family"] = (
        out["family"]
        .astype("int8")
        .assign_attrs(flag_values=np.arange(len(names), dtype="int8"), flag_meanings=" ".join(names))
    )
    return cf.provenance(out, method="M-T2.1", params={"at": at})
