"""Indexing: values equal to h5py, eras kept apart, duplicates and broken files set aside, resume, versions, rollback."""

from __future__ import annotations

import json
import shutil

import h5py
import numpy as np
import pytest
import xarray as xr
from smap_archive import CHUNKS, SHAPE, STEPS, name_of, smap_like

import vadose
from vadose.access import build, quality, validation, virtual
from vadose.access.catalog import open_catalog
from vadose.access.chunkstore import open_references
from vadose.access.parquet import References
from vadose.access.scan import scan
from vadose.errors import NotFoundError, PlatformError, UnreadableFileError, VadoseInputError


def eras(archive):
    entry = json.loads((archive.catalog / archive.id / "collection.json").read_text())
    return entry["assets"]["data"]["vadose:open"]["eras"]


def opened(archive, **question):
    return vadose.open(archive.id, catalog=str(archive.catalog), **question)


def check(archive, ds, days=None):
    for k, day in enumerate(days if days is not None else archive.truth):
        np.testing.assert_array_equal(ds.soil_moisture[k].values, archive.truth[day])


def test_every_value_equals_the_files(archive):
    outcome = build.build(archive.catalog, archive.id)
    assert (outcome.listed, outcome.indexed, len(outcome.eras)) == (12, 12, 1)
    ds = opened(archive)
    check(archive, ds)
    assert ds.sizes == {"time": 12, "y": SHAPE[0], "x": SHAPE[1]}
    assert ds.retrieval_qual_flag.encoding["dtype"] == np.dtype("u2")
    assert ds.tb_time_utc.values[3, 0, 0] == b"2017-01-01T00:00:00.000Z"


def test_icechunk_holds_the_same_values_and_is_tagged(archive):
    outcome = build.build(archive.catalog, archive.id)
    (era,) = eras(archive)
    place = str(archive.catalog / archive.id / era["icechunk"])
    for ds in (virtual.open_icechunk(place, snapshot=era["snapshot"]), virtual.open_icechunk(place, tag=outcome.tag)):
        check(archive, ds)
        xr.testing.assert_equal(ds.load(), opened(archive).load())


@pytest.mark.parametrize("newer", [True, False])
def test_stores_are_written_in_the_format_that_every_icechunk_reads(archive, monkeypatch, newer):
    """icechunk 2 writes format 2 unless told otherwise, and icechunk 1, all that Python 3.11 has, refuses it."""
    import icechunk

    real, seen = icechunk.Repository.create, []

    def create_2(storage, config=None, authorize_virtual_chunk_access=None, spec_version=None):
        seen.append(spec_version)
        return real(storage, config=config, authorize_virtual_chunk_access=authorize_virtual_chunk_access)

    def create_1(storage, config=None, authorize_virtual_chunk_access=None):
        seen.append("no such argument")
        return real(storage, config=config, authorize_virtual_chunk_access=authorize_virtual_chunk_access)

    monkeypatch.setattr(icechunk.Repository, "create", create_2 if newer else create_1)
    build.build(archive.catalog, archive.id)
    assert seen == [1 if newer else "no such argument"]


def test_other_readers_of_kerchunk_parquet_read_the_same(archive):
    build.build(archive.catalog, archive.id)
    (era,) = eras(archive)
    ds = xr.open_dataset(str(archive.catalog / archive.id / era["references"]), engine="kerchunk")
    check(archive, ds)


def test_the_catalog_stays_valid_and_items_carry_etags(archive):
    build.build(archive.catalog, archive.id)
    assert validation.validate_folder(archive.catalog) == []
    items = open_catalog(str(archive.catalog)).items(archive.id, time="2017-01-03/2017-01-05")
    assert len(items) == 3
    assert all(i["properties"]["vadose:etag"] for i in items)
    entry = open_catalog(str(archive.catalog)).collection(archive.id)
    assert entry["cube:variables"]["soil_moisture"]["dimensions"] == ["time", "y", "x"]


