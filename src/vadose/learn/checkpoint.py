"""A training that can be killed: its state after every epoch in one file that is renamed into place, no pickle."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path as FilePath
from typing import Any

import numpy as np

from vadose.errors import UnreadableFileError, VadoseInputError
from vadose.learn.files import reading, save_tensors
from vadose.learn.windows import Cube

ARRAYS = ("x", "static", "y", "valid", "frozen", "upper")


def identity(spec: Any, seed: int, *data: Cube | None) -> dict[str, str]:
    """What a training is of: only the same spec, seed and data go on to the same weights."""
    digest = hashlib.sha256()
    for cube in data:
        for name in ARRAYS if cube is not None else ():
            array = np.ascontiguousarray(getattr(cube, name))
            digest.update(f"{name} {array.shape}".encode())
            digest.update(array.data)
    return {"spec": json.dumps(asdict(spec)), "seed": str(seed), "data": digest.hexdigest()}


def keep(folder: FilePath, model: Any, optimizer: Any, kept: dict[str, Any], words: dict[str, str]) -> None:
    """State after an epoch in one file that is renamed into place: weights, best weights, moments of the optimizer."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"net.{k}": v for k, v in model.net.state_dict().items()} | {f"best.{k}": v for k, v in kept.items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{k}": v for k, v in state.items()}
    save_tensors(folder / "checkpoint.safetensors", tensors, {**words, "history": json.dumps(model.history)})


def resume(
    folder: FilePath, model: Any, optimizer: Any, kept: dict[str, Any], words: dict[str, str]
) -> tuple[float, dict[str, Any], int]:
    """Put a kept state back: the best loss so far, its weights, and the number of epochs done; nothing where none was kept.

    Raises VadoseInputError where the folder holds a training with another spec, seed or other data (`words`, from `identity`).
    """
    from safetensors import safe_open

    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return np.inf, kept, 0
    with reading(path), safe_open(path, "pt") as file:
        found = file.metadata() or {}
        if "history" not in found:
            raise UnreadableFileError(f"{path} is not a checkpoint of vadose; use another folder or remove it")
        for name, word in words.items():
            if found.get(name) != word:
                raise VadoseInputError(f"{path} was written with another {name}; use another folder or remove it")
        tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    model.history = json.loads(found["history"])
    model.net.load_state_dict({k[4:]: v for k, v in tensors.items() if k.startswith("net.")})
    state = optimizer.state_dict()
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, i, key = name.split(".")
            state["state"].setdefault(int(i), {})[key] = value
    optimizer.load_state_dict(state)
    best = min(h["held_out"] for h in model.history)
    return best, {k[5:]: v for k, v in tensors.items() if k.startswith("best.")}, len(model.history)
