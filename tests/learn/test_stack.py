"""Predictors of many resolutions on one grid: what a mean may be taken of, and how."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from vadose.errors import DimensionError, UnitsError, VadoseInputError
from vadose.harmonize import Grid
from vadose.learn import stack

GRID = Grid.regular((-95, 40, -93, 41), 0.5)


def field(resolution, values=None, units="1", box=(-95, 40, -93, 41)):
    g = Grid.regular(box, resolution)
    shape = (g.lat.size, g.lon.size)
    data = np.arange(np.prod(shape), dtype=float).reshape(shape) if values is None else values
    return xr.DataArray(data, dims=("lat", "lon"), coords={"lat": g.lat, "lon": g.lon}, attrs={"units": units})


def test_fine_fields_are_averaged_and_coarse_ones_interpolated():
    fine = field(0.25)
    lon = Grid.regular((-97, 38, -91, 43), 1.0).lon
    coarse = field(1.0, np.tile(lon, (5, 1)), box=(-97, 38, -91, 43))
    out = stack.onto(GRID, {"elevation": fine, "rain": coarse})
    assert out.elevation.attrs["regridding"] == "conservative"
    assert out.rain.attrs["regridding"] == "bilinear"
    want = fine.values.reshape(2, 2, 4, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(out.elevation, want, atol=0.05)  # cells of one row differ in area by 0.4 %
    np.testing.assert_allclose(out.rain, np.tile(GRID.lon, (2, 1)), atol=1e-9)  # a plane stays a plane


def test_c_t1_1_6_backscatter_on_another_grid_is_averaged_in_linear_units():
    two = field(0.25, np.where(np.arange(8) % 2 == 0, -10.0, -20.0) * np.ones((4, 1)), units="dB")
    out = stack.onto(GRID, {"vv": two})
    np.testing.assert_allclose(out.vv, -12.596, atol=1e-3)
    assert out.vv.attrs["units"] == "dB"


def test_lazy_fields_stay_lazy_and_keep_their_time():
    lazy = field(0.25).expand_dims(time=3).chunk(time=1)
    out = stack.onto(GRID, {"ndvi": lazy})
    assert isinstance(out.ndvi.data, da.Array)
    assert out.ndvi.sizes == {"time": 3, "lat": 2, "lon": 4}


def test_cover_counts_shares_of_classes():
    codes = np.full((4, 8), 1.0)
    codes[:, 2:4] = 2
    codes[0, 2] = 5  # a class without a name
    codes[:, 4:] = np.nan
    out = stack.cover_fractions(field(0.25, codes), GRID, {1: "crop", 2: "forest", 3: "forest"})
    np.testing.assert_allclose(out.cover_crop.values[:, 0], 1)
    np.testing.assert_allclose(out.cover_forest.values[:, 1], [0.75, 1.0], atol=0.01)
    np.testing.assert_allclose(out.cover_crop.values[:, 1], 0)
    assert np.isnan(out.cover_crop.values[:, 2:]).all()
    with pytest.raises(VadoseInputError, match="cover_fractions"):
        stack.onto(GRID, {"cover": field(0.25, codes).assign_attrs(flag_values=[1, 2])})


def test_thermal_differences_by_hand():
    day = field(0.5, np.full((2, 4), 30.0), "degC")
    out = stack.thermal(day, field(0.5, np.full((2, 4), 293.15), "K"), field(0.5, np.full((2, 4), 12.0), "degC"))
    np.testing.assert_allclose(out.surface_minus_air, 10.0)
    np.testing.assert_allclose(out.surface_range, 18.0)
    assert list(stack.thermal(day, day).data_vars) == ["surface_minus_air"]


def test_sums_of_demand_by_hand():
    days = xr.DataArray(
        np.array([1.0, 2.0, 3.0, 4.0]) / 86400,
        dims="time",
        attrs={"units": "kg m-2 s-1"},
        name="potential_evaporation_flux",
    )
    out = stack.accumulated(days, windows=(2, 3))
    np.testing.assert_allclose(out.potential_evaporation_2d, [np.nan, 3, 5, 7])
    np.testing.assert_allclose(out.potential_evaporation_3d, [np.nan, np.nan, 6, 9])
    assert out.potential_evaporation_2d.attrs["units"] == "mm"
    with pytest.raises(DimensionError, match="time"):
        stack.accumulated(days.rename(time="day"))
    with pytest.raises(UnitsError, match="flux of water"):
        stack.accumulated(days.assign_attrs(units="K"))
