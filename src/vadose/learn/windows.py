"""Series of many sites as one resident block of numbers, and the scaling that is learned from the training sites only.

Reading lazily inside the training loop is a hundred times slower than gathering windows from a block that lies in memory;
so `cube` loads once (through dask where the data are lazy), and batches are index operations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from vadose import cf
from vadose.errors import DimensionError, NotFoundError, VadoseInputError, unknown_name

PHASES = ("thawed", "transition", "frozen")


@dataclass(frozen=True)
class Cube:
    """Inputs `x` (site, time, feature[, row, column]), `static` (site, attribute), targets `y` and `valid` (site, time, depth)."""

    x: np.ndarray
    static: np.ndarray
    y: np.ndarray
    valid: np.ndarray
    frozen: np.ndarray  # (site, time): 1 frozen, 0 thawed, NaN unknown
    upper: np.ndarray  # (site, depth): porosity, the most water there can be
    time: np.ndarray
    sites: np.ndarray
    inputs: tuple[str, ...]
    attributes: tuple[str, ...]
    depths: np.ndarray

    def at(self, sites: np.ndarray) -> Cube:
        """The same for some sites (index or mask)."""
        names = ("x", "static", "y", "valid", "frozen", "upper", "sites")
        return replace(self, **{n: getattr(self, n)[sites] for n in names})

    def between(self, part: slice) -> Cube:
        """The same for a stretch of time (index slice)."""
        return replace(
            self, time=self.time[part], **{n: getattr(self, n)[:, part] for n in ("x", "y", "valid", "frozen")}
        )


def cube(
    data: xr.Dataset,
    inputs: tuple[str, ...] | list[str],
    *,
    static: tuple[str, ...] | list[str] = (),
    target: str = "soil_moisture",
    valid: xr.DataArray | None = None,
    frozen: xr.DataArray | None = None,
    upper: str | float = "porosity",
    dim: str = "station",
) -> Cube:
    """Block of series from a Dataset with dims (`dim`, time) and a target that may have `depth`.

    Parameters
    ----------
    inputs : variables over time (with `row` and `column` for patches around the site); must be gap-free.
    static : attributes of the site.
    valid : where the target may be learned from (liquid water, good flag); finite values when left out.
    frozen : 1 or 0 by site and time, for the head that predicts the state of the ground.
    upper : variable or number that no prediction may exceed [m3 m-3].
    """
    cf.check_time(data)
    for name in (*inputs, *static):
        if name not in data:
            raise unknown_name("input", name, data.data_vars)
    if dim not in data.dims:
        raise DimensionError(
            f"no dimension {dim!r}; found {tuple(data.dims)}; stack cells with .stack({dim}=('lat', 'lon'))"
        )
    names = [*inputs, *static, *([target] if target in data else []), *([upper] if isinstance(upper, str) else [])]
    if isinstance(upper, str) and upper not in data:
        raise NotFoundError(f"no {upper!r} among the variables; pass upper=0.6 or the like")
    here = data[list(dict.fromkeys(names))].load()
    patch = [d for d in ("row", "column") if any(d in here[n].dims for n in inputs)]
    order = (dim, "time", *patch)
    parts = [np.broadcast_to(_wide(here[n], order, here), [here.sizes[d] for d in order]) for n in inputs]
    x = np.stack(parts, axis=2).astype("float32")
    gaps = [n for n, p in zip(inputs, parts, strict=True) if not np.isfinite(p).all()]
    if gaps:
        raise VadoseInputError(f"inputs with gaps: {', '.join(gaps)}; fill them first (vadose.merge) or leave them out")
    fixed = (
        np.stack([_site(here[n], dim) for n in static], axis=1).astype("float32")
        if static
        else np.zeros((x.shape[0], 0), "float32")
    )
    if gaps := [n for n, v in zip(static, fixed.T, strict=True) if not np.isfinite(v).all()]:
        raise VadoseInputError(f"attributes with gaps: {', '.join(gaps)}; fill them first or leave out the sites")
    if target in here:
        y = here[target].transpose(dim, "time", ...).values.astype("float32")
        y = y[..., None] if y.ndim == 2 else y
        depths = np.atleast_1d(here[target].depth.values) if "depth" in here[target].coords else np.arange(y.shape[-1])
    else:
        y, depths = np.full((*x.shape[:2], 1), np.nan, "float32"), np.arange(1)
    good = np.isfinite(y)
    if valid is not None:
        mask = _beside(valid, here, dim, "valid").fillna(0).astype(bool).values
        good = good & (mask[..., None] if mask.ndim == 2 else mask)
    state = (
        np.full(x.shape[:2], np.nan, "float32")
        if frozen is None
        else _beside(frozen, here, dim, "frozen").values.astype("float32")
    )
    top = (
        np.full((x.shape[0], y.shape[-1]), float(upper))
        if not isinstance(upper, str)
        else np.repeat(_site(here[upper], dim)[:, None], y.shape[-1], 1)
    )
    if not (top > 0).all():
        raise VadoseInputError(
            f"{upper!r} must be positive everywhere, and is not at {np.count_nonzero(~(top > 0).all(axis=1))} sites; fill it, or pass a number"
        )
    return Cube(
        x,
        fixed,
        y,
        good,
        state,
        top.astype("float32"),
        here.time.values,
        np.asarray(here[dim].values),
        tuple(inputs),
        tuple(static),
        depths,
    )


def _beside(array: xr.DataArray, here: xr.Dataset, dim: str, what: str) -> xr.DataArray:
    """`array` at the sites and times of `here`, by label where both have labels; all of them must be there."""
    for name in (dim, "time"):
        if name in array.indexes and name in here.indexes:
            if array.indexes[name].equals(here.indexes[name]):
                continue
            missing = here.indexes[name].difference(array.indexes[name])
            if len(missing):
                raise VadoseInputError(f"{what} has no {name} {missing[0]}; it must cover the data")
            array = array.sel({name: here[name]})
        elif name not in array.dims:
            array = array.expand_dims({name: here.sizes[name]})
        elif array.sizes[name] != here.sizes[name]:
            raise DimensionError(f"{what} has {array.sizes[name]} along {name!r}, the data {here.sizes[name]}")
    return array.transpose(dim, "time", ...)


def _wide(array: xr.DataArray, order: tuple[str, ...], data: xr.Dataset) -> np.ndarray:
    missing = [d for d in order if d not in array.dims]
    return array.expand_dims({d: data.sizes[d] for d in missing}).transpose(*order).values


def _site(array: xr.DataArray, dim: str) -> np.ndarray:
    if array.dims != (dim,):
        raise DimensionError(f"attribute {array.name!r} must have the dimension {dim!r} only, it has {array.dims}")
    return array.values


@dataclass(frozen=True)
class Scaler:
    """Mean and spread of inputs and attributes, spread of the valid targets; constant ones are left as they are."""

    mean: np.ndarray
    spread: np.ndarray
    static_mean: np.ndarray
    static_spread: np.ndarray
    target_spread: np.ndarray  # (depth,) m3 m-3, the unit of the loss

    def __call__(self, part: Cube) -> tuple[np.ndarray, np.ndarray]:
        """Scaled inputs and attributes of a cube, float32."""
        shape = (1, 1, -1, *([1] * (part.x.ndim - 3)))
        x = (part.x - self.mean.reshape(shape)) / self.spread.reshape(shape)
        return x.astype("float32"), ((part.static - self.static_mean) / self.static_spread).astype("float32")


def scaler(train: Cube) -> Scaler:
    """The scaling of the training sites; never fit it on all sites."""
    axes = (0, 1, *range(3, train.x.ndim))
    spread, static = train.x.std(axis=axes), train.static.std(axis=0)
    return Scaler(
        train.x.mean(axis=axes), np.where(spread > 1e-8, spread, 1.0), train.static.mean(axis=0) if train.static.size else np.zeros(train.static.shape[1]),
        np.where(static > 1e-8, static, 1.0), _spread(train),
    )  # fmt: skip


def _spread(train: Cube) -> np.ndarray:
    """Standard deviation (depth,) of the valid targets, at least 0.01 m3 m-3; 1 where a depth has none."""
    n = np.maximum(train.valid.sum(axis=(0, 1)), 1)
    there = np.where(train.valid, train.y, 0.0)
    mean = there.sum(axis=(0, 1), dtype=float) / n
    variance = np.where(train.valid, (there - mean) ** 2, 0.0).sum(axis=(0, 1)) / n
    return np.where(train.valid.any(axis=(0, 1)), np.maximum(np.sqrt(variance), 0.01), 1.0).astype("float32")


def phases(frozen: np.ndarray, *, days: int = 7) -> np.ndarray:
    """Phase (site, time) of the ground: 0 thawed, 1 within `days` of a freeze or thaw, 2 frozen; -1 where unknown."""
    state = np.nan_to_num(frozen, nan=0.0) > 0.5
    change = np.zeros(state.shape, bool)
    change[:, 1:] = state[:, 1:] != state[:, :-1]
    near = np.zeros(state.shape, bool)
    for shift in range(-days, days + 1):
        rolled = np.roll(change, shift, axis=1)
        if shift > 0:
            rolled[:, :shift] = False
        elif shift < 0:
            rolled[:, shift:] = False
        near |= rolled
    return np.where(np.isnan(frozen), -1, np.where(near, 1, np.where(state, 2, 0)))
