"""What can go wrong between a store and a reader: never a silent wrong answer, and an error that says what to do."""

from __future__ import annotations

import json
import os
import time

import numpy as np
import pytest
import xarray as xr
from smap_archive import name_of, smap_like

import vadose
from vadose.access import quality, remote, virtual
from vadose.access.chunkstore import JsonReferences, ReferenceStore, open_references
from vadose.errors import AccessDeniedError, SourceChangedError, UnreadableFileError, VadoseInputError


def opened(bucket):
    return vadose.open("days", catalog=str(bucket.catalog))


def iced(bucket):
    entry = json.loads((bucket.catalog / "days" / "collection.json").read_text())
    era = entry["assets"]["data"]["vadose:open"]["eras"][0]
    return virtual.open_icechunk(str(bucket.catalog / "days" / era["icechunk"]))


def check(ds, bucket, days=range(12)):
    for day in days:
        np.testing.assert_array_equal(ds.soil_moisture[day].values, bucket.truth[day])


@pytest.mark.parametrize("door", [opened, iced])
def test_every_value_comes_from_the_bucket_unchanged(bucket, door):
    check(door(bucket), bucket)


@pytest.mark.parametrize("door", [opened, iced])
@pytest.mark.parametrize(
    "fault", [{"status": 503, "rate": 0.2}, {"status": 500, "rate": 0.2}, {"status": 429, "first": 5}]
)
def test_servers_that_fail_now_and_then_are_asked_again(bucket, door, fault):
    ds = door(bucket)
    bucket.stub.faults(**fault, match="/days/", only="GET")
    check(ds, bucket)


def test_a_server_that_only_fails_is_an_error_with_its_address_not_a_wait_without_end(bucket, monkeypatch):
    monkeypatch.setattr(remote, "RETRIES", 2)
    remote._store.cache_clear()
    ds = opened(bucket)
    bucket.stub.faults(status=503, match="/days/", only="GET")
    bucket.stub.log()
    with pytest.raises(UnreadableFileError, match=r"s3://arch/days/.*\.h5"):
        ds.soil_moisture[0, :5, :5].load()
    remote._store.cache_clear()


def test_bodies_that_break_off_are_asked_for_again(bucket):
    ds = opened(bucket)
    bucket.stub.faults(cut=True, rate=0.1, match="/days/")
    check(ds, bucket)


def test_bodies_that_break_off_do_not_reach_icechunk_readers(bucket):
    ds = iced(bucket)
    bucket.stub.faults(cut=True, rate=0.05, match="/days/")
    check(ds, bucket)


def test_a_refusal_is_told_at_once_with_what_to_set(bucket):
    ds = opened(bucket)
    bucket.stub.faults(status=403, match="/days/")
    begun = time.monotonic()
    with pytest.raises(AccessDeniedError, match="AWS_ACCESS_KEY_ID"):
        ds.soil_moisture[0].load()
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("door", [opened, iced])
def test_a_source_replaced_by_another_valid_file_of_the_same_size_is_refused(bucket, door):
    ds = door(bucket)
    target = bucket.root / name_of(3)
    size = target.stat().st_size
    other = bucket.root.parent / "other.h5"
    smap_like(other, 77)
    body = other.read_bytes()
    target.write_bytes(body[:size] + b"\0" * max(0, size - len(body)))
    assert target.stat().st_size == size
    check(ds, bucket, [0, 1, 2, 4])
    with pytest.raises(SourceChangedError, match=r"changed since it was indexed"):
        ds.soil_moisture[3].load()


@pytest.mark.parametrize("door", [opened, iced])
def test_a_truncated_source_is_refused(bucket, door):
    ds = door(bucket)
    target = bucket.root / name_of(3)
    target.write_bytes(target.read_bytes()[:4000])
    with pytest.raises((SourceChangedError, UnreadableFileError), match=r"changed|truncated|is not read"):
        ds.soil_moisture[3].load()
    check(ds, bucket, [2, 4])


@pytest.mark.parametrize("door", [opened, iced])
def test_a_deleted_source_is_named(bucket, door):
    ds = door(bucket)
    (bucket.root / name_of(3)).unlink()
    with pytest.raises(SourceChangedError, match="gone"):
        ds.soil_moisture[3].load()


def test_a_cut_source_is_noticed_even_where_the_etag_says_nothing(bucket):
    stat = remote.stat(f"s3://arch/days/{name_of(0)}")
    blind = remote.Stat(stat.href, stat.size, "", stat.modified)
    (bucket.root / name_of(0)).write_bytes(b"x" * 1000)
    with pytest.raises(SourceChangedError, match="1000 bytes long"):
        remote.read(stat.href, 0, 100, expect=blind)
    with pytest.raises((SourceChangedError, UnreadableFileError)):
        remote.read(stat.href, 900, 200)


