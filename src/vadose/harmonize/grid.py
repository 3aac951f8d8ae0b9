"""One grid for all: first-order conservative, bilinear and nearest regridding between grids whose axes are separable.

Regular, Gaussian and global EASE-Grid 2.0 axes are all separable in longitude and the sine of latitude, so the overlap of
cells is a product of two one-dimensional overlaps: exact weights, no search, one pass. Value and valid fraction are
always returned; a cell is kept where at least `minimum` of its area has values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numba import njit

from vadose.errors import VadoseInputError, unknown_name
from vadose.grid import Grid
from vadose.metrics.threads import by_rows, native


@dataclass(frozen=True)
class Overlap:
    """Overlaps of one axis in compressed rows: source `index` and `weight` of target k lie in start[k]:start[k + 1]."""

    start: np.ndarray
    index: np.ndarray
    weight: np.ndarray


def overlaps(source: np.ndarray, target: np.ndarray, *, period: float | None = None) -> Overlap:
    """Lengths shared by source and target intervals given by their edges, in any order; `period` joins the ends (360 for longitude)."""
    s = np.sort(np.stack([source[:-1], source[1:]], axis=1), axis=1)
    t = np.sort(np.stack([target[:-1], target[1:]], axis=1), axis=1)
    shifts = (0.0,) if period is None else (-2 * period, -period, 0.0, period, 2 * period)
    order = np.argsort(s[:, 0], kind="stable")
    low, high = s[order, 0], s[order, 1]
    parts = []
    for number, shift in enumerate(shifts):
        first = np.searchsorted(high + shift, t[:, 0], side="right")
        count = np.maximum(np.searchsorted(low + shift, t[:, 1], side="left") - first, 0)
        row = np.repeat(np.arange(len(t)), count)
        at = np.arange(row.size) - np.repeat(np.cumsum(count) - count, count) + first[row]
        shared = np.minimum(high[at] + shift, t[row, 1]) - np.maximum(low[at] + shift, t[row, 0])
        hit = shared > 1e-12 * np.maximum(1.0, np.abs(t[row, 1] - t[row, 0]))
        parts.append((row[hit], np.full(hit.sum(), number), order[at[hit]], shared[hit]))
    rows, turns, index, weight = (np.concatenate(v) for v in zip(*parts, strict=True))
    place = np.lexsort((index, turns, rows))
    start = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(t)))])
    return Overlap(start, index[place].astype(np.int64), weight[place])


@njit(cache=True, nogil=True)
def _add(line, w, total, known):
    """Add w times the values of a row, and w where there is one; no branch and no stride, so that it vectorizes."""
    for j in range(total.size):
        v = float(line[j])
        good = v == v
        total[j] += w * v if good else 0.0
        known[j] += w if good else 0.0


@njit(cache=True, nogil=True)
def _add_four(a, b, c, d, w, total, known):
    """`_add` of four rows in that order: sums are loaded and stored once for all four."""
    wa, wb, wc, wd = w[0], w[1], w[2], w[3]
    for j in range(total.size):
        t, k = total[j], known[j]
        v = float(a[j])
        good = v == v
        t += wa * v if good else 0.0
        k += wa if good else 0.0
        v = float(b[j])
        good = v == v
        t += wb * v if good else 0.0
        k += wb if good else 0.0
        v = float(c[j])
        good = v == v
        t += wc * v if good else 0.0
        k += wc if good else 0.0
        v = float(d[j])
        good = v == v
        t += wd * v if good else 0.0
        k += wd if good else 0.0
        total[j], known[j] = t, k


@njit(cache=True, nogil=True, error_model="numpy")
def _finish(above, below, area, minimum, out, fraction):
    """The quotients of a row, apart from its sums: so they vectorize."""
    for c in range(above.size):
        share = below[c] / area[c]
        mean = above[c] / below[c]
        fraction[c] = share
        out[c] = mean if below[c] > 0.0 and share >= minimum else np.nan


@njit(cache=True, nogil=True)
def _conservative(data, rs, ri, rw, cs, ci, cw, minimum, area, out, fraction):
    """data (steps, rows, columns): sum of overlap areas times values over sum of overlap areas with values.

    Source rows are summed whole, in memory order, before columns: one read of the field, and a loop that vectorizes.
    """
    rows, columns = rs.size - 1, cs.size - 1
    if ci.size == 0:
        out[:], fraction[:] = np.nan, 0.0
        return
    first, last = ci.min(), ci.max() + np.uint64(1)
    at = ci - first
    total, known = np.empty(last - first), np.empty(last - first)
    upper, lower = np.empty(columns), np.empty(columns)
    for s in range(data.shape[0]):
        field = data[s]
        for r in range(rows):
            total[:] = 0.0
            known[:] = 0.0
            a, end = rs[r], rs[r + 1]
            while a + 4 <= end:  # contiguous pieces of rows: only then the compiler knows that there is no stride
                one, two = field[ri[a]][first:last], field[ri[a + 1]][first:last]
                three, four = field[ri[a + 2]][first:last], field[ri[a + 3]][first:last]
                _add_four(one, two, three, four, rw[a : a + 4], total, known)
                a += 4
            for rest in range(a, end):
                _add(field[ri[rest]][first:last], rw[rest], total, known)
            for c in range(columns):
                above, below = 0.0, 0.0
                for b in range(cs[c], cs[c + 1]):
                    above += cw[b] * total[at[b]]
                    below += cw[b] * known[at[b]]
                upper[c], lower[c] = above, below
            _finish(upper, lower, area[r], minimum, out[s, r], fraction[s, r])


METHODS = ("conservative", "bilinear", "nearest")


#: Shares are sums of products of lengths: a whole cell's may fall short of one by so much.
ROUNDING = 1e-9


def least_share(minimum: float) -> float:
    """The least valid share, less rounding; VadoseInputError unless it lies in (0, 1]."""
    if not 0 < minimum <= 1:
        raise VadoseInputError(f"minimum must lie in (0, 1], got {minimum}")
    return minimum - ROUNDING


def regrid(
    data: xr.DataArray, target: Grid, *, method: str = "conservative", minimum: float = 0.5, source: Grid | None = None
) -> xr.Dataset:
    """`data` on the target grid: a Dataset with the variable and `valid_fraction` (share of the cell's area with values).

    `conservative` keeps area integrals and is right when the target is coarser; `bilinear` when it is finer; `nearest` for
    categories. Cells with a valid share below `minimum` are NaN. Lazy on dask along all other dimensions.
    """
    if method not in METHODS:
        raise unknown_name("regridding method", method, METHODS)
    least = least_share(minimum)
    grid = source or Grid.of(data)
    name = str(data.name or "data")
    kernel = {"conservative": _conservative_of, "bilinear": _bilinear_of, "nearest": _nearest_of}[method](
        grid, target, least
    )
    core = list(grid.dims)
    if data.chunks is not None:
        data = data.chunk(dict.fromkeys(core, -1))
    bare = data.drop_vars([c for c in data.coords if set(data[c].dims) & set(core)])
    value, share = xr.apply_ufunc(
        kernel, bare, input_core_dims=[core], output_core_dims=[["lat", "lon"], ["lat", "lon"]], exclude_dims=set(core), dask="parallelized", output_dtypes=[float, float],
        dask_gufunc_kwargs={"output_sizes": {"lat": target.lat.size, "lon": target.lon.size}},
    )  # fmt: skip
    coords = {
        "lat": ("lat", target.lat, {"standard_name": "latitude", "units": "degrees_north"}),
        "lon": ("lon", target.lon, {"standard_name": "longitude", "units": "degrees_east"}),
    }
    out = xr.Dataset(
        {
            name: value.assign_attrs(data.attrs),
            "valid_fraction": share.assign_attrs(units="1", long_name="share of the cell's area with values"),
        }
    )
    return out.assign_coords(coords)


def _conservative_of(grid, target, minimum):
    rows = overlaps(np.sin(np.deg2rad(grid.lat_edges)), np.sin(np.deg2rad(target.lat_edges)))
    columns = overlaps(np.deg2rad(grid.lon_edges), np.deg2rad(target.lon_edges), period=2 * np.pi)
    area = target.area

    def kernel(values):
        flat = native(values.reshape(-1, *values.shape[-2:]))
        shape = (flat.shape[0], target.lat.size, target.lon.size)
        out, share = np.empty(shape), np.empty(shape)
        # Unsigned numbers of columns: the compiled loop then need not look for negative ones, which halves its time.
        across = (columns.start.astype(np.uint64), columns.index.astype(np.uint64), columns.weight)
        axes = (rows.start, rows.index, rows.weight, *across)

        def part(p):
            _conservative(flat[p], *axes, minimum, area, out[p], share[p])

        by_rows(part, flat.shape[0], flat.size)
        full = (*values.shape[:-2], target.lat.size, target.lon.size)
        return out.reshape(full), share.reshape(full)

    return kernel


def _bilinear_of(grid, target, minimum):
    r0, r1, fr, row_in = _bracket(grid.lat, target.lat, None)
    c0, c1, fc, column_in = _bracket(grid.lon, target.lon, 360.0)

    def kernel(values):
        total, known = 0.0, 0.0
        for rows, wr in ((r0, 1 - fr), (r1, fr)):
            for columns, wc in ((c0, 1 - fc), (c1, fc)):
                part = values[..., rows[:, None], columns[None, :]]
                weight = wr[:, None] * wc[None, :]
                good = np.isfinite(part)
                total = total + np.where(good, part, 0.0) * weight
                known = known + good * weight
        known = known * (row_in[:, None] & column_in[None, :])
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(known >= minimum, total / known, np.nan), known

    return kernel


def _bracket(source, target, period):
    """Neighbors of each target among the source centers, the share of the second, and whether it lies inside."""
    source = source if period is None else np.unwrap(source, period=period)
    order = np.argsort(source)
    s = source[order]
    t = target.astype(float)
    half = np.diff(s).mean() / 2
    whole = period is not None and s[-1] - s[0] + 2 * half > period - 1e-6
    if period is not None:
        t = (t - s[0]) % period + s[0]
        t = np.where(~whole & (t > s[-1] + half) & (t - period >= s[0] - half), t - period, t)
    if whole:
        s, order = np.append(s, s[0] + period), np.append(order, order[0])
    k = np.clip(np.searchsorted(s, t, side="right") - 1, 0, s.size - 2)
    share = np.clip((t - s[k]) / (s[k + 1] - s[k]), 0.0, 1.0)
    inside = (t >= s[0] - half - 1e-9) & (t <= s[-1] + half + 1e-9)
    return order[k], order[k + 1], share, inside


def _nearest_of(grid, target, minimum):
    r0, r1, fr, row_in = _bracket(grid.lat, target.lat, None)
    c0, c1, fc, column_in = _bracket(grid.lon, target.lon, 360.0)
    rows, columns = np.where(fr <= 0.5, r0, r1), np.where(fc <= 0.5, c0, c1)

    def kernel(values):
        out = np.where(row_in[:, None] & column_in[None, :], values[..., rows[:, None], columns[None, :]], np.nan)
        return out, np.isfinite(out).astype(float)

    return kernel
