"""Grids whose rows are parallels and whose columns are meridians: centers, edges, areas.

Regular, Gaussian and global EASE-Grid 2.0 grids are such grids. What is done with them (regridding) is in `vadose.harmonize.grid`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from vadose import ease
from vadose.errors import DimensionError, VadoseInputError


@dataclass(frozen=True)
class Grid:
    """Centers of rows and columns [degrees] and their edges; `dims` are the names of its axes."""

    lat: np.ndarray
    lon: np.ndarray
    lat_edges: np.ndarray
    lon_edges: np.ndarray
    dims: tuple[str, str] = ("lat", "lon")

    @classmethod
    def regular(cls, bbox: tuple[float, float, float, float], resolution: float) -> Grid:
        """Cells of `resolution` degrees filling west, south, east, north."""
        west, south, east, north = bbox
        rows, columns = round((north - south) / resolution), round((east - west) / resolution)
        if (
            rows < 1
            or columns < 1
            or abs(rows * resolution - (north - south)) > 1e-6
            or abs(columns * resolution - (east - west)) > 1e-6
        ):
            raise VadoseInputError(f"bbox {bbox} is not a whole number of {resolution} degree cells")
        lat_edges, lon_edges = south + resolution * np.arange(rows + 1), west + resolution * np.arange(columns + 1)
        return cls((lat_edges[:-1] + lat_edges[1:]) / 2, (lon_edges[:-1] + lon_edges[1:]) / 2, lat_edges, lon_edges)

    @classmethod
    def gaussian(cls, rows: int, columns: int | None = None) -> Grid:
        """The full Gaussian grid of `rows` parallels (N80 has 160), from north to south; columns start at 0 degrees.

        Edges hold the areas of the quadrature's weights, so area integrals are those of the spectral model.
        """
        if rows < 2 or rows % 2:
            raise VadoseInputError(f"a Gaussian grid has an even number of rows, got {rows}")
        columns = columns or 2 * rows
        nodes, shares = np.polynomial.legendre.leggauss(rows)
        edges = np.rad2deg(np.arcsin(np.clip(np.concatenate([[-1.0], -1.0 + np.cumsum(shares)]), -1.0, 1.0)))[
            ::-1
        ].copy()
        edges[0], edges[-1] = 90.0, -90.0
        lon = 360.0 * np.arange(columns) / columns
        lon_edges = 360.0 * (np.arange(columns + 1) - 0.5) / columns
        return cls(np.rad2deg(np.arcsin(nodes))[::-1].copy(), lon, edges, lon_edges)

    @classmethod
    def ease2(cls, name: str) -> Grid:
        """A global EASE-Grid 2.0 such as M36; rows run from north to south."""
        g = ease.grid(name)
        if g.polar:
            raise VadoseInputError(f"{name} is polar: its rows are not parallels; use vadose.harmonize.Mesh.ease2")
        lat_edges, _ = ease.inverse(name, np.zeros(g.rows + 1), g.y0 - np.arange(g.rows + 1) * g.cell)
        _, lon_edges = ease.inverse(name, g.x0 + np.arange(g.columns + 1) * g.cell, np.zeros(g.columns + 1))
        lat, lon = ease.centers(name)
        return cls(lat, lon, lat_edges, lon_edges, ("y", "x"))

    @classmethod
    def of(cls, data: xr.DataArray | xr.Dataset) -> Grid:
        """The grid of an array with one-dimensional lat and lon; edges are `lat_bnds`, `lon_bnds` of a Dataset that has them, else lie midway.

        Rows run from north to south or the other way. Longitudes may cross 180 or 360 degrees anywhere (0 to 359 written as 0 to 179
        and -180 to -1): edges then go on beyond. Raises DimensionError for axes of one value, places in no order, and a
        column that is there twice.
        """
        if (
            "lat" not in data.coords
            or "lon" not in data.coords
            or data["lat"].ndim != 1
            or data["lon"].ndim != 1
            or data["lat"].dims == data["lon"].dims
        ):
            raise DimensionError(
                "regridding needs one-dimensional lat and lon on axes of their own; for other cells use vadose.harmonize.Mesh "
                "with weights and remap, for values at points vadose.harmonize.match.at_points"
            )
        lat, lon = data["lat"].values.astype(float), data["lon"].values.astype(float)
        dims = (str(data["lat"].dims[0]), str(data["lon"].dims[0]))
        if min(lat.size, lon.size) < 2:
            raise DimensionError("a grid needs at least two rows and two columns to know its cell size")
        east = np.unwrap(lon, period=360.0)
        for name, axis in (("lat", lat), ("lon", east)):
            steps = np.diff(axis)
            if not ((steps > 0).all() or (steps < 0).all()):
                raise DimensionError(f"{name} must rise or fall all along its axis; sort it with .sortby({name!r})")
        if abs(east[-1] - east[0]) > 360.0 - abs(east[1] - east[0]) / 2:
            raise DimensionError(
                f"longitudes go round more than once ({lon[0]:g} to {lon[-1]:g}); leave out the repeated column: .isel({dims[1]}=slice(None, -1))"
            )
        lat_edges, lon_edges = _bounds(data, "lat", lat), _bounds(data, "lon", lon)
        lat_edges = np.clip(_midway(lat), -90, 90) if lat_edges is None else lat_edges
        return cls(lat, lon, lat_edges, _midway(east) if lon_edges is None else lon_edges, dims)

    @cached_property
    def area(self) -> np.ndarray:
        """Cell areas on the unit sphere (rows, columns)."""
        return (
            np.abs(np.diff(np.sin(np.deg2rad(self.lat_edges))))[:, None]
            * np.abs(np.diff(np.deg2rad(self.lon_edges)))[None, :]
        )


def _bounds(data, name, centers):
    """Edges from `<name>_bnds` (centers, 2) in the order of the centers; None without them, and where cells do not touch."""
    bounds = data.get(f"{name}_bnds") if isinstance(data, xr.Dataset) else None
    if bounds is None or bounds.ndim != 2 or bounds.shape != (centers.size, 2):
        return None
    low, high = np.sort(bounds.values.astype(float), axis=1).T
    first, second = (low, high) if centers[-1] > centers[0] else (high, low)
    touching = np.allclose(first[1:], second[:-1], rtol=0.0, atol=1e-6)
    return np.append(first, second[-1]) if touching else None


def _midway(centers):
    inner = (centers[:-1] + centers[1:]) / 2
    return np.concatenate([[2 * centers[0] - inner[0]], inner, [2 * centers[-1] - inner[-1]]])
