"""One pass over a reference and a model: what every score needs, in memory that does not grow with the record.

A state holds for each cell and calendar month the weight and both means, and for each cell the co-moments of what departs
from them. Mean, annual cycle, variability, correlation and centered error, of the series or of its cycle, are functions of it.
Months are weighted by their lengths. A second pass measures what needs the mean cycle first: memory of anomalies,
distributions, and errors beyond the uncertainty of the reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise

import dask
import numpy as np
import xarray as xr
from dask.system import CPU_COUNT

from vadose.benchmark.cells import Cells, space
from vadose.errors import TimeAxisError

MONTHS = 12
#: Values of one block of time that are in memory at once, for each of both records.
BLOCK_VALUES = 3_000_000
#: Cells that are computed together, in one thread.
SLAB = 8192


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

    @cached_property
    def total(self) -> np.ndarray:
        """Weight of each cell; NaN where no common value."""
        total = self.weight.sum(axis=0)
        return np.where(total > 0, total, np.nan)

    @cached_property
    def means(self) -> np.ndarray:
        """Time means (2, cell)."""
        return np.stack([np.einsum("mc,mc->c", self.weight, self.cycle[k]) / self.total for k in (0, 1)])

    def mean(self, source: int) -> np.ndarray:
        """Time mean of each cell."""
        return self.means[source]

    @cached_property
    def _cycle_moments(self) -> np.ndarray:
        out = np.zeros((3, self.weight.shape[1]))
        for m in range(MONTHS):
            dx, dy = self.cycle[0, m] - self.means[0], self.cycle[1, m] - self.means[1]
            w = self.weight[m] / self.total
            out += np.stack([w * dx * dx, w * dy * dy, w * dx * dy])
        return out

    def cycle_moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Variances and covariance of the mean annual cycles about their means."""
        return tuple(self._cycle_moments)  # type: ignore[return-value]

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


def in_blocks(
    reference: xr.DataArray, other: xr.DataArray, error: xr.DataArray | None, axis: Axis
) -> Iterator[tuple[slice, list[np.ndarray]]]:
    """Both records and the standard error by blocks of time, as (step, place). Two are ever in memory: the next is read while one is computed."""
    blocks = _blocks(reference, other, error, axis)
    if _threads() == 1:
        yield from blocks
        return
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = reader.submit(next, blocks, None)
            yield block


