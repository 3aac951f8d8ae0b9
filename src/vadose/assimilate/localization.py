"""Neighbors help, far cells only seem to: weights that fall to zero, and an analysis over 3 x 3 cells.

Gaspari and Cohn 1999, doi:10.1002/qj.49712555417; Hunt et al. 2007, doi:10.1016/j.physd.2006.11.008 (local analysis).
"""

from __future__ import annotations

import numpy as np

from vadose.assimilate.analysis import etkf
from vadose.errors import DimensionError


def gaspari_cohn(distance: np.ndarray, radius: float) -> np.ndarray:
    """Correlation-like weight of a distance: 1 at 0, 0 from `radius` on, smooth between (the half-width is radius / 2)."""
    z = np.abs(np.asarray(distance, float)) / (radius / 2.0)
    near = ((-0.25 * z + 0.5) * z + 0.625) * z**3 - 5.0 / 3.0 * z**2 + 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        far = ((((z / 12.0 - 0.5) * z + 0.625) * z + 5.0 / 3.0) * z - 5.0) * z + 4.0 - 2.0 / (3.0 * z)
    return np.where(z <= 1, near, np.where(z < 2, np.maximum(far, 0.0), 0.0))


def neighborhood(
    ensemble: np.ndarray,
    seen: np.ndarray,
    observation: np.ndarray,
    variance: np.ndarray,
    *,
    spacing: float | tuple[float, float],
    radius: float = 500.0,
) -> np.ndarray:
    """Local analysis: every cell uses the observations of its 3 x 3 neighborhood, their errors grown with distance.

    Parameters
    ----------
    ensemble : (row, column, state, member); `seen` (row, column, member); `observation`, `variance` (row, column).
    spacing : cell size in the unit of `radius` (default m), one number or (rows, columns).
    """
    if ensemble.ndim != 4 or seen.shape != (*ensemble.shape[:2], ensemble.shape[3]):
        raise DimensionError(
            f"expected ensemble (row, column, state, member) and seen without state, got {ensemble.shape} and {seen.shape}"
        )
    dy, dx = (spacing, spacing) if isinstance(spacing, int | float) else spacing
    rows, columns = observation.shape
    wide = {
        "y": np.pad(observation.astype(float), 1, constant_values=np.nan),
        "r": np.pad(np.asarray(variance, float), 1, constant_values=1.0),
    }
    hx = np.pad(seen, ((1, 1), (1, 1), (0, 0)), mode="edge")
    ys, rs, hs = [], [], []
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            weight = float(gaspari_cohn(np.hypot(i * dy, j * dx), radius))
            if weight <= 1e-9:
                continue
            window = (slice(1 + i, 1 + i + rows), slice(1 + j, 1 + j + columns))
            ys.append(wide["y"][window])
            rs.append(wide["r"][window] / weight)
            hs.append(hx[window])
    return etkf(ensemble, np.stack(hs, axis=-2), np.stack(ys, axis=-1), np.stack(rs, axis=-1))
