"""The archives people use most, through the catalog's own recipes: files named, grouped, typed and packed as the real ones are.

Each is built from a folder with `build --source`, opened, and equal to what a direct read gives.
"""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import xarray as xr

import vadose
from vadose import units
from vadose.access import build, datasets
from vadose.errors import NotFoundError, UnreadableFileError, VadoseInputError
from vadose.products import declared, standardize
from vadose.vocabulary import VARIABLES

RNG = np.random.default_rng(11)


def opened(tmp_path, identifier, **question):
    datasets.write(tmp_path / "catalog", [identifier])
    outcome = build.build(tmp_path / "catalog", identifier, source=str(tmp_path / "files"))
    assert outcome.quarantine == {}
    return vadose.open(identifier, catalog=str(tmp_path / "catalog"), **question), outcome


@pytest.fixture
def home(tmp_path):
    (tmp_path / "files" / "below").mkdir(parents=True)
    return tmp_path / "files" / "below"


def write(path, data, coords, fill, **encoding):
    ds = xr.Dataset(data, coords)
    known = {n: {"_FillValue": np.dtype(ds[n].dtype).type(fill), "zlib": True, "shuffle": True, **encoding} for n in ds.data_vars if ds[n].ndim > 1 and ds[n].dtype.kind == "f"}  # fmt: skip
    ds.to_netcdf(path, engine="h5netcdf", encoding=known)


def test_merra2_days_of_24_half_past_hours(tmp_path, home):
    lat, lon = np.arange(30, 32.5, 0.5), np.arange(-100, -98, 0.625)
    truth = []
    for day in range(2):
        shape = (24, lat.size, lon.size)
        moisture, ground = RNG.uniform(0.05, 0.5, shape).astype("f4"), RNG.uniform(265, 285, shape).astype("f4")
        moisture[:, 0, 0] = np.nan  # the sea: 1e15 in the file
        truth.append((moisture, ground))
        dims = ("time", "lat", "lon")
        time = ("time", np.arange(0, 1440, 60, dtype="i4"), {"units": f"minutes since 2018-10-0{day + 1} 00:30:00"})
        write(
            home / f"MERRA2_400.tavg1_2d_lnd_Nx.2018100{day + 1}.nc4",
            {"SFMC": (dims, moisture, {"units": "m-3 m-3"}), "RZMC": (dims, moisture / 2, {"units": "m-3 m-3"}), "TSOIL1": (dims, ground, {"units": "K"}), "SNOMAS": (dims, moisture * 20, {"units": "kg m-2"}), "EVLAND": (dims, moisture * 1e-4, {"units": "kg m-2 s-1"})},
            {"time": time, "lat": lat, "lon": lon}, 1e15, chunksizes=(1, lat.size, lon.size),
        )  # fmt: skip
    ds, _ = opened(tmp_path, "merra2-land")
    moisture, ground = (np.concatenate(parts) for parts in zip(*truth, strict=True))
    np.testing.assert_array_equal(ds.soil_moisture.values, moisture)
    np.testing.assert_allclose(ds.root_zone_soil_moisture.values, moisture / 2)
    assert str(ds.time.values[0])[:16] == "2018-10-01T00:30"
    assert ds.soil_moisture.chunks is not None
    frozen = (ds.soil_moisture_flag.values & 1) != 0
    np.testing.assert_array_equal(frozen, ground < 273.15)
    np.testing.assert_array_equal(ds.depth_bnds.values, [0.0, 0.05])
    np.testing.assert_allclose(ds.evapotranspiration_flux.values, moisture * 1e-4, rtol=1e-6)


