"""Cells of any shape: curvilinear ocean-style grids, unstructured model meshes, polar EASE-Grids and station points.

Weights are a Dataset: computed once, stored with `.to_zarr` or `.to_netcdf`, and used again by `remap`. Conservative weights
are overlap areas in the plane of longitude and sine of latitude, where areas are those of the sphere: cell edges are
great circles cut into short pieces, so cells that tile the sphere still tile it, and integrals are kept to rounding. Between two
meshes cells are cut by one another on the sphere itself (`vadose.harmonize.sphere`).
Jones 1999, doi:10.1175/1520-0493(1999)127<2204:FASOCR>2.0.CO;2 (first order).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from vadose import ease
from vadose.errors import DimensionError, VadoseInputError, unknown_name
from vadose.harmonize import polygons, sphere
from vadose.harmonize.grid import Grid, least_share

METHODS = ("conservative", "bilinear", "nearest")
FAR = 1.5  # a target farther from its nearest source than this many spacings of the source has no value


@dataclass(frozen=True)
class Mesh:
    """Centers [degrees] and corners (cells, corners) of cells; `dims` and `shape` are those of data on it. Points have no corners."""

    lat: np.ndarray
    lon: np.ndarray
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    lat_corners: np.ndarray | None = None
    lon_corners: np.ndarray | None = None

    @classmethod
    def points(cls, lat: np.ndarray, lon: np.ndarray, *, dim: str = "station") -> Mesh:
        """Places without extent, such as stations."""
        lat, lon = np.atleast_1d(np.asarray(lat, dtype=float)), np.atleast_1d(np.asarray(lon, dtype=float))
        return cls(lat, lon, (dim,), lat.shape)

    @classmethod
    def scrip(cls, grid: xr.Dataset, *, dim: str = "ncol") -> Mesh:
        """A grid description in SCRIP form (`grid_center_lat`, `grid_corner_lat` ...), such as E3SM's ne30pg3."""
        names = [f"grid_{part}_{axis}" for part in ("center", "corner") for axis in ("lat", "lon")]
        missing = [n for n in names if n not in grid]
        if missing:
            raise VadoseInputError(
                f"not a SCRIP grid: {missing} are missing; it has {sorted(map(str, grid.data_vars))}"
            )
        lat, lon, lat_corners, lon_corners = (_degrees(grid[n]) for n in names)
        return cls(lat, lon, (dim,), lat.shape, lat_corners, lon_corners)

    @classmethod
    def esmf(cls, mesh: xr.Dataset, *, dim: str = "ncol") -> Mesh:
        """An ESMF unstructured mesh (`nodeCoords`, `elementConn`, `numElementConn`), the other form of ne30pg3 and its kin."""
        missing = [n for n in ("nodeCoords", "elementConn", "numElementConn") if n not in mesh]
        if missing:
            raise VadoseInputError(
                f"not an ESMF mesh: {missing} are missing; it has {sorted(map(str, mesh.data_vars))}"
            )
        node = _degrees(mesh["nodeCoords"])
        count = mesh["numElementConn"].values.astype(int)[:, None]
        corners = np.nan_to_num(mesh["elementConn"].values, nan=1.0).astype(int) - 1
        corners = np.where(np.arange(corners.shape[1]) < count, corners, np.take_along_axis(corners, count - 1, axis=1))
        lat, lon = node[:, 1][corners], node[:, 0][corners]
        if "centerCoords" in mesh:
            center = _degrees(mesh["centerCoords"])
            return cls(center[:, 1], center[:, 0], (dim,), center[:, 1].shape, lat, lon)
        middle = _xyz(lat, lon).mean(axis=1)
        middle_lat, middle_lon = _lat_lon(middle)
        return cls(middle_lat, middle_lon, (dim,), middle_lat.shape, lat, lon)

    @classmethod
    def mpas(cls, mesh: xr.Dataset) -> Mesh:
        """An MPAS mesh: Voronoi cells of `verticesOnCell` (data on `nCells`)."""
        needed = ("latCell", "lonCell", "latVertex", "lonVertex", "verticesOnCell", "nEdgesOnCell")
        missing = [n for n in needed if n not in mesh]
        if missing:
            raise VadoseInputError(f"not an MPAS mesh: {missing} are missing")
        vertices = mesh["verticesOnCell"].values - 1
        count = mesh["nEdgesOnCell"].values[:, None]
        last = np.take_along_axis(vertices, count - 1, axis=1)
        vertices = np.where(np.arange(vertices.shape[1]) < count, vertices, last)  # repeated corners have no area
        lat, lon = (np.rad2deg(mesh[n].values.astype(float)) for n in ("latVertex", "lonVertex"))
        centers = [np.rad2deg(mesh[n].values.astype(float)) for n in ("latCell", "lonCell")]
        return cls(centers[0], centers[1], ("nCells",), centers[0].shape, lat[vertices], lon[vertices])

    @classmethod
    def ease2(cls, name: str) -> Mesh:
        """Any of the standard EASE-Grids 2.0, polar ones included, as cells (`y`, `x`). Global ones are faster as `Grid.ease2`."""
        g = ease.grid(name)
        x, y = g.x0 + np.arange(g.columns + 1) * g.cell, g.y0 - np.arange(g.rows + 1) * g.cell
        lat, lon = ease.inverse(name, *(v.ravel() for v in np.meshgrid(g.x(), g.y())))
        edge_lat, edge_lon = (
            v.reshape(y.size, x.size) for v in ease.inverse(name, *(v.ravel() for v in np.meshgrid(x, y)))
        )
        return cls(lat, lon, ("y", "x"), (g.rows, g.columns), _quads(edge_lat), _quads(edge_lon))

    @classmethod
    def of(cls, data: xr.DataArray | xr.Dataset) -> Mesh:
        """The mesh of an array with two-dimensional lat and lon (curvilinear), or with lat and lon along one dimension (points).

        Corners come from `lat_bnds`/`lon_bnds` or `vertices_latitude`/`vertices_longitude` where the data has them; else they lie midway.
        """
        if "lat" not in data.coords or "lon" not in data.coords or data["lat"].dims != data["lon"].dims:
            raise DimensionError(
                "a mesh needs coordinates lat and lon on the same dimensions; for rows and columns use Grid.of"
            )
        lat, lon = data["lat"].values.astype(float), data["lon"].values.astype(float)
        dims = tuple(str(d) for d in data["lat"].dims)
        corners: tuple = (None, None)
        for names in (("lat_bnds", "lon_bnds"), ("vertices_latitude", "vertices_longitude")):
            if all(n in data.coords or (isinstance(data, xr.Dataset) and n in data) for n in names):
                corners = tuple(data[n].values.astype(float).reshape(lat.size, -1) for n in names)
        if corners[0] is None and lat.ndim == 2:
            corners = _midway_corners(lat, lon)
        return cls(lat.ravel(), lon.ravel(), dims, lat.shape, *corners)

    def corners(self) -> tuple[np.ndarray, np.ndarray]:
        """Latitudes and longitudes of the corners; VadoseInputError for points, which have none."""
        if self.lat_corners is None or self.lon_corners is None:
            raise VadoseInputError("points have no area; conservative regridding needs cells with corners")
        return self.lat_corners, self.lon_corners

    def areas(self) -> np.ndarray:
        """Areas of the cells on the unit sphere."""
        return polygons.areas(*self.corners())


