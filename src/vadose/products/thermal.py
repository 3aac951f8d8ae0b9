"""High-resolution thermal products of any provider, described by data, and their way to a common 100 m grid (M-F).

What a provider's file means (variable, unit, scale, offset, missing value, quality band) is a `Descriptor`; nothing is hard-coded.
The file specification of Hydrosat's products was not seen: reading them is experimental, and the descriptor is yours to fill
from the document that comes with the data.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from vadose import cf
from vadose.errors import DimensionError, ExperimentalWarning, UnreadableFileError, VadoseInputError

TARGET = 100.0  # m
LEAST_VALID = 0.5


@dataclass(frozen=True)
class Descriptor:
    """One layer of a provider's file: value = stored * scale + offset [unit]; `nodata` is what is stored for missing.

    `layer` names the variable (NetCDF) or gives the band number from 0 (GeoTIFF). `good` lists the values of the quality layer
    that may be kept; None keeps all.
    """

    variable: str  # vadose's name, such as surface_temperature
    unit: str
    layer: str | int = 0
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    quality_layer: str | int | None = None
    good: tuple[int, ...] | None = None
    provider: str = "unknown"


def decode(stored: xr.DataArray, descriptor: Descriptor, quality: xr.DataArray | None = None) -> xr.DataArray:
    """Stored numbers -> values in the descriptor's unit; missing and refused by quality become NaN. Lazy in, lazy out."""
    from vadose import units
    from vadose.vocabulary import VARIABLES

    values = stored.astype(float)
    if descriptor.nodata is not None:
        values = values.where(stored != descriptor.nodata)
    if quality is not None and descriptor.good is not None:
        values = values.where(quality.isin(descriptor.good))
    values = (values * descriptor.scale + descriptor.offset).assign_attrs(units=descriptor.unit)
    row = VARIABLES.get(descriptor.variable)
    if row is not None:
        values = units.convert(values.rename(descriptor.variable), row.units)
        low, high = row.minimum, row.maximum
        values = values.where(
            (values >= (-np.inf if low is None else low)) & (values <= (np.inf if high is None else high))
        )
        return cf.describe(values, descriptor.variable)
    return values.rename(descriptor.variable)


def open(path: str | Path, descriptor: Descriptor, *, time: str | None = None) -> xr.Dataset:
    """One layer of a NetCDF or GeoTIFF (COG) file on its own grid: dims (y, x) with coordinates in the file's projection [m].

    GeoTIFF is read whole with Pillow (north-up files); for windows of remote files use rasterio and hand the array to `decode`.
    """
    if descriptor.provider.lower() == "hydrosat":
        warnings.warn(
            "Hydrosat's file specification was not seen; check the descriptor against your document",
            ExperimentalWarning,
            stacklevel=2,
        )
    name = str(path)
    if name.lower().endswith((".tif", ".tiff")):
        stored = _tiff(name, descriptor.layer)
        quality = None if descriptor.quality_layer is None else _tiff(name, descriptor.quality_layer)
    else:
        with xr.open_dataset(name, mask_and_scale=False) as file:
            for layer in filter(None, (descriptor.layer, descriptor.quality_layer)):
                if layer not in file:
                    raise UnreadableFileError(
                        f"{name}: no variable {layer!r}; found {', '.join(map(str, file.data_vars))}"
                    )
            stored = file[descriptor.layer].load()
            stored.attrs = {}
            quality = None if descriptor.quality_layer is None else file[descriptor.quality_layer].load()
    out = decode(stored, descriptor, quality).to_dataset()
    if time is not None:
        out = out.assign_coords(time=np.datetime64(time, "ns"))
    return cf.provenance(
        out.assign_attrs(Conventions=cf.CONVENTIONS, product=descriptor.provider), step="vadose.products.thermal.open"
    )


def _tiff(name, band):
    from PIL import Image

    try:
        with Image.open(name) as image:
            tags = image.tag_v2  # type: ignore[attr-defined]
            image.seek(0)
            values = np.asarray(image)
            scale, tie, keys = tags.get(33550), tags.get(33922), tags.get(34735)
    except Exception as error:
        raise UnreadableFileError(f"{name}: not a TIFF that can be read here ({error})") from error
    if scale is None or tie is None:
        raise UnreadableFileError(
            f"{name}: no ModelPixelScale and ModelTiepoint tags; only north-up GeoTIFF is read here"
        )
    if values.ndim == 3:
        values = values[..., int(band)]
    x = tie[3] + (np.arange(values.shape[1]) + 0.5 - tie[0]) * scale[0]
    y = tie[4] - (np.arange(values.shape[0]) + 0.5 - tie[1]) * scale[1]
    attrs = {}
    if keys is not None:
        epsg = {keys[k]: keys[k + 3] for k in range(4, len(keys), 4)}.get(3072)
        attrs = {"epsg": int(epsg)} if epsg else {}
    return xr.DataArray(values, dims=("y", "x"), coords={"y": y, "x": x}, attrs=attrs)


