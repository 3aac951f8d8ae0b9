"""Archives that are no cubes: swaths, scenes, models and text, listed once and read file by file, in the layout of the real ones."""

from __future__ import annotations

import json
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import vadose
from vadose.access import build, datasets, quality, store
from vadose.access.recipe import load
from vadose.errors import AccessDeniedError, NotFoundError, UnreadableFileError, VadoseInputError


def catalog_of(tmp_path, *ids):
    datasets.write(tmp_path / "catalog", ids)
    return tmp_path / "catalog"


def test_own_downloads_say_what_is_missing(tmp_path):
    folder = catalog_of(tmp_path, "esa-cci-active")
    with pytest.raises(NotFoundError, match=r"your own download.*--source FOLDER.*ESACCI-SOILMOISTURE-L3S-SSMS-ACTIVE"):
        build.build(folder, "esa-cci-active")
    with pytest.raises(NotFoundError, match="nothing matches"):
        build.build(folder, "esa-cci-active", source=str(tmp_path))
    with pytest.raises(NotFoundError, match=r"vadose catalog build esa-cci-active --source FOLDER"):
        vadose.open("esa-cci-active", catalog=str(folder))


def test_half_orbits_of_different_length_are_one_list_of_points(tmp_path, shared_data):
    real = next((shared_data / "smap" / "L2").glob("*.h5"))
    home = tmp_path / "orbits"
    home.mkdir()
    first = home / real.name
    shutil.copy(real, first)
    # A second half orbit: the same layout, fewer cells, other times.
    second = home / "SMAP_L2_SM_P_99999_D_20150402T010203_R19240_001.h5"
    with h5py.File(real) as theirs, h5py.File(second, "w") as ours:
        group = ours.create_group("Soil_Moisture_Retrieval_Data")
        for name, data in theirs["Soil_Moisture_Retrieval_Data"].items():
            made = group.create_dataset(name, data=data[:50])
            made.attrs.update({k: v for k, v in data.attrs.items() if k not in ("DIMENSION_LIST", "REFERENCE_LIST")})
    folder = catalog_of(tmp_path, "smap-l2")
    outcome = build.build(folder, "smap-l2", source=str(home))
    assert outcome.indexed == 2
    assert outcome.quarantine == {}
    assert not build.build(folder, "smap-l2").changed
    ds = vadose.open("smap-l2", catalog=str(folder))
    with h5py.File(real) as file:
        group = file["Soil_Moisture_Retrieval_Data"]
        raw, flag = group["soil_moisture"][:], group["retrieval_qual_flag"][:]
        lat = group["latitude"][:]
    order = [real.name, second.name] if real.name.split("_")[5] < "20150402T010203" else [second.name, real.name]
    parts = {real.name: slice(None), second.name: slice(0, 50)}
    good = ((flag & 1) == 0) & (flag < 65534) & (raw >= 0) & (raw <= 1)
    want = np.concatenate([np.where(good, raw, np.nan)[parts[n]] for n in order])
    np.testing.assert_allclose(ds.soil_moisture.values, want)
    np.testing.assert_allclose(ds.lat.values, np.concatenate([lat[parts[n]] for n in order]))
    assert ds.sizes["location"] == raw.size + 50
    assert ds.soil_moisture_flag.dtype == np.uint8
    box = (float(ds.lon.min()), float(lat.min()), float(ds.lon.max()), float(np.median(lat)))
    assert 0 < vadose.open("smap-l2", catalog=str(folder), bbox=box).sizes["location"] < ds.sizes["location"]


def scene(path, rows, columns, seed):
    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        group = file.create_group("Soil_Moisture_Retrieval_Data_3km")
        moisture = rng.uniform(0.02, 0.6, (rows, columns)).astype("f4")
        moisture[0, 0] = -9999
        flag = rng.integers(0, 2, (rows, columns)).astype("u2")
        lat = np.repeat(np.linspace(40, 39, rows)[:, None], columns, 1).astype("f4")
        lon = np.repeat(np.linspace(-112, -111, columns)[None], rows, 0).astype("f4")
        for name, data, fill in (("soil_moisture_3km", moisture, -9999.0), ("soil_moisture_std_dev_3km", moisture / 10, -9999.0), ("retrieval_qual_flag_3km", flag, 65534), ("latitude_3km", lat, -9999.0), ("longitude_3km", lon, -9999.0)):  # fmt: skip
            made = group.create_dataset(name, data=data, compression="gzip", shuffle=True)
            made.attrs["_FillValue"] = np.array(fill, data.dtype)
            made.attrs["units"] = np.bytes_("cm**3/cm**3" if "moist" in name else "1")
    return np.where((moisture > 0) & ((flag & 1) == 0), moisture, np.nan), lat


