"""Maps as Cloud Optimized GeoTIFF: read back by another reader, laid out as the standard says, bounded by the tile."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from vadose.errors import DimensionError, VadoseInputError
from vadose.learn import raster
from vadose.products import thermal


def field(rows=300, columns=421, dtype="float32", **names):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, columns)).astype("float32")
    if np.dtype(dtype).kind == "f":
        values[:40, :40] = np.nan
    else:
        values = np.abs(values) * 3
    y, x = 44 + 0.01 * np.arange(rows), -95 + 0.02 * np.arange(columns)
    dims = names.get("dims", ("lat", "lon"))
    attrs = {"units": "m3 m-3", "long_name": "a < b"}
    return xr.DataArray(
        values.astype(dtype), dims=dims, coords=dict(zip(dims, (y, x), strict=True)), name="sm", attrs=attrs
    )


def pages(path):
    """Values, tags and offset of the first tile of each directory, read by Pillow."""
    with Image.open(path) as image:
        out = []
        for k in range(image.n_frames):
            image.seek(k)
            out.append((np.asarray(image), dict(image.tag_v2), image.tag_v2[324][0]))
    return out


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int16"])
def test_values_and_place_return(tmp_path, dtype, big, monkeypatch):
    if big:
        monkeypatch.setattr(raster, "CLASSIC_LIMIT", 1000)
    given = field(dtype=dtype)
    raster.write_cog(given, tmp_path / "map.tif", tile=64)
    assert (tmp_path / "map.tif").read_bytes()[2] == (43 if big else 42)
    north_up = given.values[::-1]
    if dtype in ("float32", "uint8"):  # what Pillow knows
        values, tags, _ = pages(tmp_path / "map.tif")[0]
        np.testing.assert_array_equal(values, north_up)
        assert tags[33550][:2] == pytest.approx((0.02, 0.01))
        assert tags[33922][3:5] == pytest.approx((-95.01, 44 + 2.99 + 0.005))  # half a pixel beyond the centers
        assert tags[34735][-1] == 4326
        assert '<Item name="units">m3 m-3</Item>' in tags[42112]
        assert "a &lt; b" in tags[42112]
        assert (42113 in tags) == (dtype == "float32")


def test_layout_is_cloud_optimized(tmp_path):
    raster.write_cog(field(), tmp_path / "map.tif", tile=64)
    found = pages(tmp_path / "map.tif")
    assert [v.shape for v, _, _ in found] == [(300, 421), (150, 211), (75, 106), (38, 53)]
    assert [t[254] for _, t, _ in found] == [0, 1, 1, 1]
    first = [offset for _, _, offset in found]
    assert first == sorted(first, reverse=True)  # the smallest overview lies first
    head = min(first)
    assert head < 4096  # all directories before the data


def test_overviews_are_means_of_valid_pixels(tmp_path):
    given = field()
    raster.write_cog(given, tmp_path / "map.tif", tile=64)
    full, half = (v for v, _, _ in pages(tmp_path / "map.tif")[:2])
    assert half[7, 9] == pytest.approx(full[14:16, 18:20].mean(), abs=1e-6)
    with np.errstate(all="ignore"):
        for i, j in ((129, 19), (130, 20), (149, 0)):  # around the corner of the gap, all of which is NaN inside
            part = full[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            want = part[np.isfinite(part)]
            assert half[i, j] == pytest.approx(want.mean(), abs=1e-6) if want.size else np.isnan(half[i, j])


def test_flags_are_not_averaged(tmp_path):
    given = field(dtype="uint8")
    raster.write_cog(given, tmp_path / "map.tif", tile=64)
    full, half = (v for v, _, _ in pages(tmp_path / "map.tif")[:2])
    np.testing.assert_array_equal(half, full[::2, ::2])


def test_projected_map_is_placed_by_its_code(tmp_path):
    given = field(dims=("y", "x"))
    given = given.assign_coords(y=5e6 - 100.0 * np.arange(300), x=4e5 + 100.0 * np.arange(421))
    raster.write_cog(given, tmp_path / "map.tif", epsg=32614, tile=64)
    back = thermal._tiff(tmp_path / "map.tif", 0)
    assert back.attrs["epsg"] == 32614
    xr.testing.assert_allclose(back, given.drop_attrs(), rtol=0)


def test_only_a_row_of_tiles_is_read_at_a_time(tmp_path):
    import dask.array as da

    most = []

    def rows(i, block_info=None):
        most.append(i.shape)
        return i

    given = field(512, 256)
    lazy = given.copy(
        data=da.from_array(given.values, chunks=(32, 256)).map_blocks(rows, dtype="float32", meta=given.values[:0, :0])
    )
    raster.write_cog(lazy, tmp_path / "map.tif", tile=32)
    np.testing.assert_array_equal(pages(tmp_path / "map.tif")[0][0], given.values[::-1])
    assert len(most) <= 2 * 16 + 1  # every block twice: for the overviews, for the tiles
    heard = []
    raster.write_cog(given, tmp_path / "map.tif", tile=32, report=lambda done, rows: heard.append((done, rows)))
    assert heard[-1] == (512, 512)
    assert heard == sorted(heard)


def test_a_map_goes_to_an_object_store(tmp_path):
    import fsspec

    raster.write_cog(field(), tmp_path / "map.tif", tile=64)
    raster.write_cog(field(), "memory://maps/map.tif", tile=64)
    assert fsspec.filesystem("memory").cat("/maps/map.tif") == (tmp_path / "map.tif").read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["map.tif"]


def test_bad_input_is_named(tmp_path):
    given = field(40, 40)
    with pytest.raises(DimensionError, match="select a time"):
        raster.write_cog(given.expand_dims("time"), tmp_path / "a.tif")
    with pytest.raises(VadoseInputError, match="epsg="):
        raster.write_cog(given.rename(lat="y", lon="x"), tmp_path / "a.tif")
    with pytest.raises(VadoseInputError, match="multiples of 16"):
        raster.write_cog(given, tmp_path / "a.tif", tile=100)
    with pytest.raises(VadoseInputError, match="not regular"):
        raster.write_cog(given.assign_coords(lat=np.geomspace(1, 50, 40)), tmp_path / "a.tif")
    with pytest.raises(DimensionError, match="coordinate"):
        raster.write_cog(given.drop_vars("lat"), tmp_path / "a.tif")
    with pytest.raises(VadoseInputError, match="numbers"):
        raster.write_cog(given.astype(str), tmp_path / "a.tif")
    assert not list(tmp_path.iterdir())  # nothing half-written stays
