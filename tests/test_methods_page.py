"""The methods page tells the truth: its functions import, its notebooks are there, its checks are tests."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "methods.md"


def rows():
    for line in PAGE.read_text().splitlines():
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if line.startswith("| M-") and len(cells) == 7:
            yield cells


def names_of_tests():
    text = "\n".join(p.read_text() for p in (ROOT / "tests").rglob("test_*.py"))
    return set(re.findall(r"def (test_c_\w+)", text))


@pytest.mark.parametrize("cells", list(rows()), ids=lambda c: c[0])
def test_row_is_true(cells):
    _, question, functions, notebook, checks, _, _ = cells
    assert question.endswith("?")
    for name in re.findall(r"`(vadose[\w.]+)`", functions):
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name
    for target in re.findall(r"\((\.\./[^)]+)\)", notebook):
        assert (PAGE.parent / target).resolve().exists(), target
    tests = names_of_tests()
    for stem, first, last in re.findall(r"([A-Z][\d.]*)\.(\d+)(?:-(\d+))?", checks):
        for number in range(int(first), int(last or first) + 1):
            start = f"test_c_{stem.lower().replace('.', '_')}_{number}_"
            assert any(t.startswith(start) for t in tests), start
