"""Scores of what says how sure it is: ensembles, normal distributions and intervals, against what was observed.

Gneiting & Raftery 2007, doi:10.1198/016214506000001437; fair ensembles: Ferro 2014, doi:10.1002/qj.2270.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.special import ndtr

from vadose import units
from vadose.errors import DimensionError, VadoseInputError


def crps_ensemble(
    observed: xr.DataArray, ensemble: xr.DataArray, *, member: str = "member", fair: bool = False
) -> xr.DataArray:
    """Continuous ranked probability score of an ensemble, in units of the data: 0 is perfect, one member gives the absolute error.

    mean |x_i - y| - sum_ij |x_i - x_j| / (2 m^2); `fair` divides by 2 m (m - 1), the score of an infinite ensemble of that kind.
    Missing members are left out. Lazy in, lazy out.
    """
    if member not in ensemble.dims:
        raise DimensionError(f"the ensemble has no dimension {member!r}, only {ensemble.dims}; name it with member=")

    def spread(x):
        # sum over i < j of |x_i - x_j| from ranks: sorted x times (2 k - m + 1); missing members sort last and count nothing
        ordered = np.sort(x, axis=-1)
        m = np.isfinite(ordered).sum(-1, keepdims=True)
        weight = 2.0 * np.arange(ordered.shape[-1]) - m + 1.0
        return np.nansum(np.where(np.isfinite(ordered), ordered * weight, 0.0), axis=-1)

    data = ensemble.chunk({member: -1}) if ensemble.chunks is not None else ensemble
    pairs = xr.apply_ufunc(spread, data, input_core_dims=[[member]], dask="parallelized", output_dtypes=[float])
    m = data.notnull().sum(member)
    divisor = m * (m - 1) if fair else m**2
    score = abs(data - observed).mean(member) - pairs / divisor.where(divisor > 0)
    return score.where(observed.notnull()).rename("crps").assign_attrs(units=observed.attrs.get("units", "1"))


def crps_normal(observed: xr.DataArray, mean: xr.DataArray, standard_error: xr.DataArray) -> xr.DataArray:
    """Continuous ranked probability score of a normal distribution, in units of the data. Lazy in, lazy out."""
    z = (observed - mean) / standard_error.where(standard_error > 0)
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    below = xr.apply_ufunc(ndtr, z, dask="parallelized", output_dtypes=[float])
    score = standard_error * (z * (2 * below - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return score.rename("crps").assign_attrs(units=observed.attrs.get("units", "1"))


def interval_scores(
    observed: xr.DataArray, low: xr.DataArray, high: xr.DataArray, *, level: float, dim: str = "time"
) -> xr.Dataset:
    """`coverage` (share inside, wanted: `level`), `width` (mean) and the `interval_score` (width plus fines for what lies outside).

    Samples without observation or bounds do not count; `n` says how many did. Lazy in, lazy out.
    """
    if not 0 < level < 1:
        raise VadoseInputError(f"level must lie between 0 and 1, got {level}")
    known = observed.notnull() & low.notnull() & high.notnull()
    inside = ((observed >= low) & (observed <= high)).where(known)
    fine = (2 / (1 - level)) * ((low - observed).clip(min=0) + (observed - high).clip(min=0))
    unit = observed.attrs.get("units", "1")
    return xr.Dataset(
        {
            "coverage": inside.mean(dim).assign_attrs(units="1", level=level),
            "width": (high - low).where(known).mean(dim).assign_attrs(units=unit),
            "interval_score": ((high - low) + fine).where(known).mean(dim).assign_attrs(units=unit),
            "n": known.sum(dim).assign_attrs(units="1"),
        }
    )


def mean_absolute(reference: xr.DataArray, other: xr.DataArray, *, dim: str = "time") -> xr.DataArray:
    """Mean absolute difference along `dim`, in the units of `reference`. Lazy in, lazy out."""
    return (
        abs(units.like(other, reference) - reference)
        .mean(dim)
        .rename("mae")
        .assign_attrs(units=reference.attrs.get("units", "1"))
    )
