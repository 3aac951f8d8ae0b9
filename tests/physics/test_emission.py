"""The tau-omega model against numbers worked out by hand, limits of radiation, and its own inversion."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from vadose.errors import VadoseInputError
from vadose.physics import dielectric
from vadose.physics import emission as e

CASE = {"optical_depth": 0.2, "frequency": 1.4e9, "albedo": 0.05, "roughness": 0.15}


def array(values, unit="m3 m-3"):
    return xr.DataArray(np.atleast_1d(np.asarray(values, float)), dims="x", attrs={"units": unit})


def test_c_x13_1_reference_values():
    out = e.brightness_temperature(array([0.05, 0.10, 0.20, 0.30, 0.40]), 0.2, 293.15, **CASE)
    np.testing.assert_allclose(out.brightness_temperature_v, [282.483, 276.407, 260.588, 246.206, 234.026], atol=6e-4)
    np.testing.assert_allclose(out.brightness_temperature_h, [264.219, 252.841, 230.833, 215.033, 203.322], atol=6e-4)
    bare = e.brightness_temperature(array(0.2), 0.2, 293.15, roughness=0.0, frequency=1.4e9)
    assert float(bare.brightness_temperature_v[0]) == pytest.approx(240.201, abs=6e-4)


def test_c_x13_2_fresnel_at_nadir_and_brewster():
    v, h = e.fresnel(16.0, 0.0, 1.0)
    assert v == pytest.approx(0.36, abs=1e-12)
    assert h == pytest.approx(0.36, abs=1e-12)
    v, _ = e.fresnel(16.0, 0.0, np.cos(np.arctan(4.0)))
    assert v < 1e-12


def test_c_x13_3_dense_canopy_hides_the_soil():
    out = e.brightness_temperature(array([0.05, 0.4]), 0.2, 290.0, canopy_temperature=295.0, optical_depth=200.0)
    np.testing.assert_allclose(out.brightness_temperature_v, 295.0 * 0.95, rtol=1e-12)
    out = e.brightness_temperature(array([0.05, 0.4]), 0.2, 290.0, optical_depth=200.0, albedo=0.0)
    np.testing.assert_allclose(out.brightness_temperature_h, 290.0, rtol=1e-12)
    assert (out.brightness_temperature_flag == 2).all()


@pytest.mark.parametrize("tau", [0.0, 0.1, 1.0, 3.0])
def test_c_x13_4_a_black_soil_shines_with_its_temperature(tau):
    """Permittivity 1 mirrors nothing; plants that do not scatter change nothing at one temperature."""
    v, h = e.tau_omega(1.0, 0.0, 290.0, 290.0, tau, np.cos(np.deg2rad(40)), 0.15, 2.0, 0.0, 0.0)
    assert v == pytest.approx(290.0, rel=1e-14)
    assert h == pytest.approx(290.0, rel=1e-14)


def test_c_x13_5_inversion_returns_what_went_in():
    theta = array(np.linspace(0.03, 0.45, 60))
    seen = e.brightness_temperature(theta, 0.2, 293.15, **CASE)
    one = e.retrieve_single(seen.brightness_temperature_v, 0.2, 293.15, porosity=0.5, **CASE)
    assert float(np.abs(one.soil_moisture - theta).max()) < 1e-6
    two = e.retrieve_dual(
        seen.brightness_temperature_v, seen.brightness_temperature_h, 0.2, 293.15, porosity=0.5, **CASE
    )
    assert float(np.abs(two.soil_moisture - theta).max()) < 1e-6
    assert float(np.abs(two.vegetation_optical_depth - 0.2).max()) < 1e-6
    assert (two.soil_moisture_flag == 0).all()


@pytest.mark.parametrize("theta", [0.05, 0.10, 0.20, 0.30])
def test_c_x13_5_noise_of_the_radiometer(theta):
    rng = np.random.default_rng(7)
    seen = e.brightness_temperature(array(np.full(4000, theta)), 0.2, 293.15, **CASE).brightness_temperature_v
    out = e.retrieve_single(seen + array(rng.normal(0, 1.3, 4000), "K"), 0.2, 293.15, **CASE)
    spread = float(out.soil_moisture.std())
    assert spread < 0.015
    assert float(out.soil_moisture_standard_error.mean()) == pytest.approx(spread, rel=0.15)


def test_dual_channel_finds_vegetation_that_was_guessed_wrong():
    rng = np.random.default_rng(1)
    tau = xr.DataArray(rng.uniform(0.1, 0.3, 2000), dims="x")
    theta = array(rng.uniform(0.08, 0.35, 2000))
    case = {**CASE, "optical_depth": tau}
    seen = e.brightness_temperature(theta, 0.2, 293.15, **case)
    noisy = [
        s + array(rng.normal(0, 1.3, 2000), "K") for s in (seen.brightness_temperature_v, seen.brightness_temperature_h)
    ]
    single = e.retrieve_single(noisy[0], 0.2, 293.15, **CASE)
    dual = e.retrieve_dual(*noisy, 0.2, 293.15, optical_depth_error=0.06, **CASE)
    z = (dual.soil_moisture - theta) / dual.soil_moisture_standard_error
    assert float((dual.soil_moisture - theta).std()) < float((single.soil_moisture - theta).std())
    assert 0.8 < float(z.std()) < 1.2


def test_bad_brightness_is_flagged():
    tb = array([400.0, np.nan, 300.0, 120.0, 260.0], "K")
    soil = array([293.15, 293.15, 293.15, 293.15, 270.0], "K")
    out = e.retrieve_single(tb, 0.2, soil, **CASE)
    assert out.soil_moisture_flag.values.tolist() == [4, 0, 8, 8, 1]
    np.testing.assert_array_equal(np.isnan(out.soil_moisture), [True, True, False, False, True])
    assert float(out.soil_moisture[2]) == pytest.approx(0.02)
    assert float(out.soil_moisture[3]) == pytest.approx(0.5)
    with pytest.raises(VadoseInputError, match="degrees"):
        e.retrieve_single(tb, 0.2, soil, incidence=95.0, optical_depth=0.1)


def test_lazy_and_chunks_do_not_matter():
    theta = array(np.linspace(0.03, 0.45, 60))
    eager = e.brightness_temperature(theta, 0.2, 293.15, **CASE)
    lazy = e.brightness_temperature(theta.chunk(x=11), 0.2, 293.15, **CASE)
    assert lazy.brightness_temperature_v.chunks is not None
    np.testing.assert_array_equal(lazy.brightness_temperature_v, eager.brightness_temperature_v)
    out = e.retrieve_single(lazy.brightness_temperature_v, 0.2, 293.15, **CASE)
    assert out.soil_moisture.chunks is not None
    np.testing.assert_allclose(out.soil_moisture, theta, atol=1e-6)


@pytest.mark.parametrize("model", ["mironov", "dobson", "peplinski"])
def test_blocks_and_shapes_equal_the_equation_cell_by_cell(model):
    """Fields of different dims, more cells than a block holds, frost and a gap, against the formula of one cell."""
    rng = np.random.default_rng(2)
    shape = (3, 70, 90)  # 18 900 cells; a block has 16 384
    moisture = xr.DataArray(rng.uniform(0.0, 0.5, shape), dims=("time", "y", "x"), attrs={"units": "m3 m-3"})
    moisture[0, 0, :2] = np.nan
    clay = xr.DataArray(rng.uniform(0.05, 0.5, shape[1:]), dims=("y", "x"), attrs={"units": "1"})
    warm = xr.DataArray([272.0, 285.0, 300.0], dims="time", attrs={"units": "K"})
    rough = xr.DataArray(rng.uniform(0.0, 0.3, 90), dims="x")
    options = {"optical_depth": 0.3, "roughness": rough, "mixing": 0.02, "exponent": 1.0, "model": model}
    out = e.brightness_temperature(moisture, clay, warm, canopy_temperature=warm + 2.0, **options)
    assert out.brightness_temperature_v.isel(time=0).isnull().all()
    cosine = np.cos(np.deg2rad(40.0))
    for t, y, x in [(1, 0, 0), (1, 69, 89), (2, 13, 40), (2, 69, 89)]:
        real, loss = dielectric.cell(
            dielectric.model_number(model), float(moisture[t, y, x]), float(clay[y, x]), 0.4, 1300.0, 2660.0,
            float(warm[t]), dielectric.LBAND, False,
        )  # fmt: skip
        q = np.sqrt(complex(real, loss) - np.sin(np.deg2rad(40.0)) ** 2)  # the complex form of the textbook
        mirror = {
            "h": abs((cosine - q) / (cosine + q)) ** 2,
            "v": abs((complex(real, loss) * cosine - q) / (complex(real, loss) * cosine + q)) ** 2,
        }
        gamma = np.exp(-0.3 / cosine)
        for p, other in (("v", "h"), ("h", "v")):
            r = (0.98 * mirror[p] + 0.02 * mirror[other]) * np.exp(-float(rough[x]) * cosine)
            soil, plants = float(warm[t]) * (1 - r), (float(warm[t]) + 2.0) * 0.95 * (1 - gamma)
            expected = soil * gamma + plants * (1 + r * gamma)
            assert float(out[f"brightness_temperature_{p}"][t, y, x]) == pytest.approx(expected, rel=1e-13)


def test_vegetation_from_ndvi_and_class_table():
    ndvi = xr.DataArray([0.2, 0.6], dims="time")
    # 1.9134 * .36 - .3215 * .6 + 2 * (.4 / .8) = .6888 - .1929 + 1.0
    assert float(e.vegetation_water(ndvi, 2.0)[1]) == pytest.approx(1.495924)
    table = {1: {"h": 0.1}, 4: {"h": 0.2}}
    assert e.by_class(xr.DataArray([4, 1]), table, "h").values.tolist() == [0.2, 0.1]
    with pytest.raises(VadoseInputError, match="omega"):
        e.by_class(xr.DataArray([4, 1]), table, "omega")


def granule(shared_data):
    """Cells of a real SMAP half-orbit with recommended retrievals of every algorithm, as float arrays with units."""
    path = next((shared_data / "smap/L2").glob("*R18290*.h5"))
    with xr.open_dataset(
        path, group="Soil_Moisture_Retrieval_Data", engine="h5netcdf", phony_dims="sort", decode_cf=False
    ) as raw:
        good = (raw.retrieval_qual_flag & 1) == 0
        units = {"tb_v_corrected": "K", "tb_h_corrected": "K", "surface_temperature": "K", "clay_fraction": "1"}
        return {
            name: raw[name].astype(float)[good.values].assign_attrs(units=units.get(name, "1"))
            for name in raw.data_vars
            if raw[name].dtype == "float32" and raw[name].ndim == 1
        }


def test_single_channel_equals_the_missions_own_retrieval(shared_data):
    """SMAP R18290, option 2 (single channel, vertical), from the granule's own brightness, temperature, texture and vegetation.

    The granule's opacity is along the slant path; `optical_depth` is at nadir, hence the cosine of 40 degrees.
    """
    g = granule(shared_data)
    out = e.retrieve_single(
        g["tb_v_corrected"],
        g["clay_fraction"],
        g["surface_temperature"],
        optical_depth=g["vegetation_opacity_option2"] * np.cos(np.deg2rad(40)),
        roughness=g["roughness_coefficient"],
        albedo=g["albedo"],
        porosity=1 - g["bulk_density"] / 2.65,
    )
    departure = out.soil_moisture - g["soil_moisture_option2"]
    assert departure.size == 592
    assert float(np.abs(departure).max()) < 5e-4


def test_dual_channel_equals_the_missions_own_retrieval(shared_data):
    """SMAP R18290, option 3 (modified dual channel): cost (TBv)^2 + (TBh)^2 + 20^2 (slant tau)^2, mixing Q = 0.1771 h."""
    g = granule(shared_data)
    slant = np.cos(np.deg2rad(40))
    h = g["roughness_coefficient_option3"]
    out = e.retrieve_dual(
        g["tb_v_corrected"],
        g["tb_h_corrected"],
        g["clay_fraction"],
        g["surface_temperature"],
        optical_depth=g["vegetation_opacity_option2"] * slant,
        optical_depth_error=slant / 20,
        error=1.0,
        roughness=h,
        mixing=0.1771 * h,
        albedo=g["albedo_option3"],
        porosity=1 - g["bulk_density"] / 2.65,
    )
    departure = np.abs(out.soil_moisture - g["soil_moisture_option3"])
    assert float(departure.quantile(0.99)) < 5e-4
    assert float(departure.max()) < 2e-3
    opacity = np.abs(out.vegetation_optical_depth / slant - g["vegetation_opacity_option3"])
    assert float(opacity.quantile(0.99)) < 2e-3


def test_impossible_moisture_is_flagged_and_percent_refused():
    out = e.brightness_temperature(array([0.2, 1.4, 0.3]), 0.2, 293.15, **CASE)
    assert out.brightness_temperature_flag.values.tolist() == [0, 32, 0]
    assert np.isnan(out.brightness_temperature_v[1])
    with pytest.raises(VadoseInputError, match="m3 m-3"):
        e.brightness_temperature(array([20.0, 30.0]), 0.2, 293.15, **CASE)
