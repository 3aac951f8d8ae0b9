"""Readers on real files, held to a direct read of the same file and to the traps those files are known for."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import xarray as xr

from vadose import products
from vadose.errors import NotFoundError, UnreadableFileError
from vadose.products import ameriflux, ismn, smap, uscrn


def opened(path, **options):
    return xr.open_dataset(path, **options)


def test_smap_series_keeps_the_recommended_morning_pass(shared_data):
    raw = opened(shared_data / "smap/L3_v9_timeseries/0165.nc")
    out = products.standardize(raw, "smap_series")
    bits = raw.retrieval_qual_flag.values
    good = (
        np.isfinite(bits)
        & ((np.nan_to_num(bits, nan=65534).astype(int) & 1) == 0)
        & np.isfinite(raw.soil_moisture.values)
    )
    pairs = {
        (np.datetime64(t, "D"), int(k))
        for t, k in zip(raw.time.values[good], raw.locationIndex.values[good], strict=True)
    }
    assert int(out.soil_moisture.count()) == len(pairs)
    assert float(out.soil_moisture.max()) <= 1.0


def test_cci_undeclared_fill_is_not_an_error_bar(shared_data):
    raw = opened(shared_data / "c3s_cci/c3s_combined_v202505/0165.nc")
    assert float(raw.sm_uncertainty.min()) == -9999.0  # the trap
    out = products.standardize(raw, "esa_cci")
    assert float(out.soil_moisture_standard_error.min()) > 0
    assert int(out.soil_moisture.count()) > 0
    assert out.soil_moisture.dims == ("time", "location")


def test_era5_land_equals_a_direct_read(shared_data):
    raw = opened(shared_data / "era5/era5_land_timeseries/0165.nc")
    out = products.standardize(raw, "era5_land")
    np.testing.assert_array_equal(out.soil_moisture.transpose("location", "time").values, raw.swvl1.values)
    assert out.depth_bnds.values.tolist() == [0.0, 0.07]


def test_gldas_kilograms_become_fractions_by_layer_thickness(shared_data):
    raw = opened(shared_data / "gldas/timeseries/0165.nc")
    out = products.standardize(raw, "gldas")
    profile = out.soil_moisture_profile.transpose("layer", "location", "time")
    for k, (name, thickness) in enumerate(
        {
            "SoilMoi0_10cm_inst": 0.1,
            "SoilMoi10_40cm_inst": 0.3,
            "SoilMoi40_100cm_inst": 0.6,
            "SoilMoi100_200cm_inst": 1.0,
        }.items()
    ):
        np.testing.assert_allclose(profile.isel(layer=k).values * 1000 * thickness, raw[name].values, rtol=1e-12)


def test_gldas_image(shared_data):
    out = products.standardize(opened(shared_data / "gldas/images/GLDAS_NOAH025_3H.A20160101.0300.021.nc4"), "gldas")
    assert 0.02 < float(out.soil_moisture.mean()) < 0.5


def test_cmip6_tiny_negatives_and_ocean(shared_data):
    raw = opened(next((shared_data / "cmip6/EC-Earth3-Veg").glob("mrsos*.nc")))
    assert float(raw.mrsos.min()) < 0  # the trap: rounding
    out = products.standardize(raw, "cmip6")
    assert float(out.soil_moisture.min()) >= 0
    assert int(out.soil_moisture.count()) == int(raw.mrsos.count())
    np.testing.assert_allclose(out.soil_moisture.max(), float(raw.mrsos.max()) / 100.0, rtol=1e-6)


def test_cmip6_gpp_has_no_negative_rounding(shared_data):
    out = products.standardize(opened(next((shared_data / "cmip6/ACCESS-ESM1-5").glob("gpp*.nc"))), "cmip6")
    assert float(out.gross_primary_productivity.min()) >= 0


def test_smap_granule_quality_counts(shared_data):
    with h5py.File(next((shared_data / "smap/L2").glob("*.h5"))) as file:
        group = file["Soil_Moisture_Retrieval_Data"]
        quality = xr.DataArray(group["retrieval_qual_flag"][:], dims="cell")
        moisture = group["soil_moisture"][:]
    good = smap.recommended(quality).values & (moisture > -1)
    assert good.sum() in (592, 303)  # the granule's own count of recommended retrievals, first or second orbit


def test_c_f_4_flags_zero_and_eight_are_recommended():
    bits = xr.DataArray(np.array([0, 8, 1, 7, 15, 65534], dtype="uint16"), dims="cell")
    assert smap.recommended(bits).values.tolist() == [True, True, False, False, False, False]
    flags = smap.quality(xr.DataArray(np.array([0], "uint16")), xr.DataArray(np.array([1152], "uint16")))
    assert 1152 == (1 << 7) + (1 << 10)
    assert (
        int(flags[0]) == 128
    )  # dense vegetation; bit 7 (radiometer freeze/thaw) is judged with the retrieval's own bit


def test_uscrn_sentinels(shared_data):
    out = uscrn.open(shared_data / "uscrn/KS_Manhattan_6_SSW.csv")
    assert float(out.soil_moisture.min()) >= 0
    assert float(out.soil_temperature.min()) > 220
    first = out.soil_moisture.isel(station=0, depth=0).dropna("time").time.values[0]
    assert str(first)[:10] == "2009-08-02"


def test_fluxnet_percent_and_fills(shared_data):
    files = [p for p in (shared_data / "flux").rglob("*.csv") if "FLUXNET" in p.name or "BASE" in p.name]
    assert files
    read = 0
    for path in files:
        out = ameriflux.open(path)
        read += 1
        for name in out.data_vars:
            assert float(out[name].min()) > -5000, (path.name, name)
        if "soil_moisture" in out:
            assert float(out.soil_moisture.max()) < 1.0
    assert read == len(files)


def test_wrong_file_is_named():
    with pytest.raises(UnreadableFileError, match="expected swvl1"):
        products.standardize(xr.Dataset({"x": ("t", [1.0])}), "era5_land")
    with pytest.raises(NotFoundError, match="smap_l3"):
        products.standardize(xr.Dataset(), "smap-l3")


def test_ismn_any_line_end_and_bad_lines():
    good = (
        "N N St Name 45.1 -90.2 300.0 0.05 0.05 Probe X\n2017/01/01 00:00 0.21 U M\n2017/01/01 01:00 0.22 D01,D03 M\n"
    )
    for text in (good, good.replace("\n", "\r"), good.replace("\n", "\r\n")):
        header, table = ismn.parse(text, "a.stm")
        assert header["station"] == "St Name"
        assert table["value"].tolist() == [0.21, 0.22]
        assert table["flag"].tolist() == ["U", "D01,D03"]
    with pytest.raises(UnreadableFileError, match=r"a.stm: line 3: expected"):
        ismn.parse(good.replace("01:00 0.22", "01:00 wet"), "a.stm")
    with pytest.raises(UnreadableFileError, match=r"line 2: '2017/13/01 00:00' is not a time"):
        ismn.parse(good.replace("2017/01/01 00:00", "2017/13/01 00:00"), "a.stm")
