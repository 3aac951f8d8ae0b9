"""Readers of SMOS, ASCAT, SMAP L4, NEON, COMPASS-FME and ISMN's CEOP form: files in their makers' layouts, real ones where there are."""

from __future__ import annotations

import gzip
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from vadose import products, qc
from vadose.errors import UnreadableFileError, VadoseInputError
from vadose.products import ameriflux, compass, fluxnet, ismn, neon, smap_l4, uscrn

# -- SMOS ----------------------------------------------------------------------------------------------------------------


def smos_l2(path):
    """SMUDP2 as netCDF: one row a grid point, -999 for missing without declaring it, flags of 32 bits, days from 2000."""
    n = 5
    bits = np.array([0, 1 << 12, 1 << 5, (1 << 15) | (1 << 3), 1 << 1], dtype="uint32")
    values = {
        "Latitude": np.linspace(40, 44, n), "Longitude": np.array([-100, -99, 359.0, -98, -97]), "Soil_Moisture": np.array([0.21, 0.3, 0.4, 0.5, -999.0]),
        "Soil_Moisture_DQX": np.array([0.03, 0.04, 0.05, 0.06, -999.0]), "RFI_Prob": np.array([0.05, 0.1, 0.3, 0.2, -999.0]),
        "Chi_2_P": np.full(n, 0.9),
    }  # fmt: skip
    out = xr.Dataset({k: ("n_grid_points", v.astype("float32")) for k, v in values.items()})
    out["Science_Flags"] = ("n_grid_points", bits)
    out["Grid_Point_ID"] = ("n_grid_points", np.arange(n, dtype="uint32"))
    # 2016-03-01 is day 5904 from 2000-01-01: 16 years with 4 leap days (2000, 04, 08, 12) are 5844, January 31 and February 29
    out["Days"] = ("n_grid_points", np.array([5904] * 4 + [0], dtype="int32"))
    out["Seconds"] = ("n_grid_points", np.array([60, 61, 62, 63, 0], dtype="uint32"))
    out["Microseconds"] = ("n_grid_points", np.array([500_000] * 4 + [0], dtype="uint32"))
    out.to_netcdf(path, encoding={v: {"_FillValue": None} for v in out.variables})


def test_smos_swath(tmp_path):
    smos_l2(tmp_path / "l2.nc")
    out = products.standardize(xr.open_dataset(tmp_path / "l2.nc"), "smos")
    np.testing.assert_allclose(out.soil_moisture, [0.21, 0.3, 0.4, 0.5, np.nan], rtol=1e-6)
    np.testing.assert_allclose(out.soil_moisture_standard_error[:2], [0.03, 0.04], rtol=1e-6)
    assert np.isnan(out.radio_interference_probability[4])
    assert float(out.lon[2]) == -1.0
    assert out.observation_time.values[1] == np.datetime64("2016-03-01T00:01:01.5")
    assert np.isnat(out.observation_time.values[4])
    assert qc.keep(out, "smos", "lenient").values.tolist() == [
        True,
        False,
        False,
        True,
        False,
    ]  # ice, interference, -, no value
    assert qc.keep(out, "smos").values.tolist() == [True, False, False, False, False]


def test_smos_grid_of_catds(tmp_path):
    lat, lon = np.linspace(60, 40, 3), np.linspace(-10, 10, 4)
    values = np.full((3, 4), 0.25, "float32")
    values[0, 0] = -999.0
    ds = xr.Dataset(
        {"Soil_Moisture": (("lat", "lon"), values), "Rfi_Prob": (("lat", "lon"), np.full((3, 4), 0.1, "float32"))},
        {"lat": lat, "lon": lon},
    )
    ds["Mean_Acq_Time_Days"] = (("lat", "lon"), np.full((3, 4), 5904.0))
    ds["Mean_Acq_Time_Seconds"] = (("lat", "lon"), np.full((3, 4), 21600.0))
    out = products.standardize(ds, "smos")
    assert out.lat.values.tolist() == [40, 50, 60]
    assert np.isnan(out.soil_moisture.values[2, 0])
    assert int(out.soil_moisture.count()) == 11
    assert (out.observation_time.values == np.datetime64("2016-03-01T06:00")).all()
    with pytest.raises(UnreadableFileError, match="Soil_Moisture"):
        products.standardize(ds.drop_vars("Soil_Moisture"), "smos")


