"""Which SMAP retrievals to keep: three policies over the two bit fields (M-F).

Bits after the product's user guide. A set bit of `surface_flag` says that a condition played a part; `retrieval_qual_flag` says
what became of the retrieval: bit 0 not recommended, 1 not attempted, 2 not successful, 3 freeze/thaw not retrieved. The fill
65534 has bit 0 clear, so fills are tested first.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr

from vadose.constants import FREEZING_POINT
from vadose.errors import unknown_name

Policy = Literal["recommended", "usable", "strict"]
POLICIES = ("recommended", "usable", "strict")
FILL = 65534
SURFACE_BITS = (
    "static_water", "radar_water", "coastal", "urban", "precipitation", "snow_or_ice", "permanent_snow_or_ice",
    "frozen_by_radiometer", "frozen_by_model", "mountainous", "dense_vegetation", "nadir",
)  # fmt: skip
#: Sigma of a retrieval relative to the mission's requirement where vegetation is dense and kept (vadose's choice).
DENSE_FACTOR = 1.5


def _integers(flag: xr.DataArray) -> xr.DataArray:
    return flag.fillna(FILL).astype("uint16") if flag.dtype.kind == "f" else flag.astype("uint16")


def surface_conditions(surface_flag: int) -> tuple[str, ...]:
    """Names of the bits set in one `surface_flag`: 1152 -> ('frozen_by_radiometer', 'dense_vegetation')."""
    return tuple(name for k, name in enumerate(SURFACE_BITS) if int(surface_flag) >> k & 1)


def keep(
    retrieval_flag: xr.DataArray,
    surface_flag: xr.DataArray,
    *,
    policy: Policy = "recommended",
    surface_temperature: xr.DataArray | None = None,
) -> xr.DataArray:
    """Where a retrieval passes.

    `recommended`: bit 0 of the retrieval flag is clear. `usable`: attempted and successful, without static water, rain, snow or
    ice, or frozen ground. `strict`: usable, and no dense vegetation (crops in full growth are lost). Frozen means surface bit 7
    only where freeze/thaw was retrieved (retrieval bit 3 clear); elsewhere the model's bit 8, or `surface_temperature` [K] below
    freezing where given.
    """
    if policy not in POLICIES:
        raise unknown_name("SMAP policy", policy, POLICIES)
    bits, ground = _integers(retrieval_flag), _integers(surface_flag)
    valid = bits < FILL
    if policy == "recommended":
        return (valid & ((bits & 1) == 0)).rename("keep")

    def has(k: int) -> xr.DataArray:
        return ((ground >> k) & 1) == 1

    known = ((bits >> 3) & 1) == 0
    frozen = (known & has(7)) | has(8)
    if surface_temperature is not None:
        frozen = frozen | (~known & (surface_temperature < FREEZING_POINT))
    good = valid & (ground < FILL) & (((bits >> 1) & 1) == 0) & (((bits >> 2) & 1) == 0)
    good = good & ~(has(0) | has(4) | has(5) | has(6) | frozen)
    if policy == "strict":
        good = good & ~has(10)
    return good.rename("keep")


def error_factor(surface_flag: xr.DataArray) -> xr.DataArray:
    """1, or 1.5 where vegetation is dense."""
    return xr.where(((_integers(surface_flag) >> 10) & 1) == 1, DENSE_FACTOR, 1.0).astype(np.float64)
