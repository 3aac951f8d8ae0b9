"""Predictors of soil moisture from terrain, vegetation, light, microwaves and yesterday's rain (M-T1.1).

Averaging to a coarser cell happens where it means something: backscatter in linear units, wetness index before averaging,
drone mosaics with the share of valid pixels beside the mean. xarray in, xarray out, lazy stays lazy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from vadose import units
from vadose.errors import DimensionError, VadoseInputError, VadoseWarning
from vadose.learn.relief import terrain
from vadose.typing import Rng

MEMORY = 0.9  # a day of the antecedent precipitation index


def from_decibel(backscatter: xr.DataArray) -> xr.DataArray:
    """Linear power of backscatter in dB."""
    power: Any = 10.0 ** (backscatter / 10.0)
    return power.assign_attrs(units="1", long_name=f"{backscatter.name or 'backscatter'} (power)")


def to_decibel(power: xr.DataArray) -> xr.DataArray:
    """dB of linear power; power that is not positive becomes NaN."""
    decibel: Any = 10.0 * np.log10(power.where(power > 0))
    return decibel.assign_attrs(units="dB")


def mean_decibel(backscatter: xr.DataArray, dim: Any = None) -> xr.DataArray:
    """Mean over `dim` of backscatter in dB, taken in linear units: of -10 and -20 dB it is -12.596 dB, not -15."""
    return to_decibel(from_decibel(backscatter).mean(dim)).rename(backscatter.name)


def coarsen_decibel(backscatter: xr.DataArray, **windows: int) -> xr.DataArray:
    """Block mean (`lat=10, lon=10` cells) of backscatter in dB, taken in linear units."""
    windows_: dict[Any, int] = dict(windows)
    return to_decibel(from_decibel(backscatter).coarsen(windows_, boundary="trim").mean()).rename(backscatter.name)  # type: ignore[attr-defined]


def _ratio(a: xr.DataArray, b: xr.DataArray, long_name: str) -> xr.DataArray:
    total = a + b
    return ((a - b) / total.where(total != 0)).assign_attrs(units="1", long_name=long_name)


def ndvi(red: xr.DataArray, nir: xr.DataArray) -> xr.DataArray:
    """Normalized difference vegetation index of reflectances."""
    return _ratio(nir, red, "NDVI").rename("ndvi")


def ndwi(nir: xr.DataArray, swir: xr.DataArray) -> xr.DataArray:
    """Normalized difference water index of reflectances (Gao 1996, doi:10.1016/S0034-4257(96)00067-3)."""
    return _ratio(nir, swir, "NDWI").rename("ndwi")


def transformed_reflectance(swir: xr.DataArray) -> xr.DataArray:
    """STR = (1 - R)^2 / (2 R) of shortwave-infrared reflectance: falls with water (Sadeghi et al. 2015)."""
    safe = swir.where(swir > 0)
    return ((1.0 - safe) ** 2 / (2.0 * safe)).rename("transformed_reflectance").assign_attrs(units="1", long_name="STR")


def optram_edges(
    str_: xr.DataArray, vegetation: xr.DataArray, *, bins: int = 20, low: float = 0.02, high: float = 0.98
) -> dict[str, float]:
    """Dry and wet edge of the STR-NDVI trapezoid: lines through the 2 % and 98 % quantiles of STR in NDVI bins.

    In this trapezoid the wet edge has the larger STR. Returns dry_intercept, dry_slope, wet_intercept, wet_slope.
    """
    s, v = (np.asarray(a).reshape(-1) for a in (str_, vegetation))
    good = np.isfinite(s) & np.isfinite(v)
    s, v = s[good], v[good]
    edges = np.linspace(v.min(), v.max(), bins + 1)
    at = np.clip(np.digitize(v, edges) - 1, 0, bins - 1)
    use = [b for b in range(bins) if np.sum(at == b) >= 30]
    if len(use) < 2:
        raise VadoseInputError("OPTRAM edges need at least two NDVI bins of 30 pixels; give a scene with more contrast")
    middle = np.array([v[at == b].mean() for b in use])
    dry, wet = (np.polyfit(middle, [np.quantile(s[at == b], q) for b in use], 1) for q in (low, high))
    return {"dry_intercept": dry[1], "dry_slope": dry[0], "wet_intercept": wet[1], "wet_slope": wet[0]}


def optram(
    str_: xr.DataArray,
    vegetation: xr.DataArray,
    *,
    dry_intercept: float,
    dry_slope: float,
    wet_intercept: float,
    wet_slope: float,
) -> xr.DataArray:
    """Relative wetness of the optical trapezoid, 0 on the dry edge and 1 on the wet edge; not clipped.

    W = (i_d + s_d V - STR) / (i_d - i_w + (s_d - s_w) V). Sadeghi et al. 2017, doi:10.1016/j.rse.2017.05.041
    """
    span = dry_intercept - wet_intercept + (dry_slope - wet_slope) * vegetation
    wetness = (dry_intercept + dry_slope * vegetation - str_) / span.where(span != 0)
    return wetness.rename("optram").assign_attrs(
        units="1", long_name="OPTRAM wetness", references="doi:10.1016/j.rse.2017.05.041"
    )


def antecedent(precipitation: xr.DataArray, *, windows: tuple[int, ...] = (1, 3, 7, 30)) -> xr.Dataset:
    """Memory of rain: index A_t = 0.9 A_{t-1} + P_t [mm] and sums of the last `windows` days [mm], today included.

    Daily precipitation in any unit of water over time; a missing day makes the index and the sums over it NaN.
    """
    rain = units.convert(precipitation, "mm d-1")
    if "time" not in rain.dims:
        raise DimensionError(f"precipitation has no dimension 'time'; it has {rain.dims}")
    out = {
        f"precipitation_{n}d": _window_sum(rain, n).assign_attrs(units="mm", long_name=f"rain of {n} days")
        for n in windows
    }
    data = rain.chunk(time=-1) if rain.chunks is not None else rain
    index = xr.apply_ufunc(
        _remember,
        data,
        input_core_dims=[["time"]],
        output_core_dims=[["time"]],
        dask="parallelized",
        output_dtypes=[float],
    )
    out["antecedent_precipitation"] = index.transpose(*rain.dims).assign_attrs(
        units="mm", long_name="antecedent precipitation index"
    )
    dataset = xr.Dataset({n: v.rename(n) for n, v in out.items()})
    return dataset.chunk(time=-1) if rain.chunks is not None else dataset


def _window_sum(rain: xr.DataArray, n: int) -> xr.DataArray:
    return rain.rolling(time=n, min_periods=n).sum()


def _remember(rain: np.ndarray) -> np.ndarray:
    from scipy.signal import lfilter

    return lfilter([1.0], [1.0, -MEMORY], rain, axis=-1)


def panel_reflectance(
    counts: xr.DataArray, panel_counts: float, *, panel: float, dark_counts: float = 0.0
) -> xr.DataArray:
    """Reflectance of a drone's band from its counts over a panel of known reflectance `panel` (0 to 1), light being the same.

    R = panel (counts - dark) / (panel counts - dark) (Smith and Milton 1999, doi:10.1080/014311699211994). Values above 1.2
    are glint or saturation and become NaN.
    """
    if not 0 < panel <= 1:
        raise VadoseInputError(f"the panel's reflectance must lie between 0 and 1, got {panel}; 50 % is 0.5")
    if not panel_counts > dark_counts:
        raise VadoseInputError(f"counts over the panel ({panel_counts}) must exceed the dark counts ({dark_counts})")
    reflectance = panel * (counts - dark_counts) / (panel_counts - dark_counts)
    return reflectance.where(reflectance <= 1.2).rename(counts.name).assign_attrs(units="1", long_name="reflectance")


def from_mosaic(
    mosaic: xr.Dataset,
    *,
    factor: int,
    misfit: float | None = None,
    enough: float = 0.5,
    dims: tuple[str, str] = ("lat", "lon"),
) -> xr.Dataset:
    """Drone mosaic (calibrated, fine) to cells of `factor` x `factor` pixels: mean, `_spread` and `valid_fraction`.

    `misfit` is the root mean square error of co-registration in fine pixels; above a quarter of the cell the mosaic is
    refused. Cells where fewer than `enough` of the pixels are valid become NaN.
    """
    if misfit is not None and misfit > factor / 4:
        raise VadoseInputError(
            f"co-registration error of {misfit:g} pixels exceeds a quarter of the target cell ({factor / 4:g}); align the mosaic first"
        )
    window: dict[Any, int] = dict.fromkeys(dims, factor)
    share = mosaic.notnull().coarsen(window, boundary="trim").mean()  # type: ignore[attr-defined]
    mean = mosaic.coarsen(window, boundary="trim").mean()  # type: ignore[attr-defined]
    spread = mosaic.coarsen(window, boundary="trim").std()  # type: ignore[attr-defined]
    out = xr.Dataset()
    for name in mosaic.data_vars:
        keep = share[name] >= enough
        out[name] = mean[name].where(keep).assign_attrs(mosaic[name].attrs)
        out[f"{name}_spread"] = spread[name].where(keep).assign_attrs(units=mosaic[name].attrs.get("units", "1"))
    out["valid_fraction"] = (
        share.to_dataarray("band").min("band").assign_attrs(units="1", long_name="share of valid pixels")
    )
    return out


def samples(
    target: xr.DataArray, predictors: xr.Dataset, *, tolerance: float | None = None, dim: str = "station"
) -> xr.Dataset:
    """Rows for a tabular model: where `target` (station, or station and time) has a value, the nearest cell's predictors.

    Parameters
    ----------
    target : soil moisture of stations with coordinates `lat` and `lon` on `dim`.
    predictors : fields (lat, lon) with or without `time`; read at the stations only.
    tolerance : stations farther than this from the nearest cell center [degrees] are refused; one cell when left out.

    Returns
    -------
    Dataset over `sample` with all predictors, the target, and `lat`, `lon`, `station` (and `time`) as coordinates, so
    that honest splits can be made. Loads into memory.
    """
    for name in ("lat", "lon"):
        if name not in target.coords:
            raise DimensionError(f"target {target.name!r} has no coordinate {name!r} along {dim!r}; assign it")
    step = max(
        float(np.abs(np.diff(predictors[n].values)).max()) if predictors.sizes[n] > 1 else 1.0 for n in ("lat", "lon")
    )
    reach = step if tolerance is None else tolerance
    away = max(
        float(np.max(np.min(np.abs(target[n].values[:, None] - predictors[n].values), axis=1))) for n in ("lat", "lon")
    )
    if away > reach:
        raise VadoseInputError(
            f"a station lies {away:.3g} degrees from the nearest predictor cell (allowed {reach:.3g}); drop it or extend the predictors"
        )
    at = predictors.sel(lat=target.lat, lon=target.lon, method="nearest").drop_vars(["lat", "lon"])
    if "time" in target.dims and "time" in at.dims:
        at = at.reindex(time=target.time)
    elif "time" in at.dims:
        raise DimensionError("predictors vary in time but the target does not; select a day or average them first")
    name = str(target.name or "soil_moisture")
    table = at.assign({name: target.drop_vars("time", errors="ignore") if "time" not in target.dims else target})
    if "station" not in table.coords:
        table = table.assign_coords({dim: np.arange(target.sizes[dim])})
    table = table.assign_coords(lat=target.lat, lon=target.lon).load()
    dims = [dim, "time"] if "time" in target.dims else [dim]
    keep = [n for n in table.coords if set(table[n].dims) <= set(dims)]
    flat = table[[*predictors.data_vars, name, *[n for n in keep if n not in dims]]]
    flat = flat.stack(sample=dims, create_index=False) if len(dims) > 1 else flat.rename_dims({dim: "sample"})
    drop = [n for n in flat.coords if "sample" not in flat[n].dims]
    flat = flat.drop_vars(drop).reset_index(list(flat.indexes), drop=False) if flat.indexes else flat.drop_vars(drop)
    return flat.isel(sample=np.flatnonzero(flat[name].notnull().values))


def subsample(table: xr.Dataset, n: int, *, rng: Rng = 0) -> xr.Dataset:
    """At most `n` rows at random, in the old order."""
    size = table.sizes["sample"]
    if n >= size:
        return table
    return table.isel(sample=np.sort(np.random.default_rng(rng).choice(size, n, replace=False)))


def columns(table: xr.Dataset, predictors: tuple[str, ...] | list[str], *, dim: str = "sample") -> np.ndarray:
    """Values (sample, predictor) as float32, in the order of `predictors`; a missing name is an error with the nearest ones."""
    from vadose.errors import unknown_name

    for name in predictors:
        if name not in table.variables:
            raise unknown_name("predictor", name, table.data_vars)
    out = np.empty((table.sizes[dim], len(predictors)), "float32")
    for j, name in enumerate(predictors):
        out[:, j] = table[name].values
    return out


def drop_constant(table: xr.Dataset, predictors: tuple[str, ...]) -> tuple[str, ...]:
    """`predictors` without those that never vary in the table (with a warning)."""
    import warnings

    constant = [n for n in predictors if not np.nanstd(np.asarray(table[n].values, float)) > 0]
    if constant:
        warnings.warn(f"predictors that never vary are dropped: {', '.join(constant)}", VadoseWarning, stacklevel=3)
    return tuple(n for n in predictors if n not in constant)


def describe_units(table: xr.Dataset, predictors: tuple[str, ...]) -> dict[str, str]:
    """Units a predictor carries, '' where it carries none."""
    return {n: str(table[n].attrs.get("units", "")) for n in predictors}


__all__ = [
    "antecedent",
    "coarsen_decibel",
    "columns",
    "describe_units",
    "drop_constant",
    "from_decibel",
    "from_mosaic",
    "mean_decibel",
    "ndvi",
    "ndwi",
    "optram",
    "optram_edges",
    "panel_reflectance",
    "samples",
    "subsample",
    "terrain",
    "to_decibel",
    "transformed_reflectance",
]