# -- ASCAT ---------------------------------------------------------------------------------------------------------------


def ascat_cell(contiguous=True):
    """A cell of an H SAF data record: two locations, three and two observations; percent; ragged."""
    time = pd.to_datetime(
        ["2019-05-01 09:00", "2019-05-01 20:00", "2019-05-03 09:00", "2019-05-01 09:01", "2019-05-02 09:01"]
    )
    per = {"sm": [20.0, 40.0, 655.35, 0.0, 100.0], "sm_noise": [2.0, 4.0, 655.35, 1.0, 3.0]}
    flags = {
        "proc_flag": [0, 0, 0, 0, 4],
        "corr_flag": [0, 1, 0, 0, 0],
        "conf_flag": [0, 0, 0, 0, 0],
        "ssf": [1, 1, 255, 2, 1],
    }
    out = xr.Dataset({k: ("obs", np.array(v, "float32")) for k, v in per.items()})
    out = out.assign({k: ("obs", np.array(v, "uint8")) for k, v in flags.items()})
    out["subsurface_scattering_probability"] = ("obs", np.array([-128, 5, 0, 0, 12], "int8"))
    out = out.assign_coords(time=("obs", time))
    out["lat"], out["lon"] = ("locations", [45.0, 45.1]), ("locations", [10.0, 10.1])
    out["location_id"] = ("locations", [2501225, 2501229])
    if contiguous:
        out["row_size"] = ("locations", np.array([3, 2]), {"sample_dimension": "obs"})
    else:
        out["locationIndex"] = ("obs", [0, 0, 0, 1, 1])
    return out


@pytest.mark.parametrize("contiguous", [True, False])
def test_ascat_cell_series(contiguous):
    out = products.standardize(ascat_cell(contiguous), "ascat")
    expected = [[0.3, 0.0], [np.nan, 1.0], [np.nan, np.nan]]  # two passes of a day are averaged; 655.35 is no value
    np.testing.assert_allclose(out.soil_saturation, expected, rtol=1e-6)
    np.testing.assert_allclose(out.soil_saturation_standard_error[0], [0.03, 0.01], rtol=1e-6)
    assert out.soil_saturation_flag.values.tolist() == [[2, 0], [0, 1], [0, 0]]
    assert out.location_id.values.tolist() == [2501225, 2501229]
    assert qc.keep(out, "ascat").values[0].tolist() == [False, False]  # corrected; frozen
    broken = ascat_cell(True)
    broken["row_size"] = ("locations", np.array([3, 1]), {"sample_dimension": "obs"})
    with pytest.raises(UnreadableFileError, match="adds up to 4, but there are 5"):
        products.standardize(broken, "ascat")


def test_ascat_undeclared_fill_of_l2_is_no_value():
    """EUMETSAT's L2: rows and nodes, one time a row, 655.35 where nothing was retrieved and no fill declared."""
    values = np.full((4, 3), 655.35)
    values[1, 2], values[3, 0] = 45.5, 100.0
    ds = xr.Dataset(
        {
            "soil_moisture": (("numRows", "numCells"), values),
            "soil_moisture_error": (("numRows", "numCells"), values / 10),
        }
    )
    ds["lat"], ds["lon"] = (
        (("numRows", "numCells"), np.full((4, 3), 50.0)),
        (("numRows", "numCells"), np.full((4, 3), 8.0)),
    )
    ds["utc_line_nodes"] = ("numRows", pd.date_range("2020-02-02 10:00", periods=4, freq="min"))
    out = products.standardize(ds, "ascat")
    assert int(out.soil_saturation.count()) == 2
    np.testing.assert_allclose(out.soil_saturation.values[[5, 9]], [0.455, 1.0])
    assert out.observation_time.values[5] == np.datetime64("2020-02-02T10:01")


