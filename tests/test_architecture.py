"""Layers point one way: imports are parsed, and an upward, sideways or circular arrow fails with its name."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "vadose"

#: Each line may import from the lines above it. A package on the same line is a neighbor, not a supplier.
LAYERS = [
    {"typing", "errors", "constants"},
    {"vocabulary", "units", "cf", "ease", "grid"},
    {"physics", "metrics"},
    {"world"},
    {"harmonize", "qc", "diagnostics"},
    {"merge"},
    {"learn", "assimilate"},
    {"access"},
    {"products"},
    {"stream", "archive"},
    {"study", "benchmark"},
    {"report"},
    {"hub", "config", "doctor"},
    {"cli"},
]

#: Arrows between neighbors or downward that are wanted, each with its reason.
ARROWS = {
    ("units", "vocabulary"): "units of a named variable",
    ("cf", "vocabulary"): "attributes of a named variable",
    ("grid", "ease"): "EASE-Grid 2.0 is one of the grids",
    ("diagnostics", "harmonize"): "anomalies and percentiles are the diagnostics' input",
    ("qc", "harmonize"): "checks on climatologies",
    ("hub", "config"): "settings are read once and passed down",
    ("hub", "doctor"): "the hub asks how it is",
    ("doctor", "config"): "findings name the settings",
    ("benchmark", "study"): "recipes are read by the loader that knows the lines",
    ("assimilate", "learn"): "a learned surface map is the observation of the filter",
}

#: Modules that may not load when a newcomer types `import vadose`.
HEAVY = {
    "numpy",
    "pandas",
    "xarray",
    "dask",
    "distributed",
    "torch",
    "sklearn",
    "zarr",
    "matplotlib",
    "numba",
    "pint",
    "jupyterhub",
}

#: Outer layers only: the science has no files, no network, no clock, no processes.
SIDE_EFFECTS = {
    "requests",
    "urllib",
    "http",
    "socket",
    "subprocess",
    "fsspec",
    "s3fs",
    "obstore",
    "boto3",
    "aiohttp",
    "httpx",
}
SCIENCE = {
    "typing",
    "errors",
    "constants",
    "vocabulary",
    "units",
    "cf",
    "grid",
    "physics",
    "metrics",
    "harmonize",
    "qc",
    "diagnostics",
    "merge",
}


def package_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return parts[0]


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports at any depth, type-checking blocks left out."""
    tree = ast.parse(path.read_text())
    skip = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in skip:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module)
            if node.module == "vadose":
                found |= {f"vadose.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise AssertionError(f"{path}: relative import; write the full name so that arrows can be read")
    return found


FILES = sorted(p for p in SOURCE.rglob("*.py") if p not in (SOURCE / "__init__.py", SOURCE / "__main__.py"))


def arrows() -> set[tuple[str, str]]:
    found = set()
    for path in FILES:
        for name in imports(path):
            parts = name.split(".")
            if (
                parts[0] == "vadose"
                and len(parts) > 1
                and parts[1] != package_of(path)
                and not parts[1].startswith("_")
            ):
                found.add((package_of(path), parts[1]))
    return found


def test_every_package_has_a_layer():
    known = set().union(*LAYERS)
    present = {package_of(p) for p in FILES}
    assert present <= known, f"give {present - known} a place in LAYERS"


def test_imports_point_one_way():
    height = {name: i for i, layer in enumerate(LAYERS) for name in layer}
    wrong = sorted(
        f"{a} -> {b}" for a, b in arrows() if b in height and height[b] >= height[a] and (a, b) not in ARROWS
    )
    assert not wrong, f"arrows against the layers: {wrong}"


def test_listed_arrows_make_no_circle():
    graph: dict[str, set[str]] = {}
    for a, b in arrows():
        graph.setdefault(a, set()).add(b)

    def visit(node: str, trail: tuple[str, ...]) -> None:
        assert node not in trail, f"circle: {' -> '.join((*trail, node))}"
        for after in graph.get(node, ()):
            visit(after, (*trail, node))

    for start in list(graph):
        visit(start, ())


def test_science_has_no_side_effects():
    wrong = [
        f"{path.relative_to(SOURCE)} imports {name}"
        for path in FILES
        if package_of(path) in SCIENCE
        for name in imports(path)
        if name.split(".")[0] in SIDE_EFFECTS
    ]
    assert not wrong, wrong


@pytest.mark.parametrize("name", ["vadose", "vadose.cli"])
def test_import_is_light(name):
    code = f"import sys, {name}; print(' '.join(sorted({{m.split('.')[0] for m in sys.modules}})))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    )
    assert not loaded & HEAVY, f"import {name} loads {loaded & HEAVY}"


def test_importing_modules_prints_nothing():
    modules = [
        ".".join(("vadose", *p.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__") for p in FILES
    ]
    light = [m for m in modules if not m.startswith(("vadose.learn", "vadose.hub", "vadose.cli"))]
    code = "import importlib\n" + "\n".join(f"importlib.import_module({m!r})" for m in light)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
