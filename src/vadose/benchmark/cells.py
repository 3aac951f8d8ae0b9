"""Where a reference and a model are compared: one set of cells, and for each the place in either record that it samples.

Grids with rows and columns meet on the union of their cell edges, as ILAMB does: every cell of the union lies in exactly one
cell of each, so nothing is averaged or interpolated and no regridded copy is made; both records are read through an index.
Unstructured meshes (ne30pg3) and places (stations, towers) are sampled at the nearest center.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from vadose.errors import DimensionError, VadoseInputError
from vadose.grid import Grid

#: A nearest center counts as the cell itself within this many typical spacings; a single one within this distance [degrees].
REACH, ALONE = 1.0, 0.5


@dataclass(frozen=True)
class Cells:
    """Cells of a comparison: centers [degrees], `weight` (area, relative), and the flat position in either record (-1: outside)."""

    lat: np.ndarray
    lon: np.ndarray
    weight: np.ndarray
    reference: np.ndarray
    other: np.ndarray
    shape: tuple[int, int] | None = None
    axes: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def size(self) -> int:
        """How many cells."""
        return self.lat.size

    def unfold(self, values: np.ndarray, name: str = "value", **attrs: str) -> xr.DataArray:
        """Values of the cells (..., cell) as an array with lat and lon: rows and columns where the cells are a grid."""
        lead = [f"axis_{k}" for k in range(values.ndim - 1)]
        if self.shape is None or self.axes is None:
            return xr.DataArray(
                values,
                dims=(*lead, "cell"),
                coords={"lat": ("cell", self.lat), "lon": ("cell", self.lon)},
                name=name,
                attrs=attrs,
            )
        return xr.DataArray(
            values.reshape(*values.shape[:-1], *self.shape),
            dims=(*lead, "lat", "lon"),
            coords={"lat": self.axes[0], "lon": self.axes[1]},
            name=name,
            attrs=attrs,
        )


def is_grid(data: xr.DataArray | xr.Dataset) -> bool:
    """Whether lat and lon are axes of their own."""
    for name in ("lat", "lon"):
        if name not in data.coords:
            raise DimensionError(f"{data.attrs.get('title', 'data')!r} has no coordinate {name!r}; rename yours to it")
    return data["lat"].ndim == 1 and data["lon"].ndim == 1 and data["lat"].dims != data["lon"].dims


def space(data: xr.DataArray) -> tuple[str, ...]:
    """The dimensions of place, in the order in which records are flattened."""
    return (
        tuple(str(d) for d in (*data["lat"].dims, *data["lon"].dims))
        if is_grid(data)
        else tuple(map(str, data["lat"].dims))
    )


def meet(reference: xr.DataArray, other: xr.DataArray, *, land: np.ndarray | None = None) -> Cells:
    """The cells on which two records are compared.

    Both on rows and columns: the union of their edges. One of them stations or points: those, for a station says nothing of places
    around it. One of them a mesh: the cells of the grid. Otherwise those of the reference. `land` multiplies the weights (share of land, by flat position of `other`).
    """
    grids = is_grid(reference), is_grid(other)
    if all(grids):
        found = _union(reference, other)
    elif (grids[1] or _are_places(other)) and not _are_places(reference):
        found = _sampled(other, reference, of="other")
    else:
        found = _sampled(reference, other, of="reference")
    if not ((found.reference >= 0) & (found.other >= 0)).any():
        raise VadoseInputError(
            f"reference (lat {_span(reference, 'lat')}, lon {_span(reference, 'lon')}) and model (lat {_span(other, 'lat')}, lon {_span(other, 'lon')}) share no place"
        )
    if land is None:
        return found
    share = np.where(found.other >= 0, np.nan_to_num(land)[np.maximum(found.other, 0)], 1.0)
    return Cells(found.lat, found.lon, found.weight * share, found.reference, found.other, found.shape, found.axes)


def _span(data, name):
    values = data[name].values
    return f"{float(values.min()):g} to {float(values.max()):g}"


def _are_places(data: xr.DataArray) -> bool:
    """Whether a record is of stations, or of the points that a gridded product has values at, rather than of cells that tile a region."""
    return not is_grid(data) and (bool({"station", "location"} & set(data.dims)) or data["lat"].size <= 50)


def _edges(data):
    grid = Grid.of(data)
    lat_edges, lon_edges = grid.lat_edges, grid.lon_edges
    return (lat_edges, grid.lat.size), (lon_edges, grid.lon.size)


def _inside(edges, points, period):
    """Flat position of the interval that holds each point, -1 outside; edges in any direction; longitudes join at 360."""
    low, high = np.minimum(edges[:-1], edges[1:]), np.maximum(edges[:-1], edges[1:])
    order = np.argsort(low)
    start, stop = low[order], high[order]
    shifted = start[0] + (points - start[0]) % period if period else points
    at = np.clip(np.searchsorted(start, shifted, side="right") - 1, 0, start.size - 1)
    good = (shifted >= start[at] - 1e-9) & (shifted <= stop[at] + 1e-9)
    return np.where(good, order[at], -1)


def _breaks(a, b, period):
    """Union of edges, with longitudes as -180..180; slivers below 1e-6 degrees are rounding and go."""
    joined = [np.asarray(a, float), np.asarray(b, float)]
    if period:
        joined = [(e + 180.0) % 360.0 - 180.0 for e in joined]
        whole = any(abs(np.ptp(np.asarray(e, float)) - 360.0) < 1e-3 for e in (a, b))
        if whole:
            joined.append(np.array([-180.0, 180.0]))
    edges = np.unique(np.round(np.concatenate(joined), 7))
    return edges[np.concatenate([[True], np.diff(edges) > 1e-6])]


def _union(reference, other):
    (r_lat, _), (r_lon, r_columns) = _edges(reference)
    (o_lat, _), (o_lon, o_columns) = _edges(other)
    lat_edges, lon_edges = _breaks(r_lat, o_lat, None), _breaks(r_lon, o_lon, 360.0)
    lat, lon = (lat_edges[:-1] + lat_edges[1:]) / 2, (lon_edges[:-1] + lon_edges[1:]) / 2
    rr, rc = _inside(r_lat, lat, None), _inside(r_lon, lon, 360.0)
    orow, oc = _inside(o_lat, lat, None), _inside(o_lon, lon, 360.0)
    keep_row, keep_column = rr >= 0, rc >= 0  # the reference says where there is something to compare
    area = np.diff(np.sin(np.deg2rad(lat_edges)))[:, None] * np.deg2rad(np.diff(lon_edges))[None, :]
    lat, lon, area = lat[keep_row], lon[keep_column], area[np.ix_(keep_row, keep_column)]
    at_reference = _pair(rr[keep_row], rc[keep_column], r_columns)
    at_other = _pair(orow[keep_row], oc[keep_column], o_columns)
    rows, columns = np.meshgrid(lat, lon, indexing="ij")
    return Cells(rows.ravel(), columns.ravel(), area.ravel(), at_reference, at_other, (lat.size, lon.size), (lat, lon))


def _pair(rows, columns, width):
    flat = rows[:, None] * width + columns[None, :]
    return np.where((rows[:, None] >= 0) & (columns[None, :] >= 0), flat, -1).ravel().astype(np.int64)


def places(data: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Latitude and longitude of every flat position of a record."""
    lat, lon = data["lat"].values.astype(float), data["lon"].values.astype(float)
    if is_grid(data):
        lat, lon = (a.ravel() for a in np.meshgrid(lat, lon, indexing="ij"))
    return lat.ravel(), (lon.ravel() + 180.0) % 360.0 - 180.0


