"""Names for the types that public functions speak of."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    Rng: TypeAlias = np.random.Generator | int | None
    BBox: TypeAlias = tuple[float, float, float, float]  # west, south, east, north in degrees
    XarrayT = TypeVar("XarrayT", xr.DataArray, xr.Dataset)
else:
    Rng = BBox = object
    XarrayT = TypeVar("XarrayT")

Path: TypeAlias = str | PathLike[str]
