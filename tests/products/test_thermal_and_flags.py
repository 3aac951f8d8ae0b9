"""Thermal products, SMAP policies and the grid they meet on."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from vadose import ease
from vadose.errors import DimensionError, ExperimentalWarning, NotFoundError, UnreadableFileError, VadoseInputError
from vadose.products import ecostress, smap_policy, thermal


def test_c_f_1_all_global_grids_span_the_same_map():
    widths = [ease.grid(n).columns * ease.grid(n).cell for n in ("M36", "M09", "M03", "M01")]
    np.testing.assert_allclose(widths, 34735060.890323, atol=1e-5)
    assert ease.grid("M36").cell / ease.grid("M09").cell == pytest.approx(4, rel=1e-12)
    assert ease.grid("M09").cell / ease.grid("M03").cell == pytest.approx(3, rel=1e-12)


def test_c_f_2_cell_centers():
    for name, row, column, lat, lon in (
        ("M36", 0, 0, 83.631975, -179.813278),
        ("M09", 0, 0, 84.656419, -179.953320),
        ("M09", 500, 1000, 22.559193, -86.592324),
    ):
        lats, lons = ease.centers(name)
        assert lats[row] == pytest.approx(lat, abs=6e-7)
        assert lons[column] == pytest.approx(lon, abs=6e-7)


@settings(max_examples=30, deadline=None)
@given(st.floats(-84, 84), st.floats(-179.99, 179.99))
def test_c_f_3_projection_round_trips_and_agrees_with_proj(lat, lon):
    x, y = ease.forward("M09", np.array(lat), np.array(lon))
    back = ease.inverse("M09", x, y)
    assert float(back[0]) == pytest.approx(lat, abs=1e-9)
    assert float(back[1]) == pytest.approx(lon, abs=1e-9)
    proj = pytest.importorskip("pyproj").Transformer.from_crs("EPSG:4326", "EPSG:6933", always_xy=True)
    px, py = proj.transform(lon, lat)
    assert float(x) == pytest.approx(px, abs=1e-3)
    assert float(y) == pytest.approx(py, abs=1e-3)


def test_c_f_3_reference_points():
    x, y = ease.forward("M36", np.array(40.0), np.array(-105.0))
    assert float(x) == pytest.approx(-10131059.4263, abs=6e-5)
    assert float(y) == pytest.approx(4707084.1713, abs=6e-5)
    for name, lat, lon, column, row in (
        ("M36", 40, -105, 200, 72),
        ("M09", 40, -105, 803, 289),
        ("M09", -33.9, 151.2, 3547, 1265),
        ("M09", 65, 25, 2195, 73),
    ):
        r, c = ease.index(name, np.array(lat), np.array(lon))
        assert (int(c), int(r)) == (column, row)


def bits(*values):
    return xr.DataArray(np.array(values, dtype="uint16"), dims="cell")


def test_c_f_4_policies_and_bits():
    flags = bits(0, 8, 1, 7, 15, 65534)
    none = bits(0, 0, 0, 0, 0, 0)
    assert smap_policy.keep(flags, none).values.tolist() == [True, True, False, False, False, False]
    assert smap_policy.keep(flags, none, policy="usable").values.tolist() == [True, True, True, False, False, False]
    assert smap_policy.surface_conditions(1152) == ("frozen_by_radiometer", "dense_vegetation")
    dense = bits(1024)
    assert bool(smap_policy.keep(bits(0), dense, policy="usable"))
    assert not bool(smap_policy.keep(bits(0), dense, policy="strict"))
    assert float(smap_policy.error_factor(dense)[0]) == 1.5
    with pytest.raises(NotFoundError, match="usable"):
        smap_policy.keep(bits(0), dense, policy="usabel")


def test_frozen_bit_counts_only_where_freeze_thaw_was_retrieved():
    ground = bits(128, 128, 256, 0)
    retrieval = bits(0, 8, 8, 8)
    warm = xr.DataArray([280.0, 280.0, 280.0, 270.0], dims="cell")
    assert smap_policy.keep(retrieval, ground, policy="usable", surface_temperature=warm).values.tolist() == [
        False,
        True,
        False,
        False,
    ]
    floats = retrieval.astype(float).where([True, True, True, False])
    assert smap_policy.keep(floats, ground, policy="usable").values.tolist() == [False, True, False, False]


def test_policies_on_the_real_granule_and_series(shared_data):
    path = next((shared_data / "smap/L2").glob("*.h5"))
    raw = xr.open_dataset(
        path,
        group="Soil_Moisture_Retrieval_Data",
        engine="h5netcdf",
        mask_and_scale=False,
        phony_dims="sort",
        decode_cf=False,
    )
    got = smap_policy.keep(raw.retrieval_qual_flag, raw.surface_flag)
    assert int(got.sum()) == 592
    usable = smap_policy.keep(raw.retrieval_qual_flag, raw.surface_flag, policy="usable")
    assert (raw.soil_moisture.values[usable.values] > 0).all()
    raw.close()
    with xr.open_dataset(shared_data / "smap/L3_v9_timeseries/0165.nc", mask_and_scale=False) as series:
        usable = smap_policy.keep(series.retrieval_qual_flag, series.surface_flag, policy="usable")
        valid = series.soil_moisture > 0
        # Hawaii: bits 3 and 7 are set on all retrievals, so the plain test of bit 7 would leave nothing
        assert (((series.surface_flag.astype("uint16") >> 7) & 1) == 1).values[valid.values].all()
        assert int(usable.sum()) > 1000


def test_c_f_5_energy_and_water():
    assert ecostress.watts_to_depth(100.0) == pytest.approx(3.52653, abs=6e-6)  # 100 * 86400 / 2.45e6
    assert ecostress.depth_to_watts(1.0) == pytest.approx(28.3565, abs=6e-5)


def tile(values, **extra):
    values = np.asarray(values, float)
    ds = xr.Dataset({"ETdaily": (("y", "x"), values)})
    for name, v in extra.items():
        ds[name] = (("y", "x"), v)
    return ds


def test_c_f_7_collections_agree_when_the_energy_is_the_same():
    watts = np.linspace(20, 200, 100).reshape(10, 10)
    old = ecostress.standardize(tile(watts).assign_attrs(short_name="ECO3ETPTJPL"))
    new = ecostress.standardize(tile(ecostress.watts_to_depth(watts)).assign_attrs(short_name="ECO_L3T_JET"))
    np.testing.assert_allclose(old.evapotranspiration_flux, new.evapotranspiration_flux, rtol=1e-12)
    assert float(new.evapotranspiration_flux[0, 0]) * 86400 == pytest.approx(20 * 86400 / 2.45e6)


def test_clouds_and_their_surroundings_are_left_out():
    cloud, water = np.zeros((11, 11), "uint8"), np.zeros((11, 11), "uint8")
    cloud[5, 5], water[0, 0] = 1, 1
    out = ecostress.standardize(
        tile(
            np.full((11, 11), 3.0),
            cloud=cloud,
            water=water,
            ETinst=np.full((11, 11), 300.0),
            ETinstUncertainty=np.full((11, 11), 30.0),
        )
    )
    assert int(out.evapotranspiration_flux.isnull().sum()) == 26  # 5 x 5 and one of water
    assert int(out.evapotranspiration_flag[5, 5]) == 1
    assert int(out.evapotranspiration_flag[5, 6]) == 4
    assert float(out.evapotranspiration_flux_standard_error[10, 10]) == pytest.approx(
        0.1 * float(out.evapotranspiration_flux[10, 10])
    )
    with pytest.raises(UnreadableFileError, match="ETdaily"):
        ecostress.standardize(xr.Dataset({"LST": ("x", [1.0])}))


@pytest.mark.parametrize("fill", [255.0, np.nan], ids=["stored", "decoded"])
def test_pixels_whose_cloud_mask_is_missing_are_not_called_clear(fill):
    cloud = np.zeros((6, 6))
    cloud[2, 3] = fill
    out = ecostress.standardize(tile(np.full((6, 6), 3.0), cloud=cloud, water=np.zeros((6, 6), "uint8")))
    assert int(out.evapotranspiration_flux.isnull().sum()) == 1
    assert int(out.evapotranspiration_flag[2, 3]) == 8
    assert int(out.evapotranspiration_flag.sum()) == 8


def test_matchups_of_the_towers(shared_data):
    out = ecostress.open_matchups(shared_data / "flux/ecostress_calval/combined_eco_flux_EC_filtered.csv")
    assert out.sizes["match"] == 1065
    assert float(out.soil_moisture.min()) > 0
    both = out.latent_heat_flux.notnull() & out.latent_heat_flux_ecostress.notnull()
    r = float(xr.corr(out.latent_heat_flux[both.values], out.latent_heat_flux_ecostress[both.values]))
    assert 0.6 < r < 0.95


def field(values, cell, name="soil_moisture", unit="m3 m-3"):
    values = np.asarray(values, float)
    y, x = (np.arange(n) * cell + cell / 2 for n in values.shape)
    return xr.DataArray(values, dims=("y", "x"), coords={"y": y, "x": x}, name=name, attrs={"units": unit})


def test_c_f_6_aggregation_conserves():
    rng = np.random.default_rng(0)
    fine = field(rng.random((50, 70)), 70.0)
    out = thermal.to_grid100(fine, minimum=0.0)
    total = float((out["mean"] * out.valid_fraction).sum()) * 100.0**2
    assert total == pytest.approx(float(fine.sum()) * 70.0**2, rel=1e-12)
    whole = thermal.to_grid100(fine)
    assert float(np.abs(whole["mean"].values[1:-1, 1:-1]).max()) <= 1.0


def test_c_f_6_half_of_the_area_must_be_valid():
    values = np.ones((100, 100))
    values[:51, :] = np.nan
    out = thermal.to_grid100(field(values, 1.0))
    assert float(out.valid_fraction[0, 0]) == pytest.approx(0.49)
    assert np.isnan(out["mean"][0, 0])
    values[50, :] = 1.0
    assert float(thermal.to_grid100(field(values, 1.0))["mean"][0, 0]) == 1.0


def test_c_f_6_overlap_weights_fill_interior_cells():
    source, target = np.arange(0, 7001, 70.0), np.arange(0, 7001, 100.0)
    w = thermal.overlap_weights(source, target)
    np.testing.assert_allclose(np.outer(w.sum(1), w.sum(1)), 1e4, rtol=1e-12)


def test_temperature_is_averaged_as_radiance():
    out = thermal.to_grid100(field([[280.0, 320.0], [280.0, 320.0]], 50.0, "surface_temperature", "K"))
    expected = ((280.0**4 + 320.0**4) / 2) ** 0.25
    assert float(out["mean"][0, 0]) == pytest.approx(expected)
    assert float(out.sd[0, 0]) == pytest.approx(20.0)
    plain = thermal.to_grid100(field([[280.0, 320.0], [280.0, 320.0]], 50.0, "surface_temperature", "K"), linear=True)
    assert float(plain["mean"][0, 0]) == pytest.approx(300.0)
    lazy = thermal.to_grid100(field(np.ones((10, 10)), 70.0).chunk(y=3))
    assert lazy["mean"].chunks is not None


def test_spreading_keeps_the_coarse_mean():
    rng = np.random.default_rng(0)
    coarse = field(np.repeat(np.repeat([[0.1, 0.2], [0.3, 0.4]], 5, 0), 5, 1), 100.0)
    predictor = field(rng.normal(0, 0.02, (10, 10)), 100.0)
    predictor[2, 3] = np.nan
    fine = thermal.spread_coarse(coarse, predictor)
    for value in (0.1, 0.2, 0.3, 0.4):
        assert float(fine.where(coarse == value).mean()) == pytest.approx(value, abs=1e-12)
    with pytest.raises(VadoseInputError, match="fine grid"):
        thermal.spread_coarse(coarse, predictor[:5])


def test_descriptor_driven_reading(tmp_path):
    stored = np.array([[15000, 0], [15100, 65535]], dtype="uint16")
    quality = np.array([[0, 0], [3, 0]], dtype="uint8")
    ds = xr.Dataset(
        {"lst": (("y", "x"), stored), "qa": (("y", "x"), quality)}, coords={"y": [35.0, 105.0], "x": [35.0, 105.0]}
    )
    path = tmp_path / "scene.nc"
    ds.to_netcdf(path)
    rule = thermal.Descriptor(
        "surface_temperature",
        "degC",
        "lst",
        scale=0.01,
        offset=-125.0,
        nodata=65535,
        quality_layer="qa",
        good=(0, 1),
        provider="Hydrosat",
    )
    with pytest.warns(ExperimentalWarning, match="not seen"):
        out = thermal.open(path, rule, time="2020-07-01T10:30")
    assert float(out.surface_temperature[0, 0]) == pytest.approx(298.15)
    assert np.isnan(out.surface_temperature[0, 1])  # -125 degC is impossible
    assert np.isnan(out.surface_temperature[1]).all()  # refused by quality; nodata
    with pytest.raises(UnreadableFileError, match="lst"):
        thermal.open(path, thermal.Descriptor("surface_temperature", "K", "LST"))
    with pytest.raises(DimensionError, match="y and x"):
        thermal.to_grid100(xr.DataArray([1.0], dims="cell"))


def test_geotiff_reading(tmp_path):
    image = pytest.importorskip("PIL.Image")
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    values = np.arange(12, dtype="float32").reshape(3, 4) + 290
    tags = ImageFileDirectory_v2()
    for tag, kind, value in (
        (33550, 12, (70.0, 70.0, 0.0)),
        (33922, 12, (0.0, 0.0, 0.0, 500000.0, 4000000.0, 0.0)),
        (34735, 3, (1, 1, 0, 1, 3072, 0, 1, 32614)),
    ):
        tags[tag] = value
        tags.tagtype[tag] = kind
    path = tmp_path / "scene.tif"
    image.fromarray(values).save(path, tiffinfo=tags)
    out = thermal.open(path, thermal.Descriptor("surface_temperature", "K"))
    np.testing.assert_allclose(out.surface_temperature, values)
    assert out.x.values[0] == 500035.0
    assert out.y.values[0] == 3999965.0
    plain = tmp_path / "plain.tif"
    image.fromarray(values).save(plain)
    with pytest.raises(UnreadableFileError, match="Tiepoint"):
        thermal.open(plain, thermal.Descriptor("surface_temperature", "K"))
