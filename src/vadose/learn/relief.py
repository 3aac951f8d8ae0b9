"""What the relief says about where water goes: slope, aspect, curvature, wetness index, light (M-T1.1)."""

from __future__ import annotations

import numpy as np
import xarray as xr

from vadose.errors import DimensionError

FLOOR_SLOPE = 0.001  # rad, so that flat ground has a finite wetness index


def terrain(elevation: xr.DataArray, *, spacing: float | tuple[float, float] | None = None) -> xr.Dataset:
    """Slope, aspect, curvatures, position and wetness index of an elevation field (two last dims: north-south, west-east).

    Parameters
    ----------
    elevation : [m], gap-free for the wetness index.
    spacing : cell size [m], one number or (rows, columns); from `lat` and `lon` in degrees when left out.

    Returns
    -------
    slope [rad], northness and eastness (cosine and sine of aspect), profile_curvature and plan_curvature [m-1]
    (Zevenbergen and Thorne 1987, doi:10.1002/esp.3290120107), topographic_position [m] against the 5 x 5 mean,
    topographic_wetness ln(a / tan b) with D8 flow and b at least 0.001 rad (Beven and Kirkby 1979), and southward_light,
    the cosine of the angle between the ground and an equinox noon sun.
    """
    rows, columns = elevation.dims[-2:]
    dy, dx = _spacing(elevation, spacing)
    z = elevation.transpose(..., rows, columns).values.astype(float)
    if z.ndim != 2:
        raise DimensionError(f"elevation must be two-dimensional, got dims {elevation.dims}")
    north = -1.0 if float(elevation[rows][1] - elevation[rows][0]) < 0 else 1.0
    gy, gx = np.gradient(z, dy * north, dx)
    gyy, gyx = np.gradient(gy, dy * north, dx)
    _, gxx = np.gradient(gx, dy * north, dx)
    p = gx**2 + gy**2
    safe = np.where(p > 1e-12, p, np.nan)
    slope = np.arctan(np.sqrt(p))
    profile = np.nan_to_num(-(gxx * gx**2 + 2 * gyx * gx * gy + gyy * gy**2) / safe)
    plan = np.nan_to_num(-(gxx * gy**2 - 2 * gyx * gx * gy + gyy * gx**2) / safe)
    downhill = np.arctan2(-gx, -gy)  # clockwise from north
    area = _upslope_area(z, dy, dx)
    wet = np.log(area / np.tan(np.maximum(slope, FLOOR_SLOPE)))
    latitude = (
        np.deg2rad(elevation[rows].values[:, None]) if rows == "lat" else np.full_like(z[:, :1], np.deg2rad(45.0))
    )
    light = np.cos(slope) * np.cos(latitude) - np.sin(slope) * np.sin(latitude) * np.cos(downhill)
    parts = {
        "slope": (slope, "rad", "slope"),
        "northness": (np.where(p > 1e-12, np.cos(downhill), 0.0), "1", "cosine of aspect"),
        "eastness": (np.where(p > 1e-12, np.sin(downhill), 0.0), "1", "sine of aspect"),
        "profile_curvature": (profile, "m-1", "profile curvature"),
        "plan_curvature": (plan, "m-1", "plan curvature"),
        "topographic_position": (z - _box_mean(z, 5), "m", "elevation above the 5 x 5 mean"),
        "topographic_wetness": (wet, "1", "topographic wetness index"),
        "southward_light": (light, "1", "cosine of the noon sun's angle at equinox"),
    }
    like = elevation.transpose(rows, columns)
    return xr.Dataset(
        {n: like.copy(data=v).assign_attrs(units=u, long_name=t).rename(n) for n, (v, u, t) in parts.items()}
    )


def _spacing(elevation: xr.DataArray, spacing: float | tuple[float, float] | None) -> tuple[float, float]:
    if spacing is not None:
        return (spacing, spacing) if isinstance(spacing, int | float) else spacing
    if not {"lat", "lon"} <= set(elevation.dims):
        raise DimensionError(f"elevation has dims {elevation.dims}; give spacing=(rows, columns) in m")
    meters = np.deg2rad(1.0) * 6371.2e3
    lat = elevation.lat.values
    return (
        float(abs(lat[1] - lat[0]) * meters),
        float(abs(elevation.lon.values[1] - elevation.lon.values[0]) * meters * np.cos(np.deg2rad(lat.mean()))),
    )


def _box_mean(z: np.ndarray, width: int) -> np.ndarray:
    from scipy.ndimage import uniform_filter

    return uniform_filter(z, width, mode="nearest")


def _upslope_area(z: np.ndarray, dy: float, dx: float) -> np.ndarray:
    """Contributing area per contour length [m], D8: every cell gives all it has to its steepest lower neighbor."""
    rows, columns = z.shape
    padded = np.pad(z, 1, constant_values=np.inf)
    best, target = np.zeros(z.shape), np.full(z.shape, -1)
    index = np.pad(np.arange(z.size).reshape(z.shape), 1, constant_values=-1)
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            if i == 0 and j == 0:
                continue
            window = (slice(1 + i, 1 + i + rows), slice(1 + j, 1 + j + columns))
            fall = (z - padded[window]) / np.hypot(i * dy, j * dx)
            steeper = fall > best
            best, target = np.where(steeper, fall, best), np.where(steeper, index[window], target)
    area, to = np.full(z.size, dx * dy), target.reshape(-1)
    for cell in np.argsort(-z, axis=None, kind="stable"):
        if to[cell] >= 0:
            area[to[cell]] += area[cell]
    return area.reshape(z.shape) / np.sqrt(dx * dy)
