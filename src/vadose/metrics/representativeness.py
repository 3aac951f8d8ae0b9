"""Points and footprints (M-X11): how well a sensor stands for its cell, how many are needed, and maps that keep their mean.

Temporal stability after Vachaud et al. 1985, doi:10.2136/sssaj1985.03615995004900040001x; block kriging with an exponential
variogram (Journel & Huijbregts 1978). Coordinates of the footprint methods are metric (km) or any plane in which distance counts.
"""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from scipy import optimize

from vadose.errors import DimensionError, TooFewSamplesError, VadoseInputError, unknown_name
from vadose.metrics.collocation import triple_collocation
from vadose.metrics.moments import moments, stack

FOOTPRINTS = ("voronoi", "kriging")
RASTER = 60  # points a side when a footprint is integrated


def temporal_stability(data: xr.DataArray, *, dim: str = "station", minimum_share: float = 1.0) -> xr.Dataset:
    """How far and how steadily each station lies from the mean of all: `mean_relative_difference`, `sd_relative_difference`.

    Only times when at least `minimum_share` of the stations have values count (a changing set would move the mean).
    `stability_index` = sqrt(MRD^2 + SDRD^2); `representative` names the station where it is least; `n` counts times.
    """
    if dim not in data.dims or "time" not in data.dims:
        raise DimensionError(f"temporal stability needs dimensions {dim!r} and 'time'; the array has {data.dims}")
    if dim not in data.coords:
        data = data.assign_coords({dim: np.arange(data.sizes[dim])})
    whole = data.notnull().mean(dim) >= minimum_share - 1e-12
    mean = data.where(whole).mean(dim)
    relative = (data.where(whole) - mean) / mean.where(mean > 0)
    mrd, sdrd = relative.mean("time"), relative.std("time", ddof=1)
    index = (mrd**2 + sdrd**2) ** 0.5
    out = xr.Dataset(
        {
            "mean_relative_difference": mrd.assign_attrs(units="1"),
            "sd_relative_difference": sdrd.assign_attrs(units="1"),
            "stability_index": index.assign_attrs(units="1"),
            "n": relative.count("time"),
        }
    )
    if bool(index.isnull().all()):
        raise TooFewSamplesError(
            f"no time has values at {minimum_share:.0%} of the {data.sizes[dim]} stations; lower minimum_share"
        )
    return out.assign(representative=index.fillna(np.inf).idxmin(dim))


def required_samples(sd: float, margin: float, *, z: float = 1.96) -> int:
    """Sensors needed for the mean of a field with standard deviation `sd` to lie within `margin`: ceil((z sd / margin)^2)."""
    if sd < 0 or margin <= 0:
        raise VadoseInputError(f"sd must not be negative and margin must be positive, got {sd} and {margin}")
    return max(1, math.ceil((z * sd / margin) ** 2 - 1e-9))


def _raster(box):
    west, south, east, north = box
    if not (west < east and south < north):
        raise VadoseInputError(f"box must be (west, south, east, north), got {box}")
    x = west + (np.arange(RASTER) + 0.5) * (east - west) / RASTER
    y = south + (np.arange(RASTER) + 0.5) * (north - south) / RASTER
    columns, rows = np.meshgrid(x, y)
    return columns.ravel(), rows.ravel()