def test_a_slow_server_is_waited_for(bucket):
    ds = opened(bucket)
    bucket.stub.faults(latency=0.5, match="/days/")
    check(ds, bucket, [0])


@pytest.fixture
def hasty(monkeypatch):
    """A reader that counts a server as hanging after half a second of silence."""
    monkeypatch.setenv("VADOSE_READ_TIMEOUT", "0.5")
    return 0.5


@pytest.mark.parametrize("hang", ["head", "body"])
def test_a_server_that_hangs_is_an_error_in_seconds(bucket, hasty, hang):
    """It takes the question and never answers, or stops in the midst of an answer: asked a few times, then told."""
    ds = opened(bucket)
    bucket.stub.faults(hang=hang, match="/days/", only="GET")
    bucket.stub.log()
    begun = time.monotonic()
    with pytest.raises(UnreadableFileError, match=r"s3://arch/days/.*said nothing for 0\.5 s.*VADOSE_READ_TIMEOUT"):
        ds.soil_moisture[0, :5, :5].load()
    # 2.5 times the patience, one try more, and pauses of up to 0.7 s; the rest is what a busy machine takes.
    assert time.monotonic() - begun < 50
    assert 2 <= bucket.stub.log()["hung"] <= 4
    bucket.stub.faults()
    check(ds, bucket, [0])


def test_a_server_that_hangs_once_is_asked_again(bucket, hasty):
    ds = opened(bucket)
    bucket.stub.faults(hang="head", match="/days/", only="GET", first=2)
    check(ds, bucket, [0, 1])


def test_a_server_that_hangs_is_an_error_through_icechunk_too(bucket, hasty):
    ds = iced(bucket)
    bucket.stub.faults(hang="head", match="/days/", only="GET")
    begun = time.monotonic()
    with pytest.raises(UnreadableFileError, match=r"did not come within 2 s.*VADOSE_READ_TIMEOUT"):
        ds.soil_moisture[0, :5, :5].load()
    assert time.monotonic() - begun < 50


def test_scanning_a_server_that_hangs_sets_its_files_aside(bucket, hasty):
    from vadose.access import build

    bucket.stub.faults(hang="head", match=name_of(3), only="GET")
    outcome = build.build(bucket.catalog, "days", fresh=True)
    assert outcome.indexed == 11
    assert "said nothing for 0.5 s" in outcome.quarantine[f"s3://arch/days/{name_of(3)}"]


def test_netcdf_files_of_a_store_that_hangs_are_named(stub, hasty):
    from vadose.access.opening import open_file, storage_options

    xr.Dataset({"sm": ("x", np.arange(400_000.0))}).to_netcdf(stub.bucket / "x.nc", engine="h5netcdf")
    ds = open_file("s3://arch/x.nc", chunks={})
    stub.faults(hang="head", match="x.nc", only="GET")
    with pytest.raises(
        UnreadableFileError, match=r"s3://arch/x\.nc: the server took the question and then said nothing"
    ):
        ds.sm[300_000:].load()
    limits = storage_options("s3://arch/x.nc")["config_kwargs"]
    assert limits["read_timeout"] == 0.5
    assert limits["retries"] == {"total_max_attempts": 1}


def test_a_catalog_service_that_hangs_is_named(hasty):
    import socket

    from vadose.access.catalog import open_catalog
    from vadose.errors import PlatformError

    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        begun = time.monotonic()
        with pytest.raises(PlatformError, match="does not answer as a STAC API"):
            open_catalog(f"http://127.0.0.1:{mute.getsockname()[1]}")
        assert time.monotonic() - begun < 50


def test_without_a_word_a_hanging_server_costs_less_than_a_minute(monkeypatch):
    """Tries end 2.5 patiences after the first; the last may take one patience more."""
    monkeypatch.delenv("VADOSE_READ_TIMEOUT", raising=False)
    assert (remote.GIVE_UP + 1) * remote.patience() < 60
    assert virtual.LONGEST * remote.patience() <= 60
    for wrong in ("soon", "0", "-3"):
        monkeypatch.setenv("VADOSE_READ_TIMEOUT", wrong)
        with pytest.raises(VadoseInputError, match="expected seconds above 0"):
            remote.patience()