def _degrees(array):
    values = array.values.astype(float)
    return np.rad2deg(values) if str(array.attrs.get("units", "degrees")).lower().startswith("rad") else values


def _quads(edges):
    return np.stack([edges[:-1, :-1], edges[1:, :-1], edges[1:, 1:], edges[:-1, 1:]], axis=-1).reshape(-1, 4)


def _xyz(lat, lon):
    phi, lam = np.deg2rad(lat), np.deg2rad(lon)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def _lat_lon(points):
    unit = points / np.linalg.norm(points, axis=-1, keepdims=True)
    return np.rad2deg(np.arcsin(np.clip(unit[..., 2], -1, 1))), np.rad2deg(np.arctan2(unit[..., 1], unit[..., 0]))


def _midway_corners(lat, lon):
    """Corners of a curvilinear grid between its centers, on the sphere; the outermost are extrapolated."""
    points = np.pad(_xyz(lat, lon), ((1, 1), (1, 1), (0, 0)), mode="reflect", reflect_type="odd")
    phi, lam = _lat_lon(points[:-1, :-1] + points[1:, :-1] + points[1:, 1:] + points[:-1, 1:])
    return _quads(phi), _quads(lam)


def weights(source: Grid | Mesh, target: Grid | Mesh, *, method: str = "conservative") -> xr.Dataset:
    """Weights from one grid to another, to be stored and reused by `remap`.

    `conservative` needs cells with corners; where neither side has rows and columns (a `Grid`), cells must be convex. `bilinear` is linear in the
    triangle of source centers around a target; `nearest` takes the nearest center. Outside the source there is no value.
    Returns `start` (target_edge), `index` and `weight` (link), `area` (target), and the target's `lat` and `lon`.
    """
    if method not in METHODS:
        raise unknown_name("regridding method", method, METHODS)
    make = {"conservative": _overlap, "bilinear": _linear, "nearest": _nearest}[method]
    rows, columns, values, area = make(source, target)
    order = np.lexsort((columns, rows))
    lat, lon = _centers(target)
    start = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=lat.size))])
    out = xr.Dataset(
        {
            "start": ("target_edge", start),
            "index": ("link", columns[order]),
            "weight": ("link", values[order]),
            "area": ("target", area),
        },
        coords={"target_lat": ("target", lat), "target_lon": ("target", lon)},
    )
    shape = {"source": _shape(source), "target": _shape(target)}
    return out.assign_attrs(
        method=method, source_dims=" ".join(source.dims), target_dims=" ".join(target.dims),
        source_shape=list(shape["source"]), target_shape=list(shape["target"]), separable=int(isinstance(target, Grid)),
    )  # fmt: skip


