"""Learning: maps from samples, series from weather, physics that networks must obey - with honest splits first.

Tabular maps: `features`, `stack` -> `splits` -> `model.fit` -> `mapping.predict_map` / `write_map` -> `raster`, judged by `evaluate`,
`intervals`, `applicability`, `explain`, chosen by `tuning`, told by `card`, kept by `stored`. Sequences: `windows`, `sequence` (networks in `nets`), and
hybrids with a differentiable bucket in `hybrid`, `tensors` and `layers` (what instruments see). PyTorch and CatBoost are extras and load when first used.
"""

from __future__ import annotations

from vadose.learn import (
    applicability,
    card,
    evaluate,
    explain,
    features,
    intervals,
    mapping,
    model,
    raster,
    splits,
    stack,
    stored,
    tuning,
)
from vadose.learn.boosted import Boosted, Oblivious
from vadose.learn.forest import Forest
from vadose.learn.mapping import predict_map, write_map
from vadose.learn.model import Model, fit
from vadose.learn.stored import load, save

__all__ = [
    "Boosted", "Forest", "Model", "Oblivious", "applicability", "card", "evaluate", "explain", "features", "fit", "intervals",
    "load", "mapping", "model", "predict_map", "raster", "save", "splits", "stack", "stored", "tuning", "write_map",
]  # fmt: skip
