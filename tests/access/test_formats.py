"""Files that are not HDF5 through the catalog: GRIB, GeoTIFF, netCDF-3, local and in a bucket, against each format's own reader."""

from __future__ import annotations

import io
import json
import struct
import zlib

import numpy as np
import pytest
import xarray as xr
from PIL import Image

import vadose
from vadose.access import build, quality
from vadose.access.scan import Variable
from vadose.access.tiff import Predictor, scan_tiff
from vadose.errors import UnreadableFileError


def indexed(tmp_path, source, **steps):
    build.add(tmp_path / "cat", "real", {"source": str(source), **steps})
    outcome = build.build(tmp_path / "cat", "real")
    assert outcome.quarantine == {}
    assert quality.validate(tmp_path / "cat", "real", level="full", n=12) == []
    return vadose.open("real", catalog=str(tmp_path / "cat"))


def grib_messages(path):
    """Every message of a file as ecCodes reads it: its keys, values and grid."""
    import eccodes

    with open(path, "rb") as file:
        while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
            values = eccodes.codes_get_values(handle)
            values[values == eccodes.codes_get_double(handle, "missingValue")] = np.nan
            names = ("indicatorOfParameter", "table2Version", "topLevel", "bottomLevel", "shortName", "typeOfLevel")
            keys = {k: eccodes.codes_get(handle, k) for k in names}
            yield keys, values.reshape(94, 192), eccodes.codes_get_array(handle, "latitudes").reshape(94, 192)[:, 0]
            eccodes.codes_release(handle)


def test_all_96_messages_of_the_real_grib_file_equal_eccodes(tmp_path, shared_data):
    path = shared_data / "ncep" / "flxf2006040100.grb"
    ds = indexed(tmp_path, path, format="grib")
    seen = [(keys, values, lat) for keys, values, lat in grib_messages(path)]
    assert len(ds.data_vars) == len(seen) == 96
    # 24 h after 2006-03-31 00 UTC, says the README of the file.
    assert str(ds.time.values[0])[:16] == "2006-04-01T00:00"
    read = {name: ds[name][0].values for name in ds.data_vars}
    for _, values, _ in seen:
        assert any(np.array_equal(values, ours, equal_nan=True) for ours in read.values())
    # The center's own parameters (volumetric and liquid soil moisture), which ecCodes calls "unknown", keep code and layer.
    for code, table in ((144, 2), (160, 130)):
        for top, bottom in ((0, 10), (10, 40), (40, 100), (100, 200)):
            (values,) = [v for k, v, _ in seen if (k["indicatorOfParameter"], k["topLevel"], k["bottomLevel"]) == (code, top, bottom)]  # fmt: skip
            np.testing.assert_array_equal(read[f"parameter_{table}_{code}_{top}_{bottom}"], values)
    np.testing.assert_array_equal(ds.latitude.values, seen[0][2])
    np.testing.assert_allclose(ds.longitude.values, np.arange(192) * 1.875)  # T62: 360 / 192 degrees, east from 0


def test_other_readers_of_kerchunk_references_read_the_same_grib(tmp_path, shared_data):
    ds = indexed(tmp_path, shared_data / "ncep" / "flxf2006040100.grb", format="grib", only=["t2m", "latitude", "longitude", "time"])  # fmt: skip
    entry = json.loads((tmp_path / "cat" / "real" / "collection.json").read_text())
    era = entry["assets"]["data"]["vadose:open"]["eras"][0]
    assert "icechunk" not in era  # Zarr 3 has no codec for GRIB messages
    theirs = xr.open_dataset(str(tmp_path / "cat" / "real" / era["references"]), engine="kerchunk")
    np.testing.assert_array_equal(theirs.t2m.values, ds.t2m.values)


def grib_days(folder, shared_data, days=3):
    """The 2 m temperature of the real file, dated one day later each time."""
    import eccodes

    folder.mkdir(parents=True)
    with open(shared_data / "ncep" / "flxf2006040100.grb", "rb") as file:
        while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
            if eccodes.codes_get(handle, "shortName") == "2t":
                break
            eccodes.codes_release(handle)
    kept = []
    for day in range(days):
        eccodes.codes_set(handle, "dataDate", 20060401 + day)
        values = eccodes.codes_get_values(handle) + day
        eccodes.codes_set_values(handle, values)
        (folder / f"t_{day}.grb").write_bytes(b"\0" * 16 * day + eccodes.codes_get_message(handle))
        kept.append(eccodes.codes_get_values(handle).reshape(94, 192))
    return kept


