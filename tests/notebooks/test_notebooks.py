"""Every curated notebook runs from its source, and the committed .ipynb holds the same cells."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
spec = importlib.util.spec_from_file_location("render", NOTEBOOKS / "render.py")
render = importlib.util.module_from_spec(spec)
spec.loader.exec_module(render)
SOURCES = render.sources()


def cells(notebook):
    return [(c.cell_type, c.source.strip()) for c in notebook.cells]


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_executed_notebook_equals_its_source(source):
    import jupytext
    import nbformat

    executed = source.with_suffix(".ipynb")
    assert executed.exists(), f"run `make notebooks ONLY={source.relative_to(NOTEBOOKS.parent)}` and commit the result"
    committed = nbformat.read(executed, as_version=4)
    assert cells(jupytext.read(source)) == cells(committed)
    assert all(c.execution_count for c in committed.cells if c.cell_type == "code" and c.source.strip())
    errors = [o for c in committed.cells if c.cell_type == "code" for o in c.outputs if o.output_type == "error"]
    assert not errors


@pytest.mark.notebook
@pytest.mark.parametrize("source", SOURCES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_notebook_runs(source):
    render.execute(source)
