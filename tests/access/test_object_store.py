"""The real object store, SeaweedFS, as a hub starts it: archives, references, copies and commits lie in it and are read back."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from smap_archive import STEPS, name_of, smap_like

import vadose
from vadose.access import build, quality, virtual
from vadose.access.opening import storage_options
from vadose.errors import AccessDeniedError, SourceChangedError

DAYS = 4


@pytest.fixture(scope="module")
def seaweed(object_store, tmp_path_factory):
    """The store with the hub's buckets, and its owner's file system."""
    import s3fs

    from vadose.hub import services

    with object_store(tmp_path_factory.mktemp("hub")) as (service, here):
        keys = services.s3_identities(here)
        endpoint = service.health.rstrip("/")
        owner = {"key": keys["owner"]["key"], "secret": keys["owner"]["secret"], "endpoint_url": endpoint}
        fs = s3fs.S3FileSystem(**owner, skip_instance_cache=True)
        for bucket in (services.BUCKET, services.SCRATCH):
            fs.mkdir(bucket)
        yield SimpleNamespace(endpoint=endpoint, keys=keys, fs=fs, demo=services.BUCKET, scratch=services.SCRATCH)


@pytest.fixture
def keys(seaweed, monkeypatch):
    """Become the `owner`, who may write everywhere, or one of the `users`, who may not."""

    def become(who):
        for name, value in {
            "AWS_ENDPOINT_URL": seaweed.endpoint,
            "AWS_ACCESS_KEY_ID": seaweed.keys[who]["key"],
            "AWS_SECRET_ACCESS_KEY": seaweed.keys[who]["secret"],
            "AWS_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)

    return become


@pytest.fixture
def indexed(seaweed, keys, tmp_path):
    """Days of files put into the bucket through s3fs, described and indexed where they lie, by the owner."""
    keys("owner")
    truth = {}
    for day in range(DAYS):
        truth[day] = smap_like(tmp_path / name_of(day), day)
        seaweed.fs.put_file(str(tmp_path / name_of(day)), f"{seaweed.demo}/days/{name_of(day)}")
    build.add(tmp_path / "catalog", "days", {"source": f"s3://{seaweed.demo}/days/*.h5", **STEPS})
    outcome = build.build(tmp_path / "catalog", "days")
    assert (outcome.indexed, outcome.quarantine) == (DAYS, {})
    return SimpleNamespace(catalog=tmp_path / "catalog", truth=truth, home=tmp_path / "catalog" / "days")


def check(ds, truth):
    for day, values in truth.items():
        np.testing.assert_array_equal(ds.soil_moisture[day].values, values)


def how(folder):
    return json.loads((folder / "collection.json").read_text())["assets"]["data"]["vadose:open"]


def test_an_archive_in_the_store_is_indexed_read_checked_and_published(seaweed, keys, indexed, tmp_path):
    (era,) = how(indexed.home)["eras"]
    check(vadose.open("days", catalog=str(indexed.catalog)), indexed.truth)
    check(virtual.open_icechunk(str(indexed.home / era["icechunk"])), indexed.truth)
    assert quality.validate(indexed.catalog, "days", level="full", n=6) == []
    from vadose.access.series import build_series

    build_series(indexed.catalog, "days")
    written = quality.publish(indexed.catalog, "days", f"s3://{seaweed.demo}/public")
    assert {a.removeprefix("s3://") for a in written} <= set(seaweed.fs.find(f"{seaweed.demo}/public"))
    # Somebody else, with the keys of users and no copy of the index, opens what was published.
    keys("users")
    there = tmp_path / "there"
    (there / "days").mkdir(parents=True)
    seaweed.fs.get_file(f"{seaweed.demo}/public/days/collection.json", str(there / "days" / "collection.json"))
    (there / "catalog.json").write_text((indexed.catalog / "catalog.json").read_text())
    (public,) = how(there / "days")["eras"]
    assert public["references"].startswith("s3://")
    check(vadose.open("days", catalog=str(there), purpose="map"), indexed.truth)
    check(vadose.open("days", catalog=str(there), purpose="series"), indexed.truth)
    check(virtual.open_icechunk(public["icechunk"]), indexed.truth)
    # Users read the demo bucket and may not write into it.
    with pytest.raises(PermissionError):
        quality.publish(there, "days", f"s3://{seaweed.demo}/mine")


def test_a_file_that_is_replaced_or_removed_in_the_store_is_refused(seaweed, indexed, tmp_path):
    ds = vadose.open("days", catalog=str(indexed.catalog))
    smap_like(tmp_path / "other.h5", 77)
    seaweed.fs.put_file(str(tmp_path / "other.h5"), f"{seaweed.demo}/days/{name_of(1)}")
    seaweed.fs.rm_file(f"{seaweed.demo}/days/{name_of(2)}")
    np.testing.assert_array_equal(ds.soil_moisture[0].values, indexed.truth[0])
    with pytest.raises(SourceChangedError, match="changed since it was indexed"):
        ds.soil_moisture[1].load()
    with pytest.raises(SourceChangedError, match="gone since it was indexed"):
        ds.soil_moisture[2].load()
    found = quality.diff(indexed.catalog, "days")
    assert [h.rsplit("/", 1)[1] for h in found.missing] == [name_of(2)]
    assert [h.rsplit("/", 1)[1] for h in found.resized + found.replaced] == [name_of(1)]


def test_a_key_that_is_wrong_is_told_with_what_to_set(indexed, monkeypatch):
    ds = vadose.open("days", catalog=str(indexed.catalog))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(AccessDeniedError, match="AWS_SECRET_ACCESS_KEY"):
        ds.soil_moisture[0].load()


def test_a_series_of_stores_written_through_s3fs_is_one_cube(seaweed, keys, tmp_path):
    keys("users")  # scratch is theirs
    truth = np.random.default_rng(3).uniform(0.05, 0.5, (6, 8, 9)).astype("f4")
    place = f"s3://{seaweed.scratch}/ana"
    for part in range(2):
        days = np.datetime64("2020-01-01", "ns") + np.arange(3 * part, 3 * part + 3) * np.timedelta64(1, "D")
        ds = xr.Dataset(
            {"sm": (("time", "lat", "lon"), truth[3 * part : 3 * part + 3])},
            {"time": days, "lat": np.arange(8.0), "lon": np.arange(9.0)},
        )
        address = f"{place}/part{part}.zarr"
        ds.to_zarr(address, storage_options=storage_options(address), zarr_format=3, consolidated=False)
    build.add(tmp_path / "catalog", "parts", {"source": f"{place}/*.zarr", "format": "zarr"})
    assert build.build(tmp_path / "catalog", "parts").indexed == 2
    np.testing.assert_array_equal(vadose.open("parts", catalog=str(tmp_path / "catalog")).sm.values, truth)


def test_commits_to_an_icechunk_store_in_the_bucket_are_whole_or_not_there(seaweed, keys):
    """What a commit wrote is read at its snapshot for ever; two sessions from one state cannot both win."""
    import icechunk
    import zarr

    keys("users")
    place = virtual.storage(f"s3://{seaweed.scratch}/ana/versions.icechunk")
    repository = icechunk.Repository.create(place)
    session, rival = repository.writable_session("main"), repository.writable_session("main")
    zarr.create_array(session.store, name="sm", data=np.arange(4.0))
    first = session.commit("four values")
    zarr.create_array(rival.store, name="sm", data=np.zeros(4))
    with pytest.raises(icechunk.ConflictError):
        rival.commit("at the same time")
    session = repository.writable_session("main")
    zarr.open_array(session.store, path="sm")[:] = -1.0
    lost = repository.writable_session("main")
    zarr.open_array(lost.store, path="sm")[:] = 9.0  # never committed
    session.commit("changed")
    again = icechunk.Repository.open(place)
    np.testing.assert_array_equal(zarr.open_array(again.readonly_session(snapshot_id=first).store, path="sm")[:], np.arange(4.0))  # fmt: skip
    np.testing.assert_array_equal(zarr.open_array(again.readonly_session("main").store, path="sm")[:], [-1.0] * 4)