def test_grib_files_are_joined_along_their_own_times_and_a_cut_one_is_set_aside(tmp_path, shared_data):
    kept = grib_days(tmp_path / "files", shared_data)
    whole = (tmp_path / "files" / "t_2.grb").read_bytes()
    ds = indexed(tmp_path, tmp_path / "files" / "*.grb", format="grib")
    np.testing.assert_array_equal(ds.t2m.values, np.stack(kept))
    assert [str(t)[:10] for t in ds.time.values] == ["2006-04-02", "2006-04-03", "2006-04-04"]
    (tmp_path / "files" / "t_2.grb").write_bytes(whole[:-100])
    outcome = build.build(tmp_path / "cat", "real")
    assert outcome.indexed == 2
    assert "truncated" in outcome.quarantine[str(tmp_path / "files" / "t_2.grb")]


@pytest.mark.parametrize("name", ["koppen/koppen_geiger_rubel_0p25.tif", "landcover/lcmap_tiny_cog_2019.tif"])
def test_a_real_geotiff_equals_pillow(tmp_path, shared_data, name):
    ds = indexed(tmp_path, shared_data / "static" / name, format="tiff", dim="lat" if "koppen" in name else "y", time={"from": "none"})  # fmt: skip
    with Image.open(shared_data / "static" / name) as image:
        raw = np.asarray(image)
    ours = ds.data.values
    fill = ds.data.encoding.get("_FillValue")
    np.testing.assert_array_equal(ours, raw if fill is None else np.where(raw == fill, np.nan, raw))
    if "koppen" in name:
        # 0.25 degrees from 90 N, 180 W: the first center lies half a cell inside.
        np.testing.assert_allclose(ds.lat.values, 89.875 - 0.25 * np.arange(720))
        np.testing.assert_allclose(ds.lon.values, -179.875 + 0.25 * np.arange(1440))


def tiff(values, *, predictor=1, tile=(16, 16), nodata=None, scale=None, compression=8, order="<"):
    """A tiled GeoTIFF (EPSG:32614, 30 m, corner at 500000, 4000000), written by hand."""
    dtype = values.dtype.newbyteorder(order)
    rows, columns = values.shape
    parts = []
    for r in range(0, rows, tile[0]):
        for c in range(0, columns, tile[1]):
            piece = np.zeros(tile, dtype)
            cut = values[r : r + tile[0], c : c + tile[1]]
            piece[: cut.shape[0], : cut.shape[1]] = cut
            if predictor == 2:
                piece[:, 1:] = np.diff(piece.astype(piece.dtype.newbyteorder("=")), axis=1)
                raw = piece.tobytes()
            elif (
                predictor == 3
            ):  # TIFF Technical Note 3: bytes of a row by significance, most significant first, then differences
                planes = piece.astype(f">f{dtype.itemsize}").view(np.uint8).reshape(tile[0], tile[1], dtype.itemsize)
                planes = planes.transpose(0, 2, 1).reshape(tile[0], -1)
                raw = np.diff(planes, axis=1, prepend=np.zeros((tile[0], 1), np.uint8)).tobytes()
            else:
                raw = piece.tobytes()
            parts.append(zlib.compress(raw) if compression == 8 else raw)
    body, places = b"", []
    for part in parts:
        places.append(8 + len(body))
        body += part + b"\0" * (len(part) % 2)
    kind = {"u": 1, "i": 2, "f": 3}[dtype.kind]
    tags = [(256, "I", [columns]), (257, "I", [rows]), (258, "H", [dtype.itemsize * 8]), (259, "H", [compression]), (262, "H", [1]), (277, "H", [1]), (284, "H", [1]),
            (317, "H", [predictor]), (322, "H", [tile[1]]), (323, "H", [tile[0]]), (324, "I", places), (325, "I", [len(p) for p in parts]), (339, "H", [kind]),
            (33550, "d", [30.0, 30.0, 0.0]), (33922, "d", [0, 0, 0, 500000.0, 4000000.0, 0]), (34735, "H", [1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 32614])]  # fmt: skip
    if scale is not None:
        tags.append((42112, "s", f'<GDALMetadata><Item name="SCALE" sample="0" role="scale">{scale}</Item></GDALMetadata>\0'.encode()))  # fmt: skip
    if nodata is not None:
        tags.append((42113, "s", f"{nodata}\0".encode()))
    at = 8 + len(body)
    directory, extra = struct.pack(f"{order}H", len(tags)), b""
    start = at + 2 + 12 * len(tags) + 4
    codes = {"H": 3, "I": 4, "d": 12, "s": 2}
    for tag, letter, content in tags:
        raw = content if letter == "s" else struct.pack(f"{order}{len(content)}{letter}", *content)
        field = raw.ljust(4, b"\0") if len(raw) <= 4 else struct.pack(f"{order}I", start + len(extra))
        extra += raw if len(raw) > 4 else b""
        directory += struct.pack(f"{order}HHI", tag, codes[letter], len(content)) + field
    mark = b"II" if order == "<" else b"MM"
    return mark + struct.pack(f"{order}HI", 42, at) + body + directory + struct.pack(f"{order}I", 0) + extra


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("dtype", "predictor"), [("i2", 1), ("i2", 2), ("u1", 2), ("f4", 1), ("f4", 3), ("f8", 3), ("i4", 2)]
)
def test_geotiffs_of_every_predictor_and_byte_order_stack_by_the_day_in_their_name(tmp_path, dtype, predictor, order):
    rng = np.random.default_rng(3)
    (tmp_path / "files").mkdir()
    truth = []
    for day in range(2):
        values = rng.integers(0, 120, (40, 50)).astype(dtype) if dtype[0] in "iu" else rng.normal(size=(40, 50)).astype(dtype)  # fmt: skip
        values[3, 4] = 99
        (tmp_path / "files" / f"sm_2020010{day + 1}.tif").write_bytes(tiff(values, predictor=predictor, nodata=99, scale=0.5, order=order))  # fmt: skip
        truth.append(np.where(values == 99, np.nan, values.astype("f8") * 0.5))
    build.add(tmp_path / "cat", "days", {"source": str(tmp_path / "files" / "*.tif"), "format": "tiff", "time": {"from": "name", "pattern": r"_(\d{8})", "format": "%Y%m%d"}})  # fmt: skip
    assert build.build(tmp_path / "cat", "days").quarantine == {}
    ds = vadose.open("days", catalog=str(tmp_path / "cat"))
    assert ds.data.dims == ("time", "y", "x")
    np.testing.assert_allclose(ds.data.values, np.stack(truth), rtol=1e-6)
    np.testing.assert_array_equal(ds.x.values, 500015.0 + 30 * np.arange(50))  # half a pixel of 30 m inside the corner
    np.testing.assert_array_equal(ds.y.values, 3999985.0 - 30 * np.arange(40))
    assert ds.data.attrs["crs"] == "EPSG:32614"


