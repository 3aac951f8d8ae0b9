"""The wheel carries what an installation without the checkout needs."""

from __future__ import annotations

import zipfile
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]


def test_the_wheel_holds_the_hub_s_configuration_and_every_data_file_of_the_package(tmp_path):
    wheel = next(iter(WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])))
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "vadose/hub/files/hub/vadose_hub.py" in names
    assert "vadose/hub/files/gateway/vadose_gateway.py" in names
    beside = {
        p.relative_to(ROOT / "src").as_posix()
        for p in (ROOT / "src" / "vadose").rglob("*")
        if p.is_file() and p.suffix not in (".pyc", ".nbi", ".nbc")
    }
    assert beside <= names, sorted(beside - names)
    assert not [n for n in names if "tests/" in n or "notebooks/" in n]
