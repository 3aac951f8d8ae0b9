"""Merging products: weights from error covariances, the blend, the unified ensemble, and gaps filled; all with their uncertainty."""

from __future__ import annotations

from vadose.merge.blend import blend
from vadose.merge.ensemble import harmonized, monthly, sources_in_common, unified
from vadose.merge.gapfill import fill
from vadose.merge.weights import diagonal, minimum_variance, weights

__all__ = [
    "blend",
    "diagonal",
    "fill",
    "harmonized",
    "minimum_variance",
    "monthly",
    "sources_in_common",
    "unified",
    "weights",
]
