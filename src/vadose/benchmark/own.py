"""What each record is over all months and cells that it has itself, whatever the other lacks: ilamb3's way with gaps.

Every other scheme takes from both records only what both have, so that a model is not blamed for months that nobody observed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from vadose.benchmark.cells import Cells
from vadose.benchmark.state import Axis, State, measure


@dataclass(frozen=True)
class Own:
    """Time means (2, cell), mean annual cycles (2, month, cell) and the reference's standard deviation in time (cell); NaN where
    a record has nothing. Source 0 is the reference."""

    mean: np.ndarray
    cycle: np.ndarray
    spread: np.ndarray

    def months_late(self) -> np.ndarray:
        """Months by which the model's maximum follows the reference's, within -6..6. A month without values counts as zero."""
        known = np.isfinite(self.mean).all(axis=0)
        at = np.nan_to_num(self.cycle).argmax(axis=1)
        late = at[1] - at[0]
        late = np.where(late > 6, late - 12, np.where(late < -6, late + 12, late))
        return np.where(known, late, np.nan)


def has_gaps(state: State) -> bool:
    """Whether a record has a value where the other has none."""
    return bool((state.seen != state.n).any())


def measure_own(reference: xr.DataArray, other: xr.DataArray, cells: Cells, axis: Axis) -> Own:
    """Either record on `cells`, by itself: each is read once more."""
    states = [
        measure(record, record, replace(cells, reference=at, other=at), replace(axis, reference=steps, other=steps))
        for record, at, steps in (
            (reference, cells.reference, axis.reference),
            (other, cells.other, axis.other),
        )
    ]
    return Own(
        np.stack([np.where(np.isfinite(s.total), s.mean(0), np.nan) for s in states]),
        np.stack([np.where(s.weight > 0, s.cycle[0], np.nan) for s in states]),
        np.where(np.isfinite(states[0].total), states[0].crms(0), np.nan),
    )


def inside(own: Own, at: np.ndarray) -> Own:
    """The part of some cells."""
    return Own(own.mean[:, at], own.cycle[:, :, at], own.spread[at])