def test_ascat_swath_of_h121():
    ds = xr.Dataset(
        {
            "surface_soil_moisture": ("obs", [12.0, 30.0, np.nan]),
            "surface_soil_moisture_noise": ("obs", [1.5, 2.5, np.nan]),
            "surface_soil_moisture_sensitivity": ("obs", [0.9, 3.0, np.nan]),
            "processing_flag": ("obs", np.zeros(3, "uint8")),
            "surface_flag": ("obs", np.array([1, 0, 255], "uint8")),
            "latitude": ("obs", [1.0, 2.0, 3.0]),
            "longitude": ("obs", [4.0, 5.0, 6.0]),
            "time": ("obs", pd.date_range("2020-06-01", periods=3, freq="s")),
        }
    )
    out = products.standardize(ds, "ascat")
    np.testing.assert_allclose(out.soil_saturation, [0.12, 0.3, np.nan])
    mask = qc.keep(out, "ascat")
    assert mask.values.tolist() == [False, True, False]  # too little sensitivity; kept; no surface state
    assert "wetlands" in mask.attrs["skipped"]
    with pytest.raises(UnreadableFileError, match="not ASCAT"):
        products.standardize(xr.Dataset({"x": ("t", [1.0])}), "ascat")


# -- SMAP L4 -------------------------------------------------------------------------------------------------------------


def test_smap_l4_granule(tmp_path):
    path = tmp_path / "SMAP_L4_SM_gph_20160102T223000_Vv7032_001.h5"
    with h5py.File(path, "w") as file:
        file["cell_lat"], file["cell_lon"] = (
            np.repeat([[40.0], [39.9]], 3, 1),
            np.repeat([[-100.0, -99.9, -99.8]], 2, 0),
        )
        file["x"], file["y"] = np.arange(3.0), np.arange(2.0)
        group = file.create_group("Geophysical_Data")
        group["sm_surface"] = np.array([[0.2, -9999.0, 0.3], [0.1, 0.15, 0.25]], "float32")
        group["sm_rootzone"] = np.full((2, 3), 0.33, "float32")
        group["soil_temp_layer1"] = np.array([[270.0, 280, 280], [280, 280, 280]], "float32")
        group["snow_mass"] = np.array([[0.0, 0, 0], [6.0, 0, -9999]], "float32")
    out = smap_l4.open(path)
    assert out.time.values[0] == np.datetime64("2016-01-02T22:30")
    out = out.isel(time=0).transpose("y", "x", ...)
    assert np.isnan(out.soil_moisture.values[0, 1])
    assert out.soil_moisture_flag.values.tolist() == [[1, 0, 0], [2, 0, 0]]
    assert float(out.root_zone_soil_moisture[0, 0]) == pytest.approx(0.33)
    assert out.lat.values.tolist() == [40.0, 39.9]
    (tmp_path / "x.h5").write_bytes(b"no")
    with pytest.raises(UnreadableFileError, match=r"x\.h5: not a readable HDF5"):
        smap_l4.open(tmp_path / "x.h5")
    with pytest.raises(UnreadableFileError, match="sm_surface"):
        products.standardize(xr.Dataset({"x": ("t", [1.0])}), "smap_l4")


# -- NEON ----------------------------------------------------------------------------------------------------------------


def test_neon_month_half_of_which_fails(shared_data):
    path = shared_data / "neon/NEON_SJER_VSWC_30min_2022-06.csv.gz"
    raw = pd.read_csv(path, dtype={"horizontalPosition": str, "verticalPosition": str})
    out, everything = neon.open(path), neon.open(path, failed="keep")
    good = raw.VSWCMean[(raw.VSWCFinalQF == 0) & raw.VSWCMean.between(0, 1)]
    assert int(out.soil_moisture.count()) == good.size
    assert 0.4 < (raw.VSWCFinalQF == 1).mean() < 0.6  # the trap
    assert int(everything.soil_moisture.count()) == int(raw.VSWCMean.between(0, 1).sum())
    assert float(out.soil_moisture.mean()) == pytest.approx(good.mean(), rel=1e-12)
    sensor = out.sel(station="SJER/001.501@0.06m")
    assert float(sensor.depth) == pytest.approx(0.06)
    assert out.soil_moisture_flag.attrs["flag_meanings"] == "failed_quality"
    corrected = neon.open(path, depths=shared_data / "neon/swc_depthsV2.csv")
    # NEON's table knows the depth of the first sensor of this plot alone and says NA for the others, whatever their zOffset
    plot = {
        str(s): float(d)
        for s, d in zip(corrected.station.values, corrected.depth.values, strict=True)
        if "/001." in str(s)
    }
    assert plot.pop("SJER/001.501@0.06m") == 0.06
    assert np.isnan(list(plot.values())).all()
    assert not any("@" in name for name in plot)


