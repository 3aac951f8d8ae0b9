"""Files carry the groups, names, fills and flags of the real producers; the demo archive survives an interruption."""

from __future__ import annotations

import importlib
import json

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from vadose import ease, world
from vadose.world import layouts, observe, stations

BBOX = (-100.0, 40.0, -94.0, 46.0)


@pytest.fixture(scope="module")
def truth() -> xr.Dataset:
    return world.make(BBOX, 1.0, "2017-05-01", "2017-07-31", seed=42)


def test_smap_files_have_the_groups_names_and_fills_of_the_real_ones(truth, tmp_path, shared_data):
    day = truth.time.values[40]
    assert layouts.smap_l3_name(day).endswith("SMAP_L3_SM_P_20170610_R19240_001.h5")
    seen = observe.lband(truth, seed=1)
    path = tmp_path / "smap.h5"
    layouts.write_smap_l3(seen.sel(time=day), truth.sel(time=day), path)
    real = next((shared_data / "smap" / "L2").glob("*.h5"))
    with h5py.File(path) as file, h5py.File(real) as other:
        theirs = other["Soil_Moisture_Retrieval_Data"]
        am = file["Soil_Moisture_Retrieval_Data_AM"]
        assert set(am) <= set(theirs)
        assert {n.removesuffix("_pm") for n in file["Soil_Moisture_Retrieval_Data_PM"]} == set(am)
        for name in am:
            assert am[name].shape == (406, 964)
            assert am[name].chunks == (203, 482)
            assert not am[name].is_scale
            assert "DIMENSION_LIST" not in am[name].attrs
            assert am[name].dtype == theirs[name].dtype, name
            if "_FillValue" in theirs[name].attrs:
                assert am[name].attrs["_FillValue"] == theirs[name].attrs["_FillValue"], name
        assert am["soil_moisture"].attrs["units"] == theirs["soil_moisture"].attrs["units"]
        values = am["soil_moisture"][:]
        lat, lon = ease.centers("M36")
        rows, columns = np.nonzero(values != -9999)
        assert rows.size > 0
        nearest = seen.soil_moisture.sel(time=day).sel(
            lat=xr.DataArray(lat[rows], dims="p"), lon=xr.DataArray(lon[columns], dims="p"), method="nearest"
        )
        np.testing.assert_allclose(values[rows, columns], nearest, atol=1e-6)
        quality = am["retrieval_qual_flag"][:]
        assert bool((quality[rows, columns] & 6 == 0).all())  # attempted and successful: bits clear


def test_cci_files_have_the_names_of_the_real_ones(truth, tmp_path, shared_data):
    seen = observe.merged(truth, seed=1)
    layouts.write_cci(seen.isel(time=slice(0, 31)), tmp_path / "cci.nc")
    real = xr.open_dataset(shared_data / "c3s_cci" / "c3s_combined_v202505" / "0165.nc", decode_times=False)
    with xr.open_dataset(tmp_path / "cci.nc") as ours:
        assert set(ours.data_vars) <= set(real.data_vars)
        assert ours.sm.attrs["units"] == real.sm.attrs["units"]
        assert ours.lat.values[0] > ours.lat.values[-1]
        np.testing.assert_allclose(
            ours.sm.sortby("lat").values, seen.soil_moisture.isel(time=slice(0, 31)).values, atol=1e-6
        )
        assert ours.time.values[0] == truth.time.values[0]


def test_era5_land_and_gldas_files_carry_the_names_and_units_of_the_real_ones(truth, tmp_path, shared_data):
    layouts.write_era5_land(observe.reanalysis(truth), truth, tmp_path / "era.nc")
    layouts.write_gldas(observe.land_model(truth), truth, tmp_path / "gldas.nc4")
    real = xr.open_dataset(shared_data / "era5" / "era5_land_timeseries" / "0165.nc")
    image = xr.open_dataset(next((shared_data / "gldas" / "images").glob("*.nc4")))
    with xr.open_dataset(tmp_path / "era.nc") as ours:
        assert {"swvl1", "swvl2", "swvl3", "swvl4", "stl1", "t2m"} <= set(ours.data_vars)
        assert ours.swvl1.attrs["units"].replace(" ", "") in {
            real.swvl1.attrs["units"].replace(" ", ""),
            "m3m-3",
        }
    with xr.open_dataset(tmp_path / "gldas.nc4") as ours:
        name = "SoilMoi0_10cm_inst"
        assert "ancillary_variables" not in ours[name].attrs  # nothing by those names is in the file
        assert ours[name].attrs["units"] == image[name].attrs["units"] == "kg m-2"
        # 0.1 m of soil at 0.01 (the least a model file holds) to 0.7 m3 m-3 is 1 to 70 kg m-2
        assert float(ours[name].min()) >= 1.0
        assert float(ours[name].max()) < 70.0


