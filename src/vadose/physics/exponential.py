"""The exponential filter: root-zone wetness from a surface series with gaps (M-X6).

Wagner et al. 1999, doi:10.1016/S0034-4257(99)00036-X; recursion of Albergel et al. 2008, doi:10.5194/hess-12-1323-2008.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numba import njit

from vadose import cf
from vadose.errors import VadoseInputError

#: Depth of the layer [m] -> time scale [d]: vadose's choice.
TIME_SCALES = {0.2: 5.0, 0.4: 15.0, 1.0: 20.0}
MINIMUM_QUALITY = 0.3
FLAGS = ("little_memory", "held")


@njit(cache=True, nogil=True)
def _filter(values, sigma, days, scale, scale_sigma, out, error, quality):
    cells, steps = values.shape
    for c in range(cells):
        gain, state, variance, slope, memory = 1.0, np.nan, 0.0, 0.0, 0.0
        denominator, weighted_age = 1.0, 0.0
        last = 0
        for t in range(steps):
            if t > 0:
                memory *= np.exp(-(days[t] - days[t - 1]) / scale)
            v = values[c, t]
            if not np.isnan(v):
                memory += 1.0
                if np.isnan(state) or days[t] - days[last] > 3.0 * scale:
                    gain, state, variance, slope = 1.0, v, sigma * sigma, 0.0
                    denominator, weighted_age = 1.0, 0.0
                else:
                    gap = days[t] - days[last]
                    fade = np.exp(-gap / scale)
                    # derivative of the weighted mean to T: weights w_i = exp(-age_i / T) change by w_i age_i / T^2
                    aged = fade * (denominator * gap + weighted_age)
                    gain = gain / (gain + fade)
                    numerator_slope = (
                        fade * (slope * denominator + state * weighted_age / scale**2)
                        + fade * denominator * state * gap / scale**2
                    )
                    denominator = fade * denominator + 1.0
                    state = state + gain * (v - state)
                    slope = (numerator_slope - state * aged / scale**2) / denominator
                    weighted_age = aged
                    variance = (1.0 - gain) ** 2 * variance + gain * gain * sigma * sigma
                last = t
            out[c, t] = state
            error[c, t] = np.sqrt(variance + (slope * scale_sigma) ** 2)
            quality[c, t] = (1.0 - np.exp(-1.0 / scale)) * memory


def exponential_filter(
    surface: xr.DataArray,
    time_scale: float,
    *,
    error: float = 0.0,
    time_scale_error: float = 0.0,
    minimum_quality: float = MINIMUM_QUALITY,
) -> xr.Dataset:
    """Soil water index of a surface series (time, ...): a mean of the past, weighted by exp(-age / T).

    `time_scale` T [d]; `error` is the standard error of a surface value, `time_scale_error` that of T [d]. Gaps longer than
    3 T start anew. Returns `soil_water_index` (unit of the input), `_standard_error`, `quality` (share of the memory that is
    filled, 1) and a flag: `little_memory` below `minimum_quality` (NaN there), `held` on days without observation.
    """
    cf.check_time(surface)
    if time_scale <= 0:
        raise VadoseInputError(f"time_scale must be positive days, got {time_scale}")
    days = (surface.time.values - surface.time.values[0]) / np.timedelta64(1, "D")

    def kernel(values):
        flat = np.ascontiguousarray(values.reshape(-1, values.shape[-1]), dtype=float)
        out, sigma, quality = (np.full(flat.shape, np.nan) for _ in range(3))
        _filter(flat, float(error), days.astype(float), float(time_scale), float(time_scale_error), out, sigma, quality)
        return tuple(a.reshape(values.shape) for a in (out, sigma, quality))

    data = surface.chunk(time=-1) if surface.chunks is not None else surface
    index, sigma, quality = xr.apply_ufunc(
        kernel,
        data,
        input_core_dims=[["time"]],
        output_core_dims=[["time"]] * 3,
        dask="parallelized",
        output_dtypes=[float] * 3,
    )
    index, sigma, quality = (a.transpose(*surface.dims) for a in (index, sigma, quality))
    little = quality < minimum_quality
    attrs = {"units": surface.attrs.get("units", "1")}
    out = xr.Dataset({"soil_water_index": index.where(~little).assign_attrs(**attrs, long_name="soil water index")})
    out["soil_water_index_standard_error"] = sigma.where(~little).assign_attrs(**attrs)
    out["quality"] = quality.assign_attrs(units="1", long_name="share of the memory that is filled")
    out["soil_water_index_flag"] = (
        (little * 1 + surface.isnull() * 2).astype("uint8").assign_attrs(cf.flag_attrs(FLAGS))
    )
    return cf.provenance(
        cf.link(out, "soil_water_index", "soil_water_index_standard_error", "soil_water_index_flag"),
        method="M-X6",
        references="doi:10.5194/hess-12-1323-2008",
    )