# --- to 100 m --------------------------------------------------------------------------------------------------------------


def overlap_weights(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Length [m] of each source cell inside each target cell, from their edges (increasing): (target, source)."""
    low = np.maximum(source[None, :-1], target[:-1, None])
    high = np.minimum(source[None, 1:], target[1:, None])
    return np.maximum(high - low, 0.0)


def _edges(values):
    step = np.diff(values)
    if values.size < 2 or not np.allclose(step, step[0], rtol=1e-6):
        raise DimensionError("x and y must be evenly spaced coordinates in m")
    return np.concatenate([values - step[0] / 2, [values[-1] + step[0] / 2]])


def to_grid100(
    data: xr.DataArray, *, cell: float = TARGET, minimum: float = LEAST_VALID, linear: bool = False
) -> xr.Dataset:
    """Area-weighted mean of a field (..., y, x) on cells of `cell` m aligned to whole multiples of it, in the same projection.

    Returns `mean`, `sd` (within the cell) and `valid_fraction` [1]; NaN where less than `minimum` of the area has values. Temperatures are
    averaged as T^4, close to radiance, unless `linear`. Overlap weights are exact; y and x must be one chunk each.
    """
    if not {"y", "x"} <= set(data.dims):
        raise DimensionError(f"data must have dims y and x, got {data.dims}")
    field = data.sortby("y").sortby("x")
    edges = {d: _edges(field[d].values.astype(float)) for d in ("y", "x")}
    target = {
        d: np.arange(np.floor(e[0] / cell + 1e-9), np.ceil(e[-1] / cell - 1e-9) + 1) * cell for d, e in edges.items()
    }
    wy, wx = (overlap_weights(edges[d], target[d]) for d in ("y", "x"))
    power = 4.0 if data.name == "surface_temperature" and not linear else 1.0

    def kernel(values):
        good = np.isfinite(values)
        raised = np.where(good, values, 0.0) ** power
        area = wy @ good.astype(float) @ wx.T
        with np.errstate(all="ignore"):
            mean = (wy @ raised @ wx.T) / area
            plain = (wy @ np.where(good, values, 0.0) @ wx.T) / area
            square = (wy @ np.where(good, values, 0.0) ** 2 @ wx.T) / area
            fraction = area / cell**2
            kept = fraction >= minimum
            return (
                np.where(kept, mean ** (1 / power), np.nan),
                np.where(kept, np.sqrt(np.maximum(square - plain**2, 0.0)), np.nan),
                fraction,
            )

    chunked = field.chunk(y=-1, x=-1) if field.chunks is not None else field
    parts = xr.apply_ufunc(
        kernel, chunked, input_core_dims=[["y", "x"]], output_core_dims=[["y100", "x100"]] * 3, dask="parallelized",
        output_dtypes=[float] * 3, dask_gufunc_kwargs={"output_sizes": {"y100": wy.shape[0], "x100": wx.shape[0]}},
    )  # fmt: skip
    out = xr.Dataset(dict(zip(("mean", "sd", "valid_fraction"), parts, strict=True))).rename(y100="y", x100="x")
    out = out.assign_coords({d: (target[d][:-1] + target[d][1:]) / 2 for d in ("y", "x")})
    for name in ("mean", "sd"):
        out[name].attrs = {**data.attrs} if name == "mean" else {"units": data.attrs.get("units", "1")}
    return cf.provenance(out, method="M-F", params={"cell": cell, "minimum": minimum})


def spread_coarse(coarse: xr.DataArray, predictor: xr.DataArray, *, strength: float = 1.0) -> xr.DataArray:
    """Coarse moisture on the fine grid of a predictor (y, x), the mean of each coarse cell kept exactly.

    `coarse` lies on the fine grid already (each fine cell holds its coarse value). Within a coarse value, fine = coarse + `strength` times
    the predictor's departure from its own mean there. Missing predictor cells are left out of that mean.
    """
    if coarse.dims != predictor.dims or coarse.shape != predictor.shape:
        raise VadoseInputError(
            f"coarse {dict(coarse.sizes)} and predictor {dict(predictor.sizes)} must share one fine grid"
        )
    labels = coarse.values.ravel()
    extra = predictor.values.ravel()
    good = np.isfinite(labels) & np.isfinite(extra)
    _, index = np.unique(labels[good], return_inverse=True)
    mean = np.bincount(index, extra[good]) / np.bincount(index)
    fine = np.full(labels.shape, np.nan)
    fine[good] = labels[good] + strength * (extra[good] - mean[index])
    return coarse.copy(data=fine.reshape(coarse.shape)).rename("soil_moisture")