def area_weights(x: np.ndarray, y: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """Share of the box that is nearest to each point (Voronoi areas), on a raster of 60 x 60."""
    columns, rows = _raster(box)
    nearest = np.hypot(columns[:, None] - np.ravel(x), rows[:, None] - np.ravel(y)).argmin(axis=1)
    return np.bincount(nearest, minlength=np.size(x)) / nearest.size


def exponential_variogram(h: np.ndarray, nugget: float, sill: float, length: float) -> np.ndarray:
    """nugget + sill (1 - exp(-h / length)); zero at h = 0."""
    h = np.asarray(h, float)
    return np.where(h > 0, nugget + sill * (1 - np.exp(-h / length)), 0.0)


def fit_variogram(values: xr.DataArray, x: np.ndarray, y: np.ndarray, *, dim: str = "station") -> dict[str, float]:
    """Nugget, sill [squared units] and length of the exponential variogram of a field seen at points over many times.

    Semivariances of all pairs, averaged over time after removing each time's mean, fitted by bounded least squares.
    """
    if values.sizes[dim] < 4:
        raise TooFewSamplesError(f"a variogram needs four stations or more, got {values.sizes[dim]}")
    data = values.transpose(dim, ...).values.reshape(values.sizes[dim], -1)
    i, j = np.triu_indices(data.shape[0], 1)
    h = np.hypot(np.ravel(x)[i] - np.ravel(x)[j], np.ravel(y)[i] - np.ravel(y)[j])
    with np.errstate(invalid="ignore"):
        gamma = 0.5 * np.nanmean((data[i] - data[j]) ** 2, axis=1)
    good = np.isfinite(gamma) & (h > 0)
    if good.sum() < 4:
        raise TooFewSamplesError("fewer than four pairs of stations have common times")
    h, gamma = h[good], gamma[good]
    top = float(gamma.max()) or 1e-12
    scale = np.array([top, top, float(np.median(h))])

    def rest(p):
        return (exponential_variogram(h, *(p * scale)) - gamma) / top

    fit = optimize.least_squares(rest, [0.1, 0.8, 1.0], bounds=([0, 1e-6, 0.02], [2, 5, 50]))
    nugget, sill, length = fit.x * scale
    return {"nugget": float(nugget), "sill": float(sill), "length": float(length)}


def _block_kriging(x, y, box, variogram):
    """Weights and variance of the mean over the box: ordinary kriging with one Lagrange multiplier."""
    columns, rows = _raster(box)
    pick = slice(None, None, 7)  # 515 points are enough for the mean of a smooth covariance
    total = variogram["nugget"] + variogram["sill"]

    def covariance(h):
        return variogram["sill"] * np.exp(-h / variogram["length"])

    n = np.size(x)
    between = np.hypot(np.ravel(x)[:, None] - np.ravel(x), np.ravel(y)[:, None] - np.ravel(y))
    left = np.ones((n + 1, n + 1))
    left[:n, :n], left[n, n] = np.where(np.eye(n, dtype=bool), total, covariance(between)), 0.0
    to_block = covariance(np.hypot(np.ravel(x)[:, None] - columns, np.ravel(y)[:, None] - rows)).mean(axis=1)
    px, py = columns[pick], rows[pick]
    inside = covariance(np.hypot(px[:, None] - px, py[:, None] - py)).mean()
    right = np.append(to_block, 1.0)
    try:
        solved = np.linalg.solve(left, right)
    except np.linalg.LinAlgError:  # stations at one place without a nugget say the same: they share their weight
        solved = np.linalg.lstsq(left, right, rcond=None)[0]
    return solved[:n], max(float(inside - solved[:n] @ to_block - solved[n]), 0.0)


def footprint_mean(
    values: xr.DataArray,
    x: np.ndarray,
    y: np.ndarray,
    box: tuple[float, float, float, float],
    *,
    method: str = "kriging",
    variogram: dict[str, float] | None = None,
    dim: str = "station",
) -> xr.Dataset:
    """Mean over a footprint (west, south, east, north, in the plane of x and y) of stations that have values at each time.

    `kriging` gives minimum-variance weights and a standard error (the kriging one) from `variogram` (default fitted to the
    values); `voronoi` gives area weights without an error. Returns `soil_moisture` and `n` by time, weights renewed for
    every set of stations that is there. Loads `values`.
    """
    if method not in FOOTPRINTS:
        raise unknown_name("footprint method", method, FOOTPRINTS)
    model = (variogram or fit_variogram(values, x, y, dim=dim)) if method == "kriging" else {}
    data = values.transpose(..., dim)
    flat = data.values.reshape(-1, data.sizes[dim])
    out, error = np.full(flat.shape[0], np.nan), np.full(flat.shape[0], np.nan)
    patterns, which = np.unique(np.isfinite(flat), axis=0, return_inverse=True)
    for k, here in enumerate(patterns):
        if not here.any():
            continue
        at = np.flatnonzero(here)
        rows = which.ravel() == k
        px, py = np.ravel(x)[at], np.ravel(y)[at]
        if method == "kriging":
            weight, variance = _block_kriging(px, py, box, model)
            error[rows] = math.sqrt(variance)
        else:
            weight = area_weights(px, py, box)
        out[rows] = flat[np.ix_(rows, at)] @ weight
    like = data.isel({dim: 0}, drop=True)
    result = xr.Dataset({"soil_moisture": like.copy(data=out.reshape(like.shape)), "n": data.notnull().sum(dim)})
    if method == "kriging":
        result["soil_moisture_standard_error"] = like.copy(data=error.reshape(like.shape))
        result.attrs.update({f"variogram_{name}": value for name, value in model.items()})
    return result


def station_representativeness(station: xr.DataArray, satellite: xr.DataArray, model: xr.DataArray) -> xr.Dataset:
    """R^2 of a station with the (unknown) moisture of the cell, by triple collocation with a satellite and a model (anomalies).

    Returns `representativeness` (1), `error_sd` of the station as a measure of the cell [its units], and `n` triplets.
    """
    found = triple_collocation(moments(stack(station, satellite, model, names=["station", "satellite", "model"])))
    one = found.sel(product="station", drop=True)
    return xr.Dataset({"representativeness": one.correlation**2, "error_sd": one.error_sd, "n": one.n})


def downscale(coarse: xr.DataArray, predictor: xr.DataArray, *, weight: xr.DataArray | None = None) -> xr.DataArray:
    """A coarse map at the resolution of `predictor` that keeps the coarse means: th_f = th_c + (p_f - mean of p over the cell).

    Both have one-dimensional lat and lon; fine cells belong to the coarse cell whose center is nearest. The mean is over fine
    cells with values, weighted by `weight` (fine lat, lon) where given. Fine cells outside the coarse grid are NaN. Longitudes may be
    written from 0 to 360 on one side and from -180 to 180 on the other. Lazy in, lazy out.
    """
    for array, what in ((coarse, "coarse map"), (predictor, "predictor")):
        if {"lat", "lon"} - set(array.dims):
            raise DimensionError(f"the {what} needs dimensions lat and lon, it has {array.dims}")
    rows = _membership(coarse["lat"].values, predictor["lat"].values)
    east = np.unwrap(coarse["lon"].values, period=360.0)
    middle = (east.min() + east.max()) / 2
    columns = _membership(east, (predictor["lon"].values - middle + 180.0) % 360.0 + middle - 180.0)
    area = None if weight is None else weight.transpose("lat", "lon").values

    def kernel(big, fine):
        share = np.isfinite(fine) * (1.0 if area is None else area)
        filled = np.where(np.isfinite(fine), fine, 0.0)
        total = np.einsum("cr,...rk,dk->...cd", rows, filled * share, columns, optimize=True)
        known = np.einsum("cr,...rk,dk->...cd", rows, share, columns, optimize=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            offset = big - np.where(known > 0, total / known, np.nan)
        spread = offset[..., rows.argmax(axis=0), :][..., columns.argmax(axis=0)]
        inside = rows.any(axis=0)[:, None] & columns.any(axis=0)[None, :]
        return np.where(inside, fine + spread, np.nan)

    big = coarse.rename(lat="_lat", lon="_lon").drop_vars(["_lat", "_lon"])
    if big.chunks is not None or predictor.chunks is not None:
        big = big.chunk(_lat=-1, _lon=-1)
        predictor = predictor.chunk(lat=-1, lon=-1)
    out = xr.apply_ufunc(
        kernel,
        big,
        predictor,
        input_core_dims=[["_lat", "_lon"], ["lat", "lon"]],
        output_core_dims=[["lat", "lon"]],
        dask="parallelized",
        output_dtypes=[float],
    )
    return out.rename(coarse.name).assign_attrs(coarse.attrs)


def _membership(coarse, fine):
    """(coarse, fine) with one where the fine center lies in the coarse cell, zero elsewhere."""
    order = np.argsort(coarse)
    centers = coarse[order]
    if centers.size < 2:
        return np.ones((1, fine.size))
    edges = np.concatenate(
        [
            [centers[0] - (centers[1] - centers[0]) / 2],
            (centers[:-1] + centers[1:]) / 2,
            [centers[-1] + (centers[-1] - centers[-2]) / 2],
        ]
    )
    at = np.searchsorted(edges, fine, side="right") - 1
    out = np.zeros((centers.size, fine.size))
    inside = (at >= 0) & (at < centers.size)
    out[order[at[inside]], np.flatnonzero(inside)] = 1.0
    return out
