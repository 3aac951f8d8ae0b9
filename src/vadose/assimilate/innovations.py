"""Is the filter honest with itself? What innovations, spread and ranks should look like, and where they do not.

Standardized innovations of a consistent filter have mean 0 and standard deviation 1 and do not remember; the ensemble's
spread equals its error. Mehra 1970, doi:10.1109/TAC.1970.1099422; Fortin et al. 2014, doi:10.1175/JHM-D-14-0008.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from vadose import cf

LIMITS: dict[str, Any] = {
    "innovation_mean": 0.2,
    "innovation_spread": (0.8, 1.25),
    "innovation_memory": 0.2,
    "spread_skill": (0.8, 1.25),
}


def diagnose(innovation: xr.DataArray, standard_error: xr.DataArray, *, dim: str = "time") -> xr.Dataset:
    """Mean, standard deviation and lag-1 correlation of standardized innovations, with a flag where they break the limits.

    Parameters
    ----------
    innovation : observation - forecast, NaN without observation.
    standard_error : sqrt(H P H' + R) at the same times.

    Returns
    -------
    Dataset without `dim`: innovation_mean (target 0), innovation_spread (target 1), innovation_memory (between successive
    observations, below 0.2), mean squared standardized innovation `nis` (target 1), n, and `innovation_flag`.
    """
    z = innovation / standard_error
    n = z.notnull().sum(dim)
    mean, spread = z.mean(dim), z.std(dim)
    memory = xr.apply_ufunc(
        _memory,
        z,
        input_core_dims=[[dim]],
        vectorize=True,
        dask="parallelized",
        output_dtypes=[float],
        dask_gufunc_kwargs={"allow_rechunk": True},
    )
    low, high = LIMITS["innovation_spread"]
    flag = (
        (abs(mean) > LIMITS["innovation_mean"]) * 1
        + ((spread < low) | (spread > high)) * 2
        + (memory > LIMITS["innovation_memory"]) * 4
    ).astype("uint8")
    out = xr.Dataset(
        {
            "innovation_mean": mean,
            "innovation_spread": spread,
            "innovation_memory": memory,
            "nis": (z**2).mean(dim),
            "n": n,
        }
    )
    for name in out.data_vars:
        out[name].attrs = {"units": "1"}
    out["innovation_flag"] = flag.assign_attrs(
        cf.flag_attrs(("biased", "wrong_spread", "remembers"), long_name="what breaks the filter's assumptions")
    )
    return cf.provenance(out, method="M-T1.5")


def _memory(z: np.ndarray) -> float:
    v = z[np.isfinite(z)]
    if v.size < 10 or v.std() == 0:
        return float("nan")
    v = v - v.mean()
    return float(np.sum(v[1:] * v[:-1]) / np.sum(v * v))


def spread_skill(
    mean: xr.DataArray, standard_error: xr.DataArray, truth: xr.DataArray, *, dim: str = "time"
) -> xr.DataArray:
    """Ensemble spread over error: root mean variance / root mean squared error (0.8 to 1.25 is honest)."""
    error = (mean - truth) ** 2
    there = error.notnull() & standard_error.notnull()
    out: Any = np.sqrt((standard_error.where(there) ** 2).mean(dim) / error.where(there).mean(dim))
    return out.rename("spread_skill").assign_attrs(units="1", long_name="ensemble spread over error")


def ranks(ensemble: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Counts (member + 1,) of where the truth (...) falls in the ordered ensemble (..., member); flat for an honest ensemble."""
    good = np.isfinite(truth) & np.isfinite(ensemble).all(axis=-1)
    place = (ensemble[good] < truth[good][:, None]).sum(axis=-1)
    return np.bincount(place, minlength=ensemble.shape[-1] + 1)
