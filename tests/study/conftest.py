"""A small real study that tests may damage, and the demo study run once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import yaml

STUDIES = Path(__file__).parents[2] / "studies"
FILES = {
    "c3s": "c3s_cci/c3s_combined_v202505/0165.nc",
    "smap": "smap/L3_v9_timeseries/0165.nc",
    "era5land": "era5/era5_land_timeseries/0165.nc",
    "gldas": "gldas/timeseries/0165.nc",
}


@pytest.fixture
def hawaii(shared_data, tmp_path):
    """studies/hawaii.yaml over links to its files in a folder of this test; few bootstrap draws."""
    folder = tmp_path / "study"
    folder.mkdir()
    text = yaml.safe_load((STUDIES / "hawaii.yaml").read_text())
    for name, path in FILES.items():
        shutil.copy(shared_data / path, folder / f"{name}.nc")
        text["sources"][name]["files"] = f"{name}.nc"
    del text["stations"]
    text["bootstrap"] = 20
    text["period"] = [str(p) for p in text["period"]]
    (folder / "study.yaml").write_text(yaml.safe_dump(text, sort_keys=False))
    return folder


@pytest.fixture(scope="session")
def demo_results(tmp_path_factory):
    """The results of studies/demo.yaml on the demo world, as `vadose run` leaves them."""
    from vadose import report, study

    environment = {k: os.environ.pop(k, None) for k in ("VADOSE_CATALOG",)}
    try:
        folder = study.run(STUDIES / "demo.yaml", tmp_path_factory.mktemp("demo") / "results")
    finally:
        os.environ.update({k: v for k, v in environment.items() if v is not None})
    report.write(folder)
    return folder