def test_scenes_of_two_radars_are_points_with_their_flag(tmp_path):
    home = tmp_path / "scenes"
    home.mkdir()
    names = ("SMAP_L2_SM_SP_1AIWDV_20200209T061215_20200208T183607_112W40N_R18290_001.h5",
             "SMAP_L2_SM_SP_1BIWDV_20200210T061215_20200209T183607_113W41N_R18290_001.h5")  # fmt: skip
    truth = [scene(home / n, 6 + k, 5, k) for k, n in enumerate(names)]
    folder = catalog_of(tmp_path, "smap-sentinel1")
    assert build.build(folder, "smap-sentinel1", source=str(home)).indexed == 2
    ds = vadose.open("smap-sentinel1", catalog=str(folder))
    np.testing.assert_allclose(ds.soil_moisture.values, np.concatenate([t[0].ravel() for t in truth]), rtol=1e-6)
    np.testing.assert_allclose(ds.lat.values, np.concatenate([t[1].ravel() for t in truth]), rtol=1e-6)
    error = ds.soil_moisture_standard_error.values
    np.testing.assert_allclose(error, ds.soil_moisture.values / 10, rtol=1e-5)
    assert "not_recommended" in ds.soil_moisture_flag.attrs["flag_meanings"]
    one = vadose.open("smap-sentinel1", catalog=str(folder), where={"vadose:scene": "113W41N"})
    assert one.sizes["location"] == 35


def test_only_the_newest_revision_of_a_file_is_listed(tmp_path):
    home = tmp_path / "scenes"
    home.mkdir()
    stem = "SMAP_L2_SM_SP_1AIWDV_20200209T061215_20200208T183607_112W40N_R18290"
    scene(home / f"{stem}_001.h5", 3, 3, 0)
    newest, _ = scene(home / f"{stem}_002.h5", 3, 3, 1)
    folder = catalog_of(tmp_path, "smap-sentinel1")
    outcome = build.build(folder, "smap-sentinel1", source=str(home))
    assert outcome.indexed == 1
    assert "older revision" in outcome.quarantine[str(home / f"{stem}_001.h5")]
    np.testing.assert_allclose(
        vadose.open("smap-sentinel1", catalog=str(folder)).soil_moisture.values, newest.ravel(), rtol=1e-6
    )


def model(path, variable, name, start, months, seed):
    time = np.arange(months) * 30.0 + 15.0
    data = np.random.default_rng(seed).uniform(5, 40, (months, 3, 4)).astype("f4")
    ds = xr.Dataset(
        {variable: (("time", "lat", "lon"), data, {"units": "kg m-2", "standard_name": "x"})},
        {"time": ("time", time, {"units": f"days since {start}-01-01", "calendar": "noleap"}), "lat": [10.0, 20, 30], "lon": [0.0, 90, 180, 270], "depth": 0.05, "depth_bnds": ("bnds", [0.0, 0.1])},
    )  # fmt: skip
    ds.to_netcdf(path / f"{variable}_Lmon_{name}_historical_r1i1p1f1_gr_{start}01-{start}12.nc", engine="h5netcdf")
    return data


def test_models_are_told_apart_and_their_files_joined_in_time_and_by_variable(tmp_path):
    home = tmp_path / "esgf"
    home.mkdir()
    first = model(home, "mrsos", "E3SM-1-0", 2000, 12, 0)
    second = model(home, "mrsos", "E3SM-1-0", 2001, 12, 1)
    model(home, "mrso", "E3SM-1-0", 2000, 12, 2)
    model(home, "mrso", "E3SM-1-0", 2001, 12, 3)
    model(home, "mrsos", "CESM2", 2000, 12, 4)
    folder = catalog_of(tmp_path, "cmip6-esgf")
    build.build(folder, "cmip6-esgf", source=f"{home}/**/*.nc")
    with pytest.raises(VadoseInputError, match=r"2 different cmip6:source_id.*where=.*CESM2, E3SM-1-0"):
        vadose.open("cmip6-esgf", catalog=str(folder))
    ds = vadose.open("cmip6-esgf", catalog=str(folder), where={"cmip6:source_id": "E3SM-1-0"})
    assert ds.sizes["time"] == 24
    np.testing.assert_allclose(
        ds.soil_moisture.values[..., [2, 3, 0, 1]], np.concatenate([first, second]) / 100, rtol=1e-6
    )
    assert "soil_moisture_content" in ds
    late = vadose.open("cmip6-esgf", catalog=str(folder), where={"cmip6:source_id": "E3SM-1-0"}, time="2001-06")
    assert late.sizes["time"] == 1  # within a file that begins in January


