"""Measuring agreement: mergeable moments, pairwise scores, collocation, intervals that hold under autocorrelation."""

from __future__ import annotations

from vadose.metrics.collocation import extended, triple_collocation
from vadose.metrics.events import contingency, event_scores, events
from vadose.metrics.moments import combine, covariance, moments, pooled, stack
from vadose.metrics.pairwise import compare, scores
from vadose.metrics.propagation import (
    combine_errors,
    effective_count,
    error_covariance,
    first_order,
    linear,
    monte_carlo,
    space_mean_error,
    time_mean_error,
)
from vadose.metrics.rank import rank_scores
from vadose.metrics.representativeness import (
    downscale,
    footprint_mean,
    required_samples,
    station_representativeness,
    temporal_stability,
)
from vadose.metrics.resample import bootstrap
from vadose.metrics.results import evaluate, tidy
from vadose.metrics.scoring import crps_ensemble, crps_normal, interval_scores, mean_absolute
from vadose.metrics.uncertainty import block_bootstrap, block_length, effective_size

__all__ = [
    "block_bootstrap",
    "block_length",
    "bootstrap",
    "combine",
    "combine_errors",
    "compare",
    "contingency",
    "covariance",
    "crps_ensemble",
    "crps_normal",
    "downscale",
    "effective_count",
    "effective_size",
    "error_covariance",
    "evaluate",
    "event_scores",
    "events",
    "extended",
    "first_order",
    "footprint_mean",
    "interval_scores",
    "linear",
    "mean_absolute",
    "moments",
    "monte_carlo",
    "pooled",
    "rank_scores",
    "required_samples",
    "scores",
    "space_mean_error",
    "stack",
    "station_representativeness",
    "temporal_stability",
    "tidy",
    "time_mean_error",
    "triple_collocation",
]