BASIC = "NEON.D17.SJER.DP1.00094.001.001.501.030.SWS_30_minute.2022-06.basic.20221204T220000Z.csv"


def test_neon_basic_package_and_a_sensor_that_moved(tmp_path):
    text = (
        "startDateTime,endDateTime,VSWCMean,VSWCMinimum,VSWCMaximum,VSWCVariance,VSWCNumPts,VSWCExpUncert,VSWCStdErMean,VSWCFinalQF\n"
        "2022-06-01T00:00:00Z,2022-06-01T00:30:00Z,0.11,0.1,0.12,0.0,30,0.04,0.001,0\n"
        "2022-06-01T00:30:00Z,2022-06-01T01:00:00Z,0.12,0.1,0.12,0.0,30,0.04,0.001,1\n"
        "2022-06-02T00:00:00Z,2022-06-02T00:30:00Z,,,,,0,,,1\n"
        "2022-06-02T00:30:00Z,2022-06-02T01:00:00Z,0.14,0.1,0.12,0.0,30,0.04,0.001,0\n"
    )
    (tmp_path / BASIC).write_text(text)
    out = neon.open(tmp_path)
    assert out.station.values.tolist() == ["SJER/001.501"]
    np.testing.assert_allclose(out.soil_moisture[0], [0.11, np.nan, np.nan, 0.14])
    np.testing.assert_allclose(out.soil_moisture_standard_error[0, 0], 0.02)  # expanded at 2 sigma
    depths = tmp_path / "depths.csv"
    depths.write_text(
        "domainID,siteID,horizontalPosition.HOR,verticalPosition.VER,sensorDepth,startDateTime,endDateTime\n"
        "D17,SJER,001,501,-0.06,2010-01-01T00:00:00Z,2022-06-02T00:00:00Z\nD17,SJER,001,501,-0.16,2022-06-02T00:00:00Z,NA\n"
    )
    moved = neon.open(tmp_path, depths=depths)
    assert moved.station.values.tolist() == ["SJER/001.501@0.06m", "SJER/001.501@0.16m"]
    assert moved.soil_moisture.count("time").values.tolist() == [1, 1]
    (tmp_path / BASIC).write_text(text.replace("0.14,", "wet,"))
    with pytest.raises(UnreadableFileError, match=r"basic.*csv: line 5: VSWCMean is 'wet', expected a number"):
        neon.open(tmp_path)
    (tmp_path / BASIC).write_text(text.replace("2022-06-02T00:00:00Z,", "soon,", 1))
    with pytest.raises(UnreadableFileError, match="line 4: startDateTime is 'soon'"):
        neon.open(tmp_path)
    with pytest.raises(VadoseInputError, match="drop"):
        neon.open(tmp_path, failed="maybe")
    (tmp_path / BASIC).unlink()
    with pytest.raises(UnreadableFileError, match="SWS_30_minute"):
        neon.open(tmp_path)


# -- COMPASS-FME ---------------------------------------------------------------------------------------------------------

L1 = "Site,Plot,TIMESTAMP,Instrument,Instrument_ID,Sensor_ID,Location,Value,research_name,Source_file,F_OOB,F_OOS,F_MAD\n"


