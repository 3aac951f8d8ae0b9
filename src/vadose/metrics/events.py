"""Agreement on events, such as days below a threshold: hits, misses, false alarms, and the scores made of them.

Counts add up over months, regions and chunks; scores are functions of counts. Jolliffe & Stephenson 2012,
doi:10.1002/9781119960003.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from vadose.errors import VadoseInputError, unknown_name

COUNTS = ("hits", "misses", "false_alarms", "correct_negatives")
SIDES = ("below", "above")


def events(series: xr.DataArray, threshold: float | xr.DataArray, *, side: str = "below") -> xr.DataArray:
    """1 where an event is, 0 where none is, NaN where the value is missing. `below` means at or below, `above` at or above."""
    if side not in SIDES:
        raise unknown_name("side of the threshold", side, SIDES)
    hit = series <= threshold if side == "below" else series >= threshold
    return hit.astype(float).where(series.notnull()).assign_attrs(units="1", long_name=f"event: {side} threshold")


def contingency(reference: xr.DataArray, other: xr.DataArray, *, dim: str | Sequence[str] = "time") -> xr.Dataset:
    """Counts of `hits`, `misses`, `false_alarms` and `correct_negatives` of events (1, 0, NaN or bool) along `dim`.

    Where either is missing, the sample does not count. Lazy in, lazy out. Raises VadoseInputError for values other than 0 and 1.
    """
    for name, array in (("reference", reference), ("other", other)):
        if array.chunks is None and not bool(((array == 0) | (array == 1) | array.isnull()).all()):
            raise VadoseInputError(f"{name} must hold events (0, 1, NaN or bool); make them with metrics.events(...)")
    known = reference.notnull() & other.notnull()
    yes, said = reference.where(known, 0) == 1, other.where(known, 0) == 1
    parts = (yes & said, yes & ~said, ~yes & said & known, ~yes & ~said & known)
    out = xr.Dataset({name: part.sum(dim) for name, part in zip(COUNTS, parts, strict=True)})
    return out.map(lambda v: v.assign_attrs(units="1"))


def event_scores(counts: xr.Dataset) -> xr.Dataset:
    """Scores of a table of counts.

    `pod` hits over events, `far` false alarms over alarms, `pofd` false alarms over non-events, `csi` hits over hits, misses
    and false alarms, `hss` Heidke skill, `frequency_bias` alarms over events, `n`. NaN where the denominator is zero.
    """
    missing = [c for c in COUNTS if c not in counts]
    if missing:
        raise VadoseInputError(f"counts lack {missing}; make them with metrics.contingency(reference, other)")
    a, c, b, d = (counts[name].astype(float) for name in COUNTS)  # hits, misses, false alarms, correct negatives
    n = a + b + c + d

    def share(part, whole):
        return part / whole.where(whole > 0)

    chance = (a + c) * (a + b) + (b + d) * (c + d)
    out = xr.Dataset(
        {
            "pod": share(a, a + c),
            "far": share(b, a + b),
            "pofd": share(b, b + d),
            "csi": share(a, a + b + c),
            "hss": share((a + d) * n - chance, n**2 - chance),
            "frequency_bias": share(a + b, a + c),
            "n": n,
        }
    )
    return out.map(lambda v: v.assign_attrs(units="1"))


def overlap_of_spells(reference: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """Agreement on whole spells of two event series (time): share of the reference's spells that the other touches (`found`),
    share of the other's that touch none (`invented`), and the median difference of starts of those that meet (`delay`, steps).
    """
    ours, theirs = _spells(reference), _spells(other)
    met = [[t for t in theirs if t[0] < e and t[1] > s] for s, e in ours]
    lone = sum(not any(t[0] < e and t[1] > s for s, e in ours) for t in theirs)
    delays = [m[0][0] - s for (s, _), m in zip(ours, met, strict=True) if m]
    return {
        "found": sum(bool(m) for m in met) / len(ours) if ours else np.nan,
        "invented": lone / len(theirs) if theirs else np.nan,
        "delay": float(np.median(delays)) if delays else np.nan,
    }


def _spells(events):
    """Starts and ends (exclusive) of runs of ones; a missing value ends a run."""
    on = np.concatenate([[0], (np.asarray(events, dtype=float) == 1).astype(int), [0]])
    change = np.diff(on)
    return list(zip(np.flatnonzero(change == 1), np.flatnonzero(change == -1), strict=True))
