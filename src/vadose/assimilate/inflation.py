"""Spread for ensembles that trust themselves too much: multiplicative, relaxation to the prior, adaptive.

`Relax` and `Adaptive` are values for `inflation=` of `vadose.assimilate.run` (a number there multiplies); the functions do the same
to any ensemble.

Anderson and Anderson 1999, doi:10.1175/1520-0493(1999)127<2741:AMCIOT>2.0.CO;2; Whitaker and Hamill 2012,
doi:10.1175/MWR-D-11-00276.1 (relaxation to prior spread); Desroziers et al. 2005, doi:10.1256/qj.05.108 (innovations).
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np

from vadose.errors import VadoseInputError


@dataclass(frozen=True)
class Relax:
    """After the analysis, spread drawn back towards the forecast's by `share`, 0 to 1 (see `relax`)."""

    share: float = 0.7

    def __post_init__(self) -> None:
        if not isinstance(self.share, Real) or not 0.0 <= self.share <= 1.0:
            raise VadoseInputError(
                f"share of the forecast's spread that is restored must be 0 to 1, got {self.share!r}"
            )


@dataclass(frozen=True)
class Adaptive:
    """Before the analysis, the factor that a cell's own innovations ask for (see `adaptive_factor`).

    Innovations are forgotten with the time scale of `memory` observations, and the factor starts as if that many had found
    nothing wrong; it stays within `limits`. It cannot tell a small spread from a small `standard_error` of the observation: where the
    latter is told too small, the ensemble is widened for it.
    """

    memory: float = 30.0
    limits: tuple[float, float] = (1.0, 3.0)

    def __post_init__(self) -> None:
        if not isinstance(self.memory, Real) or not 2 <= self.memory < np.inf:
            raise VadoseInputError(f"memory must be 2 observations or more, got {self.memory!r}; 10 to 100 are usual")
        if np.shape(self.limits) != (2,) or not 0 < self.limits[0] <= self.limits[1] < np.inf:
            raise VadoseInputError(
                f"limits of the factor are two positive numbers in order, (1, 3); got {self.limits!r}"
            )


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
