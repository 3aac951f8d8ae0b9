"""EASE-Grid 2.0 against the published parameters, hand-checked cells and PROJ."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vadose import ease
from vadose.errors import NotFoundError


def test_c_f_1_cells_tile_the_globe():
    for name in ("M36", "M09", "M03", "M01"):
        g = ease.grid(name)
        assert abs(g.columns * g.cell - 34735060.890323) < 1e-5
    assert ease.grid("M36").cell / ease.grid("M09").cell == pytest.approx(4, rel=1e-12)
    assert ease.grid("M09").cell / ease.grid("M03").cell == pytest.approx(3, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "row", "column", "lat", "lon"),
    [
        ("M36", 0, 0, 83.631975, -179.813278),
        ("M09", 0, 0, 84.656419, -179.953320),
        ("M09", 500, 1000, 22.559193, -86.592324),
    ],
)
def test_c_f_2_cell_centers(name, row, column, lat, lon):
    lats, lons = ease.centers(name)
    assert lats[row] == pytest.approx(lat, abs=5e-7)
    assert lons[column] == pytest.approx(lon, abs=5e-7)


def test_c_f_3_points_and_indices():
    x, y = ease.forward("M36", 40.0, -105.0)
    assert x == pytest.approx(-10131059.4263, abs=6e-5)
    assert y == pytest.approx(4707084.1713, abs=6e-5)
    assert tuple(map(int, ease.index("M36", 40.0, -105.0))) == (72, 200)
    assert tuple(map(int, ease.index("M09", 40.0, -105.0))) == (289, 803)
    assert tuple(map(int, ease.index("M09", -33.9, 151.2))) == (1265, 3547)
    assert tuple(map(int, ease.index("M09", 65.0, 25.0))) == (73, 2195)


@pytest.mark.parametrize("name", ["M36", "N09", "S25"])
def test_c_f_3_agrees_with_proj(name):
    rng = np.random.default_rng(0)
    lat = rng.uniform(*{"M": (-85, 85), "N": (0, 90), "S": (-90, 0)}[name[0]], 500)
    lon = rng.uniform(-180, 180, 500)
    px, py = pyproj.Transformer.from_crs(4326, ease.grid(name).epsg, always_xy=True).transform(lon, lat)
    x, y = ease.forward(name, lat, lon)
    np.testing.assert_allclose(x, px, atol=1e-3)
    np.testing.assert_allclose(y, py, atol=1e-3)


@given(lat=st.floats(-85, 85), lon=st.floats(-179.99, 179.99))
def test_c_f_3_forward_inverse(lat, lon):
    back = ease.inverse("M09", *ease.forward("M09", lat, lon))
    np.testing.assert_allclose(back, (lat, lon), atol=1e-9)


def test_outside_is_minus_one_and_unknown_names_answer():
    assert int(ease.index("M36", 89.0, 0.0)[0]) == -1
    with pytest.raises(NotFoundError, match="M36"):
        ease.grid("M37")