@pytest.mark.parametrize(("dtype", "predictor"), [("<i2", 2), (">u4", 2), ("<f4", 3), (">f8", 3)])
def test_a_predictor_undoes_itself(dtype, predictor):
    codec = Predictor(predictor, dtype, [5, 7, 2])
    data = (np.random.default_rng(0).normal(size=(5, 7, 2)) * 100).astype(dtype)
    back = np.frombuffer(codec.decode(codec.encode(data.tobytes())), dtype).reshape(data.shape)
    np.testing.assert_array_equal(back, data)


def test_tiffs_that_cannot_be_referenced_say_why_and_what_to_do():
    values = np.zeros((40, 50), "u1")
    with pytest.raises(UnreadableFileError, match="compression 5 cannot be referenced"):
        scan_tiff(io.BytesIO(tiff(values, compression=5)), "lzw.tif")
    with pytest.raises(UnreadableFileError, match="not a TIFF"):
        scan_tiff(io.BytesIO(b"PK\x03\x04" + b"\0" * 100), "zip.tif")
    with pytest.raises(UnreadableFileError, match="truncated"):
        scan_tiff(io.BytesIO(tiff(values)[:-200]), "cut.tif")
    out = io.BytesIO()
    Image.fromarray(np.zeros((30, 4000), "u1")).save(out, "TIFF", compression="tiff_adobe_deflate", strip_size=4000 * 8)
    out.seek(0)
    with pytest.raises(UnreadableFileError, match="cloud optimized"):
        scan_tiff(out, "strips.tif")


def test_plain_strips_are_one_stretch_of_bytes():
    values = (np.arange(1200) % 251).astype("u1").reshape(30, 40)
    out = io.BytesIO()
    Image.fromarray(values).save(out, "TIFF", strip_size=40 * 8)
    found = scan_tiff(io.BytesIO(out.getvalue()), "plain.tif")["data"]
    assert isinstance(found, Variable)
    start, size = int(found.offset[0]), int(found.length[0])
    np.testing.assert_array_equal(np.frombuffer(out.getvalue()[start : start + size], "u1").reshape(30, 40), values)