@pytest.mark.parametrize("door", [opened, iced])
def test_a_store_that_allows_sixty_requests_a_second_gives_every_value(bucket, door):
    """Whatever exceeds sixty a second is answered with 503, as S3 throttles; readers slow down and lose nothing."""
    ds = door(bucket)
    bucket.stub.faults(per_second=60, match="/days/", only="GET")
    bucket.stub.log()
    begun = time.monotonic()
    whole = ds[["soil_moisture", "retrieval_qual_flag"]].load()
    took = time.monotonic() - begun
    seen = bucket.stub.log()
    check(whole, bucket)
    assert whole.retrieval_qual_flag.notnull().sum() == whole.soil_moisture.notnull().sum()
    # 12 days of 4 chunks of 2 variables are 96 reads: not to be had in less than a second and a half.
    assert seen["GET"] == 96
    assert seen["throttled"] > 0
    assert took > (96 - 60 / 10) / 60


def test_diff_on_the_bucket_reads_no_data(bucket):
    bucket.stub.log()
    smap_like(bucket.root / name_of(2), 88)
    found = quality.diff(bucket.catalog, "days")
    assert [h.rsplit("/", 1)[1] for h in found.replaced + found.resized] == [name_of(2)]
    assert bucket.stub.log()["GET"] == 0


def test_validation_reads_a_bucket_like_h5py(bucket):
    assert quality.validate(bucket.catalog, "days", level="full", n=8) == []


def test_scanning_a_bucket_asks_once_or_twice_a_file(bucket):
    from vadose.access import build

    bucket.stub.log()
    build.build(bucket.catalog, "days", fresh=True)
    assert bucket.stub.log()["GET"] <= 2 * 12


def test_scanning_through_faults_indexes_every_file(bucket):
    from vadose.access import build

    bucket.stub.faults(status=503, rate=0.2, match="/days/", only="GET")
    assert build.build(bucket.catalog, "days", fresh=True).indexed == 12


def test_nested_groups_open_with_every_variable_h5py_has(bucket):
    """Readers of references have opened grouped files empty, without an error; ours are flat and counted."""
    import h5py

    with h5py.File(bucket.root / name_of(0)) as file:
        there = {n for g in file for n in file[g]}
    assert there <= set(opened(bucket).variables)
    assert there <= set(iced(bucket).variables)


def test_grouped_references_of_other_makers_open_with_their_group(tmp_path, archive):
    from kerchunk.hdf import SingleHdf5ToZarr

    path = archive.root / name_of(0)
    refs = SingleHdf5ToZarr(str(path), inline_threshold=0).translate()
    ds = open_references(refs, group="Soil_Moisture_Retrieval_Data_AM")
    assert len(ds.variables) == 3
    np.testing.assert_array_equal(ds.soil_moisture.values, archive.truth[0])


def test_a_chunk_that_json_references_lack_is_named_unless_fills_are_wanted(archive):
    from kerchunk.hdf import SingleHdf5ToZarr

    refs = SingleHdf5ToZarr(str(archive.root / name_of(0)), inline_threshold=0).translate()
    del refs["refs"]["Soil_Moisture_Retrieval_Data_AM/soil_moisture/0.1"]
    with pytest.raises(UnreadableFileError, match=r"chunk \(0, 1\).*has no reference"):
        open_references(refs, group="Soil_Moisture_Retrieval_Data_AM").soil_moisture.load()
    filled = open_references(refs, group="Soil_Moisture_Retrieval_Data_AM", absent="fill").soil_moisture
    assert filled[:20, 30:].isnull().all()


def test_damaged_references_are_named(tmp_path, archive):
    from vadose.access import build

    build.build(archive.catalog, archive.id)
    entry = json.loads((archive.catalog / "days" / "collection.json").read_text())
    home = archive.catalog / "days" / entry["assets"]["data"]["vadose:open"]["eras"][0]["references"]
    (home / "soil_moisture" / "refs.0.parq").write_bytes(b"PAR1 nonsense")
    with pytest.raises(UnreadableFileError, match=r"refs\.0\.parq.*missing or damaged"):
        vadose.open("days", catalog=str(archive.catalog)).soil_moisture[0].load()
    (home / ".zmetadata").write_text("{")
    with pytest.raises(UnreadableFileError, match="not a whole set of references"):
        vadose.open("days", catalog=str(archive.catalog))


def test_stores_travel_to_workers(archive):
    import pickle

    from vadose.access import build

    build.build(archive.catalog, archive.id)
    ds = pickle.loads(pickle.dumps(vadose.open("days", catalog=str(archive.catalog))))
    np.testing.assert_array_equal(ds.soil_moisture[5].values, archive.truth[5])
    store = ReferenceStore(JsonReferences({".zgroup": "{}"}, "memory"))
    assert pickle.loads(pickle.dumps(store)) == store


