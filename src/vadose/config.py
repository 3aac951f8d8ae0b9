"""Settings: defaults, then a file, then the environment; read once into a frozen object and passed down."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
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
    store: str = ""  # root of the object store of the demo world; empty: a folder in the cache
    cache_dir: str = ""  # where blocks, references and the demo's truth are kept
    cache_gb: float = 5.0  # most that the block cache may hold
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
    base = folder or Path.cwd()
    settings = Settings()
    for place in FILES:
        path = Path(env[place]) if place in env else base / Path(place).expanduser()
        if path.is_file():
            try:
                found = tomllib.loads(path.read_text())
            except tomllib.TOMLDecodeError as error:
                raise VadoseInputError(f"{path}: not valid TOML: {error}") from error
            settings = _with(settings, found, str(path))
            break
    named = {f.name: env[f"VADOSE_{f.name.upper()}"] for f in fields(Settings) if f"VADOSE_{f.name.upper()}" in env}
    return _with(settings, named, "the environment")


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