def test_cygnss_rows_and_columns_get_their_degrees(tmp_path, home):
    rows, columns = 4, 6
    lat = np.repeat(np.linspace(37, -37, rows, dtype="f4")[:, None], columns, 1)
    lon = np.repeat(np.linspace(-179, 179, columns, dtype="f4")[None], rows, 0)
    truth = []
    for day in range(2):
        values = RNG.uniform(0.02, 0.5, (1, rows, columns)).astype("f4")
        values[0, 1, 2] = np.nan
        truth.append(values)
        dims = ("time", "lat", "lon")
        sub = RNG.uniform(0, 0.5, (4, rows, columns)).astype("f4")
        write(
            home / f"cyg.ddmi.s2018080{day + 1}-030000-e2018080{day + 1}-210000.l3.grid-soil-moisture-36km.a32.d33.nc",
            {"SM_daily": (dims, values, {"units": "1"}), "SIGMA_daily": (dims, values / 5, {"units": "1"}), "SM_subdaily": (("timeslices", "lat", "lon"), sub, {"units": "1"}), "latitude": (("lat", "lon"), lat), "longitude": (("lat", "lon"), lon)},
            {"time": ("time", np.array([17744.5 + day], "f4"), {"units": "days since 1970-01-01 00:00:00 UTC"})}, -9999.0,
        )  # fmt: skip
    ds, _ = opened(tmp_path, "cygnss-l3")
    np.testing.assert_allclose(ds.soil_moisture.values, np.concatenate(truth))
    np.testing.assert_allclose(ds.soil_moisture_standard_error.values, np.concatenate(truth) / 5, rtol=1e-6)
    np.testing.assert_allclose(ds.lat.values, lat[:, 0])
    np.testing.assert_allclose(ds.lon.values, lon[0])
    assert [str(t)[:10] for t in ds.time.values] == ["2018-08-01", "2018-08-02"]
    cut = vadose.open("cygnss-l3", catalog=str(tmp_path / "catalog"), bbox=(-180, 0, 0, 38))
    assert dict(cut.sizes) | {"y": 2, "x": 3} == dict(cut.sizes)


def test_amsr2_files_with_longitudes_first_and_no_time(tmp_path, home):
    lat, lon = np.arange(89.875, 88, -0.25, dtype="f4"), np.arange(-179.875, -179, 0.25, dtype="f4")
    truth = []
    for day in (16, 17):
        values = RNG.uniform(1, 60, (lon.size, lat.size)).astype("f4")
        values[0, 0] = -9999
        truth.append(np.where(values >= 0, values / 100, np.nan).T[::-1])
        with h5py.File(home / f"LPRM-AMSR2_L3_A_SOILM3_V001_201212{day}010911.nc4", "w") as file:
            for name, axis in (("Longitude", lon), ("Latitude", lat)):
                made = file.create_dataset(name, data=axis)
                made.make_scale(name)
                made.attrs["units"] = np.bytes_(f"degrees_{'east' if name[1] == 'o' else 'north'}")
            for name, data, unit in (("soil_moisture_c1", values, "percent"), ("soil_moisture_c1_error", np.full_like(values, 0.05), "m3 m-3"), ("ts", np.full_like(values, 290.0), "K")):  # fmt: skip
                made = file.create_dataset(name, data=data, compression="gzip")
                made.attrs["units"] = np.bytes_(unit)
                for k, scale in enumerate(("Longitude", "Latitude")):
                    made.dims[k].attach_scale(file[scale])
    ds, _ = opened(tmp_path, "amsr2-lprm")
    assert ds.soil_moisture.dims == ("time", "lat", "lon")
    np.testing.assert_allclose(ds.soil_moisture.values, np.stack(truth), rtol=1e-6)
    assert float(ds.soil_moisture_standard_error.max()) == pytest.approx(0.05)
    assert [str(t)[:10] for t in ds.time.values] == ["2012-12-16", "2012-12-17"]
    assert (np.diff(ds.lat.values) > 0).all()


def test_smos_ic_leaves_out_scenes_and_fits_that_are_not_good(tmp_path, home):
    lat, lon = np.array([30.0, 31.0], "f4"), np.array([5.0, 6.0, 7.0], "f4")
    dims = ("lat", "lon")
    values = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, np.nan]], "f4")
    scene = np.array([[0, 1, 2], [8, 0, 0]], "u1")
    fit = np.array([[2.0, 3, 4], [5, 9, 2]], "f4")
    for day in (1, 2):
        write(
            home / f"SM_RE07_MIR_CDF3SA_2015070{day}T000000_2015070{day}T235959_200_001_B.DBL.nc",
            {"Soil_Moisture": (dims, values, {"units": "m3 m-3"}), "Soil_Moisture_StdError": (dims, values / 10), "Scene_Flags": (dims, scene), "RMSE": (dims, fit, {"units": "K"}), "Optical_Thickness_Nad": (dims, values)},
            {"lat": lat, "lon": lon}, -999.0,
        )  # fmt: skip
    ds, _ = opened(tmp_path, "smos-ic")
    want = np.array([[0.1, 0.2, np.nan], [np.nan, np.nan, np.nan]])
    np.testing.assert_allclose(ds.soil_moisture.values, np.stack([want, want]), rtol=1e-6)
    np.testing.assert_allclose(ds.soil_moisture_standard_error.values[0], want / 10, rtol=1e-6)
    np.testing.assert_array_equal(ds.soil_moisture_flag.values[0], [[0, 0, 1], [1, 2, 0]])