def test_text_archives_open_from_a_folder(tmp_path, shared_data):
    folder = catalog_of(tmp_path, "uscrn", "neon", "compass-fme")
    # NOAA's own files: columns without names, one a station and year.
    rows = (shared_data / "uscrn" / "KS_Manhattan_6_SSW.csv").read_text().splitlines()
    home = tmp_path / "crn"
    for year in ("2011", "2012"):
        kept = [r.replace(",", "   ") for r in rows[1:] if r.split(",")[1].startswith(year)]
        (home / year).mkdir(parents=True)
        (home / year / f"CRND0103-{year}-KS_Manhattan_6_SSW.txt").write_text("\n".join(kept) + "\n")
    assert build.build(folder, "uscrn", source=str(home)).indexed == 2
    ds = vadose.open("uscrn", catalog=str(folder))
    assert ds.sizes["station"] == 1
    assert {str(t)[:4] for t in ds.time.values} == {"2011", "2012"}
    column = [float(r.split(",")[18]) for r in rows[1:] if r.split(",")[1][:4] in ("2011", "2012")]
    np.testing.assert_allclose(ds.soil_moisture[0, 0].values, [v if v > -99 else np.nan for v in column])
    build.build(folder, "neon", source=str(shared_data / "neon" / "NEON_SJER_VSWC*.csv.gz"))
    assert vadose.open("neon", catalog=str(folder)).sizes["station"] > 3
    table = pd.DataFrame({"Site": "TMP", "Plot": "F", "TIMESTAMP": pd.date_range("2024-01-01", periods=4, freq="15min"), "Instrument": "TEROS12", "Instrument_ID": "A", "Sensor_ID": "1", "Location": "F1", "research_name": "soil-vwc-15cm", "Value": [0.1, 0.2, 0.3, 1.4], "N_avg": [1, 1, 0, 1], "N_drop": 0})  # fmt: skip
    (tmp_path / "fme").mkdir()
    table.to_parquet(tmp_path / "fme" / "TMP_F_2024_soil-vwc-15cm_L2_v2-1.parquet")
    build.build(folder, "compass-fme", source=str(tmp_path / "fme"))
    ds = vadose.open("compass-fme", catalog=str(folder))
    np.testing.assert_allclose(ds.soil_moisture.values, [[0.1, 0.2, 0.3, np.nan]])
    assert float(ds.depth[0]) == 0.15


def test_ascat_cells_lie_side_by_side(tmp_path):
    home = tmp_path / "cells"
    home.mkdir()
    for cell, places in ((0, 2), (1, 3)):
        rows = np.full(places, 4)
        n = int(rows.sum())
        xr.Dataset(
            {"row_size": ("locations", rows, {"sample_dimension": "obs"}), "sm": ("obs", np.linspace(10, 90, n) + cell), "sm_noise": ("obs", np.full(n, 5.0)), "proc_flag": ("obs", np.zeros(n, "i1"))},
            {"lat": ("locations", 40.0 + np.arange(places) + cell), "lon": ("locations", 10.0 + np.arange(places)), "time": ("obs", pd.date_range("2020-01-01", periods=4).to_numpy().repeat(places).reshape(4, places).T.ravel() + np.timedelta64(cell, "D"))},
        ).to_netcdf(home / f"{cell:04d}.nc", engine="h5netcdf")  # fmt: skip
    folder = catalog_of(tmp_path, "ascat-hsaf")
    assert build.build(folder, "ascat-hsaf", source=str(home)).indexed == 2
    ds = vadose.open("ascat-hsaf", catalog=str(folder))
    assert dict(ds.sizes) | {"time": 5, "location": 5} == dict(ds.sizes)
    assert ds.soil_saturation_flag.dtype == np.uint8
    assert int(ds.soil_saturation.notnull().sum()) == 20
    np.testing.assert_allclose(ds.lat, [40, 41, 41, 42, 43])


def test_what_was_said_of_ones_own_copy_stays(tmp_path, shared_data):
    folder = catalog_of(tmp_path, "uscrn")
    build.build(folder, "uscrn", source=str(shared_data / "uscrn" / "KS_*.csv"))
    before = store.read_collections(folder)["uscrn"]
    datasets.write(folder, ["uscrn"])
    after = store.read_collections(folder)["uscrn"]
    assert after["assets"]["data"]["vadose:open"] == before["assets"]["data"]["vadose:open"]
    assert load(folder / "uscrn").source.endswith("KS_*.csv")