def _blocks(
    reference: xr.DataArray, other: xr.DataArray, error: xr.DataArray | None, axis: Axis
) -> Iterator[tuple[slice, list[np.ndarray]]]:
    larger, at = max(((reference, axis.reference), (other, axis.other)), key=lambda pair: pair[0].size)
    per_step = max(int(np.prod([r.sizes[d] for d in space(r)])) for r in (reference, other))
    for part in _cuts(larger, at, max(1, BLOCK_VALUES // per_step)):
        arrays = [_load(reference, axis.reference[part]), _load(other, axis.other[part])]
        arrays.append(arrays[0][:1, :1] if error is None else _load(error, axis.reference[part]))
        yield part, arrays


def _cuts(record: xr.DataArray, at: np.ndarray, steps: int) -> Iterator[slice]:
    """Parts of about `steps` of the positions `at`, cut between the chunks of a lazy record so that none is read twice."""
    ends = np.cumsum(dict(zip(record.dims, record.chunks, strict=True))["time"]) if record.chunks else None
    start = 0
    while start < at.size:
        stop = min(start + steps, at.size)
        if ends is not None and stop < at.size:
            chunk = np.searchsorted(ends, at[start : start + 2 * steps], side="right")
            between = 1 + start + np.flatnonzero(np.diff(chunk))
            before = between[between <= stop]
            stop = int(before[-1] if before.size else between[0] if between.size else stop)
        yield slice(start, stop)
        start = stop


def _load(data, at):
    steps = (
        slice(int(at[0]), int(at[-1]) + 1)
        if at.size and at[-1] - at[0] == at.size - 1 and (np.diff(at) == 1).all()
        else at
    )
    values = data.transpose("time", *space(data)).isel(time=steps).values
    return np.ascontiguousarray(values.reshape(values.shape[0], -1))


def measure(
    reference: xr.DataArray,
    other: xr.DataArray,
    cells: Cells,
    axis: Axis,
    *,
    error: xr.DataArray | None = None,
    extremes: bool = False,
) -> State:
    """The state of two monthly records on `cells`; `error` is the standard error of the reference. Reads each value once.

    Without `extremes`, `low` and `high` stay infinite: only the second pass asks for them.
    """
    both = np.flatnonzero((cells.reference >= 0) & (cells.other >= 0))
    counts = [np.zeros(int(np.prod([r.sizes[d] for d in space(r)]))) for r in (reference, other)]
    sums = _Sums.none(both.size, extremes)
    slabs = [_Slab.of(cells, both, start) for start in range(0, both.size, SLAB)]
    with ThreadPoolExecutor(_threads()) as pool:
        for part, (a, b, u) in in_blocks(reference, other, error, axis):
            gaps: list[np.ndarray | None] = []
            for count, values in zip(counts, (a, b), strict=True):
                finite = np.isfinite(values)
                whole = bool(finite.all())
                gaps.append(None if whole else finite)
                count += len(finite) if whole else finite.sum(axis=0)
            add = partial(_add, sums, a, b, None if error is None else u, gaps, axis.month[part], axis.length[part])
            list(pool.map(add, slabs))  # a failure is raised here
    out = replace(_spread(sums.state(), both, cells.size), steps=int(axis.month.size))
    reached = cells.reference >= 0
    out.seen[0][reached] = counts[0][cells.reference[reached]]
    out.seen[1][both] = counts[1][cells.other[both]]
    return out


def _threads() -> int:
    """As many as dask would take; one where it computes in the thread that asks, as on a worker with comparisons side by side."""
    alone = dask.config.get("scheduler", None) in ("synchronous", "sync", "single-threaded")
    return 1 if alone else CPU_COUNT


def _add(sums, a, b, u, gaps, month, length, slab) -> None:
    """Samples of a block (step, place) of both records, to the cells of a slab; slabs share nothing, so threads may each have one."""
    for steps in _years(month):
        x, y = slab.take(a[steps], slab.reference), slab.take(b[steps], slab.other)
        sigma = None if u is None else slab.take(u[steps], slab.reference)
        known = None
        for finite, places in zip(gaps, (slab.reference, slab.other), strict=True):
            if finite is not None:
                here = slab.take(finite[steps], places)
                known = here if known is None else known & here
        if known is not None and known.all():
            known = None
        sums.add(slab.at, _run(month[steps]), x, y, known, sigma, length[steps, None])


@dataclass(frozen=True)
class _Slab:
    """Some cells at a time, so that what is computed of them stays in the processor's cache: where they are in the sums and in either record."""

    at: slice
    reference: slice | np.ndarray
    other: slice | np.ndarray

    @classmethod
    def of(cls, cells: Cells, both: np.ndarray, start: int) -> _Slab:
        here = both[start : start + SLAB]
        return cls(slice(start, start + here.size), _run(cells.reference[here]), _run(cells.other[here]))

    def take(self, values: np.ndarray, places: slice | np.ndarray) -> np.ndarray:
        return values[:, places] if isinstance(places, slice) else values.take(places, axis=1)


def _run(at: np.ndarray) -> slice | np.ndarray:
    """Neighbors in a row as a slice, which copies nothing."""
    return slice(int(at[0]), int(at[-1]) + 1) if (np.diff(at) == 1).all() else at


def _years(month: np.ndarray) -> list[slice]:
    """Steps in parts in which every calendar month comes once at most."""
    cuts = [0, *(np.flatnonzero(np.diff(month) <= 0) + 1), month.size]
    return [slice(int(a), int(b)) for a, b in pairwise(cuts)]


@dataclass(frozen=True)
class _Sums:
    """Weighted sums of departures from `shift` (2, cell), the first value of each cell: no digits are lost to a large mean.

    `first` (2, month, cell) of both records, `second` (3, cell) of their squares and product; the rest as in `State`.
    """

    shift: np.ndarray
    weight: np.ndarray
    first: np.ndarray
    second: np.ndarray
    n: np.ndarray
    error: np.ndarray
    low: np.ndarray
    high: np.ndarray
    extremes: bool

    @classmethod
    def none(cls, cells: int, extremes: bool) -> _Sums:
        return cls(
            np.full((2, cells), np.nan), np.zeros((MONTHS, cells)), np.zeros((2, MONTHS, cells)), np.zeros((3, cells)),
            np.zeros(cells), np.zeros((2, cells)), np.full((2, cells), np.inf), np.full((2, cells), -np.inf), extremes,
        )  # fmt: skip

    def add(
        self, at: slice, months: slice | np.ndarray, x: np.ndarray, y: np.ndarray, known: np.ndarray | None,
        sigma: np.ndarray | None, length: np.ndarray,
    ) -> None:  # fmt: skip
        """Samples (step, cell) of different calendar months; `length` (step, 1) are their weights, `known` where both are there (None: everywhere)."""
        shift = self.shift[:, at]
        new = np.isnan(shift[0])
        if new.any():
            begins = new if known is None else new & known.any(axis=0)
            step = np.zeros(begins.sum(), int) if known is None else known.argmax(axis=0)[begins]
            for k, values in enumerate((x, y)):
                shift[k, begins] = values[step, begins]
        if self.extremes:
            for k, values in enumerate((x, y)):
                least, most = (
                    (values, values) if known is None else (np.where(known, values, e) for e in (np.inf, -np.inf))
                )
                self.low[k, at] = np.minimum(self.low[k, at], least.min(axis=0))
                self.high[k, at] = np.maximum(self.high[k, at], most.max(axis=0))
        x, y = x - shift[0], y - shift[1]
        if known is not None:
            x, y = np.where(known, x, 0.0), np.where(known, y, 0.0)
        wx, wy = length * x, length * y
        for sums, added in (
            (self.weight[:, at], length if known is None else length * known),
            (self.first[0, :, at], wx),
            (self.first[1, :, at], wy),
        ):
            sums[months] += added
        for sums, (a, b) in zip(self.second[:, at], ((wx, x), (wy, y), (wx, y)), strict=True):
            sums += np.einsum("tc,tc->c", a, b)
        self.n[at] += len(x) if known is None else known.sum(axis=0)
        if sigma is not None:
            there = np.isfinite(sigma) if known is None else known & np.isfinite(sigma)
            u = np.where(there, sigma, 0.0).astype(float)
            self.error[:, at] += (length * u).sum(axis=0), (length * u * u).sum(axis=0)

    def state(self) -> State:
        """Mean cycles and co-moments about them; the sums are used up."""
        safe, total = np.where(self.weight > 0, self.weight, 1.0), self.weight.sum(axis=0)
        a, b = self.first
        between = [np.einsum("mc,mc,mc->c", p, q, 1 / safe) for p, q in ((a, a), (b, b), (a, b))]
        within = self.second - between
        within[:2] = np.maximum(within[:2], 0.0)  # of a record without departures, rounding
        for k in (0, 1):
            self.first[k] /= safe
            self.first[k] += np.where(self.weight > 0, self.shift[k], 0.0)
        return State(
            self.weight, self.first, within, self.low, self.high, self.n,
            self.error / np.where(total > 0, total, 1.0), np.zeros_like(self.shift), 0,
        )  # fmt: skip


def _spread(state: State, at: np.ndarray, cells: int) -> State:
    """A state of some cells as that of all: the rest has no data."""
    if at.size == cells:
        return state
    whole = empty(cells)
    for name in ("weight", "cycle", "within", "low", "high", "n", "error"):
        getattr(whole, name)[..., at] = getattr(state, name)
    return whole
