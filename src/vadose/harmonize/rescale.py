"""Bring one product to the scale of another: `fit` gives parameters as a Dataset, `apply` uses them (M-X5).

Absolute levels of soil-moisture products are not comparable; their ranks and variations are. Reichle & Koster 2004,
doi:10.1029/2004GL020938 (CDF matching); Moesinger et al. 2020, doi:10.5194/essd-12-177-2020 (edges).
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from vadose import cf
from vadose.errors import unknown_name

METHODS = ("linreg", "mean_std", "min_max", "cdf")
EXTRAPOLATION = ("linear", "clip", "nan")
PER_BIN = 20
FLAGS = ("extrapolated",)


def fit(
    source: xr.DataArray,
    reference: xr.DataArray,
    *,
    method: str = "cdf",
    bins: int = 100,
    linear_edge: bool = True,
    n_min: int = 40,
    dim: str = "time",
) -> xr.Dataset:
    """Parameters that carry `source` to the scale of `reference`, from samples where both have values.

    `cdf` keeps paired percentiles (`source_knots`, `reference_knots` over `knot`); the others a `slope` and `intercept`.
    `n` counts pairs; with fewer than `n_min`, or a source without variance, parameters are NaN. Lazy in, lazy out.
    """
    if method not in METHODS:
        raise unknown_name("rescaling method", method, METHODS)
    both = source.notnull() & reference.notnull()
    x, y = source.where(both), reference.where(both)
    n = both.sum(dim)
    if method == "cdf":
        knots = bins + 1

        def kernel(a, b):
            flat = [v.reshape(-1, v.shape[-1]) for v in (a, b)]
            pairs = [_knots(p, q, bins, linear_edge, n_min) for p, q in zip(*flat, strict=True)]
            shape = (*a.shape[:-1], knots)
            return np.array([p for p, _ in pairs]).reshape(shape), np.array([q for _, q in pairs]).reshape(shape)

        whole = [v.chunk({dim: -1}) if v.chunks is not None else v for v in (x, y)]
        low, high = xr.apply_ufunc(
            kernel,
            *whole,
            input_core_dims=[[dim], [dim]],
            output_core_dims=[["knot"], ["knot"]],
            dask="parallelized",
            output_dtypes=[float, float],
            dask_gufunc_kwargs={"output_sizes": {"knot": knots}},
        )
        out = xr.Dataset({"source_knots": low, "reference_knots": high, "n": n})
    else:
        slope, intercept = _line(x, y, method, dim)
        enough = (n >= n_min) & np.isfinite(slope)
        out = xr.Dataset({"slope": slope.where(enough), "intercept": intercept.where(enough), "n": n})
    return cf.provenance(
        out.assign_attrs(method=method, linear_edge=int(linear_edge)),
        method="M-X5",
        references="doi:10.1029/2004GL020938",
    )


def _line(x, y, method, dim):
    if method == "min_max":
        spread = x.max(dim) - x.min(dim)
        slope = (y.max(dim) - y.min(dim)) / spread.where(spread > 0)
        return slope, y.min(dim) - slope * x.min(dim)
    sd = x.std(dim)
    if method == "mean_std":
        slope = y.std(dim) / sd.where(sd > 0)
    else:
        covariance = ((x - x.mean(dim)) * (y - y.mean(dim))).mean(dim)
        slope = covariance / (sd**2).where(sd > 0)
    return slope, y.mean(dim) - slope * x.mean(dim)


def _positions(values, levels):
    """Percentiles of sorted values by positions 100 (i + 0.5) / n, constant beyond the first and last."""
    ordered = values
    at = 100.0 * (np.arange(ordered.size) + 0.5) / ordered.size
    return np.interp(levels, at, ordered)


def _knots(x, y, bins, linear_edge, n_min):
    good = np.isfinite(x)
    nothing = np.full(bins + 1, np.nan)
    if good.sum() < n_min or np.ptp(x[good]) == 0:
        return nothing, nothing
    x, y = np.sort(x[good]), np.sort(y[good])
    usable = max(1, min(bins, x.size // PER_BIN))
    levels = np.linspace(0, 100, usable + 1)
    low, high = _increasing(_positions(x, levels)), _positions(y, levels)
    if linear_edge and usable >= 3:
        low, high = _edges(low, high, x, y)
    if usable < bins:  # the same line in more knots, so that every cell has as many
        fine = np.linspace(0, 100, bins + 1)
        low, high = np.interp(fine, levels, low), np.interp(fine, levels, high)
    return low, high


def _increasing(values):
    """Strictly increasing: equal neighbors are spread by the least that floating point can hold apart."""
    out = values.copy()
    step = max(np.ptp(values), 1.0) * 1e-12
    if (np.diff(values) >= step).all():
        return out
    for k in range(1, out.size):
        out[k] = max(out[k], out[k - 1] + step)
    return out


def _edges(low, high, x, y):
    """First and last segment as a least-squares line through the inner knot, so that one outlier does not set the edge."""
    low, high = low.copy(), high.copy()
    xs, ys = x, y
    for inner, outer, part in ((1, 0, xs <= low[1]), (-2, -1, xs >= low[-2])):
        dx, dy = xs[part] - low[inner], ys[part] - high[inner]
        total = np.sum(dx * dx)
        slope = max(np.sum(dx * dy) / total, 0.0) if total > 0 else 0.0
        high[outer] = high[inner] + slope * (low[outer] - low[inner])
    return low, high


def apply(source: xr.DataArray, parameters: xr.Dataset, *, extrapolation: str = "linear") -> xr.Dataset:
    """`source` on the scale of the reference: a Dataset with the rescaled variable and a flag `extrapolated`.

    Beyond the fitted range the edge segment goes on ("linear"), the edge value is kept ("clip"), or NaN ("nan").
    """
    if extrapolation not in EXTRAPOLATION:
        raise unknown_name("extrapolation", extrapolation, EXTRAPOLATION)
    name = str(source.name or "soil_moisture")
    if "slope" in parameters:
        out = source * parameters.slope + parameters.intercept
        beyond = xr.zeros_like(out, dtype="uint8")
    else:
        core = [["time"], ["knot"], ["knot"]]
        data = source.chunk(time=-1) if source.chunks is not None else source
        out, beyond = xr.apply_ufunc(
            _map, data, parameters.source_knots, parameters.reference_knots, kwargs={"extrapolation": extrapolation}, input_core_dims=core, output_core_dims=[["time"], ["time"]], dask="parallelized", output_dtypes=[float, "uint8"], dask_gufunc_kwargs={"allow_rechunk": True}
        )  # fmt: skip
    out = out.transpose(*source.dims).rename(name).assign_attrs(source.attrs)
    flag = beyond.transpose(*source.dims).assign_attrs(cf.flag_attrs(FLAGS, long_name="beyond the fitted range"))
    dataset = xr.Dataset({name: out, f"{name}_rescaling_flag": flag})
    return cf.provenance(
        cf.link(dataset, name, f"{name}_rescaling_flag"), step=f"rescaled by {parameters.attrs.get('method', '?')}"
    )


def _map(values, low, high, *, extrapolation):
    flat = values.reshape(-1, values.shape[-1])
    lows = np.broadcast_to(low, (*values.shape[:-1], low.shape[-1])).reshape(-1, low.shape[-1])
    highs = np.broadcast_to(high, (*values.shape[:-1], high.shape[-1])).reshape(-1, high.shape[-1])
    out, beyond = np.full(flat.shape, np.nan), np.zeros(flat.shape, "uint8")
    for k in range(flat.shape[0]):
        a, b, v = lows[k], highs[k], flat[k]
        if not np.isfinite(a).all():
            continue
        mapped = np.interp(v, a, b)
        under, over = v < a[0], v > a[-1]
        if extrapolation == "linear":
            mapped = np.where(under, b[0] + (v - a[0]) * (b[1] - b[0]) / (a[1] - a[0]), mapped)
            mapped = np.where(over, b[-1] + (v - a[-1]) * (b[-1] - b[-2]) / (a[-1] - a[-2]), mapped)
        elif extrapolation == "nan":
            mapped = np.where(under | over, np.nan, mapped)
        out[k] = np.where(np.isfinite(v), mapped, np.nan)
        beyond[k] = under | over
    return out.reshape(values.shape), beyond.reshape(values.shape)
