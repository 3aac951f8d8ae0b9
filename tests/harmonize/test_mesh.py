"""Cells of any shape tile the sphere, keep integrals and constants, and meet real model meshes."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from vadose.errors import DimensionError, VadoseInputError
from vadose.harmonize import Grid, Mesh, remap, sphere, weights

GLOBE = Grid.regular((0, -90, 360, 90), 5.0)


def covered(table):
    """Sum of weights of each target over its area."""
    rows = np.repeat(np.arange(table.area.size), np.diff(table.start))
    return np.bincount(rows, table.weight, minlength=table.area.size) / table.area.values


def cube(n):
    """An equiangular cubed sphere with n x n cells a face, as corners: cells around and at the poles included."""
    edge = np.tan(np.linspace(-np.pi / 4, np.pi / 4, n + 1))
    u, v = np.meshgrid(edge, edge, indexing="ij")
    one = np.ones_like(u)
    faces = [(one, u, v), (-u, one, v), (-one, -u, v), (u, -one, v), (-v, u, one), (v, u, -one)]
    lat, lon = [], []
    for x, y, z in faces:
        r = np.sqrt(x**2 + y**2 + z**2)
        phi, lam = np.rad2deg(np.arcsin(z / r)), np.rad2deg(np.arctan2(y, x))
        for store, field in ((lat, phi), (lon, lam)):
            store.append(np.stack([field[:-1, :-1], field[1:, :-1], field[1:, 1:], field[:-1, 1:]], -1).reshape(-1, 4))
    lat_corners, lon_corners = np.concatenate(lat), np.concatenate(lon)
    xyz = np.stack([np.cos(np.deg2rad(lat_corners)) * np.cos(np.deg2rad(lon_corners)),
                    np.cos(np.deg2rad(lat_corners)) * np.sin(np.deg2rad(lon_corners)), np.sin(np.deg2rad(lat_corners))], -1).mean(1)  # fmt: skip
    xyz /= np.linalg.norm(xyz, axis=1, keepdims=True)
    center = np.rad2deg(np.arcsin(xyz[:, 2])), np.rad2deg(np.arctan2(xyz[:, 1], xyz[:, 0]))
    return Mesh(*center, ("ncol",), center[0].shape, lat_corners, lon_corners)


@pytest.mark.parametrize("n", [4, 5])  # even: poles are corners; odd: poles are inside cells
def test_a_cubed_sphere_tiles_the_sphere_and_keeps_integrals(n):
    mesh = cube(n)
    area = mesh.areas()
    assert area.sum() == pytest.approx(4 * np.pi, rel=1e-12)
    assert area.reshape(6, -1).sum(1) == pytest.approx(
        4 * np.pi / 6, rel=2e-4
    )  # faces are equal; edges are cut into pieces
    there, back = weights(mesh, GLOBE), weights(GLOBE, mesh)
    np.testing.assert_allclose(covered(there), 1.0, atol=1e-9)
    np.testing.assert_allclose(covered(back), 1.0, atol=1e-9)
    x = xr.DataArray(np.random.default_rng(n).normal(size=(3, area.size)), dims=("time", "ncol"), name="v")
    onto = remap(x, there)
    np.testing.assert_allclose((onto.v.values * GLOBE.area).sum((1, 2)), (x.values * area).sum(1), atol=1e-10)
    again = remap(onto.v, back)
    np.testing.assert_allclose((again.v.values * area).sum(1), (x.values * area).sum(1), atol=1e-10)
    np.testing.assert_allclose(remap(xr.full_like(x, 0.3), there).v, 0.3, rtol=1e-14)


def turned(mesh, angle=0.7):
    """The same cells on a sphere turned about an axis through the equator: no edge and no corner stays where it was."""
    phi, lam = np.deg2rad(mesh.lat_corners), np.deg2rad(mesh.lon_corners + 13.0)
    x, y, z = np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)
    y, z = np.cos(angle) * y - np.sin(angle) * z, np.sin(angle) * y + np.cos(angle) * z
    lat, lon = np.rad2deg(np.arcsin(np.clip(z, -1, 1))), np.rad2deg(np.arctan2(y, x))
    middle = np.stack([x, y, z], -1).mean(1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    center = np.rad2deg(np.arcsin(middle[:, 2])), np.rad2deg(np.arctan2(middle[:, 1], middle[:, 0]))
    return Mesh(*center, ("cell",), center[0].shape, lat, lon)


def test_cells_of_one_mesh_to_cells_of_another():
    """Both tile the sphere: every cell is covered whole, integrals are kept there and back, a constant stays, halves are halves."""
    source, target = cube(5), turned(cube(7))
    areas = sphere.areas(*source.corners()), sphere.areas(*target.corners())
    for area in areas:
        assert area.sum() == pytest.approx(4 * np.pi, rel=1e-12)
    np.testing.assert_allclose(areas[0].reshape(6, -1).sum(1), 4 * np.pi / 6, rtol=1e-12)  # faces, exactly
    there, back = weights(source, target), weights(target, source)
    for table in (there, back):
        np.testing.assert_allclose(covered(table), 1.0, atol=1e-10)
    # edges that lie on edges and corners that lie on edges lose nothing
    np.testing.assert_allclose(covered(weights(cube(4), cube(6))), 1.0, atol=1e-10)
    x = xr.DataArray(np.random.default_rng(0).normal(size=(2, areas[0].size)), dims=("time", "ncol"), name="v")
    onto = remap(x, there)
    assert onto.v.dims == ("time", "cell")
    np.testing.assert_allclose(onto.v.values @ areas[1], x.values @ areas[0], atol=1e-10)
    np.testing.assert_allclose(remap(onto.v, back).v.values @ areas[0], x.values @ areas[0], atol=1e-10)
    np.testing.assert_allclose(remap(xr.full_like(x, 0.3), there).v, 0.3, rtol=1e-13)
    # a third of the source missing: value and share by the definition, from the weights in full
    gaps = x.where(xr.DataArray(np.random.default_rng(1).random(areas[0].size) > 0.3, dims="ncol"))
    rows = np.repeat(np.arange(areas[1].size), np.diff(there.start))
    matrix = np.zeros((areas[1].size, areas[0].size))
    matrix[rows, there["index"].values] = there.weight.values
    known = matrix @ np.isfinite(gaps.values[0])
    out = remap(gaps, there, minimum=1e-6)
    np.testing.assert_allclose(out.valid_fraction[0], known / areas[1], atol=1e-9)
    with np.errstate(invalid="ignore"):
        expected = (matrix @ np.nan_to_num(gaps.values[0])) / known
    np.testing.assert_allclose(out.v[0].values[known > 1e-3], expected[known > 1e-3], atol=1e-9)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000), west=st.floats(-180, 170), south=st.floats(-85, 60))
def test_a_regional_curvilinear_grid_shares_its_whole_area_with_the_globe(seed, west, south):
    rng = np.random.default_rng(seed)
    i, j = np.meshgrid(np.arange(6), np.arange(7), indexing="ij")
    lat = south + 3.0 * i + 0.4 * j + rng.uniform(-0.3, 0.3, i.shape)
    lon = west + 4.0 * j - 0.5 * i + rng.uniform(-0.3, 0.3, i.shape)
    data = xr.DataArray(
        np.ones(i.shape), dims=("j", "i"), coords={"lat": (("j", "i"), lat), "lon": (("j", "i"), lon)}, name="v"
    )
    mesh = Mesh.of(data)
    table = weights(mesh, GLOBE)
    total = float(table.weight.sum())
    assert total == pytest.approx(mesh.areas().sum(), rel=1e-9)
    out = remap(data, table, minimum=1e-6)
    np.testing.assert_allclose(out.v.values[np.isfinite(out.v.values)], 1.0)
    np.testing.assert_allclose((out.valid_fraction.values * GLOBE.area).sum(), total, rtol=1e-9)


def test_a_mesh_of_rows_and_columns_gives_the_weights_of_the_grid():
    """A regular grid written as a curvilinear one: same areas as rows and columns to the size of the cut pieces."""
    lat, lon = np.arange(-57.5, 60, 5.0), np.arange(2.5, 120, 5.0)
    two = {
        "lat": (("y", "x"), np.repeat(lat[:, None], lon.size, 1)),
        "lon": (("y", "x"), np.repeat(lon[None], lat.size, 0)),
    }
    rng = np.random.default_rng(0)
    data = xr.DataArray(rng.normal(size=(lat.size, lon.size)), dims=("y", "x"), coords=two, name="v")
    bounds = {
        "lat_bnds": (("y", "x", "k"), np.stack([two["lat"][1] + d for d in (-2.5, -2.5, 2.5, 2.5)], -1)),
        "lon_bnds": (("y", "x", "k"), np.stack([two["lon"][1] + d for d in (-2.5, 2.5, 2.5, -2.5)], -1)),
    }
    mesh = Mesh.of(data.to_dataset().assign_coords(bounds))  # only a Dataset can hold corners
    edges = np.sin(np.deg2rad([0.0, 5.0]))
    assert mesh.areas()[(lat.size // 2) * lon.size] == pytest.approx(float(np.diff(edges)[0] * np.deg2rad(5)), rel=2e-3)
    target = Grid.regular((0, -60, 120, 60), 10.0)
    plain = data.values.reshape(12, 2, 12, 2)
    area = np.abs(np.diff(np.sin(np.deg2rad(np.arange(-60, 61, 5.0))))).reshape(12, 2, 1, 1)
    expected = (plain * area).sum((1, 3)) / (2 * area.sum((1, 3)))
    np.testing.assert_allclose(remap(data, weights(mesh, target)).v, expected, atol=0.01)


def test_gaps_and_the_least_share():
    mesh = cube(6)
    x = xr.DataArray(np.where(mesh.lat > 0, 1.0, np.nan), dims="ncol", name="v")
    table = weights(mesh, GLOBE)
    out = remap(x, table, minimum=0.6)
    assert bool((out.v.notnull() == (out.valid_fraction >= 0.6)).all())
    assert float(out.valid_fraction.sel(lat=87.5).min()) == pytest.approx(1.0)
    assert float(out.valid_fraction.sel(lat=-87.5).max()) == 0.0
    np.testing.assert_allclose(out.v.values[np.isfinite(out.v.values)], 1.0)


def test_nearest_and_linear_to_stations():
    mesh = cube(24)
    field = np.sin(np.deg2rad(mesh.lat)) + np.cos(np.deg2rad(mesh.lat)) * np.sin(np.deg2rad(mesh.lon))
    x = xr.DataArray(field, dims="ncol", name="v")
    rng = np.random.default_rng(2)
    lat, lon = np.rad2deg(np.arcsin(rng.uniform(-1, 1, 200))), rng.uniform(-180, 180, 200)
    places = Mesh.points(lat, lon)
    exact = np.sin(np.deg2rad(lat)) + np.cos(np.deg2rad(lat)) * np.sin(np.deg2rad(lon))
    linear = remap(x, weights(mesh, places, method="bilinear")).v
    assert linear.dims == ("station",)
    np.testing.assert_allclose(linear, exact, atol=2e-3)  # curvature times spacing (3.75 degrees) squared over 8: 5e-4
    nearest = remap(x, weights(mesh, places, method="nearest")).v
    np.testing.assert_allclose(nearest, exact, atol=0.06)  # slope times half a cell's diagonal
    at_centers = weights(mesh, Mesh.points(mesh.lat[:9], mesh.lon[:9]), method="nearest")
    np.testing.assert_array_equal(at_centers["index"], np.arange(9))


def test_nothing_is_made_up_outside_the_source():
    lat, lon = np.meshgrid(np.arange(40.0, 50), np.arange(-100.0, -90), indexing="ij")
    data = xr.DataArray(
        np.ones(lat.shape), dims=("y", "x"), coords={"lat": (("y", "x"), lat), "lon": (("y", "x"), lon)}, name="v"
    )
    far = Mesh.points([45.2, 45.0, -30.0], [-95.3, -80.0, 60.0])
    for method in ("nearest", "bilinear"):
        out = remap(data, weights(Mesh.of(data), far, method=method)).v.values
        assert out[0] == 1.0
        assert np.isnan(out[1:]).all()


@pytest.mark.parametrize("name", ["N36", "S25", "M36"])
def test_polar_and_global_ease_grids_tile(name):
    mesh = Mesh.ease2(name)
    table = weights(mesh, Grid.regular((-180, -90, 180, 90), 10.0))
    assert float(table.weight.sum()) == pytest.approx(float(mesh.areas().sum()), rel=1e-6)
    pole = {"N36": 17, "S25": 0, "M36": 9}[name]
    np.testing.assert_allclose(covered(table).reshape(18, 36)[pole], 1.0, atol=2e-4 if name == "M36" else 1e-9)


def test_gaussian_grids_hold_the_quadrature():
    grid = Grid.gaussian(160)
    nodes, shares = np.polynomial.legendre.leggauss(160)
    assert grid.lat[0] == pytest.approx(89.1416, abs=1e-4)  # first parallel of N80 as published by ECMWF: 89.1416
    np.testing.assert_allclose(np.sin(np.deg2rad(grid.lat)), nodes[::-1], atol=1e-14)
    np.testing.assert_allclose(grid.area.sum(1) / (2 * np.pi), shares[::-1], rtol=1e-9)
    assert (np.diff(grid.lat_edges) < 0).all()
    with pytest.raises(VadoseInputError, match="even"):
        Grid.gaussian(161)


def test_weights_are_stored_reused_and_lazy(tmp_path):
    mesh = cube(6)
    weights(mesh, GLOBE).to_netcdf(tmp_path / "weights.nc")
    stored = xr.open_dataset(tmp_path / "weights.nc")
    x = xr.DataArray(np.random.default_rng(0).normal(size=(8, 216)), dims=("time", "ncol"), name="v")
    lazy = remap(x.chunk(time=2, ncol=50), stored)
    assert lazy.v.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), remap(x, weights(mesh, GLOBE)))


def test_real_meshes(shared_data):
    folder = shared_data / "esm_grids"
    ne30 = Mesh.esmf(xr.open_dataset(folder / "ne30pg3.grid.nc"))
    assert ne30.areas().sum() == pytest.approx(4 * np.pi, rel=1e-12)
    table = weights(ne30, Grid.regular((0, -90, 360, 90), 2.0))
    np.testing.assert_allclose(covered(table), 1.0, atol=1e-9)
    turned_cells = turned(cube(10))
    onto = weights(ne30, turned_cells)  # cells to cells, no rows and columns between
    np.testing.assert_allclose(covered(onto), 1.0, atol=1e-9)
    raw = xr.open_dataset(folder / "mesh.QU.1920km.151026.nc")
    mpas = Mesh.mpas(raw)
    share = raw.areaCell.values / raw.areaCell.values.sum()
    np.testing.assert_allclose(mpas.areas() / (4 * np.pi), share, rtol=1e-3)


def test_what_cannot_be_says_what_can():
    with pytest.raises(VadoseInputError, match="no area"):
        weights(GLOBE, Mesh.points([1.0], [2.0]))
    with pytest.raises(VadoseInputError, match="regrid"):
        weights(GLOBE, GLOBE)
    with pytest.raises(VadoseInputError, match="SCRIP"):
        Mesh.scrip(xr.Dataset())
    with pytest.raises(DimensionError, match="weights are for"):
        remap(xr.DataArray(np.zeros(5), dims="ncol"), weights(cube(2), GLOBE))


@pytest.mark.parametrize("method", ["bilinear", "nearest"])
def test_cells_without_a_place_are_left_out_not_refused(method):
    """Curvilinear grids of the ocean have no latitude and longitude over land."""
    lat, lon = np.meshgrid(np.linspace(-20, 20, 9), np.linspace(150, 210, 13), indexing="ij")
    data = xr.DataArray(
        lat + 0.1 * lon, dims=("j", "i"), coords={"lat": (("j", "i"), lat), "lon": (("j", "i"), lon)}, name="v"
    )
    land = xr.DataArray(np.arange(13) < 4, dims="i")
    holed = data.assign_coords(lat=data.lat.where(~land), lon=data.lon.where(~land)).where(~land)
    target = Grid.regular((180, -10, 200, 10), 5)
    out = remap(holed, weights(Mesh.of(holed), target, method=method)).v
    wanted = remap(data, weights(Mesh.of(data), target, method=method)).v
    np.testing.assert_allclose(
        out, wanted, atol=0.01 if method == "bilinear" else 0
    )  # squares may be halved the other way
    places = Mesh.points(np.array([0.0, np.nan, 5.0]), np.array([190.0, 190.0, np.nan]))
    alone = remap(holed, weights(Mesh.of(holed), places, method=method)).v
    assert alone.notnull().values.tolist() == [True, False, False]
