"""Getting in: keys that end are renewed, the region decides the door, money is spent only with consent."""

from __future__ import annotations

import asyncio
import datetime
import http.server
import json
import multiprocessing
import pickle
import shutil
import threading
from types import SimpleNamespace

import pytest

from vadose.access import quality, remote
from vadose.access.chunkstore import references_at
from vadose.access.credentials import Access, EarthdataKeys, https_address, in_region
from vadose.errors import AccessDeniedError, PlatformError


@pytest.fixture
def archive_door(monkeypatch):
    """An /s3credentials address that wants a Bearer token; `.life` is how long its keys live, `.asked` what was sent."""
    state = SimpleNamespace(life=3600.0, asked=[], status=200)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            state.asked.append(self.headers.get("Authorization"))
            if state.status != 200 or self.headers.get("Authorization") != "Bearer good":
                self.send_response(state.status if state.status != 200 else 401)
                self.end_headers()
                return
            until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=state.life)
            body = {
                "accessKeyId": f"key{len(state.asked)}",
                "secretAccessKey": "s",
                "sessionToken": "t",
                "expiration": until.strftime("%Y-%m-%d %H:%M:%S+00:00"),
            }
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}/s3credentials"
    monkeypatch.setenv("EARTHDATA_TOKEN", "good")
    yield state
    server.shutdown()
    server.server_close()


def test_keys_are_asked_for_once_an_hour_not_once_a_read(archive_door):
    keys = EarthdataKeys(archive_door.url)
    assert {keys()["access_key_id"] for _ in range(5)} == {"key1"}
    assert len(archive_door.asked) == 1


def test_keys_near_their_end_are_renewed(archive_door):
    archive_door.life = 200.0  # less than the margin of five minutes
    keys = EarthdataKeys(archive_door.url)
    assert [keys()["access_key_id"] for _ in range(3)] == ["key1", "key2", "key3"]


def test_a_copy_on_a_worker_fetches_its_own_keys_and_carries_none(archive_door):
    keys = EarthdataKeys(archive_door.url)
    keys()
    body = pickle.dumps(keys)
    assert b"key1" not in body
    assert pickle.loads(body)()["access_key_id"] == "key2"


@pytest.mark.parametrize(("status", "words"), [(401, "make a new one"), (403, "licence is not accepted")])
def test_refused_tokens_say_what_to_do(archive_door, status, words):
    archive_door.status = status
    with pytest.raises(AccessDeniedError, match=words):
        EarthdataKeys(archive_door.url)()


def test_without_a_token_the_way_to_one_is_told(archive_door, monkeypatch, tmp_path):
    monkeypatch.delenv("EARTHDATA_TOKEN")
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(AccessDeniedError, match=r"urs\.earthdata\.nasa\.gov"):
        EarthdataKeys(archive_door.url)()


