"""Light in wet soil: closed forms against integrals, hand-worked values, inversion of what was put in, real laboratory spectra."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.integrate import quad
from scipy.stats import spearmanr

from vadose.errors import DimensionError, ExperimentalWarning, NotFoundError, VadoseInputError
from vadose.physics import spectra as s
from vadose.physics import spectra_calibration
from vadose.physics import spectra_fit as fit

UM = np.array([0.55, 0.80, 1.4, 1.6, 2.0, 2.2])


def flat(value=0.4, um=UM):
    return xr.DataArray(np.full(len(um), value), dims="wavelength", coords={"wavelength": np.asarray(um) * 1e3})


def at(array, um):
    return float(array.sel(wavelength=um * 1e3))


def test_water_table_interpolates_as_said():
    """a = 4 pi k / lambda: at 1.6 um 4 pi 8.55e-5 / 1.6e-4 cm = 6.7152 cm-1."""
    water = s.water_optics(flat())
    np.testing.assert_allclose(water.absorption, [4.48e-4, 0.01963, 12.387, 6.7152, 69.115, 16.508], rtol=1.2e-3)
    np.testing.assert_allclose(water.refractive_index, [1.333, 1.329, 1.321, 1.317, 1.306, 1.296])


@pytest.mark.parametrize(("n", "value"), [(1.333, 0.0664058), (1.5, 0.0917780)])
def test_c_t1_8_1_hemispheric_reflectivity(n, value):
    assert s.hemispheric_fresnel(n) == pytest.approx(value, abs=6e-8)
    # mean over directions of a half space, weighted by cos: integral of 2 mu R(mu) d mu
    number, _ = quad(lambda mu: 2 * mu * s.fresnel(n, np.rad2deg(np.arccos(mu))), 0, 1, epsabs=1e-12, epsrel=1e-12)
    assert s.hemispheric_fresnel(n) == pytest.approx(number, abs=1e-10)


def test_c_t1_8_1_inside_and_straight_down():
    assert s.internal_reflectivity(1.333) == pytest.approx(0.474591, abs=6e-7)
    assert s.fresnel(1.333) == pytest.approx(0.0203732, abs=6e-8)  # ((n - 1) / (n + 1))^2


def test_c_t1_8_2_limits():
    dry = flat()
    np.testing.assert_array_equal(s.marmit(dry, 0.01, 0.0), dry)
    assert float(s.marmit(dry, 1e6, 1.0).max()) < 1e-12
    assert s.fresnel(1.317, 30.0) == pytest.approx(0.0197268, abs=6e-8)
    assert at(s.marmit(dry, 0.0, 1.0), 1.6) == pytest.approx(0.264605, abs=6e-7)


def test_c_t1_8_3_reference_spectra():
    dry = flat()
    lab = [0.259406, 0.260570, 0.195732, 0.224970, 0.057821, 0.184164]
    np.testing.assert_allclose(s.marmit(dry, 0.01, 1.0), lab, atol=6e-7)
    assert at(s.marmit(dry, 0.01, 0.5), 2.0) == pytest.approx(0.228911, abs=6e-7)
    assert at(s.marmit(dry, 0.01, 1.0, sun_zenith=30.0), 2.0) == pytest.approx(0.075326, abs=6e-7)
    second = [0.242177, 0.243314, 0.145314, 0.183567, 0.023818, 0.129536]
    np.testing.assert_allclose(s.marmit2(dry, 0.01, 1.0, particles=0.0), second, atol=6e-7)
    assert at(s.marmit2(dry, 0.01, 0.5, particles=0.0), 2.0) == pytest.approx(0.147463, abs=6e-7)
    assert at(s.marmit2(dry, 0.01, 1.0, particles=0.01), 1.6) == pytest.approx(0.176719, abs=6e-7)


def test_c_t1_8_4_diffuse_transmission():
    assert float(s.diffuse_transmission(0.0)) == 1.0
    x = 4 * np.pi * 8.55e-5 / 1.6e-4 * 0.01  # a L at 1.6 um under .01 cm: .0671515
    assert float(s.diffuse_transmission(x)) == pytest.approx(0.882137, abs=6e-7)
    assert (np.diff(s.diffuse_transmission(np.linspace(0, 5, 200))) < 0).all()


def test_c_t1_8_5_hapke():
    for w, r in ((0.2, 0.0308911), (0.5, 0.102223), (0.9, 0.391147), (0.0, 0.0)):
        assert s.hapke(w, 30.0, 0.0) == pytest.approx(r, abs=6e-7)
    albedo = s.hapke_albedo(xr.DataArray([0.0308911, 0.102223, 0.391147], dims="x"))
    np.testing.assert_allclose(albedo, [0.2, 0.5, 0.9], atol=2e-6)
    thickness = xr.DataArray(np.linspace(0, 0.1, 30), dims="step")
    with pytest.warns(ExperimentalWarning, match="wet-albedo"):
        wet = s.swap_hapke(flat(0.3), thickness)
    assert (wet.diff("step") < 0).all()
    np.testing.assert_allclose(wet.isel(step=0), 0.3, atol=1e-9)
    with pytest.warns(ExperimentalWarning):
        assert (s.swap_hapke(flat(0.3), 0.01, interface=True) < wet.isel(step=3)).all()


def test_c_t1_8_6_kubelka_munk():
    assert s.kubelka_munk(0.2) == pytest.approx(1.6)  # .8^2 / .4
    theta = s.kubelka_munk_moisture(flat(0.2), flat(0.4), flat(0.1), 0.45)
    # K: dry .36 / .8 = .45, wet .81 / .2 = 4.05; .45 * (1.6 - .45) / 3.6
    assert float(theta[0]) == pytest.approx(0.45 * 1.15 / 3.6)


BANDS = [0.8, 1.4, 1.6, 2.0, 2.2]


def world(n=200, seed=0):
    rng = np.random.default_rng(seed)
    length = xr.DataArray(rng.uniform(0.003, 0.03, n), dims="pixel")
    share = xr.DataArray(rng.uniform(0.3, 1.0, n), dims="pixel")
    return s.marmit(flat(0.4, BANDS), length, share), 10 * length * share, rng


def test_c_t1_8_7_inversion_without_noise():
    seen, water, _ = world()
    out = fit.invert_reflectance(seen, flat(0.4, BANDS))
    assert float(np.abs(out.water_thickness / water - 1).max()) < 1e-4
    assert float(out.fit_rmse.max()) < 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_c_t1_8_7_inversion_with_noise(seed):
    seen, water, rng = world(seed=seed)
    noisy = seen + rng.normal(0, 0.002, seen.shape)
    out = fit.invert_reflectance(noisy, flat(0.4, BANDS), error_floor=0.002, error_rate=0.0)
    relative = (out.water_thickness - water) / water
    assert abs(float(relative.mean())) < 0.02
    assert float(relative.std()) < 0.08
    z = (out.water_thickness - water) / out.water_thickness_standard_error
    assert 0.6 < float(z.std()) < 1.4


def test_c_t1_8_8_laboratory_spectra(shared_data):
    """Nevada sand and Hog Island panne of the grit-lab goniometer: water thickness must rank as the weighed moisture does."""
    table = pd.read_csv(shared_data / "hyperspectral/grit_lab/water_optics/nw_abs_grit.csv").to_numpy()
    k = table[:, 1] * table[:, 0] * 1e-7 / (4 * np.pi)  # absorption in cm-1 back to the index
    optics_table = np.column_stack([table[:, 0] / 1e3, table[:, 2], k])
    for soil, least in (("nevada", 0.8), ("hogp", 0.95)):
        data = pd.read_csv(shared_data / f"hyperspectral/grit_lab/lab/{soil}_sample1.csv")
        nm = data.columns[2:].astype(float)
        seen = xr.DataArray(data.iloc[:, 2:].to_numpy().T, dims=("wavelength", "run"), coords={"wavelength": nm})
        seen = seen[s.usable_bands(seen).values]
        water = s.water_optics(seen, table=optics_table, name="grit-lab")
        out = fit.invert_reflectance(seen, seen.isel(run=0, drop=True), optics=water)
        assert spearmanr(out.water_thickness[1:], data["SMC (%)"][1:]).statistic > least


def test_slow_solvers_agree_with_the_fast_one_and_find_mixtures():
    seen, _, _ = world(6)
    dry = flat(0.4, BANDS)
    fast = fit.invert_reflectance(seen, dry)
    slow = fit.invert_reflectance(seen, dry.expand_dims("endmember", axis=-1))
    np.testing.assert_allclose(slow.water_thickness, fast.water_thickness, rtol=2e-3)
    two = xr.concat([flat(0.4, BANDS), flat(0.2, BANDS)], "endmember")
    mixed = s.marmit(0.3 * two[0] + 0.7 * two[1], 0.01, 0.6)
    out = fit.invert_reflectance(mixed.expand_dims("pixel", axis=-1), two)
    assert float(out.fit_rmse[0]) < 1e-3
    with pytest.warns(ExperimentalWarning):
        dark = s.swap_hapke(dry, 0.01, incidence=0.0).expand_dims("pixel", axis=-1)
    with pytest.warns(ExperimentalWarning):
        out = fit.invert_reflectance(dark, dry, model="swap_hapke")
    assert float(out.film_thickness[0]) == pytest.approx(0.01, rel=0.01)
    second = s.marmit2(dry, 0.01, 0.6).expand_dims("pixel", axis=-1)
    out = fit.invert_reflectance(second, dry, model="marmit2")
    assert float(out.water_thickness[0]) == pytest.approx(0.06, rel=0.01)


def test_flags_and_missing_bands():
    um = [0.56, 0.66, 0.86, 1.6, 2.2]
    dry = flat(0.4, um)
    seen = (
        s.marmit(dry, 0.01, xr.DataArray([0.5, 0.5, 0.5, 0.5, 1.0], dims="pixel"))
        .transpose("wavelength", "pixel")
        .copy()
    )
    seen[2, 1] = 0.9  # leaves shine in the near infrared
    seen[0, 2] = 0.5  # water is brighter in green
    seen[:, 3] = np.nan
    seen[3, 0] = -0.01  # a bad band is left out
    out = fit.invert_reflectance(seen, dry)
    assert int(out.water_thickness_flag[0]) == 0
    assert int(out.water_thickness_flag[1]) & 1
    assert int(out.water_thickness_flag[2]) & 2
    assert int(out.water_thickness_flag[3]) == 16
    assert np.isnan(out.water_thickness[3])
    assert int(out.water_thickness_flag[4]) & 8
    assert float(out.water_thickness[0]) == pytest.approx(0.05, rel=0.02)
    hole = dry.copy()
    hole[3] = np.nan  # a band in which the dry soil was not seen
    out = fit.invert_reflectance(seen, hole)
    assert float(out.water_thickness[0]) == pytest.approx(0.05, rel=0.02)


def test_lazy_images_and_pixelwise_dry():
    seen, _, _ = world(60)
    image = seen.transpose("wavelength", "pixel")
    lazy = fit.invert_reflectance(image.chunk(pixel=13), flat(0.4, BANDS))
    assert lazy.water_thickness.chunks is not None
    eager = fit.invert_reflectance(image, flat(0.4, BANDS))
    np.testing.assert_array_equal(lazy.water_thickness, eager.water_thickness)
    own = fit.invert_reflectance(image, flat(0.4, BANDS).broadcast_like(image))
    np.testing.assert_allclose(own.water_thickness, eager.water_thickness, rtol=1e-9)


def test_calibration_recovers_a_logistic_curve():
    rng = np.random.default_rng(0)
    water = xr.DataArray(rng.uniform(0.02, 1.5, 80), dims="sample")
    theta = 0.42 / (1 + 60 * np.exp(-6 * water)) + rng.normal(0, 0.01, 80)
    curve = spectra_calibration.fit_calibration(water, theta.assign_attrs(units="m3 m-3"))
    out = spectra_calibration.apply_calibration(
        xr.Dataset(
            {"water_thickness": water, "water_thickness_standard_error": 0 * water, "water_thickness_flag": 0 * water}
        ),
        curve,
    )
    truth = 0.42 / (1 + 60 * np.exp(-6 * water))
    assert float(np.abs(out.soil_moisture - truth).max()) < 0.015
    assert float(out.soil_moisture_standard_error.mean()) == pytest.approx(0.01, rel=0.4)


def test_lobell_asner_round_trip():
    sample = xr.DataArray(np.linspace(0, 0.4, 25), dims="sample")
    dry, wet, rate = flat(0.4), flat(0.15), flat(0.0) + np.array([12.0, 10, 5, 5, 4, 4])
    seen = s.lobell_asner(sample, dry, wet, rate).transpose("wavelength", "sample")
    parameters = spectra_calibration.fit_lobell_asner(seen, sample)
    np.testing.assert_allclose(parameters.rate, rate, rtol=0.05)
    np.testing.assert_allclose(spectra_calibration.apply_lobell_asner(seen, parameters), sample, atol=0.004)
    holed = seen.where((seen.sample > 0) | (seen.wavelength < seen.wavelength[1]))  # one band left of the first sample
    lost = spectra_calibration.apply_lobell_asner(holed.where(seen.sample != 1), parameters)
    np.testing.assert_allclose(lost.isel(sample=slice(2, None)), sample[2:], atol=0.004)
    assert np.isfinite(lost[0])
    assert np.isnan(lost[1])


def test_bad_spectra_are_refused():
    seen, _, _ = world(3)
    with pytest.raises(VadoseInputError, match="must increase"):
        fit.invert_reflectance(seen.isel(wavelength=slice(None, None, -1)), flat(0.4, BANDS))
    with pytest.raises(VadoseInputError, match="fraction"):
        fit.invert_reflectance(seen * 100, flat(0.4, BANDS))
    with pytest.raises(VadoseInputError, match="bands"):
        fit.invert_reflectance(seen, flat(0.4))
    with pytest.raises(VadoseInputError, match="300 to 2600"):
        s.wavelengths(xr.DataArray([0.1], dims="wavelength", coords={"wavelength": [0.8]}))
    with pytest.raises(DimensionError, match="wavelength"):
        s.wavelengths(xr.DataArray([0.1], dims="band"))
    with pytest.raises(NotFoundError, match="marmit"):
        fit.invert_reflectance(seen, flat(0.4, BANDS), model="marmitt")
