"""One product from many: known errors, a planted family bias, and a product better than the best of its members."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from vadose.diagnostics import discrepancy
from vadose.diagnostics.discrepancy import false_discovery
from vadose.errors import TooFewSamplesError, VadoseInputError, VadoseWarning
from vadose.harmonize import Grid
from vadose.merge import harmonized, monthly, sources_in_common, unified

ERRORS = {"radiometer": 0.03, "lsm_a": 0.025, "lsm_b": 0.035, "reanalysis": 0.04, "learned": 0.03}
FAMILY = {"radiometer": "RS", "lsm_a": "LSM", "lsm_b": "LSM", "reanalysis": "RA", "learned": "ML"}
PAIR, SHARED = ("lsm_a", "lsm_b"), 0.5


def make_world(seed, years=6, shape=(5, 6)):
    """Truth and five products: errors white in time with known sd, two of them correlated, the satellite 0.04 drier in arid zones."""
    rng = np.random.default_rng(seed)
    time = pd.date_range("2011-01-01", periods=int(365.25 * years))
    n = time.size
    lat, lon = np.linspace(32, 44, shape[0]), np.linspace(-115, -85, shape[1])
    a = np.zeros((n, *shape))
    for t in range(1, n):
        a[t] = 0.95 * a[t - 1] + 0.0156 * rng.normal(size=shape)
    season = 0.05 * np.cos(2 * np.pi * np.arange(n) / 365.25)[:, None, None]
    arid = xr.DataArray(
        np.where(lon < -100, 2, 3)[None, :].repeat(lat.size, 0), dims=("lat", "lon"), coords={"lat": lat, "lon": lon},
        attrs={"flag_values": np.arange(6), "flag_meanings": "none tropical arid temperate cold polar"},
    )  # fmt: skip
    coords = {"time": time, "lat": lat, "lon": lon}
    truth = xr.DataArray(0.25 + season + a, dims=("time", "lat", "lon"), coords=coords)
    noise = rng.normal(size=(5, *truth.shape))
    noise[2] = SHARED * noise[1] + np.sqrt(1 - SHARED**2) * noise[2]
    sigma = np.array(list(ERRORS.values()))[:, None, None, None]
    cube = truth + xr.DataArray(
        noise * sigma, dims=("product", *truth.dims), coords={"product": list(ERRORS), **coords}
    )
    dry = xr.where((cube["product"] == "radiometer") & (arid == 2), -0.04, 0.0)
    return truth, (cube + dry).transpose("product", "time", "lat", "lon"), arid


def theoretical():
    s = np.array(list(ERRORS.values()))
    c = np.diag(s**2)
    c[1, 2] = c[2, 1] = SHARED * s[1] * s[2]
    return 1 / np.sqrt(np.linalg.inv(c).sum())


def test_c_t1_3_3_the_planted_bias_is_found_and_no_other():
    truth, cube, arid = make_world(1)
    table = discrepancy(cube, FAMILY, arid, rng=0)
    hit = table[(table.family == "RS") & (table.zone == "arid")]
    assert (abs(hit.bias + 0.04) < 0.005).all()
    assert (hit.verdict == "drier").all()
    assert (hit.p < 0.01).all()
    false = []
    for seed in range(2, 8):
        _, other, zone = make_world(seed, shape=(3, 4))
        found = discrepancy(other, FAMILY, zone, seasons=False, rng=seed)
        clean = found[~((found.family == "RS") & found.zone.isin(["arid", "all"]))]
        false.append((clean.verdict != "not told apart").mean())
    assert np.mean(false) <= 0.05
    against = discrepancy(cube, FAMILY, arid, reference=truth, seasons=False)
    one = against[(against.family == "RS") & (against.zone == "arid")].iloc[0]
    assert one.bias == pytest.approx(-0.04, abs=0.005)
    assert one.p < 0.01


def test_c_t1_3_3_merged_is_better_than_the_best_and_as_good_as_theory():
    truth, cube, arid = make_world(1)
    out = unified(cube, correlated=[PAIR], zones=arid)
    rmsd = np.sqrt(((out.soil_moisture - truth) ** 2).mean("time"))
    single = np.sqrt(((cube - truth) ** 2).mean("time")).min("product")
    assert float((rmsd <= single).mean()) >= 0.95
    assert float(rmsd.mean()) <= 1.1 * theoretical()
    stated = float(np.sqrt((out.soil_moisture_standard_error**2).mean()))
    assert stated == pytest.approx(theoretical(), rel=0.05)
    np.testing.assert_allclose(out.error_sd.mean(["lat", "lon"]), list(ERRORS.values()), rtol=0.06)
    np.testing.assert_allclose(out.weight.sum("product"), 1.0, atol=1e-9)
    assert out.soil_moisture.attrs["standard_name"]
    assert "soil_moisture_standard_error" in out.soil_moisture.attrs["ancillary_variables"]


def test_places_with_few_samples_take_the_errors_of_their_zone():
    _, cube, arid = make_world(3, years=3)
    cube.loc[{"product": "radiometer", "lat": cube.lat[0]}] = (
        cube.sel(product="radiometer")
        .isel(lat=0)
        .where(np.random.default_rng(0).random(cube.sizes["time"])[:, None] < 0.06)
    )
    out = unified(cube, correlated=[PAIR], zones=arid)
    assert bool(((out.estimate_flag[0] & 1) == 1).all())
    assert bool((out.estimate_flag[1:] == 0).all())
    np.testing.assert_allclose(out.error_sd.isel(lat=0).mean("lon"), list(ERRORS.values()), rtol=0.12)
    without = unified(cube, correlated=[PAIR])
    assert bool(((without.estimate_flag[0] & 2) == 2).all())
    assert bool(without.soil_moisture.notnull().all())


def test_amplitude_of_the_reference_is_kept():
    truth, cube, _ = make_world(4, years=3, shape=(2, 3))
    half = cube.copy()
    half.loc[{"product": "learned"}] = 0.5 * (cube.sel(product="learned") - 0.25) + 0.25
    out = unified(half, correlated=[PAIR], reference="lsm_a")
    np.testing.assert_allclose(out.signal_ratio.sel(product="learned"), 2.0, rtol=0.12)
    np.testing.assert_allclose(out.signal_ratio.sel(product="lsm_a"), 1.0)
    assert float(np.sqrt(((out.soil_moisture - truth) ** 2).mean())) < 0.02


def test_constant_products_do_not_take_part():
    _, cube, _ = make_world(5, years=2, shape=(2, 2))
    cube.loc[{"product": "reanalysis"}] = 0.2
    out = unified(cube, correlated=[PAIR])
    assert float(out.weight.sel(product="reanalysis").sum()) == 0
    assert bool(out.soil_moisture.notnull().all())


def test_lazy_equals_eager():
    _, cube, _ = make_world(6, years=2, shape=(2, 4))
    lazy = unified(cube.chunk(time=300, lon=2), correlated=[PAIR])
    assert lazy.soil_moisture.chunks is not None
    eager = unified(cube, correlated=[PAIR])
    for name in ("soil_moisture", "soil_moisture_standard_error", "weight", "error_sd"):
        np.testing.assert_allclose(lazy[name].compute(), eager[name], rtol=1e-9, atol=1e-12)


def test_products_come_to_one_grid_and_flagged_values_stay_out():
    time = pd.date_range("2017-01-01", periods=4, freq="12h")
    fine_lat, fine_lon = np.arange(40.125, 42, 0.25), np.arange(-100.875, -99, 0.25)
    base = xr.DataArray(
        np.full((4, 8, 8), 0.2), dims=("time", "lat", "lon"), coords={"time": time, "lat": fine_lat, "lon": fine_lon},
        name="soil_moisture", attrs={"units": "m3 m-3"},
    )  # fmt: skip
    base[1] = 0.4  # the second half of the first day
    flag = xr.zeros_like(base, dtype="uint8").assign_attrs(flag_masks=[1, 2], flag_meanings="frozen dense_vegetation")
    flag[2:] = 1
    coarse = (100 * base.coarsen(lat=8, lon=8).mean()).reindex(lat=[40.5, 41.5], lon=[-100.5, -99.5], method="nearest")
    out = harmonized(
        {"a": xr.Dataset({"soil_moisture": base, "soil_moisture_flag": flag}), "b": xr.Dataset({"soil_moisture": coarse.assign_attrs(units="%")})},
        Grid.regular((-101, 40, -99, 42), 1.0),
    )  # fmt: skip
    assert out.dims == ("product", "time", "lat", "lon")
    np.testing.assert_allclose(out.sel(product="a").isel(time=0), 0.3)
    assert bool(out.sel(product="a").isel(time=1).isnull().all())
    np.testing.assert_allclose(out.sel(product="b").isel(time=1), 0.2)


def test_months_need_as_many_days_as_their_family():
    time = pd.date_range("2017-01-01", "2017-02-28")
    values = xr.DataArray(np.full(time.size, 0.2), dims="time", coords={"time": time}, name="soil_moisture")
    sparse = values.where(values.time.dt.day <= 12)
    assert monthly(sparse, "RS").soil_moisture.notnull().all()
    assert monthly(sparse, "LSM").soil_moisture.isnull().all()
    np.testing.assert_allclose(monthly(sparse, "RS").coverage, [12 / 31, 12 / 28])


def test_shared_inputs_are_named_unless_declared():
    table = {"smap_l4": ["smap", "geos"], "smap": [], "era5": ["ifs"]}
    with pytest.warns(VadoseWarning, match="smap_l4 and smap share smap"):
        assert sources_in_common(table, []) == [("smap_l4", "smap")]
    assert sources_in_common(table, [("smap", "smap_l4")]) == []


def test_false_discovery_of_a_published_example():
    # Benjamini & Hochberg 1995, section 3.2: at 5 % the first four of these fifteen are accepted
    p = np.array([0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0])  # fmt: skip
    assert (false_discovery(p) <= 0.05).sum() == 4


def test_too_little_says_so():
    _, cube, arid = make_world(7, years=2, shape=(2, 3))
    with pytest.raises(TooFewSamplesError, match="year"):
        discrepancy(cube, FAMILY, arid)
    with pytest.raises(VadoseInputError, match="three products"):
        unified(cube.isel(product=[0, 1]))


def test_where_errors_are_unknown_only_those_who_agree_take_part():
    """Too few common days for collocation at one place; there, one product is noise without signal, the others share the truth."""
    truth, cube, _ = make_world(8, years=2, shape=(1, 2))
    rng = np.random.default_rng(3)
    cube = cube.copy()
    cube.loc[{"product": "learned", "lon": cube.lon[0]}] = 0.25 + 0.05 * rng.normal(size=(cube.sizes["time"], 1))
    sparse = cube.sel(product="radiometer").isel(lon=0).where(rng.random((cube.sizes["time"], 1)) < 0.1)
    cube.loc[{"product": "radiometer", "lon": cube.lon[0]}] = sparse
    out = unified(cube, correlated=[PAIR])
    assert int(out.estimate_flag[0, 0]) & 2
    assert out.agreeing[:, 0, 0].values.tolist() == [True, True, True, True, False]
    assert float(out.weight.isel(lon=0).sel(product="learned").max()) == 0.0
    w = out.weight.isel(lat=0, lon=0)
    full = w.where(w > 0).count("product") == 4
    np.testing.assert_allclose(w.sel(product="lsm_a")[full.values], 0.25)
    loud = unified(cube, correlated=[PAIR], significance=1.0)
    error = [float(((o.soil_moisture - truth).isel(lat=0, lon=0)).std()) for o in (out, loud)]
    assert error[0] < error[1]
    # nobody agrees with anybody: nothing is made up
    alone = cube.copy(data=0.25 + 0.05 * rng.normal(size=cube.shape))
    nothing = unified(alone.isel(time=slice(0, 90)), correlated=[PAIR], significance=1e-6)
    assert (nothing.estimate_flag == 6).all()
    assert nothing.soil_moisture.isnull().all()
