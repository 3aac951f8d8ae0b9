"""Bring one product to the scale of another: `fit` gives parameters as a Dataset, `apply` uses them (M-X5).

Absolute levels of soil-moisture products are not comparable; their ranks and variations are. Reichle & Koster 2004,
doi:10.1029/2004GL020938 (CDF matching); Moesinger et al. 2020, doi:10.5194/essd-12-177-2020 (edges).
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numba import njit

from vadose import cf
from vadose.errors import VadoseInputError, unknown_name
from vadose.metrics.pairwise import ROUNDING
from vadose.metrics.threads import by_rows

METHODS = ("linreg", "mean_std", "min_max", "cdf", "triple")
MONTH = "month"
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
    third: xr.DataArray | None = None,
    seasonal: bool = False,
) -> xr.Dataset:
    """Parameters that carry `source` to the scale of `reference`, from samples where both have values.

    `cdf` keeps paired percentiles (`source_knots`, `reference_knots` over `knot`); the others a `slope` and `intercept` with the
    range of the source that they were fitted on (`source_low`, `source_high`). `triple` takes the slope that errors of neither side flatten, cov(reference, third) / cov(source, third), from a `third` series
    whose errors have nothing to do with theirs (Stoffelen 1998, doi:10.1029/97JC03180). `seasonal` fits each calendar month on
    its own samples and those of both neighbors (dimension `month`), so that a bias that changes with the season goes; it needs times.
    `n` counts pairs (triplets for `triple`); with fewer than `n_min`, or a source without variance, parameters are NaN. Lazy in, lazy out.
    """
    if method not in METHODS:
        raise unknown_name("rescaling method", method, METHODS)
    if (method == "triple") != (third is not None):
        raise VadoseInputError("method='triple' and third=... go together: give both or neither")
    if seasonal:
        options = {
            "method": method,
            "bins": bins,
            "linear_edge": linear_edge,
            "n_min": n_min,
            "dim": dim,
            "third": third,
        }
        return _by_month(source, reference, options)
    if method == "cdf":
        source, reference = xr.align(source, reference, join="inner", copy=False)
        whole = [v.chunk({dim: -1}) if v.chunks is not None else v for v in (source, reference)]
        low, high, n = xr.apply_ufunc(
            _fit_knots,
            *whole,
            kwargs={"bins": bins, "linear_edge": linear_edge, "n_min": n_min},
            input_core_dims=[[dim], [dim]],
            output_core_dims=[["knot"], ["knot"], []],
            dask="parallelized",
            output_dtypes=[float, float, "int64"],
            dask_gufunc_kwargs={"output_sizes": {"knot": bins + 1}},
        )
        out = xr.Dataset({"source_knots": low, "reference_knots": high, "n": n})
    else:
        both = source.notnull() & reference.notnull()
        if third is not None:
            both = both & third.notnull()
        x, y = (v.where(both).astype(float) for v in (source, reference))  # sums of single precision lose digits
        n = both.sum(dim)
        slope, intercept = (
            _line(x, y, method, dim) if third is None else _triple(x, y, third.where(both).astype(float), dim)
        )
        enough = (n >= n_min) & np.isfinite(slope)
        line = {"slope": slope, "intercept": intercept, "source_low": x.min(dim), "source_high": x.max(dim)}
        out = xr.Dataset({**{k: v.where(enough) for k, v in line.items()}, "n": n})
    return cf.provenance(
        out.assign_attrs(method=method, linear_edge=int(linear_edge)),
        method="M-X5",
        references="doi:10.1029/2004GL020938",
    )


def _by_month(source, reference, options):
    """Parameters of each month from its own samples and those of the months before and after."""
    months = source[options["dim"]].dt.month
    parts = []
    for month in range(1, 13):
        near = ((months - month + 1) % 12 <= 2).values
        parts.append(fit(source.isel({options["dim"]: near}), reference, **options))
    out = xr.concat(parts, xr.DataArray(np.arange(1, 13), dims=MONTH, name=MONTH), combine_attrs="override")
    return out.assign_attrs(seasonal=1)


def _triple(x, y, z, dim):
    apart = z - z.mean(dim)
    shared = ((x - x.mean(dim)) * apart).mean(dim)
    slope = ((y - y.mean(dim)) * apart).mean(dim) / shared.where((shared != 0) & (_spread(x, dim) > 0))
    return slope, y.mean(dim) - slope * x.mean(dim)


def _spread(x, dim):
    """Standard deviation; zero where it is but the rounding of a constant."""
    sd = x.std(dim)
    return sd.where(~(sd <= ROUNDING * abs(x.mean(dim))), 0.0)


def _line(x, y, method, dim):
    if method == "min_max":
        spread = x.max(dim) - x.min(dim)
        slope = (y.max(dim) - y.min(dim)) / spread.where(spread > 0)
        return slope, y.min(dim) - slope * x.min(dim)
    sd = _spread(x, dim)
    if method == "mean_std":
        slope = y.std(dim) / sd.where(sd > 0)
    else:
        covariance = ((x - x.mean(dim)) * (y - y.mean(dim))).mean(dim)
        slope = covariance / (sd**2).where(sd > 0)
    return slope, y.mean(dim) - slope * x.mean(dim)


def _fit_knots(source, reference, *, bins, linear_edge, n_min):
    """Paired percentiles (..., knot) and the number of pairs; missing samples are sorted to the end as infinity."""
    source, reference = np.broadcast_arrays(source, reference)
    shape = source.shape[:-1]
    flat = [np.asarray(v, dtype=float).reshape(-1, v.shape[-1]) for v in (source, reference)]
    rows = flat[0].shape[0]
    low, high = np.full((rows, bins + 1), np.nan), np.full((rows, bins + 1), np.nan)
    n = np.zeros(rows, np.int64)

    def part(p):
        good = np.isfinite(flat[0][p]) & np.isfinite(flat[1][p])
        x, y = (np.sort(np.where(good, v[p], np.inf), axis=1) for v in flat)
        n[p] = good.sum(1)
        _knots(x, y, n[p], linear_edge, n_min, low[p], high[p])

    by_rows(part, rows, flat[0].size)
    return low.reshape(*shape, bins + 1), high.reshape(*shape, bins + 1), n.reshape(shape)


@njit(cache=True, nogil=True)
def _percentiles(values, n, count):
    """Percentiles 0 to 100 in `count` steps of sorted values at positions 100 (i + 0.5) / n, constant beyond the first and last."""
    out = np.empty(count + 1)
    for k in range(count + 1):
        at = min(max(k / count * n - 0.5, 0.0), n - 1.0)
        i = min(int(at), n - 2)
        out[k] = values[i] + (at - i) * (values[i + 1] - values[i])
    return out


@njit(cache=True, nogil=True)
def _spread_equal(values):
    """Strictly increasing: equal neighbors are spread by the least that floating point can hold apart."""
    step = max(values[-1] - values[0], 1.0) * 1e-12
    for k in range(1, values.size):
        values[k] = max(values[k], values[k - 1] + step)


@njit(cache=True, nogil=True)
def _edge(x, y, start, stop, low, high, inner, outer):
    """An outer segment as a least-squares line through the inner knot, so that one outlier does not set the edge."""
    total, product = 0.0, 0.0
    for i in range(start, stop):
        dx = x[i] - low[inner]
        total += dx * dx
        product += dx * (y[i] - high[inner])
    slope = max(product / total, 0.0) if total > 0.0 else 0.0
    high[outer] = high[inner] + slope * (low[outer] - low[inner])


@njit(cache=True, nogil=True)
def _knots(xs, ys, counts, linear_edge, n_min, lows, highs):
    """Sorted samples (cells, samples) -> knots; fewer bins where there are few samples, then the same line in as many knots."""
    bins = lows.shape[1] - 1
    for c in range(xs.shape[0]):
        n = counts[c]
        x, y = xs[c], ys[c]
        if n < max(n_min, 2) or x[n - 1] == x[0]:
            continue
        usable = max(1, min(bins, n // PER_BIN))
        low, high = _percentiles(x, n, usable), _percentiles(y, n, usable)
        _spread_equal(low)
        if linear_edge and usable >= 3:
            stop = np.searchsorted(x[:n], low[1], side="right")
            _edge(x, y, 0, stop, low, high, 1, 0)
            start = np.searchsorted(x[:n], low[usable - 1], side="left")
            _edge(x, y, start, n, low, high, usable - 1, usable)
        for k in range(bins + 1):
            at = k * usable / bins
            i = min(int(at), usable - 1)
            lows[c, k] = low[i] + (at - i) * (low[i + 1] - low[i])
            highs[c, k] = high[i] + (at - i) * (high[i + 1] - high[i])


def apply(source: xr.DataArray, parameters: xr.Dataset, *, extrapolation: str = "linear") -> xr.Dataset:
    """`source` on the scale of the reference: a Dataset with the rescaled variable and a flag `extrapolated`.

    Beyond the fitted range the edge segment (or the line) goes on ("linear"), the edge value is kept ("clip"), or NaN ("nan").
    Parameters by month hold in the middle of their month; between two middles both maps count, by the day, so that no step is
    left where months meet. Lazy in, lazy out.
    """
    if extrapolation not in EXTRAPOLATION:
        raise unknown_name("extrapolation", extrapolation, EXTRAPOLATION)
    name = str(source.name or "soil_moisture")
    months = MONTH in parameters.dims
    if "slope" in parameters:
        out, beyond = _on_line(source, _by_day(parameters, source["time"]) if months else parameters, extrapolation)
    else:
        knots = [parameters[n] for n in ("source_knots", "reference_knots")]
        core = [[MONTH, "knot"] if months else ["knot"]] * 2
        options = {"extrapolation": extrapolation} | ({"season": _season(source["time"])} if months else {})
        data = source.chunk(time=-1) if source.chunks is not None else source
        out, beyond = xr.apply_ufunc(
            _seasonal_map if months else _map, data, *knots, kwargs=options, input_core_dims=[["time"], *core],
            output_core_dims=[["time"], ["time"]], dask="parallelized", output_dtypes=[float, "uint8"], dask_gufunc_kwargs={"allow_rechunk": True},
        )  # fmt: skip
    out = out.transpose(*source.dims).rename(name).assign_attrs(source.attrs)
    flag = beyond.transpose(*source.dims).assign_attrs(cf.flag_attrs(FLAGS, long_name="beyond the fitted range"))
    dataset = xr.Dataset({name: out, f"{name}_rescaling_flag": flag})
    return cf.provenance(
        cf.link(dataset, name, f"{name}_rescaling_flag"), step=f"rescaled by {parameters.attrs.get('method', '?')}"
    )


def _on_line(source, p, extrapolation):
    beyond = (source < p.source_low) | (source > p.source_high)
    inside = source.clip(p.source_low, p.source_high) if extrapolation == "clip" else source
    out = inside * p.slope + p.intercept
    return (out.where(~beyond) if extrapolation == "nan" else out), beyond.astype("uint8")


def _season(time):
    """The months (0..11) whose middles lie before and after each day, and the share of the later one."""
    month, length = time.dt.month.values - 1, time.dt.days_in_month.values
    since = (time.dt.day.values - 0.5) / length - 0.5  # of a month, from its middle
    first = np.where(since < 0, month - 1, month) % 12
    return first, (first + 1) % 12, since % 1.0


def _by_day(parameters, time):
    """Parameters by month -> parameters by day: a blend of two lines is the line of the blended parameters."""
    first, second, share = (xr.DataArray(v, dims="time", coords={"time": time}) for v in _season(time))
    lines = parameters[["slope", "intercept", "source_low", "source_high"]].drop_vars(MONTH)
    return lines.isel({MONTH: first}) * (1 - share) + lines.isel({MONTH: second}) * share


def _seasonal_map(values, low, high, *, extrapolation, season):
    """`_map` with the knots (..., month, knot) of both months around each day, blended."""
    out, beyond = np.zeros(values.shape), np.zeros(values.shape, "uint8")
    first, second, share = season
    for month in range(low.shape[-2]):
        for of, weight in ((first, 1.0 - share), (second, share)):
            days = np.flatnonzero((of == month) & (weight > 0))
            part, far = _map(values[..., days], low[..., month, :], high[..., month, :], extrapolation=extrapolation)
            out[..., days] += weight[days] * part
            beyond[..., days] |= far
    return out, beyond


def _map(values, low, high, *, extrapolation):
    flat = np.asarray(values, dtype=float).reshape(-1, values.shape[-1])
    lows, highs = (
        np.ascontiguousarray(
            np.broadcast_to(v, (*values.shape[:-1], v.shape[-1])).reshape(-1, v.shape[-1]), dtype=float
        )
        for v in (low, high)
    )
    out, beyond = np.empty(flat.shape), np.zeros(flat.shape, "uint8")
    rule = EXTRAPOLATION.index(extrapolation)
    by_rows(lambda p: _along(flat[p], lows[p], highs[p], rule, out[p], beyond[p]), flat.shape[0], flat.size)
    return out.reshape(values.shape), beyond.reshape(values.shape)


@njit(cache=True, nogil=True)
def _along(values, lows, highs, beyond_rule, out, beyond):
    """Values on the broken line of each cell; a table of equal steps finds the segment without a search."""
    knots = lows.shape[1]
    first, slope = np.empty(2 * knots + 1, np.int64), np.empty(knots - 1)
    for c in range(values.shape[0]):
        a, b = lows[c], highs[c]
        width = a[-1] - a[0]
        if not width > 0.0:
            out[c] = np.nan
            continue
        for j in range(knots - 1):
            slope[j] = (b[j + 1] - b[j]) / (a[j + 1] - a[j])
        scale, j = 2 * knots / width, 0
        for k in range(first.size):
            while j < knots - 2 and a[j + 1] <= a[0] + k / scale:
                j += 1
            first[k] = j
        for t in range(values.shape[1]):
            v = values[c, t]
            if not np.isfinite(v):
                out[c, t] = np.nan
                continue
            if v < a[0] or v > a[-1]:
                beyond[c, t] = 1
                at = 0 if v < a[0] else knots - 1
                segment = 0 if v < a[0] else knots - 2
                if beyond_rule == 0:
                    out[c, t] = b[at] + slope[segment] * (v - a[at])
                else:
                    out[c, t] = b[at] if beyond_rule == 1 else np.nan
                continue
            j = first[int((v - a[0]) * scale)]
            while j < knots - 2 and v >= a[j + 1]:
                j += 1
            while j > 0 and v < a[j]:
                j -= 1
            out[c, t] = b[j] + slope[j] * (v - a[j])