def test_compass_level_1(tmp_path):
    path = tmp_path / "PTR_UP_20230101-20231231_soil-vwc-10cm_L1_v2-1.csv"
    rows = [
        "PTR,UP,2023-08-06 00:00:00,TEROS12,A,1,,0.2138,soil-vwc-10cm,a,0,0,",
        "PTR,UP,2023-08-06 00:15:00,TEROS12,A,1,,1.7,soil-vwc-10cm,a,1,0,1",
        "PTR,UP,2023-08-06 00:15:00,TEROS12,A,1,,1.8,soil-vwc-10cm,b,1,0,1",
        "PTR,UP,2023-08-06 00:00:00,TEROS12,A,5,,0.41,soil-vwc-30cm,a,0,,0",
        "PTR,UP,2023-08-06 00:00:00,TEROS12,A,5,,20.3,soil-temp-30cm,a,0,,0",
        "PTR,UP,2023-08-06 00:00:00,TEROS12,A,5,,245,soil-EC-30cm,a,0,,0",
        "PTR,UP,2023-08-06 00:00:00,ClimaVue50,1,,,2023-08-06 11:00,wx-maxtime,a,,,",
    ]
    path.write_text(L1 + "\n".join(rows) + "\n")
    out = compass.open(tmp_path)
    assert out.station.values.tolist() == ["PTR_UP_A_1@0.10m", "PTR_UP_A_5@0.30m"]
    assert out.time.values[0] == np.datetime64("2023-08-06T05:00")  # Eastern Standard Time all the year
    np.testing.assert_allclose(out.soil_moisture, [[0.2138, np.nan], [0.41, np.nan]])
    assert out.soil_moisture_flag.values.tolist() == [[0, 5], [0, 0]]
    assert float(out.soil_temperature[1, 0]) == pytest.approx(293.45)
    assert float(out.electrical_conductivity[1, 0]) == pytest.approx(0.0245)  # 245 uS cm-1 in S m-1
    path.write_text(L1 + rows[0] + "\n" + rows[3].replace("0.41", "NAN?") + "\n")
    with pytest.raises(UnreadableFileError, match=r"L1_v2-1\.csv: line 3: Value is 'NAN\?'"):
        compass.open(path)


def test_compass_level_2_gaps(tmp_path):
    time = pd.date_range("2024-01-01", periods=4, freq="15min", tz="Etc/GMT+5")
    table = pd.DataFrame({
        "Site": "CRC", "Plot": "UP", "TIMESTAMP": time, "Instrument": "TEROS12", "Instrument_ID": "A", "Sensor_ID": "2", "Location": "",
        "research_name": "soil-vwc-5cm", "Value": [0.3, 0.31, np.nan, 0.33], "N_avg": [1, 0, 0, 1], "N_drop": [0, 0, 1, 0], "Value_MAC": [0.3, 0.31, 0.29, 0.33],
    })  # fmt: skip
    table.to_parquet(tmp_path / "CRC_UP_2024_soil-vwc-5cm_L2_v2-1.parquet")
    out = compass.open(tmp_path, utc_offset=0.0)
    assert out.time.values[0] == np.datetime64("2024-01-01T05:00")  # its own zone is known
    np.testing.assert_allclose(out.soil_moisture[0], [0.3, 0.31, np.nan, 0.33])
    assert out.soil_moisture_flag.values[0].tolist() == [0, 8, 16, 0]
    filled = compass.open(tmp_path, filled=True)
    assert float(filled.soil_moisture[0, 2]) == pytest.approx(0.29)
    assert int(filled.soil_moisture_flag[0, 2]) == 16 + 32


def test_compass_real_files_hold_no_soil_variable(shared_data):
    folder = shared_data / "compass_fme/products"
    for name in ("CRC_OW_2024_sonde-fdom-rfu_L2_v2-1.parquet", "TMP_F_20191120-20191231_gw-tds_L1_v2-1.csv"):
        with pytest.raises(UnreadableFileError, match="no soil variable"):
            compass.open(folder / name)


