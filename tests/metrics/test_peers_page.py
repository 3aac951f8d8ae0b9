"""docs/peers.md says what the scripts say: both numbers of every row, the benches it names, and the table of scaling."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "peers.md").read_text()


def script(name):
    spec = importlib.util.spec_from_file_location(f"peers_page_{name}", ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def table(heading):
    part = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")][2:]
    return [[c.strip() for c in line.strip("|").split("|")] for line in lines]


def test_both_numbers_of_every_row_are_those_of_the_script():
    """Draws are seeded; a digit in the last place is left to the platform."""
    found = script("differences").rows()
    written = {row[0]: (float(row[2]), float(row[3])) for row in table("Other numbers")}
    assert set(written) == set(found)
    for name, numbers in found.items():
        assert written[name] == pytest.approx(numbers, abs=2e-3), name


def test_benches_are_measured_and_flags_differ_at_one_hour():
    kept = {row["id"]: row for row in json.loads((ROOT / "benchmarks" / "results.json").read_text())}
    named = set(re.findall(r"`([a-z0-9-]+)`", " ".join(row[3] for row in table("The same numbers"))))
    assert named
    assert named <= set(kept)
    assert kept["ismn-flags"]["agreement"].startswith("differ: {'D08': 1} ")


def test_growth_is_what_was_measured():
    runs = json.loads((ROOT / "benchmarks" / "scaling.json").read_text())
    written = [[float(c.replace(" ", "")) for c in row] for row in table("How it grows")]
    assert written == [[r["values"], r["workers"], r["seconds"], r["peak_mb"]] for r in runs]
    assert max(r["peak_mb"] for r in runs) < 4000
