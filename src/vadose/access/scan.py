"""Where the chunks of an HDF5 file lie: read straight from the file's index, without opening the data.

`scan` gives every dataset of a group with its shape, type, filters, attributes and a table of (chunk index, offset, length).
`fingerprint` condenses whatever decides how bytes become numbers; files of different fingerprints are never joined.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from vadose.errors import UnreadableFileError

#: Attributes that change what a stored number means; they belong into the fingerprint.
DECODING = ("_FillValue", "missing_value", "scale_factor", "add_offset", "units", "calendar", "_Unsigned")


@dataclass(frozen=True)
class Variable:
    """One dataset: its form, its attributes, and where its chunks are (`index` (n, dims), `offset` (n,), `length` (n,))."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: tuple[int, ...]
    filters: tuple[dict[str, Any], ...]
    fill: Any
    attrs: dict[str, Any]
    index: np.ndarray
    offset: np.ndarray
    length: np.ndarray


def scan(data: bytes | str, *, group: str = "/", name: str = "file") -> dict[str, Variable]:
    """The datasets of `group` in an HDF5 file given as bytes or as a local path.

    Raises UnreadableFileError naming the file when it is not HDF5, truncated, lacks the group, or uses a filter that no
    reader of references understands.
    """
    import h5py

    try:
        with h5py.File(io.BytesIO(data) if isinstance(data, bytes) else data, "r") as file:
            if group not in file:
                raise UnreadableFileError(f"{name}: no group {group!r}; it has {', '.join(file) or 'none'}")
            return {
                key: _variable(key, item, name) for key, item in file[group].items() if isinstance(item, h5py.Dataset)
            }
    except UnreadableFileError:
        raise
    except OSError as error:
        raise UnreadableFileError(f"{name}: not a whole HDF5 file: {error}") from error


def _variable(key, item, name) -> Variable:
    import h5py

    places: list[tuple[tuple[int, ...], int, int]] = []
    if item.chunks:
        # Chunks that were never written have no place: they read as the fill value, and are not in the table.
        item.id.chunk_iter(
            lambda c: places.append(
                (tuple(o // n for o, n in zip(c.chunk_offset, item.chunks, strict=True)), c.byte_offset, c.size)
            )
        )
        chunks = item.chunks
    else:
        chunks = item.shape or (1,)
        where = item.id.get_offset()
        if where is not None:
            places.append(((0,) * len(item.shape), where, item.id.get_storage_size()))
    create = item.id.get_create_plist()
    filters = tuple(_filter(create.get_filter(k), item.dtype, f"{name}:{key}") for k in range(create.get_nfilters()))
    attrs = {
        k: _plain(v)
        for k, v in item.attrs.items()
        if k not in ("DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME", "_Netcdf4Dimid")
    }
    fill = item.fillvalue if item.dtype.kind in "iufb" else None
    if h5py.check_string_dtype(item.dtype) is not None and item.dtype.kind == "O":
        raise UnreadableFileError(
            f"{name}:{key}: text of varying length cannot be referenced; leave it out of the variables"
        )
    index = np.array([p[0] for p in places], dtype=np.int64).reshape(len(places), len(item.shape))
    return Variable(
        key,
        item.shape,
        item.dtype,
        tuple(chunks),
        filters,
        fill,
        attrs,
        index,
        np.array([p[1] for p in places], np.int64),
        np.array([p[2] for p in places], np.int64),
    )


def _filter(entry, dtype, where) -> dict[str, Any]:
    code, _, values, _ = entry
    if code == 1:
        return {"id": "zlib", "level": int(values[0]) if values else 1}
    if code == 2:
        return {"id": "shuffle", "elementsize": dtype.itemsize}
    if code == 32015:
        return {"id": "zstd", "level": int(values[0]) if values else 3}
    raise UnreadableFileError(
        f"{where}: HDF5 filter {code} is not understood by readers of references; index this file with VirtualiZarr or read it directly"
    )


def _plain(value: Any) -> Any:
    """An attribute as JSON can hold it."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return [_plain(v) for v in value.tolist()] if value.size != 1 else _plain(value.reshape(-1)[0])
    if isinstance(value, np.generic):
        return _plain(value.item())
    return value if isinstance(value, str | int | float | bool) else str(value)


def fingerprint(variables: dict[str, Variable]) -> str:
    """A short hash of everything that decides decoding: names, shapes, types, chunks, filters, fills, scales, units."""
    form = [
        [
            v.name,
            list(v.shape),
            v.dtype.str,
            list(v.chunks),
            list(v.filters),
            _plain(v.fill) if v.fill is not None else None,
            {k: v.attrs[k] for k in DECODING if k in v.attrs},
        ]
        for v in sorted(variables.values(), key=lambda v: v.name)
    ]
    return hashlib.blake2b(json.dumps(form, sort_keys=True).encode(), digest_size=8).hexdigest()
