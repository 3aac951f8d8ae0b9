"""Inputs that are not there, or not now: named, passed over, and taken up once they are."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time as clock
from pathlib import Path

import pytest
from click.testing import CliRunner

from vadose import stream
from vadose.cli.stream import LONGEST_PAUSE, command
from vadose.errors import UnreadableFileError, VadoseInputError
from vadose.stream import landing, latency

STUB = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import s3stub

async def main():
    state = s3stub.State(Path(sys.argv[2]))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: s3stub.Handler(state), "127.0.0.1", int(sys.argv[3]), reuse_port=True)
    async with server:
        await server.serve_forever()

asyncio.run(main())
"""


class Store:
    """An S3 server of a folder that can be stopped and started again at one address."""

    def __init__(self, folder: Path):
        self.folder = folder
        # Held and never listened on: while the server is away nobody else gets its port, and who asks there is refused.
        self.held = socket.socket()
        self.held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.held.bind(("127.0.0.1", 0))
        self.port = self.held.getsockname()[1]
        self.process = None

    def start(self):
        code = Path(__file__).parents[1] / "access"
        self.process = subprocess.Popen([sys.executable, "-c", STUB, str(code), str(self.folder), str(self.port)])
        until = clock.monotonic() + 60
        while clock.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            clock.sleep(0.1)
        raise AssertionError("the server did not start")

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def store(tmp_path, monkeypatch):
    made = Store(tmp_path / "objects")
    said = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{made.port}",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    yield made
    made.stop()
    made.held.close()


def watch(monkeypatch, root, rounds, between):
    """`watch --every 100` with something done in its pauses; gives what it said, how long the pauses were and its exit code."""
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        between.get(len(pauses), lambda: None)()

    monkeypatch.setattr("vadose.cli.stream.sleep", sleep)
    done = CliRunner().invoke(command, ["watch", str(root), "--every", "100", "--rounds", str(rounds)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done.output, pauses, done.exit_code


def test_a_watch_outlives_its_store(store, network, monkeypatch, tmp_path):
    _, raw, _ = network(days=40, observations=18 * 96 * 40)
    files = sorted(raw.glob("*.dat"))
    prefix = store.folder / "field" / "loggers"
    prefix.mkdir(parents=True)
    shutil.copy(files[0], prefix)
    root = stream.init(tmp_path / "far", inputs=["s3://field/loggers"], design=raw.parent / "metadata", workers=0)

    def back():
        shutil.copy(files[1], prefix)
        store.start()

    store.start()
    said, pauses, code = watch(monkeypatch, root, 6, {1: store.stop, 4: back})
    assert pauses == [100, 100, 200, 400, 100], "as ever, then longer and longer, then as ever"
    assert said.count("s3://field/loggers: it does not answer") == 3
    assert "next look in 400 s" in said
    assert "s3://field/loggers: it is there again" in said
    assert said.count("1 new files") == 2
    assert code == 0
    assert not latency.Ledger(root).missing


def test_a_folder_that_is_not_there_yet_is_named_and_taken_up_later(network, monkeypatch, tmp_path):
    _, raw, _ = network(days=10, observations=18 * 96 * 10)
    late = tmp_path / "not yet"
    root = stream.init(tmp_path / "other", inputs=[raw, late], design=raw.parent / "metadata", workers=0)
    done = CliRunner().invoke(command, ["run", str(root)])
    assert done.exit_code == 1, "a run for which an input is missing is not well"
    assert "1 new files" in done.output, "what is there is taken in all the same"
    assert f"{late}: no such folder" in done.output
    assert str(late) in latency.page(root).read_text()
    assert str(late) in CliRunner().invoke(command, ["status", str(root)]).output

    said, pauses, code = watch(monkeypatch, root, 3, {1: late.mkdir})
    assert pauses == [100, 100], "the other folder is looked at as often as before"
    assert said.count("no such folder") == 1
    assert said.count("no logger file there") == 2
    assert code == 1


def test_a_watch_waits_while_a_design_table_is_wrong(network, monkeypatch):
    root, raw, _ = network(days=10, observations=18 * 96 * 10)
    table = raw.parent / "metadata" / "design_table.csv"
    good = table.read_text()
    table.write_text(good.replace("Logger,", "Loger,", 1))
    said, pauses, code = watch(monkeypatch, root, 4, {2: lambda: table.write_text(good)})
    assert said.count("columns ['Logger'] are missing") == 2
    assert pauses == [100, 200, 100]
    assert "1 new files" in said
    assert code == 0


def test_pauses_do_not_grow_for_ever(network, monkeypatch, tmp_path):
    _, raw, _ = network(days=10, observations=18 * 96 * 10)
    root = stream.init(tmp_path / "other", inputs=[tmp_path / "no"], design=raw.parent / "metadata", workers=0)
    _, pauses, code = watch(monkeypatch, root, 8, {})
    assert pauses == [100, 200, 400, 800, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]
    assert code == 1


def test_what_is_no_stream_cannot_be_watched(tmp_path):
    done = CliRunner().invoke(command, ["watch", str(tmp_path)])
    assert isinstance(done.exception, VadoseInputError)


def test_a_store_that_goes_away_between_two_files_keeps_what_came(network, monkeypatch):
    root, raw, _ = network(days=70, observations=2 * 18 * 96 * 70)
    names = sorted(path.name for path in raw.glob("*.dat"))
    real = landing._chunks

    def chunks(address, open_file):
        if Path(address).name == names[2]:
            raise landing.UnreadableFileError(f"{address}: Input/output error")
        return real(address, open_file)

    monkeypatch.setattr(landing, "_chunks", chunks)
    report = stream.run(root)
    assert report.files == len(names) - 1
    assert "Input/output error" in next(iter(report.missing.values()))
    monkeypatch.setattr(landing, "_chunks", real)
    report = stream.run(root)
    assert (report.files, report.missing) == (1, {})


def test_a_folder_that_is_no_stream_and_one_whose_settings_are_damaged_are_told(tmp_path):
    with pytest.raises(VadoseInputError, match="--design TABLES"):
        latency.status(tmp_path)
    (tmp_path / "stream.json").write_text("{")
    with pytest.raises(UnreadableFileError, match="vadose stream init"):
        stream.run(tmp_path)