def test_a_netrc_login_works_where_there_is_no_token(archive_door, monkeypatch, tmp_path):
    monkeypatch.delenv("EARTHDATA_TOKEN")
    (tmp_path / "netrc").write_text("machine urs.earthdata.nasa.gov login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(AccessDeniedError):  # this door wants a token; what matters is what was sent
        EarthdataKeys(archive_door.url)()
    assert archive_door.asked[-1].startswith("Basic ")


def test_obstore_reads_with_earthdata_keys_and_renews_refused_ones(archive_door, stub, monkeypatch):
    (stub.bucket / "x.bin").write_bytes(b"0123456789")
    access = Access(auth="earthdata", region="us-west-2", credentials=archive_door.url)
    assert remote.read("s3://arch/x.bin", 2, 3, access=access) == b"234"
    first = len(archive_door.asked)
    stub.faults(key=f"key{first + 1}")  # the keys in hand are not good any more: only the next ones are
    assert remote.read("s3://arch/x.bin", 0, 2, access=access) == b"01"
    assert len(archive_door.asked) == first + 1


def test_many_reads_that_are_refused_together_ask_for_keys_once(archive_door, stub):
    """The archive hands out keys at a slow pace: sixty-four chunks under way must not ask sixty-four times."""
    (stub.bucket / "x.bin").write_bytes(b"0123456789")
    access = Access(auth="earthdata", region="us-west-2", credentials=archive_door.url)
    remote.read("s3://arch/x.bin", access=access)
    first = len(archive_door.asked)
    stub.faults(key=f"key{first + 1}", latency=0.05)

    async def many():
        return await asyncio.gather(
            *(remote.read_async("s3://arch/x.bin", k % 10, 1, access=access) for k in range(64))
        )

    assert b"".join(remote.run(many()).result()) == (b"0123456789" * 7)[:64]
    assert len(archive_door.asked) == first + 1


def test_a_forked_process_is_told_instead_of_waiting_without_end(stub):
    """Connections do not survive a fork: without the check the child of this test never answers."""
    (stub.bucket / "x.bin").write_bytes(b"0123456789")
    remote.read("s3://arch/x.bin")
    context = multiprocessing.get_context("fork")
    said = context.SimpleQueue()

    def child():
        try:
            said.put(remote.read("s3://arch/x.bin").decode())
        except PlatformError as error:
            said.put(str(error))

    process = context.Process(target=child)
    process.start()
    process.join(30)
    if process.is_alive():
        process.kill()
    assert "spawn" in said.get()


def test_a_worker_on_another_machine_fetches_its_own_copy_of_served_references(bucket, tmp_path, monkeypatch):
    """References of a bucket are copied into a cache folder; a copy that travels must not ask for that folder elsewhere."""
    published = quality.publish(bucket.catalog, bucket.id, str(bucket.stub.root / "arch" / "index"))
    (refs,) = {p.split(".parq/")[0] + ".parq" for p in published if ".parq/" in p}
    monkeypatch.setenv("VADOSE_CACHE_DIR", str(tmp_path / "here"))
    there = references_at(refs.replace(str(bucket.stub.root), "s3:/"))
    body = pickle.dumps(there)
    shutil.rmtree(tmp_path / "here")
    monkeypatch.setenv("VADOSE_CACHE_DIR", str(tmp_path / "elsewhere"))
    again = pickle.loads(body)
    assert again.folder.startswith(str(tmp_path / "elsewhere"))
    assert again.chunk("soil_moisture", (3, 0, 0)) == there_chunk(bucket)


def there_chunk(bucket):
    """The same chunk by the references where they were built."""
    (refs,) = (bucket.catalog / bucket.id / "refs").glob("*.parq")
    return references_at(str(refs)).chunk("soil_moisture", (3, 0, 0))


def test_outside_the_region_https_is_the_door(monkeypatch):
    monkeypatch.setenv("VADOSE_REGION", "eu-central-1")
    access = Access(
        auth="earthdata", region="us-west-2", credentials="x", https="https://archive.example/{bucket}/{key}"
    )
    assert remote.reachable("s3://prot/SMAP/a.h5", access) == "https://archive.example/prot/SMAP/a.h5"
    monkeypatch.setenv("VADOSE_REGION", "us-west-2")
    assert remote.reachable("s3://prot/SMAP/a.h5", access) == "s3://prot/SMAP/a.h5"


def test_outside_the_region_without_another_door_it_is_refused_before_any_request(monkeypatch):
    monkeypatch.setenv("VADOSE_REGION", "eu-central-1")
    with pytest.raises(AccessDeniedError, match="only from AWS us-west-2"):
        remote.reachable("s3://prot/a.h5", Access(auth="earthdata", region="us-west-2", credentials="x"))


def test_the_region_is_what_the_environment_says(monkeypatch):
    for name in ("VADOSE_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    assert not in_region("us-west-2")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert in_region("us-west-2")
    assert in_region(None)


def test_paying_needs_consent(monkeypatch):
    monkeypatch.delenv("VADOSE_REQUESTER_PAYS", raising=False)
    how = {"store": {"auth": "environment", "requester_pays": True}}
    with pytest.raises(AccessDeniedError, match="billed to you"):
        Access.of(how).check("s3://paid/x")
    Access.of(how, consent=True).check("s3://paid/x")
    monkeypatch.setenv("VADOSE_REQUESTER_PAYS", "yes")
    Access.of(how).check("s3://paid/x")


def test_an_archive_with_its_own_login_says_so():
    with pytest.raises(AccessDeniedError, match="build COLLECTION --source FOLDER"):
        Access(auth="login").check("https://archive")


def test_https_templates_of_the_table_are_filled():
    from vadose.access import datasets

    for scheme in datasets.table()["schemes"].values():
        if scheme["auth"] == "earthdata":
            out = https_address("s3://bucket/a/b.h5", scheme["https"])
            assert out.startswith("https://")
            assert out.endswith("a/b.h5")


def test_secrets_do_not_show_in_what_is_printed(archive_door):
    keys = EarthdataKeys(archive_door.url)
    keys()
    assert "key1" not in repr(keys)
    assert "good" not in repr(Access(auth="earthdata", credentials=archive_door.url))


def test_settings_and_keys_reach_dask_workers(monkeypatch):
    from vadose.access.cluster import worker_environment

    env = {
        "VADOSE_CATALOG": "x",
        "EARTHDATA_TOKEN": "t",
        "AWS_ENDPOINT_URL": "u",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "f",
        "HOME": "/h",
    }
    assert set(worker_environment(env)) == {"VADOSE_CATALOG", "EARTHDATA_TOKEN", "AWS_ENDPOINT_URL"}
