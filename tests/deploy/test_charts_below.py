"""What our values pass to the two charts below is what those charts take, by what was read from their schemas and written down.

charts_below.json holds, for each key that we pass, the types that the chart's own schema allows, or where the chart takes anything. With the
charts at hand (VADOSE_CHARTS: a folder with jupyterhub/ and dask-gateway/) the record itself is held against them;
`VADOSE_CHARTS=folder python tests/deploy/test_charts_below.py` writes it again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from rendered_chart import CHART, OWN, ROOT

from vadose.hub import workshop

RECORD = Path(__file__).with_name("charts_below.json")
BELOW = ("jupyterhub", "dask-gateway")
#: Ours, in this chart's schema: whether the chart below is there at all.
SWITCH = ("enabled",)
TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}

pytestmark = pytest.mark.deploy


def passed() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(where it is said, chart below, values): defaults, overlays, the class's plan, the docs' own hub.yaml."""
    files = {
        str(p.relative_to(ROOT)): yaml.safe_load(p.read_text())
        for p in [CHART / "values.yaml", *CHART.glob("overlays/*.yaml")]
    }
    files["vadose workshop plan"] = workshop.chart_values(workshop.plan(70, 6))
    docs = (ROOT / "docs/operate/first-deploy.md").read_text()
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", docs, re.S)):
        files[f"docs/operate/first-deploy.md, block {number}"] = yaml.safe_load(block)
    for stack, values in OWN.items():
        files[f"the tests' own values, {stack}"] = values
    for where, values in files.items():
        for chart in BELOW:
            yield where, chart, values.get(chart) or {}


def leaves(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each key that holds something else than more keys. An empty mapping is one, and null takes a key away: it is none."""
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from leaves(value, (*path, key))
    elif node is not None and path:
        yield path, node


def allowed_by(schema: dict[str, Any], path: tuple[str, ...]) -> tuple[str, list[str]] | None:
    """(key, types) as the schema has them; where the chart takes anything, the key above and no types; None for a key it refuses."""
    node = schema
    for depth, part in enumerate(path):
        if part in node.get("properties", {}):
            node = node["properties"][part]
        elif named := [one for pattern, one in node.get("patternProperties", {}).items() if re.search(pattern, part)]:
            node = named[0]
        elif node.get("additionalProperties", True) is False:
            return None
        else:
            return ".".join(path[:depth]), []
    said = node.get("type", [])
    if not said and "enum" in node:
        said = sorted({TYPES[type(v)] for v in node["enum"] if v is not None})
    return ".".join(path), [said] if isinstance(said, str) else said


def read(folder: Path) -> dict[str, Any]:
    """The record as the charts in `folder` have it."""
    versions = {d["name"]: d["version"] for d in yaml.safe_load((CHART / "Chart.yaml").read_text())["dependencies"]}
    out: dict[str, Any] = {chart: {"version": versions[chart], "keys": {}} for chart in BELOW}
    for where, chart, values in passed():
        schema = json.loads((folder / chart / "values.schema.json").read_text())
        for path, _ in leaves(values):
            if path == SWITCH:
                continue
            found = allowed_by(schema, path)
            assert found, f"{where}: {chart} {versions[chart]} refuses {'.'.join(path)}"
            out[chart]["keys"][found[0]] = found[1]
    for chart in BELOW:
        out[chart]["keys"] = dict(sorted(out[chart]["keys"].items()))
    return out


def fits(value: Any, types: list[str]) -> bool:
    kind = TYPES[type(value)]
    return not types or kind in types or (kind == "integer" and "number" in types)


def test_every_key_that_we_pass_is_one_that_the_chart_below_takes():
    record = json.loads(RECORD.read_text())
    wrong = []
    used: dict[str, set[str]] = {chart: set() for chart in BELOW}
    for where, chart, values in passed():
        keys = record[chart]["keys"]
        for path, value in leaves(values):
            if path == SWITCH:
                continue
            names = [".".join(path[:n]) for n in range(len(path) + 1)]
            whole, above = names[-1], [n for n in names[:-1] if keys.get(n) == []]
            if whole in keys:
                used[chart].add(whole)
                if not fits(value, keys[whole]):
                    wrong.append(f"{where}: {chart}.{whole} is {value!r}, not {' or '.join(keys[whole])}")
            elif above:
                used[chart].add(above[-1])
            else:
                wrong.append(f"{where}: {chart}.{whole} is not in {RECORD.name}")
    assert not wrong
    assert used == {chart: set(record[chart]["keys"]) for chart in BELOW}, "the record holds what nobody passes"


def test_the_record_is_of_the_versions_that_the_chart_asks_for():
    asked = {d["name"]: d["version"] for d in yaml.safe_load((CHART / "Chart.yaml").read_text())["dependencies"]}
    assert {name: said["version"] for name, said in json.loads(RECORD.read_text()).items()} == asked


def test_the_record_is_what_the_charts_say():
    folder = os.environ.get("VADOSE_CHARTS")
    if not folder:
        pytest.skip("cannot run here: name a folder with the charts jupyterhub and dask-gateway in VADOSE_CHARTS")
    assert json.loads(RECORD.read_text()) == read(Path(folder))


if __name__ == "__main__":
    RECORD.write_text(json.dumps(read(Path(os.environ["VADOSE_CHARTS"])), indent=1) + "\n")