def test_provenance_says_which_bytes_were_read(archive):
    outcome = build.build(archive.catalog, archive.id)
    known = json.loads(opened(archive, time="2017-01-02").attrs["vadose_provenance"])
    assert known["version"] == outcome.tag
    assert list(known["etags"]) == [name_of(1)]
    assert known["snapshots"]


def test_a_second_build_scans_nothing(archive):
    first = build.build(archive.catalog, archive.id)
    second = build.build(archive.catalog, archive.id)
    assert (second.scanned, second.changed, second.tag) == (0, False, first.tag)


def test_an_update_takes_in_only_what_is_new(archive):
    build.build(archive.catalog, archive.id)
    archive.truth[12] = smap_like(archive.root / name_of(12), 12)
    outcome = build.build(archive.catalog, archive.id)
    assert (outcome.scanned, outcome.indexed, outcome.changed) == (1, 13, True)
    check(archive, opened(archive))


def test_another_scale_is_another_era_and_both_decode_right(archive):
    for day in (6, 7):
        archive.truth[day] = smap_like(archive.root / name_of(day), day, scale=0.001, fill=-9999)
    for day in range(8, 12):
        archive.truth[day] = smap_like(archive.root / name_of(day), day, fill=-1.0)
    outcome = build.build(archive.catalog, archive.id)
    assert len(outcome.eras) == 3
    ds = opened(archive)
    for day, truth in archive.truth.items():
        tolerance = 0.00051 if day in (6, 7) else 0.0
        np.testing.assert_allclose(ds.soil_moisture[day].values, truth, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    "made",
    [
        {"fillvalue": 7.0},
        {"chunks": (10, 30)},
        {"chunks": None, "shuffle": None, "compression": None},
        {"shuffle": None},
        {"compression": None},
        {"compression_opts": 9},
        {"fletcher32": True},
        {"dtype": "f8"},
        {"dtype": ">f4"},
        {"dtype": "S4", "fillvalue": None},
    ],
    ids=lambda made: "-".join(f"{k}={v}" for k, v in made.items()),
)
def test_what_the_file_before_taught_never_stands_for_a_dataset_made_otherwise(tmp_path, made):
    usual = {"shape": SHAPE, "dtype": "f4", "chunks": CHUNKS, "shuffle": True, "compression": "gzip", "fillvalue": -1.0}
    ways = {"usual": usual, "other": {**usual, **made}, "again": usual}
    learned = {}
    for name, way in ways.items():
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            data = file.create_dataset("sm", **{k: v for k, v in way.items() if v is not None})
            data[:] = (np.arange(np.prod(SHAPE)).reshape(SHAPE) % 100).astype(data.dtype)
        (fresh,) = scan(str(tmp_path / f"{name}.h5")).values()
        (found,) = scan(str(tmp_path / f"{name}.h5"), learned=learned).values()
        for key, value in fresh.__dict__.items():
            np.testing.assert_equal(getattr(found, key), value, key)
        with h5py.File(tmp_path / f"{name}.h5") as file:
            assert (found.dtype, found.fill) == (file["sm"].dtype, way["fillvalue"])
            assert found.chunks == (file["sm"].chunks or SHAPE)


def test_another_chunk_shape_or_variable_is_another_era(archive):
    smap_like(archive.root / name_of(10), 10, chunks=(10, 60))
    smap_like(archive.root / name_of(11), 11, extra="vegetation_opacity")
    assert len(build.build(archive.catalog, archive.id).eras) == 3
    ds = opened(archive)
    check(archive, ds)
    assert ds.vegetation_opacity[:11].isnull().all()
    assert (ds.vegetation_opacity[11] == 1).all()


def test_files_packed_each_in_its_own_way_are_refused(archive):
    for day in range(20):
        smap_like(archive.root / name_of(day), day, scale=0.001 * (1 + day), fill=-9999)
    with pytest.raises(VadoseInputError, match="change from file to file"):
        build.build(archive.catalog, archive.id)