def test_formats_of_a_bucket_are_indexed_through_their_headers(stub, tmp_path, shared_data):
    """netCDF-3, GRIB and TIFF by range reads with the catalog's own keys, equal to the same files on disk."""
    days = []
    for k in range(2):
        data = np.random.default_rng(k).random((5, 30, 40)).astype("f4")
        ds = xr.Dataset({"sm": (("time", "lat", "lon"), data)}, {"time": np.datetime64("2017-01-01", "ns") + np.arange(5 * k, 5 * k + 5) * np.timedelta64(1, "D"), "lat": np.arange(30.0), "lon": np.arange(40.0)})  # fmt: skip
        ds.to_netcdf(tmp_path / "one.nc", format="NETCDF3_64BIT", engine="scipy", encoding={"time": {"units": "days since 2017-01-01", "dtype": "i4"}})  # fmt: skip
        (stub.bucket / "old").mkdir(exist_ok=True)
        (stub.bucket / "old" / f"{k}.nc").write_bytes((tmp_path / "one.nc").read_bytes())
        days.append(data)
    kept = grib_days(stub.bucket / "grib", shared_data)
    image = (np.arange(2000) % 200).astype("u1").reshape(40, 50)
    (stub.bucket / "tif").mkdir()
    (stub.bucket / "tif" / "a_20200101.tif").write_bytes(tiff(image, predictor=2))
    recipes = {
        "old": {"source": "s3://arch/old/*.nc", "format": "netcdf3"},
        "grib": {"source": "s3://arch/grib/*.grb", "format": "grib"},
        "tif": {"source": "s3://arch/tif/*.tif", "format": "tiff", "time": {"from": "name", "pattern": r"_(\d{8})", "format": "%Y%m%d"}},
    }  # fmt: skip
    for name, steps in recipes.items():
        build.add(tmp_path / "cat", name, steps)
        assert build.build(tmp_path / "cat", name).quarantine == {}
        assert quality.validate(tmp_path / "cat", name, level="full", n=6) == []
    opened = {name: vadose.open(name, catalog=str(tmp_path / "cat")) for name in recipes}
    np.testing.assert_array_equal(opened["old"].sm.values, np.concatenate(days))
    np.testing.assert_array_equal(opened["grib"].t2m.values, np.stack(kept))
    np.testing.assert_array_equal(opened["tif"].data[0].values, image)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("bucket", [False, True])
def test_zarr_stores_packed_each_in_its_own_way_are_joined_right(stub, tmp_path, version, bucket):
    """The first store's scale is never used for the second, in which tools that join references have gone wrong."""
    root = stub.bucket / "stores" if bucket else tmp_path / "stores"
    truth = np.round(np.random.default_rng(5).uniform(0, 0.5, (6, 8, 9)), 2)
    for k, scale in enumerate((0.01, 0.001)):
        days = np.datetime64("2020-01-01", "ns") + np.arange(3 * k, 3 * k + 3) * np.timedelta64(1, "D")
        part = xr.Dataset({"sm": (("time", "lat", "lon"), truth[3 * k : 3 * k + 3])}, {"time": days, "lat": np.arange(8.0), "lon": np.arange(9.0)})  # fmt: skip
        encoding = {"sm": {"dtype": "i2", "scale_factor": scale, "_FillValue": -1, "chunks": (1, 8, 9)}, "time": {"units": f"days since 20{20 - k}-01-01"}}  # fmt: skip
        part.to_zarr(root / f"part{k}.zarr", zarr_format=version, encoding=encoding, consolidated=version == 2)
    (root / "empty.zarr").mkdir()
    (root / "empty.zarr" / ("zarr.json" if version == 3 else ".zmetadata")).write_text("{}")
    source = "s3://arch/stores/*.zarr" if bucket else str(root / "*.zarr")
    build.add(tmp_path / "cat", "z", {"source": source, "format": "zarr"})
    outcome = build.build(tmp_path / "cat", "z")
    assert outcome.indexed == 2
    assert [h.rsplit("/", 1)[1] for h in outcome.quarantine] == ["empty.zarr"]
    ds = vadose.open("z", catalog=str(tmp_path / "cat"))
    np.testing.assert_allclose(ds.sm.values, truth, atol=1e-9)
    assert vadose.open("z", catalog=str(tmp_path / "cat"), time="2020-01-05/2020-01-06").sizes["time"] == 2
    assert not build.build(tmp_path / "cat", "z").changed
    assert quality.validate(tmp_path / "cat", "z") == []
    found = quality.diff(tmp_path / "cat", "z")
    assert [h.rsplit("/", 1)[1] for h in found.new] == ["empty.zarr"]
    assert found.missing == found.resized == found.replaced == []