def _shape(grid):
    return (grid.lat.size, grid.lon.size) if isinstance(grid, Grid) else grid.shape


def _centers(grid):
    if isinstance(grid, Mesh):
        return grid.lat, grid.lon
    return tuple(v.ravel() for v in np.meshgrid(grid.lat, grid.lon, indexing="ij"))


def _overlap(source, target):
    if isinstance(source, Mesh) and isinstance(target, Mesh):
        rows, columns, shared = sphere.overlaps(*source.corners(), *target.corners())
        return rows, columns, shared, sphere.areas(*target.corners())
    if isinstance(source, Grid) and isinstance(target, Grid):
        raise VadoseInputError(
            "both grids have rows and columns: use vadose.harmonize.regrid, which needs no stored weights"
        )
    mesh, grid = (source, target) if isinstance(source, Mesh) else (target, source)
    lat, lon = mesh.corners()
    area = polygons.areas(lat, lon)
    cell, box, shared = polygons.overlaps(lat, lon, grid.lat_edges, grid.lon_edges)
    if isinstance(source, Mesh):
        return box, cell, shared, grid.area.ravel()
    return cell, box, shared, area


def _spacing(tree, points):
    near, _ = tree.query(points, k=min(3, tree.n))
    return near[:, 1] if near.ndim == 2 and near.shape[1] > 1 else np.full(points.shape[0], np.inf)


def _nearest(source, target):
    from scipy.spatial import cKDTree

    (have, of_source), (want, of_target) = _known(source), _known(target)
    tree = cKDTree(have)
    distance, at = tree.query(want)
    near = distance <= FAR * _spacing(tree, have)[at] + 1e-12
    return of_target[near], of_source[at[near]], np.ones(int(near.sum())), np.ones(_centers(target)[0].size)


def _known(grid):
    """Centers that have a place, on the unit sphere, and their numbers: grids of the ocean leave land without one."""
    points = _xyz(*_centers(grid))
    number = np.flatnonzero(np.isfinite(points).all(axis=1))
    return points[number], number