def test_blocks_are_kept_on_disk_up_to_a_size(bucket, tmp_path, monkeypatch):
    from vadose.access import cache

    monkeypatch.setenv("VADOSE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("VADOSE_CACHE_GB", "0.001")
    bucket.stub.log()
    check(opened(bucket), bucket, [0, 1])
    first = bucket.stub.log()["GET"]
    check(opened(bucket), bucket, [0, 1])
    assert first > 0
    assert bucket.stub.log()["GET"] == 0
    kept = sum(p.stat().st_size for p in (tmp_path / "cache" / "blocks").rglob("*") if p.is_file())
    assert 0 < kept <= 1_000_000
    assert cache.shrink(5_000) <= 5_000
    # A changed source has another etag, so another key; and the read behind it is refused.
    smap_like(bucket.root / name_of(0), 66)
    cache.shrink(0)
    with pytest.raises(SourceChangedError):
        opened(bucket).soil_moisture[0].load()


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(bucket, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VADOSE_CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setenv("VADOSE_CACHE_GB", "1")
    check(opened(bucket), bucket, [0])


def test_records_at_points_equal_the_maps(bucket):
    import h5py

    for path in bucket.root.iterdir():
        with h5py.File(path, "a") as file:
            file.attrs["note"] = 1
    lat, lon = np.linspace(59, -59, 40), np.linspace(-177, 177, 60)
    from vadose.access import build

    with h5py.File(bucket.root / name_of(0)) as file:
        assert file["Soil_Moisture_Retrieval_Data_AM/soil_moisture"].shape == (40, 60)
    build.build(bucket.catalog, "days")
    entry = json.loads((bucket.catalog / "days" / "collection.json").read_text())
    folder = bucket.catalog / "days" / entry["assets"]["data"]["vadose:open"]["eras"][0]["references"]
    add_coordinates(folder, lat, lon)
    out = vadose.extract_points(
        "days",
        lat[[3, 30]],
        lon[[5, 59]],
        variables=["soil_moisture", "retrieval_qual_flag"],
        catalog=str(bucket.catalog),
    )
    ds = opened(bucket).load()
    for name in ("soil_moisture", "retrieval_qual_flag"):
        np.testing.assert_array_equal(
            out[name].values, np.stack([ds[name].values[:, 3, 5], ds[name].values[:, 30, 59]], axis=1)
        )
    some = vadose.extract_points(
        "days",
        [lat[3]],
        [lon[5]],
        variables=["soil_moisture"],
        time="2017-01-04/2017-01-06",
        catalog=str(bucket.catalog),
    )
    np.testing.assert_array_equal(some.soil_moisture[:, 0].values, ds.soil_moisture.values[3:6, 3, 5])


def add_coordinates(folder, lat, lon):
    """A grid of our own, as an EASE-Grid recipe would add it."""
    from vadose.access import parquet

    whole = json.loads((folder / ".zmetadata").read_text())
    for name, dim, values in (("lat", "y", lat), ("lon", "x", lon)):
        (folder / name).mkdir()
        parquet._inline(whole["metadata"], folder, name, (dim,), values, {})
    (folder / ".zmetadata").write_text(json.dumps(whole))


@pytest.mark.parametrize(
    "filters", [[("shuffle", {"elementsize": 4}), ("zlib", {"level": 4})], [("zlib", {"level": 1})], []]
)
def test_a_cell_of_a_chunk_is_what_decoding_the_whole_gives(filters):
    import numcodecs

    from vadose.access.points import pick

    values = np.random.default_rng(1).random((1, 17, 23)).astype("f4")
    body, meta = values.tobytes(), []
    for name, options in filters:
        config = {"id": name, **options}
        body = numcodecs.get_codec(dict(config)).encode(body)
        meta.append(config)
    cells = [(0, 0, 0), (0, 16, 22), (0, 5, 7)]
    got = pick(bytes(body), {"dtype": "<f4", "chunks": [1, 17, 23], "filters": meta}, cells)
    np.testing.assert_array_equal(got, [values[c] for c in cells])


def test_processes_end_cleanly_with_every_engine_listed():
    import subprocess
    import sys

    code = "import xarray as xr, vadose; print(sorted(xr.backends.list_engines()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "'vadose'" in done.stdout


def test_time_stamps_of_sources_do_not_cry_wolf(bucket):
    """A file written in the very second of the scan has a fraction that HTTP dates lack; it is still the same file."""
    for path in bucket.root.iterdir():
        os.utime(path, ns=(1_600_000_000_600_000_000, 1_600_000_000_600_000_000))
    from vadose.access import build

    build.build(bucket.catalog, "days")
    check(iced(bucket), bucket, [0, 5])
    xr.testing.assert_equal(iced(bucket).soil_moisture.load(), opened(bucket).soil_moisture.load())
