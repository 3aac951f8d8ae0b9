"""Small SMAP-like archives, a catalog beside them, and an S3-like server that can go wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
from smap_archive import STEPS, name_of, smap_like


@pytest.fixture
def archive(tmp_path):
    """Twelve days of files, their true values, and a catalog that describes them (not yet built)."""
    from vadose.access import build

    root = tmp_path / "files"
    truth = {day: smap_like(root / name_of(day), day) for day in range(12)}
    build.add(tmp_path / "catalog", "days", {"source": str(root / "*.h5"), **STEPS})
    return SimpleNamespace(root=root, truth=truth, catalog=tmp_path / "catalog", id="days")


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """The server of `s3stub.py` over an empty folder: `.bucket`, `.faults(...)`, `.log()`, `.url`."""
    root = tmp_path / "s3"
    (root / "arch").mkdir(parents=True)
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("s3stub.py")), str(root)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    url = f"http://127.0.0.1:{int(process.stdout.readline())}"
    for key, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-west-2",
    }.items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("VADOSE_CACHE_GB", raising=False)

    def faults(**what):
        urllib.request.urlopen(
            urllib.request.Request(f"{url}/_faults", data=json.dumps(what).encode(), method="POST")
        ).read()

    def log():
        return json.loads(urllib.request.urlopen(f"{url}/_log").read())

    yield SimpleNamespace(root=root, bucket=root / "arch", url=url, faults=faults, log=log)
    process.kill()
    process.wait()


@pytest.fixture
def bucket(stub, tmp_path):
    """The archive in the bucket, indexed: `s3://arch/days/*.h5`."""
    from vadose.access import build

    truth = {day: smap_like(stub.bucket / "days" / name_of(day), day) for day in range(12)}
    for path in (stub.bucket / "days").iterdir():
        os.utime(path, (1_500_000_000, 1_500_000_000))
    build.add(tmp_path / "catalog", "days", {"source": "s3://arch/days/*.h5", **STEPS})
    outcome = build.build(tmp_path / "catalog", "days")
    assert outcome.indexed == 12
    return SimpleNamespace(root=stub.bucket / "days", truth=truth, catalog=tmp_path / "catalog", id="days", stub=stub)
