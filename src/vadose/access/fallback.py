"""Files that are not HDF5, brought into the same tables as the direct scan: netCDF-3 by kerchunk's parser, GRIB, GeoTIFF."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from vadose.access.recipe import Recipe
from vadose.access.remote import Stat
from vadose.access.scan import Variable
from vadose.errors import UnreadableFileError


def scan_other(file: Any, stat: Stat, recipe: Recipe, load: Callable[[Variable], bool]) -> dict[str, Variable]:
    """The variables of a netCDF-3, GRIB or TIFF file (a local path, or an open remote one) with the places of their chunks."""
    with _opened(file) as handle:
        if recipe.format == "netcdf3":
            return _loaded(from_references(_netcdf3(handle, stat), stat.href), handle, load)
        if recipe.format == "grib":
            from vadose.access.grib import scan_grib

            return scan_grib(handle, stat.href, stacks=recipe.stacks)
        if recipe.format == "tiff":
            from vadose.access.tiff import scan_tiff

            return scan_tiff(handle, stat.href)
    raise UnreadableFileError(f"{stat.href}: no scanner for {recipe.format}")


def _opened(file: Any) -> Any:
    return open(file, "rb") if isinstance(file, str) else contextlib.nullcontext(file)


def _netcdf3(handle: Any, stat: Stat) -> dict[str, Any]:
    from kerchunk.netCDF3 import NetCDF3ToZarr, netcdf_file

    class Header(NetCDF3ToZarr):
        """kerchunk's scanner on a file that is open already: it opens by address otherwise, with keys of its own."""

        def __init__(self) -> None:
            self.chunks: dict[str, Any] = {}
            self.out: dict[str, Any] = {}
            self.threshold, self.max_chunk_size, self.storage_options, self.fp = 0, 0, None, handle
            magic = handle.read(4)
            if magic[:3] != b"CDF" or magic[3] not in (1, 2):
                raise ValueError(f"it begins with {magic!r}")
            handle.seek(0)
            netcdf_file.__init__(self, handle, mmap=False, mode="r", maskandscale=False, version=magic[3])
            self.filename = stat.href

        def close(self) -> None:
            """The file belongs to who opened it."""

        __del__ = close

    try:
        return Header().translate()
    except Exception as error:
        raise UnreadableFileError(f"{stat.href}: not a whole netCDF-3 file: {error}") from error


def from_references(references: dict[str, Any], name: str) -> dict[str, Variable]:
    """Kerchunk references (version 1) of one file as scanned variables."""
    refs = references.get("refs", references)
    out = {}
    for key in refs:
        if not key.endswith("/.zarray"):
            continue
        label = key.removesuffix("/.zarray")
        meta = _json(refs[key])
        attrs = _json(refs.get(f"{label}/.zattrs", "{}"))
        dims = attrs.pop("_ARRAY_DIMENSIONS", None)
        shape, chunks = tuple(meta["shape"]), tuple(meta["chunks"]) or (1,)
        places, inline = [], None
        for chunk, where in refs.items():
            if not chunk.startswith(f"{label}/") or chunk.split("/")[-1].startswith("."):
                continue
            index = tuple(int(p) for p in chunk.rsplit("/", 1)[1].split("."))
            if isinstance(where, str):
                inline = base64.b64decode(where[7:]) if where.startswith("base64:") else where.encode("latin-1")
            elif len(where) == 3:
                places.append((index, where[1], where[2]))
            else:
                raise UnreadableFileError(f"{name}:{label}: references to whole files are not joined")
        filters = [*(meta.get("filters") or []), *([meta["compressor"]] if meta.get("compressor") else [])]
        fill = meta.get("fill_value")
        dtype = np.dtype(meta["dtype"])
        if fill is not None and "_FillValue" not in attrs and dtype.kind in "iuf":
            attrs["_FillValue"] = float(fill) if dtype.kind == "f" else fill
        index_table = np.array([p[0][: len(shape)] for p in places], np.int64).reshape(len(places), len(shape))
        out[label] = Variable(
            label, shape, dtype, chunks, tuple(filters), dtype.type(fill) if fill is not None and dtype.kind in "iuf" else None,
            attrs, index_table, np.array([p[1] for p in places], np.int64), np.array([p[2] for p in places], np.int64),
            tuple(dims) if dims else None, inline,
        )  # fmt: skip
    return out


def _loaded(variables: dict[str, Variable], handle: Any, load: Callable[[Variable], bool]) -> dict[str, Variable]:
    """Small variables with their values, read at the places that were found (netCDF-3 stores them plainly)."""
    from dataclasses import replace

    out = {}
    for name, v in variables.items():
        if v.inline is None and not v.filters and load(v):
            order = np.argsort(v.index[:, 0]) if v.index.shape[1] else [0]
            parts = []
            for k in order:
                handle.seek(int(v.offset[k]))
                parts.append(handle.read(int(v.length[k])))
            v = replace(v, inline=b"".join(parts))
        out[name] = v
    return out


def _json(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return dict(value)
    return json.loads(value)
