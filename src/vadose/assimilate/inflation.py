"""Spread for ensembles that trust themselves too much: multiplicative, relaxation to the prior, adaptive.

Anderson and Anderson 1999, doi:10.1175/1520-0493(1999)127<2741:AMCIOT>2.0.CO;2; Whitaker and Hamill 2012,
doi:10.1175/MWR-D-11-00276.1 (relaxation to prior spread); Desroziers et al. 2005, doi:10.1256/qj.05.108 (innovations).
"""

from __future__ import annotations

import numpy as np


def multiply(ensemble: np.ndarray, factor: float = 1.02) -> np.ndarray:
    """Anomalies of (..., member) times `factor`; the mean stays."""
    mean = ensemble.mean(axis=-1, keepdims=True)
    return mean + factor * (ensemble - mean)


def relax(analysis: np.ndarray, forecast: np.ndarray, share: float = 0.7) -> np.ndarray:
    """Analysis spread drawn back towards the forecast's by `share`: 0 keeps the analysis', 1 restores the forecast's."""
    mean = analysis.mean(axis=-1, keepdims=True)
    after, before = (e.std(axis=-1, ddof=1, keepdims=True) for e in (analysis, forecast))
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(after > 0, 1.0 + share * (before - after) / after, 1.0)
    return mean + factor * (analysis - mean)


def adaptive_factor(
    innovation: np.ndarray, spread: np.ndarray, variance: np.ndarray, *, limits: tuple[float, float] = (1.0, 1.5)
) -> float:
    """Inflation factor that makes the mean squared innovation what it should be: (sum d^2 - R) / sum of the ensemble's variance.

    `innovation` d = y - Hx, `spread` the ensemble variance of Hx, `variance` R, over times or cells; NaN left out.
    """
    good = np.isfinite(innovation) & np.isfinite(spread) & np.isfinite(variance)
    if not good.any() or spread[good].sum() <= 0:
        return float(limits[0])
    squared = (innovation[good] ** 2 - variance[good]).sum() / spread[good].sum()
    return float(np.clip(np.sqrt(max(squared, 0.0)), *limits))
