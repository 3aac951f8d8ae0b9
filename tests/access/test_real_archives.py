"""Real files through the catalog: described, indexed, opened, equal to a direct read value for value."""

from __future__ import annotations

import gzip
import json

import h5py
import numpy as np
import pystac
import pytest
import xarray as xr

import vadose
from vadose.access import build, quality, virtual
from vadose.access.chunkstore import JsonReferences, open_references
from vadose.errors import SourceChangedError, UnreadableFileError


def indexed(tmp_path, source, **steps):
    home = build.add(tmp_path, "real", {"source": str(source), **steps})
    outcome = build.build(tmp_path, "real")
    assert outcome.quarantine == {}
    assert quality.validate(tmp_path, "real", level="full", n=12) == []
    entry = json.loads((home / "collection.json").read_text())
    era = entry["assets"]["data"]["vadose:open"]["eras"][0]
    return vadose.open("real", catalog=str(tmp_path)), virtual.open_icechunk(str(home / era["icechunk"]))


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("gldas/images/*.nc4", ["SoilMoi0_10cm_inst", "SoilMoi10_40cm_inst"]),
        ("cgls/ssm1km/*.nc", ["ssm", "ssm_noise"]),
        ("cgls/swi1km/*.nc", ["SWI_005", "SWI_040", "SSF"]),
        ("cmip6/ACCESS-ESM1-5/gpp_Lmon_*.nc", ["gpp"]),
        ("cmip6/EC-Earth3-Veg/mrsos_day_*.nc", ["mrsos"]),
    ],
)
def test_netcdf_archives_equal_a_direct_read(tmp_path, shared_data, source, names):
    files = sorted(shared_data.glob(source))
    ours, ice = indexed(tmp_path, shared_data / source, format="netcdf4")
    for k, path in enumerate(files):
        with xr.open_dataset(path, engine="h5netcdf", decode_times=False) as theirs:
            n = theirs.sizes["time"]
            for name in names:
                for ds in (ours, ice):
                    np.testing.assert_array_equal(ds[name][k * n : (k + 1) * n].values, theirs[name].values)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("c3s_cci/c3s_combined_v202505/0165.nc", "sm"),
        ("c3s_cci/esa_cci_combined_v09.2/0165.nc", "sm"),
        ("era5/era5_land_timeseries/0165.nc", "swvl1"),
        ("gldas/timeseries/0165.nc", "SoilMoi0_10cm_inst"),
    ],
)
def test_cells_of_time_series_are_joined_by_place(tmp_path, shared_data, source, name):
    ours, ice = indexed(tmp_path, shared_data / source, format="netcdf4", dim="locations", time={"from": "none"})
    with xr.open_dataset(shared_data / source, engine="h5netcdf") as theirs:
        for ds in (ours, ice):
            np.testing.assert_array_equal(ds[name].values, theirs[name].values)
            np.testing.assert_array_equal(ds.time.values, theirs.time.values.astype("datetime64[ns]"))
        np.testing.assert_array_equal(ours.lat.values, theirs.lat.values)


def test_the_smap_l2_granule_equals_h5py(tmp_path, shared_data):
    path = next((shared_data / "smap" / "L2").glob("*.h5"))
    ours, ice = indexed(
        tmp_path, path, format="hdf5", groups=["Soil_Moisture_Retrieval_Data"], dims={1: ["location"], 2: ["location", "class"]},
        time={"from": "name", "pattern": r"_(\d{8}T\d{6})_R\d+_(\d{3})", "format": "%Y%m%dT%H%M%S"},
    )  # fmt: skip
    with h5py.File(path) as file:
        group = file["Soil_Moisture_Retrieval_Data"]
        assert set(group) <= set(ours.variables)
        for name in ("soil_moisture", "tb_h_corrected", "landcover_class", "tb_time_utc", "EASE_row_index"):
            raw = group[name][:]
            fill = group[name].attrs.get("_FillValue")
            want = raw if fill is None else np.where(raw == fill, np.nan, raw)
            for ds in (ours, ice):
                got = ds[name][0].values
                if raw.dtype.kind == "S":
                    np.testing.assert_array_equal(got, raw)
                else:
                    np.testing.assert_array_equal(got.astype("f8"), np.asarray(want, "f8"))


