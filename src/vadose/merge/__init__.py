"""Merging products: weights from error covariances, and the blend with its propagated uncertainty."""

from __future__ import annotations

from vadose.merge.blend import blend
from vadose.merge.weights import diagonal, minimum_variance, weights

__all__ = ["blend", "diagonal", "minimum_variance", "weights"]
