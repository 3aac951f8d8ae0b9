"""Settings: defaults, then a file, then the environment."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vadose.config import Settings, announce, load
from vadose.errors import NotFoundError, VadoseInputError


def test_defaults_hold_where_nothing_is_set(tmp_path):
    assert load({}, folder=tmp_path) == Settings()


def test_file_beats_defaults_and_environment_beats_file(tmp_path):
    (tmp_path / "vadose.toml").write_text('catalog = "from-file"\ncache_gb = 2\n')
    found = load({"VADOSE_CATALOG": "from-environment"}, folder=tmp_path)
    assert (found.catalog, found.cache_gb) == ("from-environment", 2.0)


def test_what_the_file_says_reaches_those_who_read_the_environment(tmp_path):
    """`vadose.open` and the workers know variables only; what was set by hand stays."""
    (tmp_path / "vadose.toml").write_text('catalog = "from-file"\ncache_gb = 2\nport = 8100\n')
    environment = {"VADOSE_PORT": "8200"}
    announce(environment, folder=tmp_path)
    assert environment == {"VADOSE_PORT": "8200", "VADOSE_CATALOG": "from-file", "VADOSE_CACHE_GB": "2.0"}
    announce(environment := {}, folder=tmp_path / "nothing here")
    assert environment == {}


def test_the_command_looks_where_the_file_says(tmp_path):
    (tmp_path / "vadose.toml").write_text('catalog = "nowhere/catalog.json"\n')
    environment = {k: v for k, v in os.environ.items() if not k.startswith("VADOSE_")}
    asked = subprocess.run(
        [sys.executable, "-m", "vadose", "catalog", "list"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert asked.returncode == 2
    assert "nowhere: no catalog.json" in asked.stderr


def test_named_file_is_read_first(tmp_path):
    (tmp_path / "vadose.toml").write_text("port = 8100\n")
    (tmp_path / "other.toml").write_text("port = 8200\n")
    assert load({"VADOSE_CONFIG": str(tmp_path / "other.toml")}, folder=tmp_path).port == 8200


def test_unknown_key_names_the_file_and_the_nearest(tmp_path):
    (tmp_path / "vadose.toml").write_text('catalogue = "x"\n')
    with pytest.raises(NotFoundError, match=r"vadose\.toml.*catalogue.*did you mean 'catalog'"):
        load({}, folder=tmp_path)


def test_wrong_type_and_broken_file_are_told_with_their_place(tmp_path):
    with pytest.raises(VadoseInputError, match="port must be int, got 'many'"):
        load({"VADOSE_PORT": "many"}, folder=tmp_path)
    (tmp_path / "vadose.toml").write_text("port = = 1\n")
    with pytest.raises(VadoseInputError, match=r"vadose\.toml: not valid TOML"):
        load({}, folder=tmp_path)


def test_variables_of_the_hub_are_no_settings(tmp_path):
    assert load({"VADOSE_HUB_ID": "x", "VADOSE_ON_HUB": "local"}, folder=tmp_path) == Settings()


def test_settings_cannot_be_changed_after_they_were_read():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]


def test_state_is_in_the_checkout_or_at_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert Settings().state == tmp_path / "xdg" / "vadose"
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "helm" / "vadose").mkdir(parents=True)
    assert Settings().state == tmp_path / ".vadose"
    assert Settings(state_dir=str(tmp_path / "mine")).state == Path(tmp_path / "mine")
