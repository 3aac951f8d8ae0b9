"""The analysis step, over any number of cells at once: exact Kalman, EnKF, ETKF, and serial square-root filter.

Arrays are (..., state, member) for ensembles, (..., observation, member) for what the ensemble says the instrument sees,
(..., observation) for the observations and their error variances. NaN observations carry no weight.

Evensen 1994, doi:10.1029/94JC00572; Burgers et al. 1998, doi:10.1175/1520-0493(1998)126<1719:ASITEK>2.0.CO;2 (perturbed
observations); Bishop et al. 2001, doi:10.1175/1520-0493(2001)129<0420:ASWTET>2.0.CO;2 (ETKF);
Whitaker and Hamill 2002, doi:10.1175/1520-0493(2002)130<1913:EDAWPO>2.0.CO;2 (serial square root).
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numba import njit

from vadose.errors import DimensionError, VadoseInputError, unknown_name
from vadose.typing import Rng

METHODS = ("etkf", "ensrf", "enkf")


def kalman(
    mean: np.ndarray, covariance: np.ndarray, observation: np.ndarray, operator: np.ndarray, error: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean (..., state) and covariance (..., state, state) after observing `operator` @ state with error covariance `error`."""
    _positive(np.diagonal(error, axis1=-2, axis2=-1))
    ph = covariance @ np.swapaxes(operator, -1, -2)
    innovation = observation - (operator @ mean[..., None])[..., 0]
    gain = np.swapaxes(np.linalg.solve(operator @ ph + error, np.swapaxes(ph, -1, -2)), -1, -2)
    return mean + (gain @ innovation[..., None])[..., 0], covariance - gain @ np.swapaxes(ph, -1, -2)


