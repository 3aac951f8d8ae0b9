"""A map on a cluster of two workers with two threads each, from an object store into it: killed, resumed, equal to the one made here."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from vadose import learn
from vadose.learn import splits

TILE = {"time": 1, "lat": 20, "lon": 20}
PARTS = ("mean",)  # of all numbers a tile would be fifty requests


def field(side=40, days=2):
    """Three predictors on a grid, the last of each day, with a corner where nothing is known."""
    rng = np.random.default_rng(0)
    place = {"lat": np.linspace(44, 40, side), "lon": np.linspace(-100, -96, side)}
    out = xr.Dataset(
        coords={"time": np.datetime64("2020-06-01", "ns") + np.arange(days) * np.timedelta64(1, "D"), **place}
    )
    for name, dims in (("a", ("lat", "lon")), ("b", ("lat", "lon")), ("c", ("time", "lat", "lon"))):
        shape = [out.sizes[d] for d in dims]
        out[name] = (dims, rng.uniform(size=shape).astype("float32"), {"units": "1"})
    return out.where((out.lat < 43) | (out.lon > -99)).transpose("time", "lat", "lon", missing_dims="ignore")


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(1)
    x = rng.uniform(size=(300, 3)).astype("float32")
    data = {n: ("sample", x[:, j], {"units": "1"}) for j, n in enumerate("abc")}
    y = 0.2 + 0.1 * x[:, 0] + 0.05 * x[:, 2] + rng.normal(0, 0.01, 300)
    place = {n: ("sample", rng.uniform(0, 9, 300)) for n in ("lat", "lon")}
    table = xr.Dataset({**data, "soil_moisture": ("sample", y, {"units": "m3 m-3"})}, coords=place)
    return learn.fit(table, estimator=learn.Oblivious(rounds=20, depth=3), folds=splits.random_folds(300, k=3))


@pytest.fixture(scope="module")
def bucket(object_store, tmp_path_factory):
    """A bucket of the hub's object store, and its owner's keys in the environment, where workers find them too."""
    import s3fs

    from vadose.hub import services

    with object_store(tmp_path_factory.mktemp("hub")) as (service, here), pytest.MonkeyPatch.context() as patch:
        owner = services.s3_identities(here)["owner"]
        for name, value in {
            "AWS_ENDPOINT_URL": service.health.rstrip("/"), "AWS_ACCESS_KEY_ID": owner["key"],
            "AWS_SECRET_ACCESS_KEY": owner["secret"], "AWS_REGION": "us-east-1",
        }.items():  # fmt: skip
            patch.setenv(name, value)
        s3fs.S3FileSystem(skip_instance_cache=True).mkdir("maps")
        yield "s3://maps"


@pytest.fixture(scope="module")
def workers(bucket):
    """Two workers of two threads; in this process, to which they speak over TCP, since starting others takes longer than the maps."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, processes=False, protocol="tcp", dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.mark.parametrize("chunks", [None, {}])
def test_a_killed_map_goes_on_and_equals_the_one_made_here(model, bucket, workers, chunks):
    word = "whole" if chunks is None else "chunked"
    data, source, store = field(), f"{bucket}/predictors-{word}.zarr", f"{bucket}/map-{word}.zarr"
    data.chunk(time=1, lat=20, lon=20).to_zarr(source, consolidated=False)
    lazy = xr.open_zarr(source, chunks=chunks, consolidated=False)

    class Killed(Exception):
        pass

    def die(done, count):
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        learn.write_map(model, lazy, store, tile=TILE, parts=PARTS, report=die, at_once=2)
    heard = []
    learn.write_map(model, lazy, store, tile=TILE, parts=PARTS, report=lambda *now: heard.append(now))
    assert heard[0] == (2, 8)
    assert heard[-1] == (8, 8)
    got = xr.open_zarr(store, chunks=None, consolidated=False, mask_and_scale=False)
    want = learn.predict_map(model, data, parts=PARTS)
    for name in want.data_vars:
        np.testing.assert_array_equal(got[name].values, want[name].values)
