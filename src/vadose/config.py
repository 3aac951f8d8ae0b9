"""Settings: defaults, then a file, then the environment; read once into a frozen object and passed down.

The file is read by the command `vadose`, which hands on what it says as environment variables: those reach libraries, workers and
the hub's processes. Python that starts without the command has the environment alone."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from vadose.errors import VadoseInputError, unknown_name

#: Places asked for a settings file, in order; the first that exists is read.
FILES = ("VADOSE_CONFIG", "vadose.toml", "~/.config/vadose/vadose.toml")


@dataclass(frozen=True)
class Settings:
    """What an installation may choose. Each field can be set as `name = ...` in vadose.toml or as VADOSE_NAME."""

    catalog: str = ""  # a STAC API or catalog.json; empty: the catalog that comes with vadose
    cache_dir: str = ""  # where blocks, references and the demo's truth are kept
    cache_gb: float = 0.0  # most that blocks of remote files may take on disk; 0: none are kept
    state_dir: str = ""  # where the hub keeps its database, logs and homes
    port: int = 0  # the hub's port; 0: 8000, or the next that is free

    @property
    def cache(self) -> Path:
        """The cache folder as a path."""
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "vadose"
        return Path(self.cache_dir).expanduser() if self.cache_dir else base

    @property
    def state(self) -> Path:
        """The hub's state folder as a path: `.vadose` here when this is a checkout, else in the user's home."""
        if self.state_dir:
            return Path(self.state_dir).expanduser().absolute()
        if Path("pyproject.toml").exists() and Path("helm/vadose").is_dir():
            return Path(".vadose").absolute()
        return Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state")) / "vadose"


def load(environment: Mapping[str, str] | None = None, *, folder: Path | None = None) -> Settings:
    """The settings of this process. Raises VadoseInputError naming file, key and expected type."""
    env = os.environ if environment is None else environment
    settings = _with(Settings(), *_file(env, folder))
    named = {f.name: env[f"VADOSE_{f.name.upper()}"] for f in fields(Settings) if f"VADOSE_{f.name.upper()}" in env}
    return _with(settings, named, "the environment")


def announce(environment: MutableMapping[str, str] | None = None, *, folder: Path | None = None) -> None:
    """What the settings file says becomes VADOSE_... in `environment`, unless that says it already. Raises as `load`."""
    env = os.environ if environment is None else environment
    found, where = _file(env, folder)
    settings = _with(Settings(), found, where)
    for name in found:
        env.setdefault(f"VADOSE_{name.upper()}", str(getattr(settings, name)))


def _file(env: Mapping[str, str], folder: Path | None) -> tuple[Mapping[str, Any], str]:
    """What the first settings file that exists says, and where it lies."""
    base = folder or Path.cwd()
    for place in FILES:
        path = Path(env[place]) if place in env else base / Path(place).expanduser()
        if path.is_file():
            try:
                return tomllib.loads(path.read_text()), str(path)
            except tomllib.TOMLDecodeError as error:
                raise VadoseInputError(f"{path}: not valid TOML: {error}") from error
    return {}, ""


def _with(settings: Settings, found: Mapping[str, Any], where: str) -> Settings:
    kinds = {f.name: type(getattr(settings, f.name)) for f in fields(Settings)}
    values = {}
    for key, value in found.items():
        if key not in kinds:
            raise unknown_name(f"setting in {where}", key, kinds)
        try:
            values[key] = kinds[key](value)
        except ValueError as error:
            raise VadoseInputError(f"{where}: {key} must be {kinds[key].__name__}, got {value!r}") from error
    return replace(settings, **values)
