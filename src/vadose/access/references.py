"""A handful of files as one virtual Zarr: kerchunk references assembled from scans, written as JSON.

`vadose.access.parquet` and `vadose.access.virtual` write large sets.

Files are stacked along a new leading dimension (time). Only files of one fingerprint are stacked; a second fingerprint is
an error that names the files, never a silent wrong decoding.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vadose.access.scan import Variable, fingerprint
from vadose.errors import SourceChangedError


def stack(
    files: Sequence[tuple[str, dict[str, Variable]]],
    *,
    dim: str,
    dims: Mapping[str, Sequence[str]],
    coords: Mapping[str, tuple[Sequence[str], np.ndarray, dict]],
) -> dict[str, Any]:
    """Kerchunk references (version 1) of `files` (address, scan) stacked along `dim`.

    `dims` names the dimensions of each variable inside a file, keyed by variable (`"*"` for all others); `coords` are
    written into the references themselves: {name: (dims, values, attrs)}.
    """
    eras: dict[str, list[str]] = {}
    for address, scan in files:
        eras.setdefault(fingerprint(scan), []).append(address)
    if len(eras) > 1:
        odd = min(eras.values(), key=len)
        raise SourceChangedError(
            f"{len(odd)} of {len(files)} files are laid out differently from the rest (type, chunks, scale, fill or units), first {odd[0]}; index them as an era of their own"
        )
    refs: dict[str, Any] = {".zgroup": json.dumps({"zarr_format": 2}), ".zattrs": "{}"}
    for name, first in files[0][1].items():
        inner = list(dims.get(name, dims.get("*", [f"dim_{k}" for k in range(len(first.shape))])))
        refs[f"{name}/.zarray"] = json.dumps(
            {
                "zarr_format": 2,
                "shape": [len(files), *first.shape],
                "chunks": [1, *first.chunks],
                "dtype": first.dtype.str,
                "order": "C",
                "fill_value": first.attrs.get("_FillValue"),
                "compressor": None,
                "filters": list(first.filters) or None,
            }
        )
        # HDF5's own fill stands for chunks that were never written; only a declared _FillValue means "no value".
        attrs = {**first.attrs, "_ARRAY_DIMENSIONS": [dim, *inner]}
        refs[f"{name}/.zattrs"] = json.dumps(attrs)
        for number, (address, scan) in enumerate(files):
            v = scan[name]
            for index, offset, length in zip(v.index.tolist(), v.offset.tolist(), v.length.tolist(), strict=True):
                refs[f"{name}/{'.'.join(map(str, [number, *index]))}"] = [address, offset, length]
    for name, (names, values, attrs) in coords.items():
        _inline(refs, name, names, np.ascontiguousarray(values), attrs)
    return {"version": 1, "refs": refs}


def _inline(refs, name, dims, values, attrs):
    refs[f"{name}/.zarray"] = json.dumps(
        {
            "zarr_format": 2,
            "shape": list(values.shape),
            "chunks": list(values.shape) or [],
            "dtype": values.dtype.str,
            "order": "C",
            "fill_value": None,
            "compressor": None,
            "filters": None,
        }
    )
    refs[f"{name}/.zattrs"] = json.dumps({**attrs, "_ARRAY_DIMENSIONS": list(dims)})
    refs[f"{name}/{'.'.join(['0'] * values.ndim) or '0'}"] = "base64:" + base64.b64encode(values.tobytes()).decode()


def write_json(references: dict[str, Any], path: Path) -> None:
    """The references as one kerchunk JSON file; it appears only when it is whole. For sets of up to some 100,000 chunks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(references))
    partial.replace(path)
