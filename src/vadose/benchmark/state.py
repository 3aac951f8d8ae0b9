"""One pass over a reference and a model: what every score needs, in memory that does not grow with the record.

A state holds for each cell and calendar month the weight and both means, and for each cell the co-moments of what departs
from them. Mean, annual cycle, variability, correlation and centered error, of the series or of its cycle, are functions of it.
Months are weighted by their lengths. A second pass measures what needs the mean cycle first: memory of anomalies,
distributions, and errors beyond the uncertainty of the reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numba import njit

from vadose.benchmark.cells import Cells, space
from vadose.errors import TimeAxisError

MONTHS = 12
BINS = 25
#: Values of one block of time that are in memory at once, for each of both records.
BLOCK_VALUES = 3_000_000


@dataclass(frozen=True)
class State:
    """Arrays by cell: `weight` (month, cell), `cycle` (2, month, cell), `within` (3, cell) = sums of squares and products of
    departures from the cycle (reference, other, both), `low`, `high` (2, cell), `n` (cell), `error` (2, cell) = weighted mean of
    the reference's standard error and of its square, `seen` (2, cell): how many values each record has. Source 0 is the reference.
    """

    weight: np.ndarray
    cycle: np.ndarray
    within: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: np.ndarray
    error: np.ndarray
    seen: np.ndarray
    steps: int

    @property
    def total(self) -> np.ndarray:
        """Weight of each cell; NaN where no common value."""
        total = self.weight.sum(axis=0)
        return np.where(total > 0, total, np.nan)

    def mean(self, source: int) -> np.ndarray:
        """Time mean of each cell."""
        return np.nansum(self.weight * np.nan_to_num(self.cycle[source]), axis=0) / self.total

    def cycle_moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Variances and covariance of the mean annual cycles about their means."""
        total = self.total
        a, b = (np.nan_to_num(self.cycle[k] - self.mean(k)) for k in (0, 1))
        return tuple((self.weight * p).sum(axis=0) / total for p in (a * a, b * b, a * b))  # type: ignore[return-value]

    def departures(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Variances and covariance of what departs from the mean annual cycle."""
        return tuple(self.within[k] / self.total for k in range(3))  # type: ignore[return-value]

    def crms(self, source: int = 0) -> np.ndarray:
        """Standard deviation in time of the whole series."""
        return np.sqrt(np.maximum(self.cycle_moments()[source] + self.departures()[source], 0.0))

    def crmse(self, *, basis: str = "series") -> np.ndarray:
        """Centered root-mean-square difference of the series, or of the mean annual cycles."""
        a, b, ab = self.cycle_moments()
        squares = a + b - 2 * ab
        if basis == "series":
            a, b, ab = self.departures()
            squares = squares + a + b - 2 * ab
        return np.sqrt(np.maximum(squares, 0.0))


def empty(cells: int) -> State:
    """The state of no data."""
    return State(
        np.zeros((MONTHS, cells)), np.zeros((2, MONTHS, cells)), np.zeros((3, cells)),
        np.full((2, cells), np.inf), np.full((2, cells), -np.inf), np.zeros(cells), np.zeros((2, cells)), np.zeros((2, cells)), 0,
    )  # fmt: skip


def combine(a: State, b: State) -> State:
    """The state of the samples of both, exactly (the same cells)."""
    weight = a.weight + b.weight
    safe = np.where(weight > 0, weight, 1.0)
    delta = b.cycle - a.cycle
    share = a.weight * b.weight / safe
    between = [(share * p).sum(axis=0) for p in (delta[0] ** 2, delta[1] ** 2, delta[0] * delta[1])]
    mixed = (a.error * a.weight.sum(0) + b.error * b.weight.sum(0)) / np.where(weight.sum(0) > 0, weight.sum(0), 1.0)
    return State(
        weight, a.cycle + delta * (b.weight / safe), a.within + b.within + np.stack(between),
        np.minimum(a.low, b.low), np.maximum(a.high, b.high), a.n + b.n, mixed, a.seen + b.seen, a.steps + b.steps,
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _pass(
    ref, other, sigma, with_sigma, at_ref, at_other, month, length, weight, cycle, within, low, high, n, error, seen
):
    for t in range(ref.shape[0]):
        m, w = month[t], length[t]
        for c in range(at_ref.size):
            if at_ref[c] < 0:
                continue
            x = ref[t, at_ref[c]]
            if np.isfinite(x):
                seen[0, c] += 1.0
            if at_other[c] < 0:
                continue
            y = other[t, at_other[c]]
            if np.isfinite(y):
                seen[1, c] += 1.0
            if not (np.isfinite(x) and np.isfinite(y)):
                continue
            n[c] += 1.0
            total = weight[m, c] + w
            weight[m, c] = total
            dx, dy = x - cycle[0, m, c], y - cycle[1, m, c]
            cycle[0, m, c] += dx * w / total
            cycle[1, m, c] += dy * w / total
            ex, ey = x - cycle[0, m, c], y - cycle[1, m, c]
            within[0, c] += w * dx * ex
            within[1, c] += w * dy * ey
            within[2, c] += w * dx * ey
            low[0, c], high[0, c] = min(low[0, c], x), max(high[0, c], x)
            low[1, c], high[1, c] = min(low[1, c], y), max(high[1, c], y)
            if with_sigma:
                u = sigma[t, at_ref[c]]
                if np.isfinite(u):
                    error[0, c] += w * u
                    error[1, c] += w * u * u


@dataclass(frozen=True)
class Axis:
    """The common steps of two records: their positions in each, calendar month (0..11), weight [d], and whether a step follows the last."""

    reference: np.ndarray
    other: np.ndarray
    month: np.ndarray
    length: np.ndarray
    follows: np.ndarray
    years: tuple[int, int]


def _stamps(data):
    time = data["time"].dt
    return time.year.values.astype(int), time.month.values.astype(int) - 1


def common_months(
    reference: xr.DataArray, other: xr.DataArray, *, period: tuple[str, str] | None = None, climatology: bool = False
) -> Axis:
    """The months both records have, whatever their calendars. Raises TimeAxisError when there is none.

    `climatology`: where the reference is one year, every year of the model meets it.
    """
    (ry, rm), (oy, om) = _stamps(reference), _stamps(other)
    key_r, key_o = ry * MONTHS + rm, oy * MONTHS + om
    for name, key in (("reference", key_r), ("model", key_o)):
        if np.unique(key).size != key.size:
            raise TimeAxisError(f"{name}: {reference.name!r} has more than one value a month; give monthly means")
    if climatology and reference.sizes["time"] == MONTHS:
        at = {int(m): k for k, m in enumerate(rm)}
        here, there, shared = np.array([at[int(m)] for m in om]), np.arange(om.size), key_o
    else:
        shared, here, there = np.intersect1d(key_r, key_o, return_indices=True)
    if period is not None:
        first, last = (int(p[:4]) * MONTHS + int(p[5:7] or 1) - 1 for p in period)
        keep = (shared >= first) & (shared <= last)
        shared, here, there = shared[keep], here[keep], there[keep]
    if shared.size == 0:
        raise TimeAxisError(
            f"no common month: the reference spans {_when(key_r)}, the model {_when(key_o)}{f', the study {period[0]} to {period[1]}' if period else ''}"
        )
    days = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], float)[shared % MONTHS]
    year = shared // MONTHS
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0)) & (shared % MONTHS == 1)
    calendar = str(getattr(reference["time"].dt, "calendar", "standard"))
    if calendar in ("standard", "gregorian", "proleptic_gregorian"):
        days = days + leap
    follows = np.concatenate([[False], np.diff(shared) == 1])
    return Axis(here, there, (shared % MONTHS).astype(np.int64), days, follows, (int(year.min()), int(year.max())))


def _when(key):
    return f"{key.min() // MONTHS}-{key.min() % MONTHS + 1:02d} to {key.max() // MONTHS}-{key.max() % MONTHS + 1:02d}"


def _blocks(reference: xr.DataArray, other: xr.DataArray, sigma: xr.DataArray | None, axis: Axis) -> Iterator[tuple]:
    """Both records and the standard error by blocks of time, as (step, place): all that is ever in memory of them."""
    per_step = max(
        int(np.prod([reference.sizes[d] for d in space(reference)])),
        int(np.prod([other.sizes[d] for d in space(other)])),
    )
    size = max(1, BLOCK_VALUES // per_step)
    for start in range(0, axis.month.size, size):
        part = slice(start, start + size)
        arrays = [_load(reference, axis.reference[part]), _load(other, axis.other[part])]
        arrays.append(arrays[0][:1, :1] if sigma is None else _load(sigma, axis.reference[part]))
        yield part, arrays


def _load(data, at):
    steps = (
        slice(int(at[0]), int(at[-1]) + 1)
        if at.size and at[-1] - at[0] == at.size - 1 and (np.diff(at) == 1).all()
        else at
    )
    values = data.transpose("time", *space(data)).isel(time=steps).values
    return np.ascontiguousarray(values.reshape(values.shape[0], -1))


def measure(
    reference: xr.DataArray, other: xr.DataArray, cells: Cells, axis: Axis, *, error: xr.DataArray | None = None
) -> State:
    """The state of two monthly records on `cells`; `error` is the standard error of the reference. Reads each value once."""
    out = empty(cells.size)
    for part, (a, b, u) in _blocks(reference, other, error, axis):
        _pass(
            a, b, u, error is not None, cells.reference, cells.other, axis.month[part], axis.length[part],
            out.weight, out.cycle, out.within, out.low, out.high, out.n, out.error, out.seen,
        )  # fmt: skip
    total = out.weight.sum(axis=0)
    return replace(out, error=out.error / np.where(total > 0, total, 1.0), steps=int(axis.month.size))


@dataclass(frozen=True)
class Second:
    """What the second pass adds: lag-one products of departures (2, cell) with their number, the squared centered error beyond the
    reference's uncertainty (cell), and weighted distributions (region, 2, bin) on `edges` (region, bin + 1)."""

    lag: np.ndarray
    pairs: np.ndarray
    beyond: np.ndarray
    distribution: np.ndarray
    edges: np.ndarray


@njit(cache=True, nogil=True)
def _again(ref, other, sigma, with_sigma, at_ref, at_other, month, length, follows, cycle, mean, last, lag, pairs, beyond, area, regions, lows, steps, hist):  # fmt: skip
    for t in range(ref.shape[0]):
        m, w = month[t], length[t]
        for c in range(at_ref.size):
            if at_ref[c] < 0 or at_other[c] < 0:
                continue
            x, y = ref[t, at_ref[c]], other[t, at_other[c]]
            if not (np.isfinite(x) and np.isfinite(y)):
                last[0, c], last[1, c] = np.nan, np.nan
                continue
            a, b = x - cycle[0, m, c], y - cycle[1, m, c]
            if follows[t] and np.isfinite(last[0, c]):
                lag[0, c] += a * last[0, c]
                lag[1, c] += b * last[1, c]
                pairs[c] += 1.0
            last[0, c], last[1, c] = a, b
            d = abs((y - mean[1, c]) - (x - mean[0, c]))
            if with_sigma:
                u = sigma[t, at_ref[c]]
                if np.isfinite(u):
                    d = max(d - u, 0.0)
            beyond[c] += w * d * d
            for r in range(regions.shape[0]):
                if regions[r, c] and steps[r] > 0:
                    for k in range(2):
                        at = int(((x if k == 0 else y) - lows[r]) / steps[r])
                        hist[r, k, min(max(at, 0), hist.shape[2] - 1)] += w * area[c]


def measure_again(
    reference: xr.DataArray,
    other: xr.DataArray,
    cells: Cells,
    axis: Axis,
    state: State,
    regions: np.ndarray,
    *,
    error: xr.DataArray | None = None,
    bins: int = BINS,
) -> Second:
    """The second pass; `regions` (region, cell) says which cells belong where."""
    known = np.isfinite(state.total)
    lows, steps = np.zeros(len(regions)), np.zeros(len(regions))
    for r, inside in enumerate(regions):
        here = inside & known
        if here.any():
            lows[r], high = state.low[:, here].min(), state.high[:, here].max()
            steps[r] = (high - lows[r]) / bins * (1 + 1e-9)
    mean = np.stack([state.mean(0), state.mean(1)])
    last, lag = np.full((2, cells.size), np.nan), np.zeros((2, cells.size))
    pairs, beyond, hist = np.zeros(cells.size), np.zeros(cells.size), np.zeros((len(regions), 2, bins))
    for part, (a, b, u) in _blocks(reference, other, error, axis):
        _again(
            a, b, u, error is not None, cells.reference, cells.other, axis.month[part], axis.length[part], axis.follows[part],
            state.cycle, mean, last, lag, pairs, beyond, cells.weight, np.ascontiguousarray(regions), lows, steps, hist,
        )  # fmt: skip
    total = hist.sum(axis=-1, keepdims=True)
    edges = lows[:, None] + steps[:, None] * np.arange(bins + 1)[None, :]
    return Second(lag, pairs, beyond / state.total, hist / np.where(total > 0, total, 1.0), edges)