def test_netcdf3_is_read_by_the_fallback(tmp_path):
    parts = []
    for k in range(2):
        time = np.datetime64("2017-01-01") + np.arange(5 * k, 5 * k + 5) * np.timedelta64(1, "D")
        data = np.random.default_rng(k).random((5, 30, 40)).astype("f4")
        ds = xr.Dataset(
            {"sm": (("time", "lat", "lon"), data)}, {"time": time, "lat": np.arange(30.0), "lon": np.arange(40.0)}
        )
        ds.to_netcdf(
            tmp_path / f"{k}.nc3",
            format="NETCDF3_CLASSIC",
            engine="scipy",
            encoding={"time": {"units": "days since 2017-01-01", "dtype": "i4"}},
        )
        parts.append(ds)
    build.add(tmp_path / "cat", "old", {"source": str(tmp_path / "*.nc3"), "format": "netcdf3"})
    outcome = build.build(tmp_path / "cat", "old")
    assert outcome.quarantine == {}
    ours = vadose.open("old", catalog=str(tmp_path / "cat"))
    np.testing.assert_array_equal(ours.sm.values, xr.concat(parts, "time").sm.values)
    np.testing.assert_array_equal(ours.time.values, xr.concat(parts, "time").time.values.astype("datetime64[ns]"))


def test_a_time_that_is_none_is_told(tmp_path, shared_data):
    build.add(
        tmp_path,
        "real",
        {
            "source": str(shared_data / "mjo" / "chi200_ud_smooth.nc"),
            "format": "netcdf3",
            "dim": "eof",
            "time": {"from": "variable", "variable": "eof"},
        },
    )
    assert build.build(tmp_path, "real").indexed == 0


def test_grib_taken_for_netcdf_is_set_aside_with_its_name(tmp_path, shared_data):
    path = shared_data / "ncep" / "flxf2006040100.grb"
    build.add(tmp_path, "real", {"source": str(path), "format": "netcdf4"})
    outcome = build.build(tmp_path, "real")
    assert outcome.indexed == 0
    assert "not a whole HDF5 file" in outcome.quarantine[str(path)]


def test_kerchunk_references_of_others_open_and_their_missing_sources_are_named(shared_data):
    folder = shared_data / "kerchunk_refs"
    for path in sorted((folder / "xarray-data").glob("*.json")):
        ds = open_references(str(path), absent="fill")
        assert {"latitude", "longitude"} <= set(ds.sizes)
    sets = json.loads((folder / "hrrr.wrfsfcf.subset.json").read_text())
    known = JsonReferences(sets[0], "hrrr")
    name = next(v for v in known.variables if len(known.metadata[f"{v}/.zarray"]["shape"]) >= 2)
    where = known.chunk(name, (0,) * len(known.metadata[f"{name}/.zarray"]["shape"]))
    assert isinstance(where, tuple)
    assert "{{" not in where[0]  # templates are filled in
    gfs = json.loads(gzip.decompress((folder / "gfs.pgrb2.0p25" / "subset.json.gz").read_bytes()))
    assert len(gfs) == 340
    assert all(JsonReferences(g, "gfs").variables for g in gfs)


def test_references_to_a_source_that_is_not_here_say_so(tmp_path):
    refs = {".zgroup": '{"zarr_format":2}', "a/.zarray": json.dumps({"zarr_format": 2, "shape": [2], "chunks": [2], "dtype": "<f4", "order": "C", "fill_value": None, "compressor": None, "filters": None}),
            "a/.zattrs": '{"_ARRAY_DIMENSIONS":["x"]}', "a/0": [str(tmp_path / "none.bin"), 0, 8]}  # fmt: skip
    with pytest.raises(SourceChangedError, match="gone"):
        open_references(refs).a.load()
    (tmp_path / "x.json").write_text("[1, 2")
    with pytest.raises(UnreadableFileError, match="not kerchunk references"):
        open_references(str(tmp_path / "x.json"))


def test_real_stac_documents_of_several_versions_open(shared_data):
    collections = list((shared_data / "stac").rglob("collection.json")) + list(
        (shared_data / "stac" / "veda").glob("*.json")
    )
    assert len(collections) >= 5
    for path in collections:
        assert pystac.Collection.from_dict(json.loads(path.read_text())).id
    items = [p for p in (shared_data / "stac").rglob("*.json") if json.loads(p.read_text()).get("type") == "Feature"]
    assert all(pystac.Item.from_dict(json.loads(p.read_text())).assets for p in items)
