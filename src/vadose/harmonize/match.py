"""Bring samples together: in time (nearest, unique nearest, window mean) and in space (grid cells at points)."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numba import njit
from scipy.spatial import cKDTree

from vadose import cf
from vadose.errors import VadoseInputError, unknown_name
from vadose.metrics.threads import by_rows

METHODS = ("nearest", "unique_nearest", "window_mean")
ALONE = 0.5  # degrees: the size of a cell that has no neighbor


def in_time(data: xr.DataArray, time: xr.DataArray, *, window: np.timedelta64, method: str = "nearest") -> xr.DataArray:
    """`data` on the moments of `time`: the nearest sample, the nearest that no other moment takes, or the mean within `window`.

    NaN where nothing lies within `window`. Missing samples do not count.
    """
    if method not in METHODS:
        raise unknown_name("matching method", method, METHODS)
    if window <= np.timedelta64(0, "ns"):
        raise VadoseInputError(f"window must be positive, got {window}")
    cf.check_time(data)
    have, want = (
        data.time.values.astype("datetime64[ns]").astype("int64"),
        time.values.astype("datetime64[ns]").astype("int64"),
    )
    reach = int(window / np.timedelta64(1, "ns"))
    kernel = {"nearest": _nearest, "unique_nearest": _unique, "window_mean": _window}[method]

    def run(values):
        flat = np.ascontiguousarray(values.reshape(-1, values.shape[-1]), dtype=float)
        return kernel(flat, have, want, reach).reshape(*values.shape[:-1], want.size)

    source = data.chunk(time=-1) if data.chunks is not None else data
    out = xr.apply_ufunc(
        run,
        source,
        input_core_dims=[["time"]],
        output_core_dims=[["time"]],
        exclude_dims={"time"},
        dask="parallelized",
        output_dtypes=[float],
        dask_gufunc_kwargs={"output_sizes": {"time": want.size}},
    )
    return out.assign_coords(time=time).transpose(*data.dims).assign_attrs(data.attrs).rename(data.name)


def _nearest(rows, have, want, reach):
    out = np.empty((rows.shape[0], want.size))
    place = np.searchsorted(have, want)
    by_rows(lambda p: _take_nearest(rows[p], have, want, place, reach, out[p]), rows.shape[0], rows.size)
    return out


@njit(cache=True, nogil=True)
def _take_nearest(rows, have, want, place, reach, out):
    """`place` is where each moment falls among `have`: from there the first valid sample on either side, the earlier of a tie."""
    for c in range(rows.shape[0]):
        for k in range(want.size):
            left, right = place[k] - 1, place[k]
            while left >= 0 and want[k] - have[left] <= reach and not np.isfinite(rows[c, left]):
                left -= 1
            while right < have.size and have[right] - want[k] <= reach and not np.isfinite(rows[c, right]):
                right += 1
            before = want[k] - have[left] if left >= 0 else reach + 1
            after = have[right] - want[k] if right < have.size else reach + 1
            if before > reach and after > reach:
                out[c, k] = np.nan
            else:
                out[c, k] = rows[c, right] if after < before else rows[c, left]


def _closest(t, want):
    right = np.clip(np.searchsorted(t, want), 1, max(t.size - 1, 1))
    left = right - 1
    right = np.minimum(right, t.size - 1)
    return np.where(np.abs(t[right] - want) < np.abs(want - t[left]), right, left)


def _unique(rows, have, want, reach):
    return np.stack([_unique_of(row, have, want, reach) for row in rows])


def _unique_of(row, have, want, reach):
    out = _nearest(row[None], have, want, reach)[0]
    good = np.isfinite(row)
    if not good.any():
        return out
    t = have[good]
    at = _closest(t, want)
    distance = np.abs(t[at] - want).astype(float)
    distance[~np.isfinite(out)] = np.inf
    order = np.lexsort((distance, at))
    first = np.ones(order.size, bool)
    first[1:] = at[order][1:] != at[order][:-1]
    keep = np.zeros(want.size, bool)
    keep[order[first]] = True
    return np.where(keep, out, np.nan)


def _window(rows, have, want, reach):
    return np.stack([_window_of(row, have, want, reach) for row in rows])


def _window_of(row, have, want, reach):
    good = np.isfinite(row)
    t, total = have[good], np.concatenate([[0.0], np.cumsum(row[good])])
    low, high = np.searchsorted(t, want - reach, side="left"), np.searchsorted(t, want + reach, side="right")
    n = high - low
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(n > 0, (total[high] - total[low]) / np.maximum(n, 1), np.nan)


def at_points(data: xr.DataArray, lat: xr.DataArray, lon: xr.DataArray, *, reach: float = 0.75) -> xr.DataArray:
    """Values of the cells that hold points: nearest cell center, NaN beyond `reach` cell sizes.

    `data` lies on rows and columns, on a curvilinear grid (two-dimensional lat and lon) or at scattered locations and mesh cells (one
    dimension); for those the size is the distance of the nearest center to its own neighbor (half a degree where there is none).
    Longitudes count around the globe. A point without a place has no value. Lazy in, lazy out.
    """
    if data["lat"].dims == data["lon"].dims:
        picked, near = _of_centers(data, lat, lon, reach)
    else:
        picked, near = _of_rows_and_columns(data, lat, lon, reach)
    return (
        picked.drop_vars(["lat", "lon"], errors="ignore")
        .where(xr.DataArray(near, dims=lat.dims))
        .assign_coords(lat=lat, lon=lon)
    )


def _of_centers(data, lat, lon, reach):
    dims, shape = data["lat"].dims, data["lat"].shape
    have = _on_sphere(data["lat"].values.ravel(), data["lon"].values.ravel())
    known = np.flatnonzero(np.isfinite(have).all(axis=1))
    if known.size == 0:
        raise VadoseInputError("no place of the data has a latitude and a longitude")
    tree = cKDTree(have[known])
    want = _on_sphere(lat.values.ravel(), lon.values.ravel())
    nowhere = ~np.isfinite(want).all(axis=1)
    distance, at = tree.query(np.where(nowhere[:, None], 0.0, want))
    distance[nowhere] = np.inf
    spacing = tree.query(have[known][at], k=2)[0][:, 1] if known.size > 1 else np.full(at.size, np.deg2rad(ALONE))
    place = np.unravel_index(known[at].reshape(lat.shape), shape)
    picked = data.isel({d: xr.DataArray(p, dims=lat.dims) for d, p in zip(dims, place, strict=True)})
    return picked, (distance <= np.maximum(reach * spacing, 1e-11)).reshape(lat.shape)


def _of_rows_and_columns(data, lat, lon, reach):
    rows, columns = str(data["lat"].dims[0]), str(data["lon"].dims[0])
    i = np.abs(lat.values[..., None] - data["lat"].values).argmin(axis=-1)
    j = np.abs((lon.values[..., None] - data["lon"].values + 180) % 360 - 180).argmin(axis=-1)
    size = [np.median(np.abs(np.diff(data[d].values))) if data[d].size > 1 else ALONE for d in ("lat", "lon")]
    near = (np.abs(data["lat"].values[i] - lat.values) <= reach * size[0]) & (
        np.abs((data["lon"].values[j] - lon.values + 180) % 360 - 180) <= reach * size[1]
    )
    return data.isel({rows: xr.DataArray(i, dims=lat.dims), columns: xr.DataArray(j, dims=lat.dims)}), near


def _on_sphere(lat, lon):
    """Points of the unit sphere: straight distances order like those along it."""
    phi, lam = np.deg2rad(lat), np.deg2rad(lon)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)