def _split(ensemble: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = ensemble.mean(axis=-1, keepdims=True)
    return mean, ensemble - mean


def _checked(ensemble, seen, observation, variance):
    if ensemble.shape[-1] != seen.shape[-1]:
        raise DimensionError(f"the ensemble has {ensemble.shape[-1]} members and its observations {seen.shape[-1]}")
    if ensemble.shape[-1] < 2:
        raise VadoseInputError("an ensemble needs at least 2 members")
    variance = np.broadcast_to(np.asarray(variance, float), observation.shape)
    _positive(variance[np.isfinite(observation)])
    there = np.isfinite(observation)
    return np.where(there, observation, 0.0), np.where(there, variance, 1.0), there


def etkf(ensemble: np.ndarray, seen: np.ndarray, observation: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Ensemble transform Kalman filter with the symmetric square root: exact mean and covariance, no observation noise."""
    y, r, there = _checked(ensemble, seen, observation, variance)
    members = ensemble.shape[-1]
    mean, anomaly = _split(ensemble)
    center, s = _split(seen)
    weight = (there / np.sqrt(r))[..., None]
    s = s * weight
    d = (y[..., None] - center) * weight
    value, vector = np.linalg.eigh(np.eye(members) * (members - 1) + np.swapaxes(s, -1, -2) @ s)
    across = np.swapaxes(vector, -1, -2)
    shift = vector @ (across @ (np.swapaxes(s, -1, -2) @ d) / value[..., None])
    transform = (vector * np.sqrt((members - 1) / value)[..., None, :]) @ across
    return mean + anomaly @ (shift + transform)


def enkf(
    ensemble: np.ndarray, seen: np.ndarray, observation: np.ndarray, variance: np.ndarray, *, rng: Rng = 0
) -> np.ndarray:
    """Stochastic ensemble Kalman filter: every member sees the observation with an error of its own."""
    y, r, there = _checked(ensemble, seen, observation, variance)
    members = ensemble.shape[-1]
    _, anomaly = _split(ensemble)
    _, s = _split(seen)
    s = s * there[..., None]
    noise = np.random.default_rng(rng).normal(size=seen.shape) * np.sqrt(r)[..., None]
    noise -= noise.mean(axis=-1, keepdims=True)
    p_hh = s @ np.swapaxes(s, -1, -2) / (members - 1) + np.eye(y.shape[-1]) * r[..., None]
    p_xh = anomaly @ np.swapaxes(s, -1, -2) / (members - 1)
    return ensemble + p_xh @ np.linalg.solve(p_hh, (y[..., None] + noise - seen) * there[..., None])


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz", "arcp"})
def _scalar(ensemble, seen, y, r):
    """Serial square-root update in place with one observation a cell: ensemble (cell, state, member), seen (cell, member)."""
    cells, states, members = ensemble.shape
    for c in range(cells):
        if not np.isfinite(y[c]):
            continue
        total = seen[c, 0] * 0.0
        for m in range(members):
            total += seen[c, m]
        mean = total / members
        spread = total * 0.0
        for m in range(members):
            seen[c, m] -= mean
            spread += seen[c, m] * seen[c, m]
        spread /= members - 1
        scale = 1.0 / (spread + r[c])
        alpha = 1.0 / (1.0 + np.sqrt(r[c] * scale))
        for s in range(states):
            cross = total * 0.0
            for m in range(members):
                cross += ensemble[c, s, m] * seen[c, m]
            gain = cross / (members - 1) * scale
            push = gain * (y[c] - mean)
            shrink = alpha * gain
            for m in range(members):
                ensemble[c, s, m] += push - shrink * seen[c, m]


def ensrf(ensemble: np.ndarray, seen: np.ndarray, observation: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Serial ensemble square-root filter: observations one after another, each without noise; same mean and covariance as `etkf`.

    The fastest where a cell has one observation: one pass over the members, compiled.
    """
    y, r, there = _checked(ensemble, seen, observation, variance)
    shape, members, count = ensemble.shape, ensemble.shape[-1], y.shape[-1]
    kind = np.result_type(ensemble.dtype, np.float32)
    both = np.concatenate([ensemble, seen], axis=-2, dtype=kind) if count > 1 else ensemble.astype(kind)
    both = np.ascontiguousarray(both.reshape(-1, both.shape[-2], members))
    flat = np.where(there, y, np.nan).reshape(-1, count).astype(kind)
    error = r.reshape(-1, count).astype(kind)
    for k in range(count):  # what is still to be observed is updated like a state
        now = both[:, shape[-2] + k].copy() if count > 1 else np.array(seen.reshape(-1, members), dtype=kind)
        _scalar(both, now, np.ascontiguousarray(flat[:, k]), np.ascontiguousarray(error[:, k]))
    return both[:, : shape[-2]].reshape(shape)


def _positive(variance: np.ndarray) -> None:
    if np.any(~(np.asarray(variance) > 0)):
        raise VadoseInputError(
            f"observation error variances must be positive, found {np.nanmin(variance):g}; pass the squared standard error"
        )


def update(
    ensemble: xr.DataArray,
    seen: xr.DataArray,
    observation: xr.DataArray,
    standard_error: xr.DataArray | float,
    *,
    method: str = "etkf",
    rng: Rng = 0,
) -> xr.DataArray:
    """One analysis of an ensemble (state, member, ...) with observations (observation, ...).

    Parameters
    ----------
    ensemble : states with dims `state` and `member` (and any cells).
    seen : what each member says the instrument sees, dims `observation` and `member`.
    observation, standard_error : with dim `observation`, in the unit of `seen`; NaN is no observation.
    method : "etkf" (default), "ensrf" or "enkf" (perturbed observations).
    """
    if method not in METHODS:
        raise unknown_name("filter", method, METHODS)
    error = (
        standard_error if isinstance(standard_error, xr.DataArray) else xr.full_like(observation, float(standard_error))
    )
    call = {"etkf": etkf, "ensrf": ensrf, "enkf": lambda *a: enkf(*a, rng=rng)}[method]
    out = xr.apply_ufunc(
        call, ensemble, seen, observation, error**2,
        input_core_dims=[["state", "member"], ["observation", "member"], ["observation"], ["observation"]],
        output_core_dims=[["state", "member"]],
        dask="parallelized" if method != "enkf" else "forbidden", output_dtypes=[float],
    )  # fmt: skip
    return out.transpose(*ensemble.dims).assign_attrs(ensemble.attrs)
