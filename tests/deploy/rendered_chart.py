"""The chart as Helm renders it, without a helm program: values, overlays, objects."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "vadose"

#: What an operator writes beside an overlay: nothing here can have a default.
OWN: dict[str, dict[str, Any]] = {
    "minimal": {},
    "aws": {
        "vadose": {
            "login": {
                "kind": "cilogon",
                "host": "hub.university.example",
                "allowedInstitutions": ["https://idp.university.example/idp"],
                "administrators": ["ana@university.example"],
                "groups": {"gpu": ["ben@university.example"]},
            },
            "cloud": {"scratchBucket": "vadose-scratch-1", "dataBucket": "vadose-data-1", "deployment": "vadose"},
            "profiles": {
                "ladder": [
                    {"name": "small-4", "memoryGiB": 7.0, "cpu": 0.95, "cpuLimit": 4, "nodeSelector": {"vadose.org/ladder": "small"}},
                    {"name": "large-1", "memoryGiB": 117.5, "cpu": 15.2, "cpuLimit": 16, "nodeSelector": {"vadose.org/ladder": "large"}},
                ],
                "gpu": {"enabled": True},
            },
        },
        "jupyterhub": {"proxy": {"https": {"secret": {"name": "hub-tls"}}}},
    },
    "everything": {
        "vadose": {
            "login": {"kind": "github", "host": "hub.university.example", "allowedOrganizations": ["soil-lab:hub"]},
            "cloud": {"region": "us-west-2", "scratchBucket": "s", "dataBucket": "d"},
            "homes": {"kind": "efs", "fileSystemId": "fs-0123456789abcdef0", "accessPointId": "fsap-0123456789abcdef0"},
            "catalog": {"replicas": 2, "claim": "our-catalog", "folder": "/srv/catalog"},
            "stream": {"enabled": True, "inputs": ["s3://d/loggers", "s3://d/more"], "designConfigMap": "design"},
            "citizen": {"enabled": True},
            "monitoring": {"enabled": True},
            "backup": {"enabled": True},
            "images": {"registry": "123456789012.dkr.ecr.us-west-2.amazonaws.com/vadose"},
        },
        "jupyterhub": {"singleuser": {"storage": {"type": "static"}}},
    },
}  # fmt: skip
#: Which files a deployment gives to helm, in order.
STACKS = {
    "minimal": ["minimal"],
    "aws": ["aws"],
    "workshop": ["aws", "workshop"],
    "everything": [],
}


def merged(*layers: dict[str, Any] | None) -> dict[str, Any]:
    """Layers of values as Helm lays them: dictionaries join, anything else replaces, null takes away."""
    out: dict[str, Any] = {}
    for layer in layers:
        for key, value in (layer or {}).items():
            if value is None and isinstance(out.get(key), dict):
                out.pop(key)
            elif isinstance(value, dict) and isinstance(out.get(key), dict):
                out[key] = merged(out[key], value)
            else:
                out[key] = copy.deepcopy(value)
    return out


class Chart:
    """helm/vadose, or a copy of it with the charts it depends on."""

    def __init__(self, folder: Path = CHART) -> None:
        self.folder = folder

    def given(self, stack: str, values: dict[str, Any] | None = None) -> dict[str, Any]:
        """What `-f` files amount to."""
        layers = [yaml.safe_load((CHART / "overlays" / f"{name}.yaml").read_text()) for name in STACKS[stack]]
        return merged(OWN["aws"] if stack == "workshop" else {}, *layers, OWN.get(stack, {}), values)

    def values(self, stack: str, values: dict[str, Any] | None = None) -> dict[str, Any]:
        """With the chart's defaults below."""
        return merged(yaml.safe_load((CHART / "values.yaml").read_text()), self.given(stack, values))

    def files(self, given: dict[str, Any], *, name: str = "vadose", namespace: str = "hub") -> dict[str, str]:
        import helm_python as helm

        with helm.Chart.load(str(self.folder)) as chart:
            chart.validate_schema(given)
            return chart.render(given, name=name, namespace=namespace)

    def objects(self, stack: str, values: dict[str, Any] | None = None, **release: str) -> list[dict[str, Any]]:
        files = self.files(self.given(stack, values), **release)
        return [
            o
            for path, text in sorted(files.items())
            if path.endswith((".yaml", ".yml"))
            for o in yaml.safe_load_all(text)
            if o
        ]


@pytest.fixture(scope="session")
def chart() -> Chart:
    pytest.importorskip("helm_python", reason="helm-python-sdk is in the test extra")
    return Chart()


def one(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = [o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name]
    return found
