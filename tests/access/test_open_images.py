"""Items of GeoTIFF bands as one lazy Dataset: HLS tiles, radar scenes, ECOSTRESS, soil maps; other people's STAC items."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_formats import tiff

import vadose
from vadose.access import build, datasets, files, quality, validation
from vadose.access.images import bands
from vadose.errors import NotFoundError, SourceChangedError, UnreadableFileError, VadoseInputError

DAYS = ("2020032T170659", "2020037T170601", "2020042T170519")
#: Bits of Fmask: cloud is 1, shadow 3, water 5; 255 is no observation.
CLOUD, WATER = 2, 32


def hls(home, tile="14RQU", days=DAYS, shape=(40, 50), *, scale=None, **options):
    """Bands B04 (red), B8A (near infrared) and Fmask of some days, named and typed as the archive has them."""
    home.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    truth = {}
    for day in days:
        stem = f"HLS.S30.T{tile}.{day}.v2.0"
        for band in ("B04", "B8A"):
            values = rng.integers(100, 6000, shape).astype("i2")
            values[0, 0] = -9999
            (home / f"{stem}.{band}.tif").write_bytes(tiff(values, predictor=2, nodata=-9999, scale=scale, **options))
            truth[day, band] = np.where(values == -9999, np.nan, values * 1e-4)
        mask = rng.choice(np.array([0, CLOUD, WATER, 255], "u1"), shape)
        (home / f"{stem}.Fmask.tif").write_bytes(tiff(mask, nodata=255, **options))
        truth[day, "Fmask"] = mask
    return truth


def catalog_of(tmp_path, *ids):
    datasets.write(tmp_path / "catalog", ids)
    return tmp_path / "catalog"


@pytest.mark.parametrize("scale", [None, 0.0001])
def test_a_tile_of_hls_is_one_dataset_in_time(tmp_path, scale):
    """Whether the scale stands in the files or is only known of the product: reflectance is the same."""
    truth = hls(tmp_path / "hls", scale=scale)
    folder = catalog_of(tmp_path, "hls-s30")
    outcome = build.build(folder, "hls-s30", source=str(tmp_path / "hls"))
    assert outcome.indexed == 3
    assert outcome.quarantine == {}
    assert validation.validate_folder(folder) == []
    ds = vadose.open("hls-s30", catalog=str(folder))
    assert ds.red.dims == ("time", "y", "x")
    assert ds.red.chunks is not None
    for band, name in (("B04", "red"), ("B8A", "nir")):
        want = np.stack([truth[day, band] for day in DAYS])
        np.testing.assert_allclose(ds[name].values, want, rtol=1e-6)
        assert ds[name].attrs["units"] == "1"
    assert [str(t)[:19] for t in ds.time.values] == ["2020-02-01T17:06:59", "2020-02-06T17:06:01", "2020-02-11T17:05:19"]  # fmt: skip
    mask = np.stack([truth[day, "Fmask"] for day in DAYS])
    flag = ds.quality_flag
    words, bits = flag.attrs["flag_meanings"].split(), flag.attrs["flag_masks"]
    for word, bit in (("cloud", CLOUD), ("water", WATER)):
        np.testing.assert_array_equal((flag.values & bits[words.index(word)]) != 0, mask == bit)
    assert ds.attrs["crs"] == "EPSG:32614"
    np.testing.assert_array_equal(ds.x.values, 500015.0 + 30 * np.arange(50))


def test_a_box_in_degrees_cuts_rows_and_columns_of_a_projection(tmp_path):
    from pyproj import Transformer

    hls(tmp_path / "hls", days=DAYS[:1])
    folder = catalog_of(tmp_path, "hls-s30")
    build.build(folder, "hls-s30", source=str(tmp_path / "hls"))
    west, south = Transformer.from_crs("EPSG:32614", "EPSG:4326", always_xy=True).transform(500300.0, 3999400.0)
    cut = vadose.open("hls-s30", catalog=str(folder), bbox=(west, south, west + 0.002, south + 0.002))
    assert 3 < cut.sizes["x"] < 12
    assert 3 < cut.sizes["y"] < 12
    assert float(cut.x.min()) >= 500290
    with pytest.raises(NotFoundError, match="has nothing for"):
        vadose.open("hls-s30", catalog=str(folder), bbox=(10, 10, 11, 11))


def test_tiles_are_not_mixed_and_the_choices_are_named(tmp_path):
    hls(tmp_path / "hls")
    hls(tmp_path / "hls", tile="13SDB", days=DAYS[:1])
    folder = catalog_of(tmp_path, "hls-s30")
    build.build(folder, "hls-s30", source=str(tmp_path / "hls"))
    with pytest.raises(VadoseInputError, match=r"2 different vadose:tile.*where=.*13SDB, 14RQU"):
        vadose.open("hls-s30", catalog=str(folder))
    assert vadose.open("hls-s30", catalog=str(folder), where={"vadose:tile": "14RQU"}).sizes["time"] == 3


def item(identifier, day, href, **properties):
    ring = [[-99, 35], [-98, 35], [-98, 36], [-99, 36], [-99, 35]]
    return {
        "type": "Feature", "stac_version": "1.0.0", "stac_extensions": [], "id": identifier, "collection": "theirs",
        "geometry": {"type": "Polygon", "coordinates": [ring]}, "bbox": [-99, 35, -98, 36],
        "properties": {"datetime": f"{day}T00:00:00Z", "sar:polarizations": ["VV"], **properties},
        "assets": {"vv": {"href": str(href), "type": "image/tiff; application=geotiff", "roles": ["data"]}, "thumbnail": {"href": "x.png", "type": "image/png", "roles": ["thumbnail"]}},
        "links": [],
    }  # fmt: skip


def test_items_of_others_open_as_backscatter_in_linear_power(tmp_path):
    rng = np.random.default_rng(4)
    truth, items = [], []
    for k in range(2):
        power = rng.uniform(0.01, 0.3, (40, 50)).astype("f4")
        power[2, 3] = -32768
        (tmp_path / f"s1_{k}.tif").write_bytes(tiff(power, predictor=3, nodata=-32768))
        truth.append(np.where(power > 0, power, np.nan))
        items.append(item(f"S1A_{k}", f"2020-01-0{k + 1}", tmp_path / f"s1_{k}.tif"))
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    folder = catalog_of(tmp_path, "sentinel1-rtc")
    assert build.build(folder, "sentinel1-rtc", source=str(tmp_path / "items.json")).indexed == 2
    ds = vadose.open("sentinel1-rtc", catalog=str(folder))
    np.testing.assert_allclose(ds.backscatter_vv.values, np.stack(truth), rtol=1e-6)
    assert "linear power" in ds.backscatter_vv.attrs["long_name"]
    assert set(ds.data_vars) == {"backscatter_vv"}


def test_images_of_two_projections_say_which_and_how_to_choose(tmp_path):
    values = np.ones((40, 50), "f4")
    (tmp_path / "a.tif").write_bytes(tiff(values))
    (tmp_path / "b.tif").write_bytes(tiff(np.ones((30, 50), "f4")))
    items = [item("A", "2020-01-01", tmp_path / "a.tif", **{"proj:code": "EPSG:32614", "s1:shape": "big"}), item("B", "2020-01-02", tmp_path / "b.tif", **{"proj:code": "EPSG:32615", "s1:shape": "small"})]  # fmt: skip
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    folder = catalog_of(tmp_path, "sentinel1-rtc")
    build.build(folder, "sentinel1-rtc", source=str(tmp_path / "items.json"))
    with pytest.raises(VadoseInputError, match=r"2 grids cannot be one Dataset.*40 x 50.*30 x 50.*where=\{'proj:code'"):
        vadose.open("sentinel1-rtc", catalog=str(folder))
    one = vadose.open("sentinel1-rtc", catalog=str(folder), where={"proj:code": "EPSG:32615"})
    assert dict(one.sizes) | {"y": 30, "x": 50} == dict(one.sizes)


def test_images_of_a_bucket_are_read_by_ranges_and_held_to_what_was_seen(stub, tmp_path):
    truth = hls(tmp_path / "hls", days=DAYS[:2], shape=(200, 300))
    (stub.bucket / "hls").mkdir()
    for path in (tmp_path / "hls").iterdir():
        (stub.bucket / "hls" / path.name).write_bytes(path.read_bytes())
    folder = catalog_of(tmp_path, "hls-s30")
    assert build.build(folder, "hls-s30", source="s3://arch/hls/").indexed == 2
    ds = vadose.open("hls-s30", catalog=str(folder))
    stub.log()
    corner = ds.red[0, :16, :16].values
    np.testing.assert_allclose(corner, truth[DAYS[0], "B04"][:16, :16], rtol=1e-6)
    assert stub.log()["GET"] == 1  # one tile
    changed = stub.bucket / "hls" / f"HLS.S30.T14RQU.{DAYS[1]}.v2.0.B8A.tif"
    changed.write_bytes(changed.read_bytes() + b"\0")
    with pytest.raises(SourceChangedError, match="B8A"):
        ds.nir[1].load()


def test_a_band_that_a_day_lacks_is_empty_and_what_changes_at_the_source_is_told(tmp_path):
    truth = hls(tmp_path / "hls")
    lost = tmp_path / "hls" / f"HLS.S30.T14RQU.{DAYS[1]}.v2.0.B8A.tif"
    kept = lost.read_bytes()
    lost.unlink()
    folder = catalog_of(tmp_path, "hls-s30")
    build.build(folder, "hls-s30", source=str(tmp_path / "hls"))
    ds = vadose.open("hls-s30", catalog=str(folder))
    assert ds.nir[1].isnull().all()
    np.testing.assert_allclose(ds.nir[2].values, truth[DAYS[2], "B8A"], rtol=1e-6)
    assert not quality.diff(folder, "hls-s30").any
    assert quality.validate(folder, "hls-s30", level="full") == []
    lost.write_bytes(kept)
    (tmp_path / "hls" / f"HLS.S30.T14RQU.{DAYS[0]}.v2.0.B04.tif").unlink()
    changes = quality.diff(folder, "hls-s30")
    assert changes.new == [str(lost)]
    assert [h.rsplit(".", 2)[1] for h in changes.missing] == ["B04"]
    assert build.build(folder, "hls-s30").changed
    assert not quality.diff(folder, "hls-s30").any
    assert vadose.open("hls-s30", catalog=str(folder)).nir[1].notnull().any()


def test_ecostress_tiles_are_evaporation_without_clouds(tmp_path):
    home = tmp_path / "eco"
    home.mkdir()
    et = np.random.default_rng(0).uniform(0.1, 9, (40, 50)).astype("f4")
    cloud = np.zeros((40, 50), "u1")
    cloud[20, 20] = 1
    stem = "ECOv002_L3T_JET_27821_006_12SUB_20230602T193750_0712_01"
    for name, values in (("ETdaily", et), ("cloud", cloud), ("water", np.zeros((40, 50), "u1"))):
        (home / f"{stem}_{name}.tif").write_bytes(tiff(values, nodata=255 if values.dtype == np.uint8 else None))
    folder = catalog_of(tmp_path, "ecostress-et")
    assert build.build(folder, "ecostress-et", source=str(home)).indexed == 1
    ds = vadose.open("ecostress-et", catalog=str(folder))
    want = (et / 86400).astype("f4")
    want[18:23, 18:23] = np.nan  # two pixels around a cloud
    np.testing.assert_allclose(ds.evapotranspiration_flux[0].values, want, rtol=1e-5)


def test_soil_maps_are_layers(tmp_path):
    home = tmp_path / "soil"
    home.mkdir()
    for name, value in (("sand_0-5cm_mean", 400), ("sand_5-15cm_mean", 500), ("clay_0-5cm_mean", 200)):
        (home / f"{name}.tif").write_bytes(tiff(np.full((40, 50), value, "i2"), nodata=-32768))
    folder = catalog_of(tmp_path, "soilgrids")
    assert build.build(folder, "soilgrids", source=str(home)).indexed == 1
    ds = vadose.open("soilgrids", catalog=str(folder)).isel(time=0)
    np.testing.assert_allclose(ds.sand[:2, 0, 0].values, [0.4, 0.5])
    assert np.isnan(ds.sand[2:]).all()
    assert float(ds.clay[0, 0, 0]) == pytest.approx(0.2)
    np.testing.assert_array_equal(ds.layer_bnds.values[1], [0.05, 0.15])


def test_real_items_of_sentinel1_and_landsat_name_their_bands(shared_data):
    rtc = files.items_of(str(shared_data / "stac" / "sentinel1" / "rtc" / "S1A_20200103_17RMJ_ASC.json"))
    assert {"gamma0_vv", "gamma0_vh", "incidence"} <= set(bands(rtc[0]))
    landsat = files.items_of(str(shared_data / "stac" / "landsat" / "LC08_L2SP_028030_20200114_20200824_02_T1_SR.json"))
    assert len(bands(landsat[0])) >= 7
    assert "thumbnail" not in bands(landsat[0])


def test_what_is_no_image_is_named(tmp_path):
    (tmp_path / "items.json").write_text("[]")
    with pytest.raises(UnreadableFileError, match="not a STAC item collection"):
        files.items_of(str(tmp_path / "items.json"))
    home = tmp_path / "hls"
    hls(home, days=DAYS[:1])
    (home / f"HLS.S30.T14RQU.{DAYS[1]}.v2.0.B04.tif").write_bytes(b"not an image")
    folder = catalog_of(tmp_path, "hls-s30")
    outcome = build.build(folder, "hls-s30", source=str(home))
    assert outcome.indexed == 1
    assert any("not a TIFF" in reason for reason in outcome.quarantine.values())


def test_a_search_is_followed_through_its_pages_and_named_where_no_scenes_are_chosen(tmp_path, monkeypatch):
    folder = catalog_of(tmp_path, "hls-s30")
    with pytest.raises(NotFoundError, match=r"or which scenes: --source 'https://cmr.*HLSS30_2\.0&bbox="):
        build.build(folder, "hls-s30")
    (tmp_path / "a.tif").write_bytes(tiff(np.full((40, 50), 500, "i2"), nodata=-9999))
    asked = []

    def answer(address):
        asked.append(address)
        k = len(asked)
        one = item(f"HLS.{k}", f"2020-01-0{k}", tmp_path / "a.tif")
        one["assets"] = {"B04": one["assets"]["vv"]}
        links = [{"rel": "next", "href": f"{address}&page=2"}] if k == 1 else []
        return json.dumps({"type": "FeatureCollection", "features": [one], "links": links}).encode()

    monkeypatch.setattr(files, "_text", answer)
    source = "https://example.org/stac/search?collections=HLSS30_2.0&bbox=-99,35,-98,36"
    assert build.build(folder, "hls-s30", source=source).indexed == 2
    assert asked == [source, f"{source}&page=2"]
    monkeypatch.undo()
    ds = vadose.open("hls-s30", catalog=str(folder))
    np.testing.assert_allclose(ds.red[:, 3, 4].values, [0.05, 0.05])


def test_a_stac_api_that_knows_nothing_of_vadose_opens_by_its_images(tmp_path, monkeypatch):
    from vadose.access import catalog

    values = np.arange(2000, dtype="i2").reshape(40, 50)
    (tmp_path / "a.tif").write_bytes(tiff(values, predictor=2, nodata=-1))
    entry = {"id": "theirs", "item_assets": {"vv": {"type": "image/tiff; application=geotiff"}}, "assets": {}, "extent": {"temporal": {"interval": [["2020-01-01T00:00:00Z", None]]}, "spatial": {"bbox": [[-180, -90, 180, 90]]}}}  # fmt: skip
    monkeypatch.setattr(catalog, "_remote_items", lambda *question: [item("A", "2020-01-01", tmp_path / "a.tif")])
    place = catalog.Catalog("https://example.org/stac", {"theirs": entry})
    np.testing.assert_array_equal(vadose.open("theirs", catalog=place).vv[0].values, values)
    described = catalog.Catalog("https://example.org/stac", {"theirs": {**entry, "item_assets": {}}})
    with pytest.raises(NotFoundError, match="description only"):
        vadose.open("theirs", catalog=described)


def test_hdf4_says_where_the_same_product_is_to_be_had(tmp_path):
    folder = catalog_of(tmp_path, "modis-vegetation")
    build.add(tmp_path / "other", "mine", {"files": "*.hdf", "source": str(tmp_path / "*.hdf"), "format": "text", "join": "tile", "time": {"from": "none"}})  # fmt: skip
    (tmp_path / "a.hdf").write_bytes(b"\x0e\x03\x13\x01")
    path = tmp_path / "other" / "mine" / "collection.json"
    entry = json.loads(path.read_text())
    entry["assets"]["data"]["vadose:open"]["reader"] = "hdf4"
    path.write_text(json.dumps(entry))
    build.build(tmp_path / "other", "mine")
    with pytest.raises(UnreadableFileError, match=r"HDF4.*vadose catalog add my-modis"):
        vadose.open("mine", catalog=str(tmp_path / "other"))
    assert folder.exists()