@pytest.mark.parametrize(("identifier", "name", "top"), [("nldas2-noah", "NOAH", "SoilM_0_10cm"), ("nldas2-mosaic", "MOS", "SoilM_0_10cm"), ("nldas2-vic", "VIC", "SoilM_layer1")])  # fmt: skip
def test_nldas2_hours_in_amounts_of_water(tmp_path, home, identifier, name, top):
    lat, lon = np.arange(25.0625, 26, 0.125), np.arange(-124.9375, -124, 0.125)
    dims, layers = ("time", "lat", "lon"), {"NOAH": ["SoilM_10_40cm", "SoilM_40_100cm", "SoilM_100_200cm"], "MOS": ["SoilM_10_40cm", "SoilM_40_200cm"], "VIC": []}[name]  # fmt: skip
    truth = []
    for hour in range(2):
        water = RNG.uniform(5, 40, (1, lat.size, lon.size)).astype("f4")
        truth.append(water)
        write(
            home / f"NLDAS_{name}0125_H.A20200101.0{hour}00.020.nc",
            {top: (dims, water, {"units": "kg m-2"}), "Evap": (dims, water / 100, {"units": "kg m-2"}), "SWE": (dims, water * 0, {"units": "kg m-2"}), "SoilM_0_100cm": (dims, water * 10, {"units": "kg m-2"}), **{n: (dims, water * 3, {"units": "kg m-2"}) for n in layers}},
            {"time": ("time", [float(hour)], {"units": "hours since 2020-01-01 00:00:00"}), "lat": lat, "lon": lon}, -9999.0,
        )  # fmt: skip
    ds, _ = opened(tmp_path, identifier)
    water = np.concatenate(truth)
    np.testing.assert_allclose(ds.soil_moisture.values, water / 100, rtol=1e-6)  # 10 cm
    np.testing.assert_allclose(ds.root_zone_soil_moisture.values, water / 100, rtol=1e-6)  # ten times as much in 1 m
    np.testing.assert_allclose(ds.evapotranspiration_flux.values, water / 100 / 3600, rtol=1e-6)
    assert ("soil_moisture_profile" in ds) == bool(layers)
    if layers:
        np.testing.assert_allclose(ds.soil_moisture_profile.sel(layer=1).values, water * 3 / 300, rtol=1e-6)
        assert ds.layer_bnds.shape == (len(layers) + 1, 2)


def test_grace_is_one_file_of_all_months(tmp_path, home):
    lat, lon = np.array([0.25, 0.75]), np.array([0.25, 0.75, 359.75])
    values = RNG.normal(0, 10, (3, 2, 3))
    dims = ("time", "lat", "lon")
    write(
        home / "GRCTellus.JPL.200204_202603.GLO.RL06.3M.MSCNv04CRI.nc",
        {"lwe_thickness": (dims, values, {"units": "cm"}), "uncertainty": (dims, np.full_like(values, 2.0), {"units": "cm"}), "land_mask": (("lat", "lon"), np.ones((2, 3)))},
        {"time": ("time", [107.0, 129.5, 227.5], {"units": "days since 2002-01-01T00:00:00Z"}), "lat": lat, "lon": lon}, -99999.0,
    )  # fmt: skip
    ds, _ = opened(tmp_path, "grace-mascon")
    # 1 cm of water is 10 kg m-2; 359.75 E is 0.25 W and comes first.
    np.testing.assert_allclose(ds.total_water_storage_anomaly.values, values[..., [2, 0, 1]] * 10)
    assert ds.total_water_storage_anomaly.attrs["units"] == "kg m-2"
    assert float(ds.total_water_storage_anomaly_standard_error.max()) == pytest.approx(20.0)


