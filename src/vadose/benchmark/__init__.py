"""Earth system models against observations: scores, relationships, constraints, weights; recipes that run them all.

`score` compares one model with one reference; `run` takes a recipe file (YAML whose nesting is the page tree) to results on disk.
"""

from __future__ import annotations

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
from vadose.benchmark.run import run
from vadose.benchmark.scores import SCHEMES, SCORES

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
