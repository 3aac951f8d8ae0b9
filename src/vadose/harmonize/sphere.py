"""Overlap of cells of any shape with cells of any shape: convex polygons of great circles, cut by one another on the sphere (compiled).

A cell is inside the half spaces of its edges, so an overlap is one polygon cut by each edge of the other (Sutherland & Hodgman 1974,
doi:10.1145/360767.360802), and its area is that of spherical triangles (Van Oosterom & Strackee 1983, doi:10.1109/TBME.1983.325207).
"""

from __future__ import annotations

import numpy as np
from numba import njit

AT_ONCE = 20_000  # target cells whose candidates are looked up together
SLIVER = 1e-13  # steradian: smaller overlaps are rounding


@njit(cache=True, nogil=True)
def _area(p, n):
    """Signed area [steradian] of the first n points: positive where they run counterclockwise seen from outside."""
    total = 0.0
    for k in range(1, n - 1):
        a, b, c = p[0], p[k], p[k + 1]
        volume = (
            a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0])
        )
        ab, bc, ca = 0.0, 0.0, 0.0
        for i in range(3):
            ab += a[i] * b[i]
            bc += b[i] * c[i]
            ca += c[i] * a[i]
        total += 2.0 * np.arctan2(volume, 1.0 + ab + bc + ca)
    return total


@njit(cache=True, nogil=True)
def _cell(lat, lon, out):
    """Corners [degrees] as points of the unit sphere, counterclockwise, without repetitions; their number."""
    n = 0
    for k in range(lat.size):
        phi, lam = np.deg2rad(lat[k]), np.deg2rad(lon[k])
        out[n, 0], out[n, 1], out[n, 2] = np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)
        same = False
        for m in range(n):
            gap = abs(out[m, 0] - out[n, 0]) + abs(out[m, 1] - out[n, 1]) + abs(out[m, 2] - out[n, 2])
            same |= gap < 1e-12
        n += 0 if same else 1
    if n >= 3 and _area(out, n) < 0.0:
        for k in range(n // 2):
            for i in range(3):
                out[k, i], out[n - 1 - k, i] = out[n - 1 - k, i], out[k, i]
    return n


@njit(cache=True, nogil=True)
def _cut(p, n, a, b, out):
    """The part of a polygon to the left of the great circle from a to b; its number of points."""
    x, y, z = a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
    m = 0
    for k in range(n):
        s, e = p[k], p[(k + 1) % n]
        ds, de = x * s[0] + y * s[1] + z * s[2], x * e[0] + y * e[1] + z * e[2]
        if ds >= 0.0:
            out[m] = s
            m += 1
        if (ds >= 0.0) != (de >= 0.0):
            length = 0.0
            for i in range(3):
                out[m, i] = (s[i] * de - e[i] * ds) * (1.0 if ds < 0.0 else -1.0)
                length += out[m, i] ** 2
            length = np.sqrt(length)
            for i in range(3):
                out[m, i] /= length
            m += 1
    return m


@njit(cache=True, nogil=True)
def _shared(lat_s, lon_s, lat_t, lon_t, source, target, shared):
    """Area that each candidate pair of cells shares."""
    most = lat_s.shape[1] + lat_t.shape[1] + 4
    s, t = np.empty((most, 3)), np.empty((lat_t.shape[1] + 1, 3))
    u, v = np.empty((most, 3)), np.empty((most, 3))
    last, count = -1, 0
    for k in range(source.size):
        if target[k] != last:
            last = target[k]
            count = _cell(lat_t[last], lon_t[last], t)
        n = _cell(lat_s[source[k]], lon_s[source[k]], s)
        if n < 3 or count < 3:
            continue
        u[:n] = s[:n]
        for edge in range(count):
            n = _cut(u, n, t[edge], t[(edge + 1) % count], v)
            if n < 3:
                break
            u[:n] = v[:n]
        if n >= 3:
            shared[k] = max(_area(u, n), 0.0)


@njit(cache=True, nogil=True)
def areas(lat_corners, lon_corners):
    """Areas [steradian] of cells given by their corners (cells, corners) in degrees, edges along great circles."""
    out = np.empty(lat_corners.shape[0])
    points = np.empty((lat_corners.shape[1] + 1, 3))
    for c in range(out.size):
        n = _cell(lat_corners[c], lon_corners[c], points)
        out[c] = _area(points, n) if n >= 3 else 0.0
    return out


def _balls(lat, lon):
    """Middle of each cell's corners on the sphere, and the distance of the farthest of them."""
    phi, lam = np.deg2rad(lat), np.deg2rad(lon)
    corners = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)
    middle = corners.mean(axis=1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    return middle, np.linalg.norm(corners - middle[:, None], axis=-1).max(axis=1)


def overlaps(
    source_lat: np.ndarray, source_lon: np.ndarray, target_lat: np.ndarray, target_lon: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Target cells, source cells and the area they share [steradian]; both given by corners (cells, corners) [degrees], convex."""
    from scipy.spatial import cKDTree

    (have, have_reach), (want, want_reach) = _balls(source_lat, source_lon), _balls(target_lat, target_lon)
    tree = cKDTree(have)
    lat_s, lon_s, lat_t, lon_t = (
        np.ascontiguousarray(a, dtype=float) for a in (source_lat, source_lon, target_lat, target_lon)
    )
    parts = []
    for first in range(0, want.shape[0], AT_ONCE):
        part = slice(first, first + AT_ONCE)
        found = tree.query_ball_point(want[part], want_reach[part] + have_reach.max())
        target = np.repeat(np.arange(first, first + len(found)), [len(f) for f in found])
        source = np.concatenate([np.sort(np.asarray(f, dtype=np.int64)) for f in found])
        shared = np.zeros(source.size)
        _shared(lat_s, lon_s, lat_t, lon_t, source, target, shared)
        keep = shared > SLIVER
        parts.append((target[keep], source[keep], shared[keep]))
    rows, columns, values = (np.concatenate(v) for v in zip(*parts, strict=True))
    return rows, columns, values