def _linear(source, target):
    """Barycentric weights in the triangles of the sphere's Delaunay net; triangles much longer than the spacing are holes."""
    from scipy.spatial import ConvexHull, cKDTree

    (have, of_source), (want, of_target) = _known(source), _known(target)
    if have.shape[0] < 4:
        raise VadoseInputError(
            f"bilinear regridding needs four source points or more, got {have.shape[0]}; use nearest"
        )
    triangles = ConvexHull(have, qhull_options="Qt QJ").simplices
    spacing = _spacing(cKDTree(have), have)
    corners = have[triangles]
    longest = np.max(
        [np.linalg.norm(corners[:, i] - corners[:, j], axis=1) for i, j in ((0, 1), (1, 2), (2, 0))], axis=0
    )
    keep = longest <= 3.0 * np.max(spacing[triangles], axis=1)
    triangles, corners = triangles[keep], corners[keep]
    _, candidates = cKDTree(corners.mean(axis=1)).query(want, k=min(24, len(triangles)))
    candidates = candidates.reshape(want.shape[0], -1)
    rows, columns, values = [], [], []
    open_rows = np.arange(want.shape[0])
    for k in range(candidates.shape[1]):
        chosen = candidates[open_rows, k]
        share = np.linalg.solve(np.swapaxes(corners[chosen], 1, 2) + 1e-15 * np.eye(3), want[open_rows][..., None])[
            ..., 0
        ]
        inside = (share >= -1e-9).all(axis=1)
        share = np.clip(share[inside], 0.0, None)
        rows.append(np.repeat(open_rows[inside], 3))
        columns.append(triangles[chosen[inside]].ravel())
        values.append((share / share.sum(axis=1, keepdims=True)).ravel())
        open_rows = open_rows[~inside]
        if open_rows.size == 0:
            break
    found = of_target[np.concatenate(rows)], of_source[np.concatenate(columns)], np.concatenate(values)
    return *found, np.ones(_centers(target)[0].size)


def remap(data: xr.DataArray, table: xr.Dataset, *, minimum: float = 0.5) -> xr.Dataset:
    """`data` on the target of stored weights: the variable and `valid_fraction` (share of the target's area with values).

    Targets with a share below `minimum` are NaN. Lazy on dask along all other dimensions.
    Raises DimensionError when the data is not on the grid that the weights are for.
    """
    dims = str(table.attrs["source_dims"]).split()
    shape = tuple(int(v) for v in np.atleast_1d(table.attrs["source_shape"]))
    if any(d not in data.dims for d in dims) or tuple(data.sizes[d] for d in dims) != shape:
        raise DimensionError(
            f"these weights are for dimensions {dict(zip(dims, shape, strict=True))}, the data has {dict(data.sizes)}"
        )
    least = least_share(minimum)
    start, index, weight, area = (table[n].values for n in ("start", "index", "weight", "area"))
    targets = str(table.attrs["target_dims"]).split()
    sizes = tuple(int(v) for v in np.atleast_1d(table.attrs["target_shape"]))
    inner = [f"_{d}" for d in targets]  # a target may share names of dimensions with the source

    def kernel(values):
        lead = values.shape[: values.ndim - len(dims)]
        flat = np.ascontiguousarray(values.reshape(-1, int(np.prod(shape))), dtype=float)
        out, share = polygons.weighted(flat, start, index, weight, area, least)
        return out.reshape(*lead, *sizes), share.reshape(*lead, *sizes)

    if data.chunks is not None:
        data = data.chunk(dict.fromkeys(dims, -1))
    bare = data.drop_vars([c for c in data.coords if set(data[c].dims) & set(dims)])
    value, share = xr.apply_ufunc(
        kernel, bare, input_core_dims=[dims], output_core_dims=[inner, inner], dask="parallelized", output_dtypes=[float, float],
        dask_gufunc_kwargs={"output_sizes": dict(zip(inner, sizes, strict=True))},
    )  # fmt: skip
    name = str(data.name or "data")
    out = xr.Dataset({name: value.assign_attrs(data.attrs), "valid_fraction": share}).rename(
        dict(zip(inner, targets, strict=True))
    )
    out["valid_fraction"].attrs = {"units": "1", "long_name": "share of the target's area with values"}
    lat, lon = (table[n].values.reshape(sizes) for n in ("target_lat", "target_lon"))
    if int(table.attrs["separable"]):
        return out.assign_coords({"lat": (targets[0], lat[:, 0]), "lon": (targets[1], lon[0])})
    return out.assign_coords(lat=(targets, lat), lon=(targets, lon))