def test_cmip6_files_have_bounds_units_and_the_drs_name(truth, tmp_path):
    run = observe.earth_system_model(truth, name="SYN")
    for variable in layouts.CMIP6_VARIABLES:
        name = layouts.cmip6_name("SYN", variable, run)
        assert name.split("/")[-1].startswith(f"{variable}_")
        layouts.write_cmip6(run, variable, tmp_path / f"{variable}.nc", model="SYN")
        with xr.open_dataset(tmp_path / f"{variable}.nc", decode_times=False) as ours:
            assert ours.attrs["variable_id"] == variable
            for axis in ("time", "lat", "lon"):
                assert ours[ours[axis].attrs["bounds"]].shape == (ours.sizes[axis], 2)
    with xr.open_dataset(tmp_path / "mrsos.nc", decode_times=False) as ours:
        assert ours.mrsos.attrs["units"] == "kg m-2"


def test_station_files_read_as_header_and_values(truth, tmp_path):
    station = stations.network(truth, 1, rng=5).isel(station=0)
    for name in layouts.ismn_names(station):
        path = tmp_path / name.split("/")[-1]
        layouts.write_ismn(station, name, path)
        header, first, *_ = path.read_text().splitlines()
        network, provider, site, lat, lon, _, top, bottom, *_ = header.split()
        assert (network, provider, site) == ("SYNTH", "SYNTH", "SYNTH-000")
        assert 40 < float(lat) < 46
        assert -100 < float(lon) < -94
        assert float(top) <= float(bottom)
        stamp = pd.to_datetime(" ".join(first.split()[:2]), format="%Y/%m/%d %H:%M")
        assert stamp == pd.Timestamp("2017-05-01 00:00")
        assert len(first.split()) == 5


def test_tower_files_read_as_ameriflux_base(truth, tmp_path):
    tower = stations.flux_towers(truth, 1).isel(station=0)
    layouts.write_ameriflux(tower, tmp_path / "tower.csv")
    table = pd.read_csv(tmp_path / "tower.csv", comment="#", na_values=-9999)
    assert list(table.columns[:2]) == ["TIMESTAMP_START", "TIMESTAMP_END"]
    np.testing.assert_allclose(table["SWC_1_1_1"] / 100, tower.soil_moisture, atol=1e-5)


def test_half_hours_keep_the_mean_of_their_day_and_are_read_back(truth, tmp_path):
    """What a file of half hours says of a day, averaged, is what the daily tower says; rain is a sum over the half hour."""
    from vadose.products import ameriflux

    towers = stations.flux_towers(truth, 2)
    halves = stations.half_hourly(towers)
    assert halves.sizes["time"] == 48 * towers.sizes["time"]
    for name in towers.data_vars:
        np.testing.assert_allclose(halves[name].resample(time="D").mean(), towers[name], rtol=1e-5, atol=1e-12)
    sunny = halves.net_radiation.groupby("time.hour").mean(...)
    assert float(sunny.sel(hour=12)) > 100 > 0 > float(sunny.sel(hour=2))
    path = tmp_path / "AMF_SY-T01_BASE_HH_1-5.csv"
    layouts.write_ameriflux(halves.isel(station=1), path)
    first, second = path.read_text().splitlines()[3:5]
    assert first.startswith("201705010000,201705010030,")
    assert second.startswith("201705010030,201705010100,")
    read = ameriflux.open(path).isel(station=0).resample(time="D").mean()
    wanted = towers.isel(station=1)
    np.testing.assert_array_equal(read.time, wanted.time)
    np.testing.assert_allclose(read.soil_moisture, wanted.soil_moisture, atol=1e-5)
    np.testing.assert_allclose(read.latent_heat_flux, wanted.latent_heat_flux, atol=0.01)
    np.testing.assert_allclose(read.precipitation_flux * 86400, wanted.precipitation_flux * 86400, atol=0.01)


def test_the_demo_archive_survives_an_interruption(tmp_path, monkeypatch):
    demo = importlib.import_module("vadose.world.demo")
    small = world.make((-100.0, 40.0, -96.0, 44.0), 1.0, "2017-05-01", "2017-05-10", seed=42)
    monkeypatch.setattr(demo, "demo", lambda: small)

    def stop(done, total, what):
        if done == 7:
            raise KeyboardInterrupt

    root = tmp_path / "archive"
    with pytest.raises(KeyboardInterrupt):
        demo.write_demo(str(root), progress=stop)
    assert not (root / "MANIFEST.json").exists()
    assert not list(root.rglob("*.part"))
    kept = {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}
    assert len(kept) == 7
    manifest = demo.write_demo(str(root))
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in kept.items())
    hrefs = [href for collection in manifest["collections"] for href in collection["hrefs"]]
    assert all((root / href).is_file() for href in hrefs)
    assert all(collection["hrefs"] for collection in manifest["collections"])
    assert json.loads((root / "MANIFEST.json").read_text()) == manifest
    heard = []
    demo.write_demo(str(root), progress=lambda *a: heard.append(a))
    assert heard == [(1, 1, "already there")]
