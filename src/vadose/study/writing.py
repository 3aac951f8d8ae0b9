"""Zarr stores of results: complete before they take their name, readable by other languages."""

from __future__ import annotations

import shutil
from pathlib import Path

import xarray as xr


def zarr_store(dataset: xr.Dataset, path: Path) -> None:
    """Write a Zarr 3 store under a temporary name, then put it in the place of the old one. Lazy data is streamed."""
    partial = path.with_name(path.name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    clean = dataset.copy(deep=False)
    for name in clean.variables:
        clean[name].encoding = {}
    # Zarr 3 has a string type of variable length; fixed-length Unicode has no specification that other readers share.
    texts = {n: v.astype(str).astype(object) for n, v in clean.variables.items() if v.dtype.kind in "UTO"}
    clean = clean.assign_coords({n: v for n, v in texts.items() if n in clean.coords}).assign(
        {n: v for n, v in texts.items() if n in clean.data_vars}
    )
    clean.to_zarr(partial, mode="w", consolidated=False, zarr_format=3)
    old = path.with_name(path.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.rename(old)
    partial.rename(path)
    shutil.rmtree(old, ignore_errors=True)
