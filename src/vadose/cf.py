"""CF metadata: attributes from the vocabulary, ancillary links, flags, bounds, history and provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

import vadose
from vadose.errors import DimensionError, TimeAxisError, VadoseInputError
from vadose.vocabulary import VARIABLES

CONVENTIONS = "CF-1.11"


def describe(array: xr.DataArray, name: str, **attrs: Any) -> xr.DataArray:
    """`array` named `name` with the vocabulary's standard name, units and long name; `attrs` win over them."""
    row = VARIABLES.get(name)
    out = array.rename(name)
    known = {} if row is None else {"standard_name": row.standard_name, "long_name": row.long_name, "units": row.units}
    out.attrs = {k: v for k, v in {**known, **attrs}.items() if v is not None}
    return out


def link(dataset: xr.Dataset, parent: str, *ancillary: str) -> xr.Dataset:
    """`dataset` with `ancillary` named in the parent's `ancillary_variables` (those already there stay)."""
    out = dataset.copy(deep=False)
    names = str(out[parent].attrs.get("ancillary_variables", "")).split()
    names += [a for a in ancillary if a not in names]
    out[parent].attrs["ancillary_variables"] = " ".join(names)
    return out


def flag_attrs(meanings: Sequence[str], masks: Sequence[int] | None = None, **attrs: Any) -> dict[str, Any]:
    """CF attributes of a bit-mask flag variable: bit k means `meanings[k]` unless `masks` are given."""
    bits = [1 << k for k in range(len(meanings))] if masks is None else list(masks)
    if len(bits) != len(meanings):
        raise VadoseInputError(f"{len(bits)} flag masks for {len(meanings)} meanings; give one mask a meaning")
    kind = np.min_scalar_type(max(bits, default=1))
    return {
        "flag_masks": np.array(bits, dtype=kind),
        "flag_meanings": " ".join(m.replace(" ", "_") for m in meanings),
        **attrs,
    }


def has_flag(flags: xr.DataArray, *meanings: str) -> xr.DataArray:
    """Where any of the named meanings is set in a bit-mask variable."""
    words = str(flags.attrs.get("flag_meanings", "")).split()
    masks = np.atleast_1d(flags.attrs.get("flag_masks", []))
    unknown = [m for m in meanings if m not in words]
    if unknown:
        raise VadoseInputError(f"flag {flags.name!r} does not know {unknown}; it knows {words}")
    wanted = 0
    for meaning in meanings:
        wanted |= int(masks[words.index(meaning)])
    return (flags & wanted) != 0


def with_depth(dataset: xr.Dataset, top: float, bottom: float) -> xr.Dataset:
    """`dataset` with a scalar `depth` (layer middle, m, positive down) and `depth_bnds`.

    Bounds have a dimension of their own, so only a Dataset can carry them; a DataArray carries the scalar `depth`.
    """
    out = dataset.assign_coords(depth=(top + bottom) / 2, depth_bnds=("bnds", [top, bottom]))
    out["depth"].attrs = {"standard_name": "depth", "units": "m", "positive": "down", "bounds": "depth_bnds"}
    return out


def depth_bounds(dataset: xr.Dataset) -> np.ndarray:
    """Layer bounds [m] as an array (layers, 2); an error says how to set them when they are missing."""
    if "depth_bnds" not in dataset.variables:
        raise DimensionError(
            "no 'depth_bnds' beside 'depth'; set them with vadose.cf.with_depth(dataset, top, bottom) or as a coordinate (depth, bnds) in m"
        )
    return np.atleast_2d(np.asarray(dataset["depth_bnds"].values, dtype=float))


def check_time(array: xr.DataArray | xr.Dataset, *, dim: str = "time") -> None:
    """Raise `TimeAxisError` unless `dim` is present, sorted and free of duplicates; names the first offender."""
    if dim not in array.dims:
        raise DimensionError(
            f"no dimension {dim!r}; found {tuple(array.dims)}. Rename yours with .rename({{...: {dim!r}}})"
        )
    index = array.indexes.get(dim)
    if index is None:
        raise TimeAxisError(f"dimension {dim!r} has no coordinate; assign one of datetime64 or cftime")
    name = getattr(array, "name", None) or "data"
    if not index.is_unique:
        first = index[index.duplicated()][0]
        raise TimeAxisError(
            f"{name}: {dim} holds {first} more than once; drop duplicates with .drop_duplicates({dim!r})"
        )
    if not index.is_monotonic_increasing:
        at = next(i for i in range(1, len(index)) if index[i] < index[i - 1])
        raise TimeAxisError(
            f"{name}: {dim} is not sorted ({index[at]} follows {index[at - 1]}); sort with .sortby({dim!r})"
        )


def provenance(
    data: Any,
    *,
    method: str | None = None,
    params: Mapping[str, Any] | None = None,
    references: str | None = None,
    step: str | None = None,
) -> Any:
    """`data` with vadose's provenance attributes and one more line of `history` (no clock: lines say what, files say when)."""
    out = data.copy(deep=False)
    out.attrs = dict(out.attrs)
    out.attrs["vadose_version"] = vadose.__version__
    if method:
        out.attrs["vadose_method"] = method
    if params is not None:
        out.attrs["vadose_params"] = json.dumps(dict(params), default=str, sort_keys=True)
    if references:
        out.attrs["references"] = references
    if step:
        out.attrs["history"] = "\n".join(filter(None, [out.attrs.get("history", ""), step]))
    return out
