"""Logger files below an S3 prefix, in SeaweedFS: watched, landed, committed; a second look does nothing, a new or corrected file what it should."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from vadose import stream
from vadose.cli.stream import command

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def bucket(object_store, tmp_path, monkeypatch):
    """An empty bucket of a store with its owner's keys in the environment: (file system, name)."""
    import s3fs

    from vadose.hub import services

    with object_store(tmp_path / "hub") as (service, here):
        keys = services.s3_identities(here)["owner"]
        said = {
            "AWS_ENDPOINT_URL": service.health.rstrip("/"),
            "AWS_ACCESS_KEY_ID": keys["key"],
            "AWS_SECRET_ACCESS_KEY": keys["secret"],
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        for name, value in said.items():
            monkeypatch.setenv(name, value)
        # The logger side is a client of its own: what it puts there the stream must find by looking.
        loggers = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
        loggers.mkdir("field")
        yield loggers, "field"


def test_a_prefix_of_a_real_store_is_watched(bucket, network, tmp_path, table_bytes):
    loggers, name = bucket
    folder_root, raw, _ = network(days=40, observations=2 * 18 * 96 * 40)
    files = sorted(raw.glob("*.dat"))
    assert len(files) == 4, "two tables, two months"
    for path in files[:3]:
        loggers.put_file(str(path), f"{name}/loggers/2023/{path.name}")
    loggers.pipe_file(f"{name}/loggers/readme.md", b"not a logger file")
    loggers.put_file(str(files[3]), f"{name}/elsewhere/{files[3].name}")

    root = stream.init(
        tmp_path / "store-root", inputs=[f"s3://{name}/loggers"], design=raw.parent / "metadata", workers=0
    )
    watch = lambda: CliRunner().invoke(command, ["watch", str(root), "--rounds", "1"])  # noqa: E731
    done = watch()
    assert done.exit_code == 0, done.output
    assert "3 new files" in done.output
    before = table_bytes(root)
    version = stream.Table(root).version()

    assert stream.run(root).landed == 0
    assert stream.Table(root).version() == version, "nothing new, nothing committed"

    # In the same process, as a watch goes on for months: a new file is seen though the prefix was listed before.
    loggers.put_file(str(files[3]), f"{name}/loggers/2023/{files[3].name}")
    report = stream.run(root)
    assert (report.landed, report.files) == (1, 1)
    stream.run(folder_root)
    assert table_bytes(root) == table_bytes(folder_root), "a prefix gives the table that a folder gives"
    assert {key for key, body in table_bytes(root).items() if before.get(key) != body} <= {
        key for key in table_bytes(root) if "TerosTableB" in key[0]
    }, "only the stream of the new file was written"

    # The same name with other bytes is another file: a value that was corrected by hand wins where the revision says so.
    lines = files[0].read_bytes().split(b"\r\n")
    cells = lines[10].split(b",")
    cells[5] = b"2600"
    lines[10] = b",".join(cells)
    loggers.pipe_file(f"{name}/loggers/2023/{files[0].stem}_r1.dat", b"\r\n".join(lines))
    report = stream.run(root)
    assert (report.landed, report.files) == (1, 1)
    raw_value = stream.Table(root).read(columns=["raw"]).column("raw").to_pylist()
    assert raw_value.count(2600.0) == 1