def test_a_chunk_never_written_reads_as_fill_in_every_reader(archive):
    archive.truth[4] = smap_like(archive.root / name_of(4), 4, hole=True)
    build.build(archive.catalog, archive.id)
    check(archive, opened(archive))
    (era,) = eras(archive)
    home = archive.catalog / archive.id
    check(archive, virtual.open_icechunk(str(home / era["icechunk"])))
    check(archive, xr.open_dataset(str(home / era["references"]), engine="kerchunk"))


def test_a_lost_reference_is_named_and_not_nan(archive):
    build.build(archive.catalog, archive.id)
    (era,) = eras(archive)
    page = archive.catalog / archive.id / era["references"] / "soil_moisture" / "refs.0.parq"
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(page).to_pydict()
    table["path"][5] = None
    pq.write_table(pa.table(table), page)
    ds = opened(archive)
    np.testing.assert_array_equal(ds.soil_moisture[0].values, archive.truth[0])
    with pytest.raises(UnreadableFileError, match=r"chunk \(1, 0, 1\) of soil_moisture has no reference"):
        ds.soil_moisture[1].load()
    assert any(
        "1 of 48 chunks have no reference" in t for t in quality.validate(archive.catalog, archive.id, level="fast")
    )


def test_the_highest_revision_of_a_day_wins(archive):
    archive.truth[3] = smap_like(archive.root / name_of(3, 2), 3, seed=5)
    outcome = build.build(archive.catalog, archive.id)
    assert outcome.indexed == 12
    assert [h.rsplit("/", 1)[1] for h in outcome.quarantine] == [name_of(3, 1)]
    check(archive, opened(archive))


def test_a_name_and_a_file_that_tell_of_different_days_are_set_aside_not_guessed(archive):
    """2017-01-01 is day 0. Which of the two times is right nobody can know; the file waits, and both are named."""
    day = ("2017-01-{:02d}T00:00:00.000Z", "2017-01-{:02d}T23:59:59.999Z")
    smap_like(archive.root / name_of(2), 2, inside=[t.format(4) for t in day])
    # A composite whose first half-orbit began the evening before, and one that states its time in no known form, are good.
    archive.truth[3] = smap_like(archive.root / name_of(3), 3, inside=["2017-01-03T22:51:00Z", "2017-01-04T23:10:00Z"])
    archive.truth[5] = smap_like(archive.root / name_of(5), 5, inside=["unknown", "unknown"])
    # The day before, to its very end, is another day.
    smap_like(archive.root / name_of(7), 7, inside=[t.format(7) for t in day])
    outcome = build.build(archive.catalog, archive.id)
    assert {h.rsplit("/", 1)[1] for h in outcome.quarantine} == {name_of(2), name_of(7)}
    reason = next(r for h, r in outcome.quarantine.items() if h.endswith(name_of(2)))
    assert "its name says 2017-01-03" in reason
    assert "says 2017-01-04 to 2017-01-04T23:59:59" in reason
    assert "inside: ignore" in reason
    ds = opened(archive)
    check(archive, ds, [d for d in range(12) if d not in (2, 7)])
    assert np.datetime64("2017-01-03") not in ds.time.values


def test_names_are_trusted_where_the_recipe_says_so(archive, tmp_path):
    archive.truth[2] = smap_like(archive.root / name_of(2), 2, inside=["1999-12-31T00:00:00Z", "1999-12-31T23:59:59Z"])
    steps = {**STEPS, "time": {**STEPS["time"], "inside": "ignore"}}
    build.add(tmp_path / "trusting", "days", {"source": str(archive.root / "*.h5"), **steps})
    assert build.build(tmp_path / "trusting", "days").quarantine == {}
    check(archive, vadose.open("days", catalog=str(tmp_path / "trusting")))


