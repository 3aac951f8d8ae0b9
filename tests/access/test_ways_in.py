"""What a newcomer meets who has no keys yet, is not where the archive is, or takes what needs no build."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import vadose
from vadose.access import build, datasets, recipe, store, virtual
from vadose.errors import AccessDeniedError, VadoseInputError


@pytest.fixture
def outside(monkeypatch, tmp_path):
    """No token, no keys, no region."""
    for name in (
        "EARTHDATA_TOKEN",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "VADOSE_REGION",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    return tmp_path


def test_a_bucket_that_cannot_be_listed_from_here_says_what_can_be_done(outside, monkeypatch):
    monkeypatch.setenv("EARTHDATA_TOKEN", "t")
    datasets.write(outside, ["smap-l3"])
    with pytest.raises(AccessDeniedError, match=r"listed only from AWS us-west-2.*--source @FILE.*--source FOLDER"):
        build.build(outside, "smap-l3")


def test_inside_the_region_a_missing_token_is_what_the_error_speaks_of(outside, monkeypatch):
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    datasets.write(outside, ["smap-l3"])
    with pytest.raises(
        AccessDeniedError, match=r"SPL3SMP.*no Earthdata token: make one at https://urs\.earthdata\.nasa\.gov"
    ):
        build.build(outside, "smap-l3")


def test_what_needs_no_build_or_cannot_have_one_says_so(outside):
    datasets.write(outside, ["era5", "modis-landcover"])
    with pytest.raises(VadoseInputError, match=r"needs no build: it opens as it is, vadose.open\('era5'"):
        build.build(outside, "era5")
    with pytest.raises(VadoseInputError, match="vadose catalog show modis-landcover"):
        build.build(outside, "modis-landcover")


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("https://data.nsidc.earthdatacloud.nasa.gov/nsidc-cumulus-prod-protected/SMAP/SPL3SMP/009/a.h5", "earthdata"),
        ("s3://nsidc-cumulus-prod-protected/SMAP/SPL3SMP/009/a.h5", "earthdata"),
        ("s3://my-own-bucket/a.h5", "environment"),
    ],
)
def test_a_list_of_the_archives_own_addresses_is_entered_with_its_keys(outside, address, rule):
    datasets.write(outside, ["smap-l3"])
    collection = store.read_collections(outside)["smap-l3"]
    (outside / "list.txt").write_text(address + "\n")
    steps = recipe.pointed(outside / "smap-l3", f"@{outside / 'list.txt'}", collection)
    assert steps["source"].startswith("@")
    assert collection["assets"]["data"]["vadose:open"]["store"]["auth"] == rule


def test_an_open_icechunk_store_is_entered_without_keys(stub, tmp_path, outside, monkeypatch):
    """Keys of the environment were asked for, and where there are none, those of the machine, which a laptop does not have."""
    import icechunk

    place = stub.bucket / "open.icechunk"
    repository = icechunk.Repository.create(icechunk.local_filesystem_storage(str(place)), **virtual._oldest_format())
    session = repository.writable_session("main")
    xr.Dataset({"sm": ("x", np.arange(3.0))}).to_zarr(session.store, consolidated=False)
    session.commit("three numbers")
    entry = {
        "type": "Collection", "id": "open", "description": "", "license": "other", "links": [],
        "extent": {"spatial": {"bbox": [[-180.0, -90.0, 180.0, 90.0]]}, "temporal": {"interval": [["2017-01-01T00:00:00Z", None]]}},
        "assets": {"data": {"href": "s3://arch/open.icechunk", "vadose:open": {"version": 1, "reader": "icechunk", "product": None, "store": {"auth": "anonymous", "region": "us-west-2"}}}},
    }  # fmt: skip
    store.write_collection(tmp_path / "catalog" / "open", entry, [])
    store.write_root(tmp_path / "catalog", ["open"], title="", description="")
    assert vadose.open("open", catalog=str(tmp_path / "catalog")).sm.values.tolist() == [0.0, 1.0, 2.0]
