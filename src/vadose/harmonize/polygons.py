"""Overlap of cells of any shape with rows and columns, in the equal-area plane of longitude and sine of latitude (compiled)."""

from __future__ import annotations

import numpy as np
from numba import njit

PIECE = 0.5  # degrees: edges are cut into pieces no longer than this
MOST = 720  # corners of a cell after cutting


@njit(cache=True, nogil=True)
def _outline(lat, lon, x, y):
    """One cell's outline in the plane: longitude [radian], running on past pi, and sine of latitude. Number of points.

    A corner at a pole becomes the piece of the pole's line between its neighbors; a cell around a pole is closed along that line.
    """
    corners = lat.size
    n = 0
    p = np.empty((corners, 3))
    for i in range(corners):
        c = np.cos(np.deg2rad(lat[i]))
        p[i, 0], p[i, 1], p[i, 2] = (
            c * np.cos(np.deg2rad(lon[i])),
            c * np.sin(np.deg2rad(lon[i])),
            np.sin(np.deg2rad(lat[i])),
        )
    pole = np.zeros(MOST, np.bool_)
    for i in range(corners):
        j = (i + 1) % corners
        dot = p[i, 0] * p[j, 0] + p[i, 1] * p[j, 1] + p[i, 2] * p[j, 2]
        gap = np.sqrt((p[i, 0] - p[j, 0]) ** 2 + (p[i, 1] - p[j, 1]) ** 2 + (p[i, 2] - p[j, 2]) ** 2)
        if gap < 1e-12:
            continue
        angle = np.arccos(min(1.0, max(-1.0, dot))) if gap > 1e-3 else gap
        pieces = min(max(1, int(np.ceil(np.rad2deg(angle) / PIECE - 1e-9))), (MOST - 8) // corners)
        for k in range(pieces):
            a, b = np.sin((1 - k / pieces) * angle) / np.sin(angle), np.sin(k / pieces * angle) / np.sin(angle)
            u, v, w = a * p[i, 0] + b * p[j, 0], a * p[i, 1] + b * p[j, 1], a * p[i, 2] + b * p[j, 2]
            y[n] = min(1.0, max(-1.0, w))
            pole[n] = u * u + v * v < 1e-18
            if k == 0 and not pole[n]:
                x[n] = np.deg2rad(lon[i])
            else:
                x[n] = np.arctan2(v, u)
            n += 1
    if n < 3:
        return 0
    return _unwrapped(x, y, pole, n)


@njit(cache=True, nogil=True)
def _unwrapped(x, y, pole, n):
    """Longitudes made continuous, poles written as lines, and the outline closed along the pole that it surrounds."""
    first = 0
    while first < n and pole[first]:
        first += 1
    if first == n:
        return 0
    xs, ys = np.empty(2 * n + 4), np.empty(2 * n + 4)
    m, last = 0, x[first]
    for step in range(n):
        k = (first + step) % n
        if pole[k]:
            after = (k + 1) % n
            while pole[after]:
                after = (after + 1) % n
            xs[m], ys[m] = last, np.sign(y[k])
            turn = (x[after] - last + np.pi) % (2 * np.pi) - np.pi
            last += turn
            xs[m + 1], ys[m + 1] = last, np.sign(y[k])
            m += 2
            continue
        last += (x[k] - last + np.pi) % (2 * np.pi) - np.pi
        xs[m], ys[m] = last, y[k]
        m += 1
    closing = (xs[0] - last + np.pi) % (2 * np.pi) - np.pi
    end = last + closing
    if abs(end - xs[0]) > 1.0:  # once around a pole
        side = 1.0 if np.mean(ys[:m]) > 0 else -1.0
        xs[m], ys[m] = end, ys[0]
        xs[m + 1], ys[m + 1] = end, side
        xs[m + 2], ys[m + 2] = xs[0], side
        m += 3
    for k in range(m):
        x[k], y[k] = xs[k], ys[k]
    return m


@njit(cache=True, nogil=True)
def _area(x, y, n):
    total = 0.0
    for k in range(n):
        j = k + 1 if k + 1 < n else 0
        total += (x[k] - x[0]) * y[j] - (x[j] - x[0]) * y[k]
    return 0.5 * abs(total)


@njit(cache=True, nogil=True)
def _cut(x, y, n, axis, limit, keep_above, u, v):
    """The part of an outline on one side of a line of constant x (axis 0) or y (axis 1)."""
    m = 0
    for k in range(n):
        j = k + 1 if k + 1 < n else 0
        a, b = (x[k], x[j]) if axis == 0 else (y[k], y[j])
        in_a = a >= limit if keep_above else a <= limit
        in_b = b >= limit if keep_above else b <= limit
        if in_a:
            u[m], v[m] = x[k], y[k]
            m += 1
        if in_a != in_b:
            share = (limit - a) / (b - a)
            u[m], v[m] = x[k] + share * (x[j] - x[k]), y[k] + share * (y[j] - y[k])
            if axis == 0:
                u[m] = limit
            else:
                v[m] = limit
            m += 1
    return m


@njit(cache=True, nogil=True)
def areas(lat_corners, lon_corners):
    """Areas [unit sphere] of cells given by their corners (cells, corners) in degrees."""
    out = np.empty(lat_corners.shape[0])
    x, y = np.empty(2 * MOST), np.empty(2 * MOST)
    for c in range(out.size):
        out[c] = _area(x, y, _outline(lat_corners[c], lon_corners[c], x, y))
    return out


@njit(cache=True, nogil=True)
def _find(lat_corners, lon_corners, rows, columns, cell, box, shared, count_only):
    """Fill (or only count) the overlaps of cells with boxes between ascending `rows` [sine] and `columns` [radian]."""
    size = 4 * MOST
    x, y = np.empty(size), np.empty(size)
    a, b, c, d, e, f = np.empty(size), np.empty(size), np.empty(size), np.empty(size), np.empty(size), np.empty(size)
    n, wide = 0, columns.size - 1
    for k in range(lat_corners.shape[0]):
        points = _outline(lat_corners[k], lon_corners[k], x, y)
        if points < 3:
            continue
        south, north, west, east = y[:points].min(), y[:points].max(), x[:points].min(), x[:points].max()
        r0 = max(0, np.searchsorted(rows, south, side="right") - 1)
        r1 = min(rows.size - 1, np.searchsorted(rows, north, side="left"))
        for shift in range(-2, 3):
            offset = shift * 2 * np.pi
            c0 = max(0, np.searchsorted(columns, west + offset, side="right") - 1)
            c1 = min(wide, np.searchsorted(columns, east + offset, side="left"))
            if c1 <= c0 or west + offset >= columns[-1] or east + offset <= columns[0]:
                continue
            for r in range(r0, r1):
                m = _cut(x, y, points, 1, rows[r], True, a, b)
                m = _cut(a, b, m, 1, rows[r + 1], False, c, d)
                if m < 3:
                    continue
                for col in range(c0, c1):
                    q = _cut(c, d, m, 0, columns[col] - offset, True, e, f)
                    q = _cut(e, f, q, 0, columns[col + 1] - offset, False, a, b)
                    part = _area(a, b, q) if q >= 3 else 0.0
                    if part > 1e-16:
                        if not count_only:
                            cell[n], box[n], shared[n] = k, r * wide + col, part
                        n += 1
    return n


def overlaps(
    lat_corners: np.ndarray, lon_corners: np.ndarray, lat_edges: np.ndarray, lon_edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells, boxes (row-major) and the area they share [unit sphere] of cells with corners and rows and columns with edges [degrees]."""
    rows, columns = np.sin(np.deg2rad(lat_edges)), np.deg2rad(lon_edges)
    flip_rows, flip_columns = rows[0] > rows[-1], columns[0] > columns[-1]
    rows, columns = (rows[::-1] if flip_rows else rows).copy(), (columns[::-1] if flip_columns else columns).copy()
    nothing = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    n = _find(lat_corners, lon_corners, rows, columns, *nothing, True)
    cell, box, shared = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n)
    _find(lat_corners, lon_corners, rows, columns, cell, box, shared, False)
    wide = columns.size - 1
    r, c = box // wide, box % wide
    r = rows.size - 2 - r if flip_rows else r
    c = wide - 1 - c if flip_columns else c
    return cell, r * wide + c, shared


@njit(cache=True, nogil=True)
def weighted(values, start, index, weight, area, minimum):
    """values (steps, source) -> weighted means over known links and the known share of each target's area (steps, target)."""
    steps, targets = values.shape[0], start.size - 1
    out, share = np.empty((steps, targets)), np.empty((steps, targets))
    for s in range(steps):
        for t in range(targets):
            total, known = 0.0, 0.0
            for k in range(start[t], start[t + 1]):
                v = values[s, index[k]]
                if not np.isnan(v):
                    total += weight[k] * v
                    known += weight[k]
            share[s, t] = known / area[t] if area[t] > 0.0 else 0.0
            out[s, t] = total / known if known > 0.0 and share[s, t] >= minimum else np.nan
    return out, share