@pytest.mark.parametrize(
    ("name", "form", "end"),
    [("x_20170102.h5", "%Y%m%d", "2017-01-03"), ("x_20170102T0130.h5", "%Y%m%dT%H%M", "2017-01-02T01:31"),
     ("x_201702.h5", "%Y%m", "2017-03-01"), ("x_2016060.h5", "%Y%j", "2016-03-01")],
)  # fmt: skip
def test_a_time_in_a_name_is_as_long_as_its_form_is_exact(name, form, end):
    from vadose.access.recipe import parse

    recipe = parse({"source": "x", "time": {"from": "name", "pattern": r"_([\dT]+)\.", "format": form}})
    assert recipe.period_of(name)[1] == np.datetime64(end)


def test_broken_files_are_set_aside_with_a_reason_and_stop_nothing(archive):
    whole = (archive.root / name_of(2)).read_bytes()
    (archive.root / name_of(2)).write_bytes(whole[: len(whole) // 2])
    (archive.root / name_of(5)).write_bytes(b"not hdf5 at all")
    (archive.root / "readme_20170101_final.h5").write_bytes(whole)
    outcome = build.build(archive.catalog, archive.id)
    assert outcome.indexed == 10
    reasons = {h.rsplit("/", 1)[1]: r for h, r in outcome.quarantine.items()}
    assert set(reasons) == {name_of(2), name_of(5), "readme_20170101_final.h5"}
    assert "no time in the name" in reasons["readme_20170101_final.h5"]
    check(archive, opened(archive), [0, 1, 3, 4, 6, 7, 8, 9, 10, 11])
    rows = json.loads((archive.catalog / archive.id / "quarantine.json").read_text())
    assert len(rows) == 3
    (archive.root / name_of(2)).write_bytes(whole)  # mended at the source
    assert build.build(archive.catalog, archive.id).indexed == 11


def test_a_build_that_was_killed_goes_on(archive, monkeypatch):
    monkeypatch.setattr(build, "BATCH", 4)
    seen = []

    def stop(done, total, href):
        seen.append(href)
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build.build(archive.catalog, archive.id, progress=stop)
    assert not eras_exist(archive)
    outcome = build.build(archive.catalog, archive.id)
    assert outcome.scanned == 12 - 4  # one batch of four was in the journal
    check(archive, opened(archive))


def eras_exist(archive):
    entry = json.loads((archive.catalog / archive.id / "collection.json").read_text())
    return "eras" in entry["assets"]["data"]["vadose:open"]


def test_two_writers_never_meet(archive):
    with (
        build.alone(archive.catalog / archive.id),
        pytest.raises(PlatformError, match="being built by another process"),
    ):
        build.build(archive.catalog, archive.id)


def test_rollback_brings_the_version_before(archive):
    first = build.build(archive.catalog, archive.id)
    smap_like(archive.root / name_of(12), 12)
    second = build.build(archive.catalog, archive.id)
    assert build.versions(archive.catalog, archive.id) == [first.tag, second.tag]
    assert build.rollback(archive.catalog, archive.id) == first.tag
    assert opened(archive).sizes["time"] == 12
    assert len(open_catalog(str(archive.catalog)).items(archive.id)) == 12
    with pytest.raises(NotFoundError, match="unknown version"):
        build.rollback(archive.catalog, archive.id, "19990101-1")
    assert build.rollback(archive.catalog, archive.id, second.tag) == second.tag
    assert opened(archive).sizes["time"] == 13


def test_diff_names_new_missing_resized_and_replaced(archive):
    build.build(archive.catalog, archive.id)
    smap_like(archive.root / name_of(12), 12)
    (archive.root / name_of(0)).unlink()
    with open(archive.root / name_of(1), "ab") as file:
        file.write(b"x")
    body = bytearray((archive.root / name_of(2)).read_bytes())
    body[-1] ^= 1
    (archive.root / name_of(2)).write_bytes(body)
    found = quality.diff(archive.catalog, archive.id)
    short = {k: [h.rsplit("/", 1)[1] for h in getattr(found, k)] for k in ("new", "missing", "resized", "replaced")}
    assert short == {"new": [name_of(12)], "missing": [name_of(0)], "resized": [name_of(1)], "replaced": [name_of(2)]}


def test_validation_compares_chunks_with_h5py(archive):
    build.build(archive.catalog, archive.id)
    assert quality.validate(archive.catalog, archive.id, level="full", rng=3) == []
    (era,) = eras(archive)
    refs = References(str(archive.catalog / archive.id / era["references"]))
    table = refs.table("soil_moisture")
    moved = {k: v.copy() for k, v in table.items()}
    moved["offset"][[0, 1]], moved["size"][[0, 1]] = moved["offset"][[1, 0]], moved["size"][[1, 0]]
    from vadose.access.credentials import Access
    from vadose.access.recipe import load

    recipe = load(archive.catalog / archive.id)
    assert "differs from what h5py reads" in quality.one_chunk(refs, "soil_moisture", 0, moved, recipe, Access())


def test_a_changed_local_source_is_refused(archive):
    build.build(archive.catalog, archive.id)
    ds = opened(archive)
    smap_like(archive.root / name_of(3), 99)
    with pytest.raises(OSError, match="changed since it was indexed"):
        ds.soil_moisture[3].load()
    np.testing.assert_array_equal(ds.soil_moisture[4].values, archive.truth[4])


def test_netcdf_files_are_joined_along_time_with_units_of_their_own(tmp_path):
    root, parts = tmp_path / "nc", []
    for month in (1, 2, 3):
        days = {1: 31, 2: 28, 3: 31}[month]
        time = np.datetime64(f"2017-{month:02d}-01") + np.arange(days) * np.timedelta64(1, "D")
        data = np.random.default_rng(month).random((days, 8, 12)).astype("f4")
        ds = xr.Dataset(
            {"sm": (("time", "lat", "lon"), data)}, {"time": time, "lat": np.arange(8.0), "lon": np.arange(12.0)}
        )
        root.mkdir(exist_ok=True)
        ds.to_netcdf(
            root / f"sm_{month}.nc",
            encoding={
                "sm": {"zlib": True, "chunksizes": (1, 8, 12)},
                "time": {"units": f"days since 2017-{month:02d}-01"},
            },
        )
        parts.append(ds)
    build.add(tmp_path / "cat", "monthly", {"source": str(root / "*.nc"), "format": "netcdf4"})
    assert build.build(tmp_path / "cat", "monthly").indexed == 3
    ours = vadose.open("monthly", catalog=str(tmp_path / "cat")).load()
    theirs = xr.concat(parts, "time")
    np.testing.assert_array_equal(ours.sm.values, theirs.sm.values)
    np.testing.assert_array_equal(ours.time.values, theirs.time.values.astype("datetime64[ns]"))
    np.testing.assert_array_equal(ours.lat.values, theirs.lat.values)
    assert quality.validate(tmp_path / "cat", "monthly", level="full") == []


def write_days(path, days, *, lat=8):
    time = np.datetime64("2017-01-01") + np.asarray(days) * np.timedelta64(1, "D")
    ds = xr.Dataset(
        {"sm": (("time", "lat", "lon"), np.ones((len(days), lat, 4), "f4"))},
        {"time": time, "lat": np.arange(lat) * 1.0, "lon": np.arange(4.0)},
    )
    ds.to_netcdf(path, encoding={"sm": {"chunksizes": (1, lat, 4)}, "time": {"units": "days since 2017-01-01"}})


@pytest.mark.parametrize(
    ("days", "reason"),
    [
        ([3, 4], "its times repeat those of"),
        ([8, 7], "its times do not increase"),
        ([9, 9], "its times do not increase"),
    ],
)
def test_times_that_repeat_or_go_back_are_set_aside(tmp_path, days, reason):
    write_days(tmp_path / "a.nc", [0, 1, 2, 3])
    write_days(tmp_path / "b.nc", days)
    build.add(tmp_path / "cat", "x", {"source": str(tmp_path / "*.nc"), "format": "netcdf4"})
    outcome = build.build(tmp_path / "cat", "x")
    assert outcome.indexed == 1
    assert reason in next(iter(outcome.quarantine.values()))


def test_a_file_on_another_grid_is_set_aside(tmp_path):
    for k in range(3):
        write_days(tmp_path / f"{k}.nc", [k])
    ds = xr.open_dataset(tmp_path / "1.nc").load()
    ds.close()
    ds.assign_coords(lat=ds.lat + 0.5).to_netcdf(tmp_path / "1.nc", encoding={"sm": {"chunksizes": (1, 8, 4)}})
    build.add(tmp_path / "cat", "x", {"source": str(tmp_path / "*.nc"), "format": "netcdf4"})
    outcome = build.build(tmp_path / "cat", "x")
    assert outcome.indexed == 2
    assert "coordinates differ" in outcome.quarantine[str(tmp_path / "1.nc")]


def test_big_endian_contiguous_and_compact_values_are_right(tmp_path):
    for day in range(3):
        with h5py.File(tmp_path / f"d_2017010{day + 1}.h5", "w") as file:
            file.create_dataset("big", data=np.arange(12.0).reshape(3, 4) + day, dtype=">f8")
            file.create_dataset("flags", data=np.full((3, 4), 65534 - day, "u2"), chunks=(3, 2), fletcher32=True)
            file["flags"].attrs["_FillValue"] = np.uint16(65534)
    steps = {
        "source": str(tmp_path / "*.h5"),
        "time": {"from": "name", "pattern": r"_(\d{8})", "format": "%Y%m%d"},
        "dims": {2: ["y", "x"]},
    }
    build.add(tmp_path / "cat", "x", steps)
    build.build(tmp_path / "cat", "x")
    ds = vadose.open("x", catalog=str(tmp_path / "cat"))
    np.testing.assert_array_equal(ds.big[2].values, np.arange(12.0).reshape(3, 4) + 2)
    raw = open_references(str(tmp_path / "cat" / "x" / eras_of(tmp_path)["references"]), decode=False)
    assert raw.flags.dtype == np.uint16  # unmasked flags stay integers
    np.testing.assert_array_equal(raw.flags[:, 0, 0].values, [65534, 65533, 65532])
    ice = virtual.open_icechunk(str(tmp_path / "cat" / "x" / eras_of(tmp_path)["icechunk"]))
    np.testing.assert_array_equal(ice.big[2].values, np.arange(12.0).reshape(3, 4) + 2)


def eras_of(tmp_path):
    return json.loads((tmp_path / "cat" / "x" / "collection.json").read_text())["assets"]["data"]["vadose:open"][
        "eras"
    ][0]


def test_a_chunk_longer_than_the_file_is_loaded_or_refused_never_joined_wrong(tmp_path):
    """Unlimited time with chunks of 512 and 31 steps: stacking such chunks would shift every later file."""
    for k in range(2):
        with h5py.File(tmp_path / f"{k}.nc", "w") as file:
            time = file.create_dataset("time", data=np.arange(31.0) + 31 * k, maxshape=(None,), chunks=(512,))
            time.make_scale("time")
            time.attrs["units"] = "days since 2017-01-01"
            sm = file.create_dataset(
                "sm", data=np.random.default_rng(k).random((31, 4000)), maxshape=(None, 4000), chunks=(512, 4000)
            )
            sm.dims[0].attach_scale(time)
            x = file.create_dataset("x", data=np.arange(4000.0))
            x.make_scale("x")
            sm.dims[1].attach_scale(x)
    build.add(tmp_path / "cat", "x", {"source": str(tmp_path / "*.nc"), "format": "netcdf4"})
    with pytest.raises(UnreadableFileError, match="cannot be joined without copying"):
        build.build(tmp_path / "cat", "x")


def test_dask_workers_scan_and_read_the_same(archive):
    from vadose.access.cluster import connect

    with connect(1) as cluster:
        outcome = build.build(archive.catalog, archive.id, client=cluster.client)
        assert outcome.indexed == 12
        ds = opened(archive)
        mean = ds.soil_moisture.mean().compute()
    assert float(mean) == pytest.approx(float(np.nanmean(np.stack(list(archive.truth.values())))), rel=1e-5)


def test_a_published_collection_opens_from_its_new_place(archive, tmp_path):
    build.build(archive.catalog, archive.id)
    written = quality.publish(archive.catalog, archive.id, str(tmp_path / "public"))
    assert written[-1].endswith("collection.json")
    shutil.copy(archive.catalog / "catalog.json", tmp_path / "public" / "catalog.json")
    shutil.rmtree(archive.catalog)
    check(archive, vadose.open(archive.id, catalog=str(tmp_path / "public")))


def test_an_archive_that_moved_is_read_at_its_new_place(archive, tmp_path):
    build.build(archive.catalog, archive.id)
    shutil.copytree(archive.root, tmp_path / "moved", copy_function=shutil.copy2)
    shutil.rmtree(archive.root)
    path = archive.catalog / archive.id / "collection.json"
    entry = json.loads(path.read_text())
    entry["assets"]["data"]["vadose:open"]["locations"] = {str(archive.root): str(tmp_path / "moved")}
    path.write_text(json.dumps(entry))
    check(archive, opened(archive))


def test_the_series_copy_holds_the_same_values_in_few_objects(archive):
    from vadose.access.series import build_series

    build.build(archive.catalog, archive.id)
    target = build_series(archive.catalog, archive.id)
    ds = opened(archive, purpose="series")
    check(archive, ds)
    assert list(ds.data_vars) == ["soil_moisture"]
    assert len([p for p in (target / "soil_moisture" / "c").rglob("*") if p.is_file()]) == 1
    assert "series" in json.loads(ds.attrs["vadose_provenance"])["purpose"]
    assert "retrieval_qual_flag" in opened(archive, purpose="map")


def test_no_series_copy_says_how_to_make_one(archive):
    build.build(archive.catalog, archive.id)
    with pytest.raises(NotFoundError, match="vadose catalog series"):
        opened(archive, purpose="series")


@pytest.mark.parametrize(
    ("steps", "words"),
    [({"source": "x", "flavour": 1}, "flavour"), ({}, "source is missing"), ({"source": "x", "format": "grib7"}, "grib7"),
     ({"source": "x", "time": {"from": "stars"}}, "stars"),
     ({"source": "x", "time": {"from": "name", "pattern": "x", "inside": "guess"}}, "guess"), ({"source": "x", "time": {"from": "name"}}, "pattern")],
)  # fmt: skip
def test_a_wrong_recipe_names_the_key(tmp_path, steps, words):
    with pytest.raises(VadoseInputError, match=words):
        build.add(tmp_path, "x", steps)


def test_nothing_listed_says_what_was_looked_for(tmp_path):
    build.add(tmp_path, "x", {"source": str(tmp_path / "none" / "*.nc")})
    with pytest.raises(NotFoundError, match=r"nothing matches .*none"):
        build.build(tmp_path, "x")


def test_a_described_collection_says_how_to_index_it(monkeypatch):
    from pathlib import Path

    with pytest.raises(NotFoundError, match=r"EARTHDATA_TOKEN.*vadose catalog build smap-l3"):
        vadose.open("smap-l3", catalog=str(Path(__file__).parents[2] / "catalog"), time="2020")


def test_chunks_of_the_archive_and_of_the_test_agree():
    assert STEPS["dims"][2] == ["y", "x"]
    assert all(n % c == 0 for n, c in zip(SHAPE, CHUNKS, strict=True))
