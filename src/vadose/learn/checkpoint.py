"""A training that can be killed: its state after every epoch in one file that is renamed into place, no pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path as FilePath
from typing import Any

import numpy as np

from vadose.errors import VadoseInputError


def keep(folder: FilePath, model: Any, optimizer: Any, kept: dict[str, Any]) -> None:
    """State after an epoch in one file that is renamed into place: weights, best weights, moments of the optimizer."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"net.{k}": v for k, v in model.net.state_dict().items()} | {f"best.{k}": v for k, v in kept.items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{k}": v for k, v in state.items()}
    save_tensors(
        folder / "checkpoint.safetensors",
        tensors,
        {"history": json.dumps(model.history), "spec": json.dumps(asdict(model.spec))},
    )


def resume(folder: FilePath, model: Any, optimizer: Any, kept: dict[str, Any]) -> tuple[float, dict[str, Any], int]:
    """Put a kept state back: the best loss so far, its weights, and the number of epochs done; nothing where none was kept.

    Raises VadoseInputError where the folder holds a training with another spec.
    """
    from safetensors import safe_open

    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return np.inf, kept, 0
    with safe_open(path, "pt") as file:
        words = file.metadata()
        if json.loads(words["spec"]) != json.loads(json.dumps(asdict(model.spec))):
            raise VadoseInputError(f"{path} was written with another spec; use another folder or remove it")
        tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    model.history = json.loads(words["history"])
    model.net.load_state_dict({k[4:]: v for k, v in tensors.items() if k.startswith("net.")})
    state = optimizer.state_dict()
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, i, key = name.split(".")
            state["state"].setdefault(int(i), {})[key] = value
    optimizer.load_state_dict(state)
    best = min(h["held_out"] for h in model.history)
    return best, {k[5:]: v for k, v in tensors.items() if k.startswith("best.")}, len(model.history)


def replace(path: FilePath, write: Callable[[FilePath], Any]) -> None:
    """Write beside `path`, then rename: a reader sees the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    write(temporary)
    os.replace(temporary, path)


def save_tensors(path: FilePath, tensors: dict[str, Any], words: dict[str, str] | None = None) -> None:
    """Tensors and words as one safetensors file, renamed into place."""
    from safetensors.torch import save_file

    replace(
        path,
        lambda p: save_file({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, p, metadata=words),
    )
