"""The notebook that compares eight models, run as a user of a hub runs it: on the workers of a Gateway cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = [pytest.mark.hub, pytest.mark.timeout(900)]

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "50-benchmark" / "which-model-holds-water.py"

#: Every code cell of the notebook in its order; `connect` is the notebook's own, watched for what its workers did. Then the same
#: recipe without a cluster: the scores must be the same numbers.
CELLS = """
import dataclasses, json, sys
import jupytext, matplotlib, pandas as pd
matplotlib.use("agg")
from vadose.access import cluster
from vadose.benchmark import recipe, run

seen = {{}}
start = cluster.connect

def watched(workers):
    out = start(workers)
    out.client.get_task_stream(count=0)
    close = out.close

    def ends():
        done = [t for t in out.client.get_task_stream() if t["key"].startswith("_alone")]
        seen.update(
            kind=out.kind, workers=sorted(out.client.scheduler_info()["workers"]), tasks=len(done),
            by=sorted({{t["worker"] for t in done}}), states=sorted({{t["status"] for t in done}}),
        )
        close()

    out.close = ends
    return out

cluster.connect = watched
names = {{}}
for cell in jupytext.read({notebook!r}).cells:
    if cell.cell_type == "code":
        exec(cell.source, names)
folder = names["folder"]
here = run(dataclasses.replace(recipe.read(folder / "recipe.yaml"), draws=0), folder / "here")
key = ["page", "reference", "model", "region", "kind", "statistic"]
there, alone = (
    pd.read_parquet(o / "tables" / "scores.parquet").set_index(key).sort_index()[["value", "n"]] for o in (names["out"], here)
)
seen.update(
    rows=len(there), failures=json.loads((names["out"] / "failures.json").read_text()),
    same=bool(there.index.equals(alone.index)) and bool(((there - alone).abs().max() == 0).all()), page=names["page"].stat().st_size,
    left=cluster.clusters(),
)
print("SEEN", json.dumps(seen))
"""


def test_eight_models_are_compared_on_the_workers_of_a_gateway_cluster_and_score_as_here(hub):
    out = hub.run_as("ana", CELLS.format(notebook=str(NOTEBOOK)), timeout=600).stdout
    seen = json.loads(out.split("SEEN ")[1])
    assert "gateway cluster" in out, "the notebook says where it computes"
    assert seen["kind"] == "gateway"
    assert seen["tasks"] == 24, "eight models on three pages"
    assert len(seen["workers"]) == 2
    assert seen["by"] == seen["workers"], "both workers took part"
    assert seen["failures"] == []
    assert seen["rows"] > 1000
    assert seen["same"], "a number differs from that of the run without a cluster"
    assert seen["page"] > 100_000
    assert seen["left"] == [], "the notebook leaves no cluster behind"