def ease_like(path, group, data):
    """Rows and columns of the 9 km grid; only the first piece holds values, as most of the ocean holds none."""
    with h5py.File(path, "w") as file:
        made = file.create_group(group)
        for name, corner in data.items():
            v = made.create_dataset(name, (1624, 3856), "f4", chunks=(203, 241), compression="gzip", fillvalue=-9999.0)
            v[: corner.shape[0], : corner.shape[1]] = corner
            v.attrs["_FillValue"] = np.float32(-9999.0)


def test_smap_l4_hours_and_the_constants_of_its_model(tmp_path, home):
    first, second = RNG.uniform(0.05, 0.5, (2, 3, 4)).astype("f4")
    for hour, values in (("013000", first), ("043000", second)):
        ease_like(home / f"SMAP_L4_SM_gph_20200101T{hour}_Vv8011_001.h5", "Geophysical_Data", {"sm_surface": values, "sm_rootzone": values / 2, "soil_temp_layer1": values * 0 + 270, "snow_mass": values * 0})  # fmt: skip
    ds, _ = opened(tmp_path, "smap-l4")
    np.testing.assert_array_equal(ds.soil_moisture[:, :3, :4].values, np.stack([first, second]))
    np.testing.assert_allclose(ds.root_zone_soil_moisture[1, :3, :4].values, second / 2)
    assert np.isnan(ds.soil_moisture[0, 100, 100])
    assert str(ds.time.values[1])[:16] == "2020-01-01T04:30"
    for path in home.iterdir():
        path.unlink()
    ease_like(home / "SMAP_L4_SM_lmc_00000000T000000_Vv7032_001.h5", "Land-Model-Constants_Data", {"clsm_poros": first, "clsm_wp": first / 4, "cell_elevation": first * 1000})  # fmt: skip
    fixed, _ = opened(tmp_path, "smap-l4-constants")
    np.testing.assert_array_equal(fixed.porosity[:3, :4].values, first)
    np.testing.assert_allclose(fixed.wilting_point[:3, :4].values, first / 4)
    assert fixed.lat.dims == ("y",)
    assert "time" not in fixed.dims


@pytest.mark.parametrize(("identifier", "name", "variable"), [("esa-cci-passive", "ESACCI-SOILMOISTURE-L3S-SSMV-PASSIVE-2020010{}000000-fv09.2.nc", "soil_moisture"), ("c3s-combined", "C3S-SOILMOISTURE-L3S-SSMV-COMBINED-DAILY-2020010{}000000-TCDR-v202505.0.0.nc", "soil_moisture"), ("esa-cci-combined", "ESACCI-SOILMOISTURE-L3S-SSMV-COMBINED-2020010{}000000-fv09.2.nc", "soil_moisture"), ("esa-cci-active", "ESACCI-SOILMOISTURE-L3S-SSMS-ACTIVE-2020010{}000000-fv09.2.nc", "soil_saturation")])  # fmt: skip
def test_cci_and_c3s_days(tmp_path, home, identifier, name, variable):
    factor, unit = (100.0, "percent") if variable == "soil_saturation" else (1.0, "m3 m-3")
    truth = []
    for day in (1, 2):
        values = RNG.uniform(0.05, 0.5, (1, 3, 4)).astype("f4")
        flag = np.zeros((1, 3, 4), "i1")
        flag[0, 0, 0] = 1
        truth.append(np.where(flag == 1, np.nan, values)[:, ::-1])
        dims = ("time", "lat", "lon")
        write(
            home / name.format(day),
            {"sm": (dims, values * np.float32(factor), {"units": unit}), "sm_uncertainty": (dims, values * np.float32(factor) / 10, {"units": unit}), "flag": (dims, flag)},
            {"time": ("time", [18261.0 + day], {"units": "days since 1970-01-01 00:00:00 UTC"}), "lat": [2.0, 1.0, 0.0], "lon": [0.0, 1, 2, 3]}, -9999.0,
        )  # fmt: skip
    ds, _ = opened(tmp_path, identifier)
    np.testing.assert_allclose(ds[variable].values, np.concatenate(truth), rtol=1e-5)
    np.testing.assert_allclose(ds[f"{variable}_standard_error"].values, np.concatenate(truth) / 10, rtol=1e-5)


