"""EASE-Grid 2.0: the equal-area grids of SMAP and its kin, exactly as NSIDC defines them.

Brodzik et al. 2012, ISPRS Int. J. Geo-Inf. 1:32, doi:10.3390/ijgi1010032, corrected 2014 (doi:10.3390/ijgi3031154).
Global grids (M..) are cylindrical equal-area, true at 30 degrees (EPSG:6933); polar ones (N.., S..) Lambert azimuthal
equal-area (EPSG:6931, EPSG:6932). Row 0 is the northernmost (polar: the upper edge), column 0 the westernmost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vadose.errors import unknown_name

MAJOR = 6378137.0  # m, WGS84
ECCENTRICITY = 0.081819190843  # as in NSIDC's grid files
_K0 = np.cos(np.deg2rad(30.0)) / np.sqrt(1.0 - ECCENTRICITY**2 * np.sin(np.deg2rad(30.0)) ** 2)


@dataclass(frozen=True)
class EaseGrid:
    """One standard grid: cell size [m], columns, rows, outer upper-left corner [m], EPSG code."""

    name: str
    cell: float
    columns: int
    rows: int
    x0: float
    y0: float
    epsg: int

    @property
    def polar(self) -> bool:
        return self.epsg != 6933

    def x(self) -> np.ndarray:
        """Centers of the columns [m]."""
        return self.x0 + (np.arange(self.columns) + 0.5) * self.cell

    def y(self) -> np.ndarray:
        """Centers of the rows [m], decreasing."""
        return self.y0 - (np.arange(self.rows) + 0.5) * self.cell


def _rows():
    yield from (EaseGrid(name, cell, columns, rows, -17367530.4451615, 7314540.8306386, 6933) for name, cell, columns, rows in (
        ("M36", 36032.220840584, 964, 406), ("M09", 9008.055210146, 3856, 1624), ("M03", 3002.6850700487, 11568, 4872), ("M01", 1000.89502334956, 34704, 14616)))  # fmt: skip
    yield EaseGrid("M25", 25025.26000, 1388, 584, -17367530.44, 7307375.92, 6933)
    for letter, epsg in (("N", 6931), ("S", 6932)):
        yield from (
            EaseGrid(f"{letter}{km:02d}", km * 1000.0, n, n, -9.0e6, 9.0e6, epsg)
            for km, n in ((36, 500), (25, 720), (9, 2000), (3, 6000))
        )


#: The standard grids by name.
GRIDS: dict[str, EaseGrid] = {g.name: g for g in _rows()}


def grid(name: str) -> EaseGrid:
    """The standard grid called `name`, such as M36, M09, N09."""
    if name not in GRIDS:
        raise unknown_name("EASE-Grid 2.0", name, GRIDS)
    return GRIDS[name]


def _authalic(lat):
    """q of latitude [radian]: area between the equator and the parallel, in units of the major axis squared over pi."""
    s, e = np.sin(lat), ECCENTRICITY
    return (1.0 - e**2) * (s / (1.0 - e**2 * s**2) - np.log((1.0 - e * s) / (1.0 + e * s)) / (2.0 * e))


_Q_POLE = float(_authalic(np.pi / 2))


def _latitude(q):
    """Latitude [radian] of q by Newton's method; converges to rounding in a few steps away from the poles."""
    ratio = np.clip(np.asarray(q, dtype=float) / _Q_POLE, -1.0, 1.0)
    beta = np.arcsin(ratio)
    e2 = ECCENTRICITY**2
    lat = (
        beta
        + (e2 / 3 + 31 * e2**2 / 180 + 517 * e2**3 / 5040) * np.sin(2 * beta)
        + (23 * e2**2 / 360 + 251 * e2**3 / 3780) * np.sin(4 * beta)
        + 761 * e2**3 / 45360 * np.sin(6 * beta)
    )
    for _ in range(4):
        s = np.sin(lat)
        slope = 2.0 * (1.0 - e2) * np.cos(lat) / (1.0 - e2 * s**2) ** 2
        step = np.where(np.abs(slope) > 1e-9, (_authalic(lat) - q) / np.where(np.abs(slope) > 1e-9, slope, 1.0), 0.0)
        lat = np.clip(lat - step, -np.pi / 2, np.pi / 2)
    return lat


def forward(name: str, lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Projected x, y [m] of latitude and longitude [degrees]."""
    phi, lam = (
        np.deg2rad(np.asarray(lat, dtype=float)),
        np.deg2rad((np.asarray(lon, dtype=float) + 180.0) % 360.0 - 180.0),
    )
    g = grid(name)
    if not g.polar:
        return MAJOR * _K0 * lam, MAJOR * _authalic(phi) / (2.0 * _K0)
    sign = 1.0 if g.epsg == 6931 else -1.0
    rho = MAJOR * np.sqrt(np.maximum(_Q_POLE - sign * _authalic(phi), 0.0))
    return rho * np.sin(lam), -sign * rho * np.cos(lam)


def inverse(name: str, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Latitude and longitude [degrees] of projected x, y [m]."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    g = grid(name)
    if not g.polar:
        return np.rad2deg(_latitude(2.0 * _K0 * y / MAJOR)), np.rad2deg(x / (MAJOR * _K0))
    sign = 1.0 if g.epsg == 6931 else -1.0
    q = _Q_POLE - (x**2 + y**2) / MAJOR**2
    return np.rad2deg(sign * _latitude(q)), np.rad2deg(np.arctan2(x, -sign * y))


def index(name: str, lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the cell that holds a point; -1 outside the grid (up to 1e-6 cell outside counts as the edge cell)."""
    g = grid(name)
    x, y = forward(name, lat, lon)

    def cell(value, count):
        number = np.floor(value + 0.5)
        number = np.where((number == -1) & (value >= -0.5 - 1e-6), 0, number)
        number = np.where((number == count) & (value <= count - 0.5 + 1e-6), count - 1, number)
        return np.where((number >= 0) & (number < count), number, -1).astype(int)

    return cell((g.y0 - y) / g.cell - 0.5, g.rows), cell((x - g.x0) / g.cell - 0.5, g.columns)


def centers(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes of the rows and longitudes of the columns [degrees] of a global grid (one-dimensional: the axes are separable)."""
    g = grid(name)
    lat, _ = inverse(name, np.zeros(g.rows), g.y())
    _, lon = inverse(name, g.x(), np.zeros(g.columns))
    return lat, lon
