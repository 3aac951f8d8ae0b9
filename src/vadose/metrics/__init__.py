"""Measuring agreement: mergeable moments, pairwise scores, collocation, intervals that hold under autocorrelation."""

from __future__ import annotations

from vadose.metrics.collocation import extended, triple_collocation
from vadose.metrics.moments import combine, covariance, moments, pooled, stack
from vadose.metrics.pairwise import compare, scores
from vadose.metrics.uncertainty import block_bootstrap, effective_size

__all__ = [
    "block_bootstrap",
    "combine",
    "compare",
    "covariance",
    "effective_size",
    "extended",
    "moments",
    "pooled",
    "scores",
    "stack",
    "triple_collocation",
]