def test_compass_other_files_are_refused(tmp_path):
    (tmp_path / "a_L1_x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UnreadableFileError, match=r"a_L1_x\.csv: line 1: columns Site"):
        compass.open(tmp_path)
    (tmp_path / "b.parquet").write_bytes(b"no")
    with pytest.raises(UnreadableFileError, match=r"b\.parquet: not a readable parquet"):
        compass.open(tmp_path / "b.parquet")


# -- ISMN ----------------------------------------------------------------------------------------------------------------

HEADER = "SMOSMANIA SMOSMANIA Lahas#2(old) 43.54720 0.88780 223.00 0.05 0.05 ThetaProbe-ML2X\n"
LINES = "2017/01/01 00:00 0.21 U M\n2017/01/01 01:00 0.22 D01,D03\n2017/01/01 02:00 -9999.0 C01 M\n"
NAME = "SMOSMANIA_SMOSMANIA_Lahas#2(old)_{}_0.050000_0.050000_ThetaProbe-ML2X_20170101_20170131.stm"


def ceop(value=0.21, station="Lahas#2(old)"):
    place = f"SMOSMANIA SMOSMANIA {station} 43.54720 0.88780 223.00 0.05 0.05"
    return "".join(
        f"2017/01/01 0{h}:00 2017/01/01 0{h}:04 {place} {value + h / 100:.2f} {flag} M\n"
        for h, flag in enumerate(("U", "C02,D04", "G"))
    )


def test_ismn_ceop_equals_header_and_values():
    header, table = ismn.parse(ceop(), NAME.format("sm"))
    assert header == {
        "network": "SMOSMANIA", "station": "Lahas#2(old)", "lat": 43.5472, "lon": 0.8878, "elevation": 223.0,
        "top": 0.05, "bottom": 0.05, "sensor": "ThetaProbe-ML2X",
    }  # fmt: skip
    np.testing.assert_allclose(table.value, [0.21, 0.22, 0.23])
    assert table.flag.tolist() == ["U", "C02,D04", "G"]
    assert table.index[1] == pd.Timestamp("2017-01-01 01:00")  # nominal, not actual
    assert ismn.parse(ceop(station="Two words"), "x.stm")[0]["station"] == "Two words"
    with pytest.raises(UnreadableFileError, match=r"x\.stm: line 2: expected two times"):
        ismn.parse(ceop().replace("0.22 C02", "wet C02"), "x.stm")
    with pytest.raises(UnreadableFileError, match=r"x\.stm: line 1: not CEOP"):
        ismn.parse("2017/01/01 00:00 0.2\n", "x.stm")


def test_ismn_flags_blank_provider_and_fills():
    _, table = ismn.parse(HEADER + LINES.replace("\n", "\r"), "a.stm")
    assert table.flag.tolist() == ["U", "D01,D03", "C01"]
    assert np.isnan(table.value.iloc[2])


@pytest.mark.parametrize("form", ["folder", "zip"])
@pytest.mark.parametrize("ceop_form", [False, True])
def test_ismn_whole_download(tmp_path, form, ceop_form):
    """Networks in folders, with the papers that come along; temperature beside; a layer of 0 to 0.19 m is kept; one bad file is told."""
    text = ceop() if ceop_form else HEADER + LINES
    cosmos = "COSMOS COSMOS ARM-1 36.60000 -97.48000 323.00 0.00 0.19 Cosmic-ray\n2017/01/01 00:00 0.31 G M\n"
    inside = {
        f"SMOSMANIA/Lahas/{NAME.format('sm')}": text,
        f"SMOSMANIA/Lahas/{NAME.format('ts')}": (HEADER + "2017/01/01 00:00 5.0 G M\n"),
        "COSMOS/ARM-1/COSMOS_COSMOS_ARM-1_sm_0.000000_0.190000_Cosmic-ray_20170101_20170131.stm": cosmos,
        "SMOSMANIA/Lahas/SMOSMANIA_SMOSMANIA_Lahas_static_variables.csv": "a;b\n1;2\n",
        "Readme.txt": "read me", "Metadata.xml": "<a/>", "ISMN_qualityflags_description.txt": "C01 ...",
        "BAD/x/BAD_BAD_x_sm_0.050000_0.050000_P_20170101_20170131.stm": "nothing\n",
    }  # fmt: skip
    if form == "zip":
        place = tmp_path / "Data_separate_files_20170101_20170131.zip"
        with zipfile.ZipFile(place, "w") as archive:
            for name, content in inside.items():
                archive.writestr(name, content)
    else:
        place = tmp_path / "download"
        for name, content in inside.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(content)
    out = ismn.open(place)
    assert sorted(out.station.values.tolist()) == ["COSMOS/ARM-1@0.19m", "SMOSMANIA/Lahas#2(old)@0.05m"]
    assert float(out.soil_moisture.sel(station="COSMOS/ARM-1@0.19m").max()) == pytest.approx(0.31)
    one = out.sel(station="SMOSMANIA/Lahas#2(old)@0.05m")
    assert float(one.soil_moisture[0]) == pytest.approx(0.21)
    assert float(one.soil_temperature[0]) == pytest.approx(278.15)
    assert [f for f in out.attrs["failed"] if "line 1" in f and "BAD" in f]


# -- tables of towers and stations: the line of what is wrong ----------------------------------------------------------------


def test_tower_and_station_tables_name_the_line(tmp_path):
    base = "# Site: US-Aaa\n# Version: 1\nTIMESTAMP_START,TIMESTAMP_END,SWC_1_1_1\n201701010000,201701010030,25\n201701010030,201701010100,{}\n"
    path = tmp_path / "AMF_US-Aaa_BASE_HH_1-5.csv"
    path.write_bytes(b"\xef\xbb\xbf" + base.format("30").encode())  # a byte order mark, too
    np.testing.assert_allclose(ameriflux.open(path).soil_moisture[0], [0.25, 0.30])
    path.write_text(base.format("thirty"))
    with pytest.raises(UnreadableFileError, match=r"HH_1-5\.csv: line 5: SWC_1_1_1 is 'thirty'"):
        ameriflux.open(path)
    path.write_text(base.format("30").replace("201701010030,2017", "20170101,2017"))
    with pytest.raises(UnreadableFileError, match=r"line 5: TIMESTAMP_START is '20170101'"):
        ameriflux.open(path)
    path.write_text(base.format("30,1,2,3"))
    with pytest.raises(UnreadableFileError, match=r"HH_1-5\.csv: line 5"):
        ameriflux.open(path)
    path.write_text("")
    with pytest.raises(UnreadableFileError, match=r"line 1: no rows"):
        ameriflux.open(path)
    daily = tmp_path / "FLX_XX-Abc_DD.csv"
    daily.write_text("TIMESTAMP,TA_F\n20200101,1.0\n20200132,2.0\n")
    with pytest.raises(UnreadableFileError, match=r"DD\.csv: line 3: TIMESTAMP is '20200132'"):
        fluxnet.open(daily)
    daily.write_text("TIMESTAMP,TA_F\n20200101,cold\n")
    with pytest.raises(UnreadableFileError, match=r"DD\.csv: line 2: TA_F is 'cold'"):
        fluxnet.open(daily)
    with gzip.open(tmp_path / "a.csv.gz", "wt") as file:
        file.write(base.format("30"))
    assert ameriflux.open(tmp_path / "a.csv.gz").sizes["time"] == 2
    (tmp_path / "uscrn.csv").write_text("WBANNO,LST_DATE\n")
    with pytest.raises(UnreadableFileError, match=r"uscrn\.csv: line 1: no rows"):
        uscrn.open(tmp_path / "uscrn.csv")


# -- traps of real files that are about reading -------------------------------------------------------------------------------


def test_smap_swath_above_the_stated_maximum_is_kept(shared_data):
    raw = xr.open_dataset(
        next((shared_data / "smap/L2").glob("*.h5")), group="Soil_Moisture_Retrieval_Data", engine="h5netcdf", phony_dims="sort"
    )  # fmt: skip
    assert int((raw.soil_moisture > 0.5).sum()) == 181
    out = products.standardize(raw, "smap_l2")
    recommended = (raw.retrieval_qual_flag < 65534) & ((raw.retrieval_qual_flag.astype("uint16") & 1) == 0)
    assert int((out.soil_moisture > 0.5).sum()) == int(
        (recommended & (raw.soil_moisture > 0.5) & (raw.soil_moisture <= 1)).sum()
    )


def test_smap_series_without_an_error_gets_the_missions(shared_data):
    raw = xr.open_dataset(shared_data / "smap/L3_v9_timeseries/0165.nc")
    assert set(np.unique(raw.Overpass)) == {1, 2}  # morning and afternoon interleaved
    out = products.standardize(raw, "smap_series")
    known = out.soil_moisture_standard_error.values[np.isfinite(out.soil_moisture_standard_error.values)]
    assert set(np.unique(known)) == {0.04}


def test_root_zone_cells_have_undeclared_fills(shared_data):
    raw = xr.open_dataset(shared_data / "c3s_cci/esa_cci_rzsm_v09.2/0165.nc")
    raw.rzsm_1[:, 0] = raw.uncertainty_1[:, 0] = -9999.0  # as in other cells of this product, where no fill is declared
    out = products.standardize(raw, "esa_cci")
    good = (raw.rzsm_1 >= 0) & (raw.rzsm_1 <= 1)
    assert int(out.soil_moisture.count()) == int(good.sum()) > 0
    assert out.layer_bnds.values.tolist() == [[0.0, 0.1], [0.1, 0.4], [0.4, 1.0]]
    assert float(out.soil_moisture_profile.min()) >= 0
    assert float(out.root_zone_soil_moisture.min()) >= 0


def test_cell_series_that_stops_early_keeps_its_own_end(shared_data):
    out = products.standardize(xr.open_dataset(shared_data / "c3s_cci/esa_cci_combined_v09.2/0165.nc"), "esa_cci")
    assert str(out.time.values[-1])[:10] == "2012-01-25"
    passive = products.standardize(xr.open_dataset(shared_data / "c3s_cci/esa_cci_passive_v09.2/0165.nc"), "esa_cci")
    assert str(passive.time.values[-1])[:10] == "2024-12-31"
    older = products.standardize(xr.open_dataset(shared_data / "c3s_cci/c3s_combined_v202212/0165.nc"), "esa_cci")
    assert float(older.soil_moisture_standard_error.min()) > 0


def test_morning_values_of_era5_land_are_not_called_daily_means(shared_data):
    for name in ("era5_land_timeseries", "era5_timeseries"):
        out = products.standardize(xr.open_dataset(shared_data / f"era5/{name}/0165.nc"), "era5_land")
        assert set(pd.DatetimeIndex(out.time.values).hour) == {6}
        assert "cell_methods" not in out.soil_moisture.attrs


def test_a_calendar_without_leap_days_stays_one():
    time = xr.date_range("2000-02-27", periods=4, freq="D", calendar="noleap", use_cftime=True)
    ds = xr.Dataset(
        {"mrsos": (("time", "lat", "lon"), np.full((4, 2, 2), 25.0))},
        {"time": time, "lat": [0.0, 1.0], "lon": [0.0, 1.0]},
    )
    out = products.standardize(ds, "cmip6")
    assert [str(t)[5:10] for t in out.time.values] == ["02-27", "02-28", "03-01", "03-02"]
    np.testing.assert_allclose(out.soil_moisture, 0.25)


def test_station_that_counts_versions_keeps_depths_apart(shared_data):
    out = uscrn.open(shared_data / "uscrn/KS_Manhattan_6_SSW.csv")
    assert out.depth.values.tolist() == [0.05, 0.1, 0.2, 0.5, 1.0]
    assert not bool((out.soil_moisture < 0).any())


def test_presets_work_on_what_readers_give(shared_data):
    """No preset asks a real file for a meaning that nobody wrote: what it skips is told."""
    real = {
        ("cgls", "default"): ("cgls_ssm", "cgls/ssm1km/c_gls_SSM1km_201706010000_CEURO_S1CSAR_V1.1.1.nc"),
        ("cci", "barren_kept"): ("esa_cci", "c3s_cci/c3s_combined_v202505/0165.nc"),
        ("c3s", "default"): ("esa_cci", "c3s_cci/c3s_combined_v202505/0165.nc"),
        ("gldas", "unfrozen"): ("gldas", "gldas/timeseries/0165.nc"),
        ("era5_land", "unfrozen"): ("era5_land", "era5/era5_land_timeseries/0165.nc"),
        ("smap", "usable"): ("smap_series", "smap/L3_v9_timeseries/0165.nc"),
    }
    for (product, name), (reader, path) in real.items():
        out = products.standardize(xr.open_dataset(shared_data / path), reader)
        mask = qc.keep(out, product, name)
        value = out.soil_moisture if "soil_moisture" in out else out.soil_saturation
        assert bool((mask & value.notnull()).any()), product
        assert mask.attrs["rules"]
