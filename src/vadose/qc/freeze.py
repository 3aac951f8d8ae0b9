"""Frozen or thawed, seen from above: the normalized polarization ratio of L-band brightness temperatures between two references (M-T1.2).

Ice has the permittivity of dry soil, so a frozen ground looks less polarized than a thawed one. Each place is compared with its own
winter and summer. Derksen et al. 2017, doi:10.1016/j.rse.2017.03.007.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from vadose import cf, units
from vadose.errors import VadoseInputError

THRESHOLD = 0.5
#: Northern winter and summer, and how many of their lowest and highest ratios make a reference.
WINTER, SUMMER, COUNT = (1, 2), (7, 8), 20
FLAGS = ("weak_contrast",)


@units.declare(vertical="K", horizontal="K")
def polarization_ratio(vertical: xr.DataArray, horizontal: xr.DataArray) -> xr.DataArray:
    """(V - H) / (V + H) of brightness temperatures [K] (1). Lazy in, lazy out."""
    total = vertical + horizontal
    return ((vertical - horizontal) / total.where(total > 0)).assign_attrs(
        units="1", long_name="normalized polarization ratio"
    )


def freeze_references(
    ratio: xr.DataArray, *, winter: Sequence[int] = WINTER, summer: Sequence[int] = SUMMER, count: int = COUNT
) -> xr.Dataset:
    """What each place looks like frozen and thawed: `frozen_reference`, the mean of its `count` lowest ratios of winter months, and
    `thawed_reference`, of its highest of summer months (time, ...). NaN with fewer than `count` values. For southern places give
    the months of their own winter. Lazy in, lazy out (time in one chunk).
    """
    cf.check_time(ratio)
    if count < 1:
        raise VadoseInputError(f"count must be 1 or more, got {count}")

    def extreme(months, sign):
        part = ratio.isel(time=np.isin(ratio.time.dt.month.values, list(months)))
        part = part.chunk(time=-1) if part.chunks is not None else part

        def kernel(values):
            if values.shape[-1] < count:
                return np.full(values.shape[:-1], np.nan)
            lowest = np.sort(sign * values, axis=-1)[..., :count]  # missing ones sort last
            return sign * lowest.mean(-1)

        return xr.apply_ufunc(
            kernel, part, input_core_dims=[["time"]], dask="parallelized", output_dtypes=[float]
        ).assign_attrs(units="1")

    out = xr.Dataset({"frozen_reference": extreme(winter, 1.0), "thawed_reference": extreme(summer, -1.0)})
    return cf.provenance(
        out, method="M-T1.2", params={"winter": list(winter), "summer": list(summer), "count": count}, references="doi:10.1016/j.rse.2017.03.007"
    )  # fmt: skip


def freeze_thaw(
    ratio: xr.DataArray, references: xr.Dataset, *, threshold: float = THRESHOLD, contrast: float = 0.01
) -> xr.Dataset:
    """How far each ratio lies between its place's frozen (0) and thawed (1) reference, and which side that is.

    Returns `freeze_thaw_factor` (1), not clipped; `frozen` (1 below `threshold`, 0 else, NaN unknown) and its flag `weak_contrast`,
    where the references lie less than `contrast` apart and nothing is said. Lazy in, lazy out.
    """
    span = references["thawed_reference"] - references["frozen_reference"]
    weak = ~(span >= contrast)
    factor = (ratio - references["frozen_reference"]) / span.where(~weak)
    factor = factor.transpose(*ratio.dims)
    frozen = (factor < threshold).astype(float).where(factor.notnull())
    out = xr.Dataset(
        {
            "freeze_thaw_factor": factor.assign_attrs(units="1", long_name="share of the way from frozen to thawed"),
            "frozen": frozen.assign_attrs(units="1", long_name="ground is frozen", flag_values=[0, 1], flag_meanings="thawed frozen"),
            "frozen_flag": weak.astype("uint8").assign_attrs(cf.flag_attrs(FLAGS, long_name="why nothing is said")),
        }
    )  # fmt: skip
    return cf.provenance(cf.link(out, "frozen", "frozen_flag"), method="M-T1.2", params={"threshold": threshold})
