"""A reference and a model to scores: the one-call form, and what the runner uses for many models at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from vadose.benchmark import own as alone
from vadose.benchmark import scores as scoring
from vadose.benchmark.cells import Cells, meet
from vadose.benchmark.state import MONTHS, Axis, State, common_months, measure
from vadose.typing import Rng

if TYPE_CHECKING:
    from vadose.benchmark.second import Second

#: Side of the blocks of cells that are drawn together for intervals [degrees].
BLOCK = 5.0
#: The part of the reference's standard error that is taken to be common to a region and the whole record.
SYSTEMATIC = 0.5
LEVEL = 0.90


@dataclass(frozen=True)
class Pair:
    """One model against one reference on common cells: states of both passes; `own` where a scheme asks for each record by itself and there are gaps."""

    cells: Cells
    axis: Axis
    state: State
    second: Second | None
    regions: tuple[str, ...]
    inside: np.ndarray
    units: str
    own: alone.Own | None = None


def pair(
    reference: xr.DataArray,
    other: xr.DataArray,
    *,
    regions: Mapping[str, Any] | None = None,
    error: xr.DataArray | None = None,
    period: tuple[str, str] | None = None,
    second: bool = True,
    own: bool = False,
    land: np.ndarray | None = None,
) -> Pair:
    """Measure monthly records (time, place) against each other: one pass, two with `second`. `regions`: name -> function(lat, lon).

    `own` also measures each record over all that it has, where the other has gaps (scheme ilamb3)."""
    scoring.check_units(reference, other)
    cells = meet(reference, other, land=land)
    axis = common_months(reference, other, period=period, climatology=True)
    state = measure(reference, other, cells, axis, error=error, extremes=second)
    named = dict(regions or {"all": lambda lat, lon: np.ones(lat.size, bool)})
    inside = np.stack([np.asarray(f(cells.lat, cells.lon), bool) for f in named.values()])
    apart = alone.measure_own(reference, other, cells, axis) if own and alone.has_gaps(state) else None
    again = None
    if second:
        from vadose.benchmark.second import measure_again  # loads a compiler, which schemes of one pass do without

        again = measure_again(reference, other, cells, axis, state, inside, error=error, own=apart)
    return Pair(cells, axis, state, again, tuple(named), inside, str(reference.attrs.get("units", "1")), apart)


def score(
    reference: xr.DataArray,
    other: xr.DataArray,
    *,
    scheme: str = "ilamb2018",
    regions: Mapping[str, Any] | None = None,
    error: xr.DataArray | None = None,
    period: tuple[str, str] | None = None,
    draws: int = 0,
    rng: Rng = 0,
) -> pd.DataFrame:
    """Scores of a monthly model record against a reference as a tidy table (region, kind, statistic, value, low, high, n, units).

    Records have `time` and places: lat and lon axes, or a dimension with lat and lon along it (mesh, stations). They are compared on
    the union of their cell edges, on the months both have. `error` is the reference's standard error. `draws` > 0 gives 90 %
    intervals (see `table`). Dask-backed records are read in blocks of time; no copy on another grid is made.
    """
    the = scoring.scheme(scheme)
    measured = pair(
        reference,
        other,
        regions=regions,
        error=error,
        period=period,
        second=scoring.needs_second(the, error is not None),
        own=the.own,
    )
    return table(measured, the, draws=draws, rng=rng)


def maps_of(measured: Pair, the: scoring.Scheme) -> dict[str, np.ndarray]:
    """What is known of every cell under a scheme."""
    return scoring.by_cell(measured.state, the, measured.second, measured.own)


def pooled_quantiles(pairs: list[Pair], the: scoring.Scheme) -> dict[str, dict[str, float]]:
    """By region, the errors of bias and rmse that 70 % of the area of all models together stay below."""
    out: dict[str, dict[str, float]] = {}
    held = [(p, maps_of(p, the)) for p in pairs]
    for k, name in enumerate(pairs[0].regions):
        out[name] = {}
        for score_name, source in (("bias", "bias_beyond"), ("rmse", "crmse_beyond")):
            values = np.concatenate([np.where(p.inside[k], m[source], np.nan) for p, m in held])
            out[name][score_name] = scoring.area_quantile(values, np.concatenate([p.cells.weight for p in pairs]))
    return out


def table(
    measured: Pair,
    the: scoring.Scheme,
    *,
    quantiles: Mapping[str, Mapping[str, float]] | None = None,
    mass: bool = False,
    draws: int = 0,
    rng: Rng = 0,
) -> pd.DataFrame:
    """Scores and quantities by region.

    `low`, `high` hold 90 % of draws that take blocks of cells with replacement and move the reference within its standard error: one half
    common to all cells and months, the rest independent by cell and month. Their spread about their median is laid around the score, for
    a reference that errs already and is moved again scores every model lower than the one at hand. They say how far the score depends on
    which places were compared and how sure the reference is, not on the years that were sampled.
    """
    maps = maps_of(measured, the)
    rows = []
    for k, name in enumerate(measured.regions):
        inside = measured.inside[k]
        if not (inside & np.isfinite(measured.state.total)).any():
            rows.append(
                _row(name, "score", "coverage", scoring.coverage(measured.state, measured.cells.weight, inside), 0, "1")
            )
            continue
        options = _options(measured, the, k, name, quantiles, mass)
        found = scoring.by_region(maps, measured.state, measured.cells, inside, the, **options)
        n = int((inside & np.isfinite(maps["bias"])).sum())
        low, high = _interval(measured, the, k, options, draws, rng, found) if draws else ({}, {})
        rows += [_row(name, "score", s, v, n, "1", low.get(s), high.get(s)) for s, v in found.items()]
        for statistic, value in scoring.quantities(maps, measured.state, measured.cells, inside).items():
            rows.append(_row(name, "quantity", statistic, value, n, _units(statistic, measured.units)))
    return pd.DataFrame(rows).astype({"value": float, "low": float, "high": float})


def _options(measured, the, k, name, quantiles, mass):
    own = quantiles[name] if quantiles else None
    histogram = measured.second.distribution[k] if measured.second is not None else None
    return {"quantiles": own, "histogram": histogram if the.second else None, "mass": mass}


def _row(region, kind, statistic, value, n, units, low=None, high=None):
    return {
        "region": region, "kind": kind, "statistic": statistic, "value": value, "low": np.nan if low is None else low,
        "high": np.nan if high is None else high, "n": n, "units": units,
    }  # fmt: skip


def _units(statistic, units):
    if statistic == "shift":
        return "d"
    if statistic.endswith("memory"):
        return "months"
    if statistic.startswith(("spatial", "unscorable")) or statistic.endswith("correlation"):
        return "1"
    return units


def blocks_of(cells: Cells, inside: np.ndarray) -> np.ndarray:
    """Number of the block of each cell: 5 degrees, or a quarter of a smaller region."""
    lat, lon = cells.lat[inside], cells.lon[inside]
    if lat.size == 0:
        return np.zeros(cells.size, int)
    size = [min(BLOCK, max(np.ptp(v) / 4, 1e-3)) for v in (lat, lon)]
    return np.floor(cells.lat / size[0]).astype(int) * 100_000 + np.floor(cells.lon / size[1]).astype(int)


def _interval(measured, the, k, options, draws, rng, score):
    generator = np.random.default_rng(rng)
    inside = measured.inside[k] & (measured.state.seen[0] > 0)
    part, state = _only(measured, inside)
    _, block = np.unique(blocks_of(part, np.ones(part.size, bool)), return_inverse=True)
    count = int(block.max()) + 1
    moved = bool((state.error[0] > 0).any())
    if count == 1 and not moved:  # one place, drawn again and again, says nothing of its uncertainty
        return {}, {}
    second = None if measured.second is None else _second_only(measured.second, inside)
    own = None if measured.own is None else alone.inside(measured.own, inside)
    maps = scoring.by_cell(state, the, second, own)
    found: list[dict[str, float]] = []
    for _ in range(draws):
        times = np.bincount(generator.integers(0, count, count), minlength=count)[block]
        here, drawn = state, maps
        if moved:
            here, there = _moved(state, own, generator)
            drawn = scoring.by_cell(here, the, second, there)
        found.append(
            scoring.by_region(drawn, here, part, np.ones(part.size, bool), the, weight=part.weight * times, **options)
        )
    # `values` rests on the region's distribution, which a draw of cells does not renew: no interval rather than one of no width
    values = pd.DataFrame(found).drop(columns="values", errors="ignore")
    tail = (1 - LEVEL) / 2
    low, middle, high = (values.quantile(q) for q in (tail, 0.5, 1 - tail))
    return tuple({k: float(np.clip(score[k] + end[k] - middle[k], 0.0, 1.0)) for k in end.index} for end in (low, high))


def _only(measured, inside):
    c, s = measured.cells, measured.state
    cells = Cells(c.lat[inside], c.lon[inside], c.weight[inside], c.reference[inside], c.other[inside])
    state = State(
        s.weight[:, inside], s.cycle[:, :, inside], s.within[:, inside], s.low[:, inside], s.high[:, inside], s.n[inside],
        s.error[:, inside], s.seen[:, inside], s.steps,
    )  # fmt: skip
    return cells, state


def _second_only(second, inside):
    return replace(second, lag=second.lag[:, inside], pairs=second.pairs[inside], beyond=second.beyond[inside])


def _moved(state: State, own: alone.Own | None, generator: np.random.Generator) -> tuple[State, alone.Own | None]:
    """The states as they would be had the reference been another of the references that its standard error allows."""
    sigma = state.error[0]
    common = SYSTEMATIC * sigma * generator.normal()
    years = np.maximum(state.n / MONTHS, 1.0)
    step = common + np.sqrt(1 - SYSTEMATIC**2) * sigma / np.sqrt(years) * generator.normal(size=state.cycle[0].shape)
    moved = replace(state, cycle=np.stack([state.cycle[0] + step, state.cycle[1]]))
    if own is None:
        return moved, None
    mean = np.stack([own.mean[0] + np.nan_to_num(moved.mean(0) - state.mean(0)), own.mean[1]])
    return moved, replace(own, mean=mean, cycle=np.stack([own.cycle[0] + step, own.cycle[1]]))


def baseline(measured: Pair) -> Pair:
    """The best simple predictor: it knows of the reference the mean annual cycle of each parallel (2 degree bands), nothing of place or year.

    A model that scores below it has learned less than latitude and season. Computed from the state; no data are read.
    """
    state, cells = measured.state, measured.cells
    band = np.floor(cells.lat / 2.0).astype(int)
    _, band = np.unique(band, return_inverse=True)
    known = np.isfinite(state.total)
    cycle = state.cycle.copy()
    for m in range(MONTHS):
        w = np.where(known & (state.weight[m] > 0), cells.weight, 0.0)
        total = np.bincount(band, w, minlength=band.max() + 1)
        mean = np.bincount(band, w * state.cycle[0, m], minlength=band.max() + 1) / np.where(total > 0, total, 1.0)
        cycle[1, m] = np.where(total[band] > 0, mean[band], state.cycle[0, m])
    within = state.within.copy()
    within[1:] = 0.0
    seen = np.stack([state.seen[0], state.seen[0]])
    low, high = state.low.copy(), state.high.copy()
    low[1], high[1] = cycle[1].min(axis=0), cycle[1].max(axis=0)
    second = None
    if measured.second is not None:
        s = measured.second
        hist = s.distribution.copy()
        for r in range(len(hist)):
            use = measured.inside[r] & known
            values = cycle[1][:, use].ravel()
            weight = (state.weight[:, use] * cells.weight[use]).ravel()
            step = s.edges[r, 1] - s.edges[r, 0]
            if step > 0 and values.size:
                at = np.clip(((values - s.edges[r, 0]) / step).astype(int), 0, hist.shape[2] - 1)
                hist[r, 1] = np.bincount(at, weight, minlength=hist.shape[2]) / weight.sum()
        lag = s.lag.copy()
        lag[1] = 0.0
        moved = replace(state, cycle=cycle, within=within)
        second = replace(s, lag=lag, beyond=moved.crmse() ** 2, distribution=hist)
    return replace(
        measured,
        state=replace(state, cycle=cycle, within=within, seen=seen, low=low, high=high),
        second=second,
        own=None,
    )
