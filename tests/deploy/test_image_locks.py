"""What the images install is locked with hashes, holds what is asked for, and is one set of versions over all images. Needs no container."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "images"
LOCKS = sorted(IMAGES.glob("*/requirements*.txt"))
#: Each lock and what was asked for.
ASKED = {
    "notebook/requirements.txt": "notebook/requirements.in",
    "benchmark/requirements.txt": "benchmark/requirements.in",
    "benchmark/requirements-ilamb3.txt": "benchmark/requirements-ilamb3.in",
    "ml/requirements.txt": "ml/requirements.in",
    "ml/requirements-cpu.txt": "ml/requirements.in",
}
#: The one package that an environment beside the notebook's has in another version: ilamb3 asks for it.
OTHER_VERSION = {"benchmark/requirements-ilamb3.txt": {"xarray"}}

pytestmark = pytest.mark.deploy


def locked(path: Path) -> dict[str, str]:
    """Distribution -> version of a lock."""
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ \\\n]+)", path.read_text(), re.MULTILINE))


def asked(path: str) -> list[Requirement]:
    lines = (IMAGES / path).read_text().splitlines()
    wanted = [text for line in lines if (text := line.split("#")[0].strip())]
    if path.startswith("notebook/"):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        wanted += project["dependencies"] + project["optional-dependencies"]["hub"]
    return [Requirement(text) for text in wanted]


@pytest.mark.parametrize("path", LOCKS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_every_pin_has_a_hash_and_no_address(path):
    text = path.read_text()
    pins = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert pins
    assert [pin.split()[0] for pin in pins if "--hash=sha256:" not in pin or "==" not in pin.split()[0]] == []
    assert "://" not in text, "a lock must not say where its packages were found"


@pytest.mark.parametrize("path", ASKED)
def test_the_lock_holds_what_is_asked_for(path):
    """`bash images/lock` was run after the last change of pyproject.toml or requirements.in."""
    versions = locked(IMAGES / path)
    base = locked(IMAGES / "notebook" / "requirements.txt")
    missing = [
        str(r)
        for r in asked(ASKED[path])
        if not r.specifier.contains({**base, **versions}.get(canonicalize_name(r.name), "0"), prereleases=True)
    ]
    assert missing == []


@pytest.mark.parametrize("path", [p for p in ASKED if not p.startswith("notebook")])
def test_child_images_change_no_version_of_the_notebook(path):
    notebook = locked(IMAGES / "notebook" / "requirements.txt")
    assert {k for k, v in locked(IMAGES / path).items() if notebook.get(k, v) != v} == OTHER_VERSION.get(path, set())
