"""Earth system models against observations: scores, relationships, constraints, weights; recipes that run them all.

`score` compares one model with one reference; `run` takes a recipe file (YAML whose nesting is the page tree) to results on disk.
Names load on first use, so that scoring two arrays brings neither a compiler nor the readers of files into memory.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vadose.benchmark.compare import baseline, pair, score, table
    from vadose.benchmark.constraint import (
        bayesian_average,
        emergent_constraint,
        perfect_model_radius,
        performance_independence,
        weight_posterior,
    )
    from vadose.benchmark.recipe import Recipe, read
    from vadose.benchmark.relationship import interact, partial_correlation, relate
    from vadose.benchmark.runner import run
    from vadose.benchmark.scores import SCHEMES, SCORES

#: Public names by the module that holds them.
_HOLDERS = {
    "compare": ("baseline", "pair", "score", "table"),
    "constraint": (
        "bayesian_average",
        "emergent_constraint",
        "perfect_model_radius",
        "performance_independence",
        "weight_posterior",
    ),
    "recipe": ("Recipe", "read"),
    "relationship": ("interact", "partial_correlation", "relate"),
    "runner": ("run",),
    "scores": ("SCHEMES", "SCORES"),
}

__all__ = [
    "SCHEMES",
    "SCORES",
    "Recipe",
    "baseline",
    "bayesian_average",
    "emergent_constraint",
    "interact",
    "pair",
    "partial_correlation",
    "perfect_model_radius",
    "performance_independence",
    "read",
    "relate",
    "run",
    "score",
    "table",
    "weight_posterior",
]


def __getattr__(name: str) -> Any:
    for holder, names in _HOLDERS.items():
        if name in names:
            return getattr(importlib.import_module(f"vadose.benchmark.{holder}"), name)
    raise AttributeError(f"module 'vadose.benchmark' has no attribute {name!r}; it offers {', '.join(__all__)}")
