"""What the README shows is what happens: its Python runs and prints what it says, its links and commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


@pytest.mark.slow
def test_the_python_of_the_readme_prints_what_the_readme_says(tmp_path):
    code, printed = re.search(r"```python\n(.*?)```\s*```\n(.*?)```", README, re.S).groups()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=300, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == printed


def test_every_file_and_folder_the_readme_names_exists():
    linked = re.findall(r"\]\((?!https?:|#)([^)]+)\)", README)
    assert linked
    named = re.findall(r"`((?:tests|docs|notebooks|studies|helm|terraform|images|catalog|src)/[\w./-]*)`", README)
    for path in {*linked, *named}:
        assert (ROOT / path).exists(), path


def test_every_vadose_command_the_readme_shows_has_help():
    from click.testing import CliRunner

    from vadose.cli import root

    commands = {tuple(m.split()) for m in re.findall(r"^vadose ((?:hub )?[a-z]+)", README, re.M)}
    commands |= {tuple(m.split()) for m in re.findall(r"`vadose ((?:hub )?[a-z]+)", README)}
    assert ("hub", "up") in commands
    for words in commands:
        done = CliRunner().invoke(root, [*words, "--help"])
        assert done.exit_code == 0, f"{words}: {done.output}"


def test_every_log_the_readme_names_is_shown(tmp_path):
    from click.testing import CliRunner

    from vadose.cli import root

    first, others = re.search(r"^vadose hub logs (\w+) +# or (.*)$", README, re.M).groups()
    (tmp_path / "logs").mkdir()
    # What the supervisor of a hub leaves (seen in a state folder): one log a process that it starts, and its own.
    for stem in ("hub", "stac", "store", "supervisor"):
        (tmp_path / "logs" / f"{stem}.log").write_text(f"words of {stem}\n")
    for name, log in ((first, "hub"), *((n, {"catalog": "stac"}.get(n, n)) for n in others.split(", "))):
        done = CliRunner().invoke(root, ["hub", "logs", name, "--state-dir", str(tmp_path)])
        assert done.output == f"words of {log}\n", name


def test_the_table_of_data_names_every_collection_of_the_catalog_and_of_the_demo():
    from vadose.world.demo import COLLECTIONS

    section = re.search(r"^## The data$(.*?)^## ", README, re.M | re.S)[1]
    named = re.findall(r"`([\w-]+)`", section[section.index("|---") :])
    known = [p.parent.name for p in (ROOT / "catalog").glob("*/collection.json")] + list(COLLECTIONS)
    assert sorted(named) == sorted(known)
