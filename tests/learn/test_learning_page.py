"""docs/learning.md says what was measured: the ratios of results.json, functions that exist."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "learning.md").read_text()
BENCHES = ("map-mean", "map-quantiles", "map-overhead", "lstm-step", "ensemble-update")


def test_speeds_are_those_of_results_json():
    kept = {r["id"]: r for r in json.loads((ROOT / "benchmarks" / "results.json").read_text())}
    part = PAGE.split("## How fast\n")[1].split("\n## ")[0]
    rows = {m[1]: m[0] for m in re.findall(r"(\| `([a-z-]+)` .*)", part)}
    measured = set(BENCHES) & set(kept)
    assert set(rows) == measured
    for name in set(BENCHES) - measured:
        assert f"`{name}`" in part.split("Not measured")[1]
    for name, row in rows.items():
        cells = [c.strip() for c in row.strip("|").split("|")]
        ours, theirs, ratio = (float(c) for c in cells[3:6])
        found = kept[name]
        assert (ours, theirs, ratio) == pytest.approx((found["ours_s"], found["peer_s"], found["ratio"])), name


def test_scores_on_real_data_are_those_of_real_sites_json():
    """The table of the page is the file's, line by line, and the file holds all that the page asks."""
    where = ROOT / "benchmarks" / "real_sites.py"
    spec = importlib.util.spec_from_file_location("real_sites", where)
    real_sites = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(real_sites)
    rows = json.loads(real_sites.RESULTS.read_text())["rows"]
    part = PAGE.split("## On real data\n")[1].split("\n## ")[0]
    assert [line for line in part.splitlines() if line.startswith("|")] == real_sites.table(rows).splitlines()
    assert {r["data"].split()[0].strip(",") for r in rows} == {"USCRN", "CAMELS", "Bondville"}
    unseen = [r for r in rows if r["left_out"].startswith(("stations", "the basin", "regions"))]
    assert len(unseen) >= 5
    for row in rows:
        digits = {m: v for m, v in row["models"].items() if isinstance(v, float)}
        assert digits == row["models"]
        assert set(digits) <= set(real_sites.MODELS)


def test_functions_on_the_page_exist():
    import importlib

    for name in set(re.findall(r"`((?:learn|assimilate)\.[a-z_.A-Z]+)", PAGE)):
        found = importlib.import_module("vadose")
        for step in name.split("."):
            if not hasattr(found, step):
                found = importlib.import_module(f"{found.__name__}.{step}")
            else:
                found = getattr(found, step)
