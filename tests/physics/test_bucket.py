"""The two-layer bucket: closure, limits, and the hand-computed run of the method's specification."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from vadose.errors import TimeAxisError, UnitsError, VadoseInputError
from vadose.physics import bucket

LOAM = {
    "porosity": 0.46,
    "wilting_point": 0.137,
    "critical_point": 0.24,
    "field_capacity": 0.28,
    "conductivity": 372.0,
    "exponent": 5.35,
}
DAY = 86400.0


def flux(values, units="mm d-1"):
    values = np.asarray(values, dtype=float)
    return xr.DataArray(
        values,
        dims=("time",),
        coords={"time": pd.date_range("2017-01-01", periods=values.size)},
        name="p",
        attrs={"units": units},
    )


def totals(out):
    return {name: float(out[name].sum() * DAY) for name in ("evapotranspiration_flux", "runoff_flux", "drainage_flux")}


def storage(theta):
    return float(theta[0] * 50 + theta[1] * 950)


def test_c_x14_6_hand_computed_run():
    rain = np.where(np.arange(60) % 5 == 0, 10.0, 0.0)
    out = bucket.two_layer(flux(rain), flux(np.full(60, 4.0)), initial=(0.25, 0.26), **LOAM)
    theta = out.soil_moisture.values
    for day, expected in {
        0: (0.280000, 0.261628),
        1: (0.256000, 0.258680),
        4: (0.192886, 0.249838),
        59: (0.192886, 0.174904),
    }.items():
        np.testing.assert_allclose(theta[day], expected, atol=6e-7)
    sums = totals(out)
    assert sums["evapotranspiration_flux"] == pytest.approx(181.402, abs=6e-4)
    assert sums["runoff_flux"] == pytest.approx(22.2947, abs=6e-5)
    assert sums["drainage_flux"] == 0


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    ks=st.floats(0.1, 3000),
    b=st.floats(1, 15),
    fc=st.floats(0.15, 0.4),
    gap=st.floats(0.03, 0.12),
)
def test_c_x14_1_water_is_neither_made_nor_lost(seed, ks, b, fc, gap):
    rng = np.random.default_rng(seed)
    rain = rng.exponential(20, 3653) * (rng.random(3653) < 0.3)
    demand = rng.uniform(0, 9, 3653)
    out = bucket.two_layer(
        flux(rain),
        flux(demand),
        initial=(0.3, 0.2),
        porosity=0.48,
        wilting_point=fc - gap,
        field_capacity=fc,
        conductivity=ks,
        exponent=b,
    )
    theta = out.soil_moisture.values
    change = storage(theta[-1]) - (0.3 * 50 + 0.2 * 950)
    assert abs(rain.sum() - sum(totals(out).values()) - change) < 1e-6


def test_c_x14_2_nothing_happens_without_fluxes():
    still = {**LOAM, "conductivity": 0.0}
    out = bucket.two_layer(flux(np.zeros(30)), flux(np.zeros(30)), initial=(0.2, 0.3), **still)
    np.testing.assert_allclose(out.soil_moisture.values, np.tile([0.2, 0.3], (30, 1)), rtol=0, atol=1e-15)
    flood = bucket.two_layer(flux(np.full(5, 1e4)), flux(np.zeros(5)), initial=(0.2, 0.3), **still)
    np.testing.assert_allclose(flood.soil_moisture.values[-1], [0.46, 0.3], atol=1e-12)


def test_lazy_in_lazy_out_and_equal():
    rng = np.random.default_rng(1)
    rain = xr.DataArray(
        rng.exponential(5, (50, 4, 3)),
        dims=("time", "lat", "lon"),
        attrs={"units": "mm d-1"},
        name="p",
        coords={"time": pd.date_range("2017", periods=50)},
    )
    demand = xr.full_like(rain, 3.0)
    whole = bucket.two_layer(rain, demand, **LOAM)
    lazy = bucket.two_layer(rain.chunk(lat=2, time=7), demand.chunk(lat=2), **LOAM)
    assert lazy.soil_moisture.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), whole)
    assert whole.soil_moisture.dims == ("time", "depth", "lat", "lon")


def test_soils_under_one_sky_and_the_units_of_their_conductivity():
    """Parameters may have dimensions of their own; conductivity per hour, as texture gives it, is the same soil as per day."""
    rain, demand = flux(np.tile([30.0, 0.0, 0.0], 20)), flux(np.full(60, 4.0))
    names = ["sand", "loam"]
    hourly = xr.DataArray([60.0, 15.5], dims="soil", coords={"soil": names}, attrs={"units": "mm h-1"})
    out = bucket.two_layer(rain, demand, **{**LOAM, "conductivity": hourly})
    assert out.soil_moisture.dims == ("time", "depth", "soil")
    for name, daily in (("sand", 60.0 * 24), ("loam", 15.5 * 24)):
        alone = bucket.two_layer(rain, demand, **{**LOAM, "conductivity": daily})
        xr.testing.assert_allclose(out.sel(soil=name, drop=True), alone)
    with pytest.raises(UnitsError, match="conductivity"):
        bucket.two_layer(rain, demand, **{**LOAM, "conductivity": hourly.assign_attrs(units="K")})


def test_flux_units_do_not_matter():
    rain = flux(np.full(10, 8.0))
    metric = flux(np.full(10, 8.0 / DAY), "kg m-2 s-1")
    a, b = (bucket.two_layer(p, flux(np.full(10, 3.0)), **LOAM) for p in (rain, metric))
    xr.testing.assert_allclose(a, b)


def test_wrong_units_and_parameters_are_named():
    with pytest.raises(UnitsError, match="K"):
        bucket.two_layer(flux([1.0], "K"), flux([1.0]), **LOAM)
    with pytest.raises(VadoseInputError, match="porosity"):
        bucket.two_layer(flux([1.0]), flux([1.0]))
    with pytest.raises(VadoseInputError, match="wilting_point must be below"):
        bucket.two_layer(flux([1.0]), flux([1.0]), **{**LOAM, "wilting_point": 0.3})
    with pytest.raises(VadoseInputError, match="colour"):
        bucket.two_layer(flux([1.0]), flux([1.0]), colour=1, **LOAM)


def test_an_hour_is_not_taken_for_a_day():
    hours = pd.date_range("2017-01-01", periods=48, freq="h")
    rain, demand = (
        xr.DataArray(np.full(48, v), dims="time", coords={"time": hours}, attrs={"units": "mm d-1"}) for v in (0.0, 4.0)
    )
    with pytest.raises(TimeAxisError, match="forcing by 1 h"):
        bucket.two_layer(rain, demand, **LOAM)
    gap = flux(np.zeros(60)).isel(time=[*range(30), *range(31, 60)])  # a calendar without 29 February
    assert bucket.two_layer(gap, gap, **LOAM).soil_moisture.notnull().all()


def test_limits_of_fields_meet_by_the_names_of_their_dimensions():
    """Wetter by row, finer by column: as (lat, lon) and (lon, lat) every limit is in order, by position it is not."""
    lat, lon = xr.DataArray([0.0, 0.3], dims="lat"), xr.DataArray([0.0, 0.0], dims="lon")
    wilting, capacity = 0.1 + lat + lon, (0.2 + lat + lon).transpose("lon", "lat")
    limits = {
        **LOAM,
        "wilting_point": wilting,
        "critical_point": 0.15 + lat,
        "field_capacity": capacity,
        "porosity": 0.9,
    }
    assert bucket.two_layer(flux(np.zeros(3)), flux(np.zeros(3)), **limits).sizes["lat"] == 2
    with pytest.raises(VadoseInputError, match="wilting_point must be below critical_point"):
        bucket.two_layer(
            flux(np.zeros(3)),
            flux(np.zeros(3)),
            **{**limits, "critical_point": 0.15 + lat[::-1].drop_vars("lat", errors="ignore")},
        )
