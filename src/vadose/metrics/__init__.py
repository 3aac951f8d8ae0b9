"""Measuring agreement: mergeable moments, pairwise scores, collocation, intervals that hold under autocorrelation."""

from __future__ import annotations

from vadose.metrics.collocation import extended, triple_collocation
from vadose.metrics.events import contingency, event_scores, events
from vadose.metrics.moments import combine, covariance, moments, pooled, stack
from vadose.metrics.pairwise import compare, scores
from vadose.metrics.rank import rank_scores
from vadose.metrics.resample import bootstrap
from vadose.metrics.results import evaluate, tidy
from vadose.metrics.scoring import crps_ensemble, crps_normal, interval_scores, mean_absolute
from vadose.metrics.uncertainty import block_bootstrap, effective_size

__all__ = [
    "block_bootstrap",
    "bootstrap",
    "combine",
    "compare",
    "contingency",
    "covariance",
    "crps_ensemble",
    "crps_normal",
    "effective_size",
    "evaluate",
    "event_scores",
    "events",
    "extended",
    "interval_scores",
    "mean_absolute",
    "moments",
    "pooled",
    "rank_scores",
    "scores",
    "stack",
    "tidy",
    "triple_collocation",
]
