"""Assimilation: observations correct a model where and as much as both errors say (M-T1.5).

`run` filters or smooths the two-layer bucket over a season, with the `inflation` and `localization` it is given; `analysis` holds the plain
filters for any ensemble, `particle` the weights, `operators` the bias corrections, `innovations` the honesty checks, `twin` and
`landscape` the synthetic experiments, and `chain` goes from a learned surface map to the root zone. Compiled: `cell` (one cell's day),
`spread` (its inflation), `kernel` (cells on their own), `field` (cells with neighbors).
"""

from __future__ import annotations

from vadose.assimilate import (
    analysis,
    chain,
    inflation,
    innovations,
    landscape,
    localization,
    operators,
    particle,
    twin,
)
from vadose.assimilate.analysis import update
from vadose.assimilate.chain import root_zone
from vadose.assimilate.cycle import Perturbation, run

__all__ = [
    "Perturbation", "analysis", "chain", "inflation", "innovations",
    "landscape", "localization", "operators", "particle", "root_zone", "run",
    "twin", "update",
]  # fmt: skip