def test_copernicus_kilometers_from_their_folder(tmp_path, shared_data):
    datasets.write(tmp_path / "catalog", ["cgls-ssm1km", "cgls-swi1km"])
    for identifier, folder, name in (("cgls-ssm1km", "ssm1km", "ssm"), ("cgls-swi1km", "swi1km", "SWI_005")):
        source = shared_data / "cgls" / folder
        build.build(tmp_path / "catalog", identifier, source=str(source))
        ds = vadose.open(identifier, catalog=str(tmp_path / "catalog"))
        with xr.open_dataset(sorted(source.glob("*.nc"))[0], engine="h5netcdf") as theirs:
            raw = theirs[name][0].sortby("lat").values
        np.testing.assert_allclose(ds.soil_saturation[0].values, np.where(raw <= 100, raw / 100, np.nan))


def test_models_are_chosen_from_the_table_of_their_stores(tmp_path):
    import json

    rows = [
        "activity_id,institution_id,source_id,experiment_id,member_id,table_id,variable_id,grid_label,zstore,version"
    ]
    truth = {}
    for model, variable, version in (("E3SM-1-0", "mrsos", 1), ("E3SM-1-0", "mrsos", 2), ("E3SM-1-0", "pr", 1), ("CESM2", "mrsos", 1)):  # fmt: skip
        values = RNG.uniform(5, 40, (2, 2, 3)).astype("f4")
        truth[model, variable] = values
        place = tmp_path / "stores" / model / variable / str(version)
        xr.Dataset({variable: (("time", "lat", "lon"), values)}, {"time": np.array(["2000-01-16", "2000-02-15"], "M8[ns]"), "lat": [0.0, 1.0], "lon": [0.0, 1.0, 2.0]}).to_zarr(place, zarr_format=2, consolidated=True)  # fmt: skip
        rows.append(f"CMIP,X,{model},historical,r1i1p1f1,Lmon,{variable},gr,{place}/,{version}")
    (tmp_path / "stores.csv").write_text("\n".join(rows) + "\n")
    datasets.write(tmp_path / "catalog", ["cmip6"])
    path = tmp_path / "catalog" / "cmip6" / "collection.json"
    entry = json.loads(path.read_text())
    entry["assets"]["data"]["href"] = str(tmp_path / "stores.csv")
    path.write_text(json.dumps(entry))
    place = str(tmp_path / "catalog")
    with pytest.raises(VadoseInputError, match=r"2 different source_id.*CESM2, E3SM-1-0"):
        vadose.open("cmip6", catalog=place)
    with pytest.raises(NotFoundError, match=r"no store with source_id 'X'; there are CESM2"):
        vadose.open("cmip6", catalog=place, where={"source_id": "X"})
    ds = vadose.open("cmip6", catalog=place, where={"cmip6:source_id": "E3SM-1-0"})
    np.testing.assert_allclose(ds.soil_moisture.values, truth["E3SM-1-0", "mrsos"] / 100, rtol=1e-6)
    np.testing.assert_allclose(ds.precipitation_flux.values, truth["E3SM-1-0", "pr"])


def hourly(names, hours=30):
    time = np.datetime64("2020-01-01T00", "ns") + np.arange(hours) * np.timedelta64(1, "h")
    coords = {"time": time, "latitude": [1.0, 0.0], "longitude": [10.0, 350.0]}
    return xr.Dataset({n: (("time", "latitude", "longitude"), np.broadcast_to(np.asarray(v, float).reshape(-1, 1, 1), (hours, 2, 2)), {"units": u}) for n, (v, u) in names.items()}, coords)  # fmt: skip