def nearest(
    lat: np.ndarray, lon: np.ndarray, to_lat: np.ndarray, to_lon: np.ndarray, *, reach: float = REACH
) -> np.ndarray:
    """Position of the center nearest to each place, by distance on the sphere; -1 beyond `reach` typical spacings of the centers."""
    from scipy.spatial import cKDTree  # two grids meet without it

    tree = cKDTree(_xyz(lat, lon))
    distance, at = tree.query(_xyz(to_lat, to_lon))
    farthest = np.deg2rad(ALONE)
    if lat.size > 1:
        farthest = max(reach * 1.5 * np.median(tree.query(_xyz(lat, lon), k=2)[0][:, 1]), 1e-9)
    return np.where(distance <= farthest, at, -1).astype(np.int64)


def _xyz(lat, lon):
    phi, lam = np.deg2rad(lat), np.deg2rad(lon)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def _sampled(target, source, *, of):
    lat, lon = places(target)
    s_lat, s_lon = places(source)
    if is_grid(source):
        (lat_edges, _), (lon_edges, columns) = _edges(source)
        row, column = _inside(lat_edges, lat, None), _inside(lon_edges, lon, 360.0)
        at = np.where((row >= 0) & (column >= 0), row * columns + column, -1).astype(np.int64)
    else:
        at = nearest(s_lat, s_lon, lat, lon)
    own = np.arange(lat.size, dtype=np.int64)
    if is_grid(target):
        weight = Grid.of(target).area.ravel()
        shape = (target["lat"].size, target["lon"].size)
        axes = (target["lat"].values, target["lon"].values)
    else:
        # points of a rectangular grid stand for areas that shrink with latitude; stations and cells of a mesh count alike
        weight = np.cos(np.deg2rad(lat)) if "location" in target.dims else np.ones(lat.size)
        shape, axes = None, None
    pair = (own, at) if of == "reference" else (at, own)
    return Cells(lat, lon, weight, pair[0], pair[1], shape, axes)