def test_a_copy_of_a_login_archive_in_ones_own_bucket_is_entered_with_ones_own_keys(stub, tmp_path):
    time = pd.date_range("2020-01-01", periods=3).to_numpy()
    for k in range(3):
        values = np.full((1, 4, 5), 20.0 + k, "f4")
        (stub.bucket / "cci").mkdir(exist_ok=True)
        xr.Dataset(
            {"sm": (("time", "lat", "lon"), values, {"units": "percent"}), "flag": (("time", "lat", "lon"), np.full((1, 4, 5), k, "i1"))},
            {"time": time[k : k + 1], "lat": [4.0, 3, 2, 1], "lon": np.arange(5.0)},
        ).to_netcdf(stub.bucket / "cci" / f"ESACCI-SOILMOISTURE-L3S-SSMS-ACTIVE-2020010{k + 1}000000-fv09.2.nc", engine="h5netcdf", encoding={"time": {"units": "days since 1970-01-01"}})  # fmt: skip
    folder = catalog_of(tmp_path, "esa-cci-active")
    outcome = build.build(folder, "esa-cci-active", source="s3://arch/cci/")
    assert outcome.indexed == 3
    ds = vadose.open("esa-cci-active", catalog=str(folder))
    # Bit 0 (snow or frozen) refuses the second day, bit 1 (dense vegetation) keeps the third.
    np.testing.assert_allclose(ds.soil_saturation[:, 0, 0].values, [0.20, np.nan, 0.22])
    assert quality.validate(folder, "esa-cci-active", level="full", n=6) == []
    how = json.loads((folder / "esa-cci-active" / "collection.json").read_text())["assets"]["data"]["vadose:open"]
    assert how["store"] == {"auth": "environment"}


def test_files_of_a_bucket_fail_by_name_when_opened_and_later_when_computed(stub, tmp_path):
    (stub.bucket / "nc").mkdir()
    data = np.random.default_rng(0).random((2, 300, 1000)).astype("f4")
    for k in range(2):
        xr.Dataset({"mrso": (("time", "lat", "lon"), data[k : k + 1])}, {"time": [np.datetime64(f"200{k}-01-01", "ns")]}).to_netcdf(
            stub.bucket / "nc" / f"mrso_Lmon_A_historical_r1i1p1f1_gr_200{k}01-200{k}12.nc", engine="h5netcdf", encoding={"mrso": {"chunksizes": (1, 100, 1000)}}
        )  # fmt: skip
    folder = catalog_of(tmp_path, "cmip6-esgf")
    build.build(folder, "cmip6-esgf", source="s3://arch/nc/")
    ds = vadose.open("cmip6-esgf", catalog=str(folder))
    np.testing.assert_allclose(ds.soil_moisture_content.values, data)
    import pickle

    again = pickle.loads(pickle.dumps(vadose.open("cmip6-esgf", catalog=str(folder))))
    stub.faults(status=403, match="200001-200012", only="GET")
    with pytest.raises(AccessDeniedError, match=r"mrso_Lmon_A.*200001-200012.*refuses"):
        again.soil_moisture_content.load()
    stub.faults()
    (stub.bucket / "nc" / "mrso_Lmon_A_historical_r1i1p1f1_gr_200001-200012.nc").unlink()
    with pytest.raises(UnreadableFileError, match=r"200001-200012.*the store does not have it"):
        vadose.open("cmip6-esgf", catalog=str(folder))


def test_zarr_stores_of_a_bucket_fail_by_name_when_computed(stub, tmp_path):
    import pickle

    from vadose.access.opening import open_zarr

    data = np.random.default_rng(0).random((4, 50, 60))
    xr.Dataset({"sm": (("time", "y", "x"), data)}).to_zarr(
        stub.bucket / "a.zarr", zarr_format=3, consolidated=False, encoding={"sm": {"chunks": (1, 50, 60)}}
    )
    ds = open_zarr("s3://arch/a.zarr", chunks={})
    np.testing.assert_array_equal(ds.sm.values, data)
    again = pickle.loads(pickle.dumps(ds))
    stub.faults(status=403, match="a.zarr/sm/c/", only="GET")
    with pytest.raises(AccessDeniedError, match=r"s3://arch/a\.zarr/sm/c/2/0/0: the store refuses"):
        again.sm[2].load()
    with pytest.raises(UnreadableFileError, match=r"no Zarr store there"):
        open_zarr("s3://arch/none.zarr")