def test_rain_of_era5_is_that_of_its_hour_and_of_era5_land_that_since_midnight():
    hour = RNG.uniform(0, 1e-3, 30)
    ds = standardize(hourly({"volumetric_soil_water_layer_1": (np.full(30, 0.3), "m**3 m**-3"), "total_precipitation": (hour, "m")}), "era5")  # fmt: skip
    np.testing.assert_allclose(ds.precipitation_flux[:, 0, 0].values, hour * 1000 / 3600)
    np.testing.assert_array_equal(ds.lon.values, [-10.0, 10.0])
    # What a stamp holds grows from 01 UTC to 00 UTC of the next day.
    grown, total = [], 0.005
    for k, amount in enumerate(hour):
        total = amount if k % 24 == 1 else total + amount
        grown.append(total)
    ds = standardize(hourly({"swvl1": (np.full(30, 0.3), "m**3 m**-3"), "tp": (grown, "m")}).chunk(time=7), "era5_land_hourly")  # fmt: skip
    got = ds.precipitation_flux[:, 0, 0].values
    np.testing.assert_allclose(got[1:], hour[1:] * 1000 / 3600, rtol=1e-9)
    assert np.isnan(got[0])  # the rain of the hour before the first stamp is not known


def test_the_national_water_model_is_cut_in_its_own_projection():
    x, y = np.arange(-2000.0, 3000, 1000), np.arange(-3000.0, 2000, 1000)
    data = RNG.uniform(0.1, 0.4, (2, 5, 4, 5))
    raw = xr.Dataset({"SOIL_M": (("time", "y", "soil_layers_stag", "x"), data, {"units": "m3 m-3"})}, {"time": np.array(["2020-01-01T03", "2020-01-01T06"], "M8[ns]"), "x": x, "y": y})  # fmt: skip
    ds = standardize(raw.chunk(), "nwm")
    np.testing.assert_array_equal(ds.soil_moisture.values, data[:, :, 0])
    np.testing.assert_array_equal(ds.soil_moisture_profile.transpose("time", "y", "layer", "x").values, data)
    from vadose.products.opening import cut

    # The origin of the projection is 40 N, 97 W.
    part = cut(ds, (-97.013, 39.987, -96.987, 40.013))
    assert part.x.values.tolist() == [-1000, 0, 1000]
    assert part.y.values.tolist() == [-1000, 0, 1000]


def test_nldas3_days_and_what_is_no_such_product():
    raw = xr.Dataset({"Rainf": (("time", "lat", "lon"), np.full((1, 2, 2), 8.64), {"units": "kg m-2"}), "Qair": (("time", "lat", "lon"), np.full((1, 2, 2), 0.01), {"units": "kg kg-1"})}, {"time": [np.datetime64("2010-01-01", "ns")], "lat": [7.0, 8.0], "lon": [-100.0, -99.0]})  # fmt: skip
    ds = standardize(raw, "nldas3_forcing")
    np.testing.assert_allclose(ds.precipitation_flux.values, 1e-4)
    np.testing.assert_allclose(ds.specific_humidity.values, 0.01)
    with pytest.raises(UnreadableFileError, match=r"not merra2_land: expected one of SFMC.*found Rainf"):
        standardize(raw, "merra2_land")


@pytest.mark.parametrize("name", sorted(declared.table()))
def test_every_declared_product_is_written_right(name):
    told = declared.table()[name]
    assert told["confidence"] in ("high", "medium", "low")
    assert set(told) <= {"about", "reference", "confidence", "variables", "profile", "flag", "state", "dims", "places", "crs", "layered"}  # fmt: skip
    for ours, row in told["variables"].items():
        assert set(row) <= {"from", "units", "valid", "layer", "error", "accumulated", "to", "scale", "at", "long_name"}
        goal = row.get("to") or (VARIABLES[ours].units if ours in VARIABLES else row["units"])
        if "accumulated" not in row and "layer" not in row:
            assert units.compatible(row["units"], goal), ours
    flag = told.get("flag", {})
    assert set(flag.get("refuse", ())) <= set(flag.get("marks", {}))
    if "profile" in told and "dim" not in told["profile"]:
        assert len(told["profile"]["from"]) == len(told["profile"]["layers"])


@pytest.mark.parametrize("identifier", [i for i, e in datasets.table()["datasets"].items() if e["product"] in declared.table()])  # fmt: skip
def test_what_the_catalog_promises_is_what_the_product_gives(identifier):
    row = datasets.table()["datasets"][identifier]
    #: Bands have names of their own: `red`, `backscatter_vv`.
    families = {"reflectance", "backscatter"}
    assert set(row["variables"]) - families <= set(declared.table()[row["product"]]["variables"])
