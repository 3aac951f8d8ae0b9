"""Where the chunks of an HDF5 file lie: read straight from the file's index, without opening the data.

`scan` gives every dataset of a group with its shape, type, filters, attributes and a table of (chunk index, offset, length).
`fingerprint` condenses whatever decides how bytes become numbers; files of different fingerprints are never joined.
It speaks to HDF5's low-level interface: the comfortable one costs ten times as much for a thousand small questions.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from vadose.errors import UnreadableFileError, VadoseError

if TYPE_CHECKING:
    import h5py

#: Attributes that change what a stored number means; they belong into the fingerprint.
DECODING = ("_FillValue", "missing_value", "scale_factor", "add_offset", "units", "calendar", "_Unsigned")
#: Where files of NASA's layout state the time of their data: a group, and its attributes of the first and last moment.
STATED_PERIOD = ("Metadata/Extent", "rangeBeginningDateTime", "rangeEndingDateTime")
#: Attributes that describe HDF5's own plumbing.
PLUMBING = frozenset(
    {b"DIMENSION_LIST", b"REFERENCE_LIST", b"CLASS", b"NAME", b"_Netcdf4Dimid", b"_Netcdf4Coordinates"}
)


#: How the datasets of earlier files were made, by group and name: their creation properties, and what was read from them.
Learned = dict[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Variable:
    """One dataset: its form, its attributes, and where its chunks are (`index` (n, dims), `offset` (n,), `length` (n,)).

    `dims` are the names that the file gives its dimensions, None where it gives none. `inline` holds the bytes of a dataset
    that lies inside the file's header. In a scan that is not `full`, `attrs` holds only what decides decoding.
    """

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
    dims: tuple[str, ...] | None = None
    inline: bytes | None = field(default=None, repr=False)


def constant(name: str, values: np.ndarray, dims: tuple[str, ...], attrs: dict[str, Any]) -> Variable:
    """A variable whose values are computed rather than found: it travels with the references."""
    plain = np.ascontiguousarray(values)
    nothing = np.zeros(0, np.int64)
    return Variable(
        name, plain.shape, plain.dtype, plain.shape, (), None, attrs, np.zeros((0, plain.ndim), np.int64), nothing, nothing, dims,
        plain.tobytes(),
    )  # fmt: skip


def scan(
    data: bytes | str | BinaryIO | h5py.File,
    *,
    group: str = "/",
    name: str = "file",
    full: bool = True,
    only: Collection[str] | None = None,
    skipped: dict[str, str] | None = None,
    load: Callable[[Variable], bool] | None = None,
    learned: Learned | None = None,
) -> dict[str, Variable]:
    """The datasets of `group` in an HDF5 file given as bytes, as a local path, as an open binary file, or `opened` already.

    `full=False` reads only the attributes that decide decoding: enough for the fingerprint, and several times faster.
    `only` names the datasets wanted. Datasets that no reference can describe (text of varying length, exotic filters) are put
    into `skipped` with the reason where that is given; without it they are an error. Of those that `load` says yes to, the
    values come along (`inline`). `learned`, kept from file to file, saves reading again what a dataset has in common with the
    one of its name before.

    Raises UnreadableFileError naming the file when it is not HDF5, truncated, lacks the group, or cannot be referenced.
    """
    import h5py

    try:
        with contextlib.ExitStack() as stack:
            file = data if isinstance(data, h5py.File) else stack.enter_context(opened(data, name))
            if group not in file:
                raise UnreadableFileError(f"{name}: no group {group!r}; it has {', '.join(file) or 'none'}")
            where = file[group].id
            out: dict[str, Variable] = {}
            for key in where:
                label = key.decode()
                if only is not None and label not in only:
                    continue
                dataset = h5py.h5o.open(where, key)
                if not isinstance(dataset, h5py.h5d.DatasetID) or _only_a_dimension(dataset):
                    continue
                try:
                    found = _variable(label, dataset, full, learned if learned is not None else {}, f"{group}/{label}")
                    if load is not None and found.inline is None and load(found):
                        found = replace(found, inline=_values(dataset).tobytes())
                    out[label] = found
                except _Unreferencable as error:
                    if skipped is None:
                        raise UnreadableFileError(f"{name}:{label}: {error}; leave it out of the variables") from error
                    skipped[label] = str(error)
            return out
    except VadoseError:
        raise
    except (OSError, RuntimeError, KeyError) as error:
        raise UnreadableFileError(f"{name}: not a whole HDF5 file: {error}") from error


@contextlib.contextmanager
def opened(data: bytes | str | BinaryIO, name: str) -> Iterator[h5py.File]:
    """An HDF5 file, opened once for several looks into it. UnreadableFileError where it is none."""
    import h5py

    try:
        file = h5py.File(io.BytesIO(data) if isinstance(data, bytes) else data, "r")
    except VadoseError:  # the store's own word, such as a source that changed
        raise
    except (OSError, RuntimeError, KeyError) as error:
        raise UnreadableFileError(f"{name}: not a whole HDF5 file: {error}") from error
    with file:
        yield file


def stated_period(file: h5py.File) -> tuple[np.datetime64, np.datetime64] | None:
    """First and last time that a file itself says its data are of; None where it says nothing that can be read."""
    group, first, last = STATED_PERIOD
    try:
        if group not in file:
            return None
        found = [_plain(file[group].attrs[key]) for key in (first, last)]
        begin, end = (np.datetime64(str(text).removesuffix("Z").removesuffix("+00:00"), "ns") for text in found)
    except (KeyError, ValueError):
        return None
    return begin, end


def _only_a_dimension(dataset: Any) -> bool:
    """netCDF keeps a dimension without coordinates as a dataset without values; its NAME says so."""
    import h5py

    if not h5py.h5a.exists(dataset, b"NAME"):
        return False
    attribute = h5py.h5a.open(dataset, b"NAME")
    if attribute.dtype.kind != "S":
        return False
    text = np.zeros(attribute.shape, attribute.dtype)
    attribute.read(text)
    return text.reshape(-1)[0].startswith(b"This is a netCDF dimension but not a netCDF variable")


class _Unreferencable(Exception):
    """A dataset that cannot be described by offsets."""


def _variable(label: str, dataset: Any, full: bool, learned: Learned, key: str) -> Variable:
    import h5py

    shape = dataset.shape
    dtype = _numpy_type(dataset.get_type().encode())
    if dtype.kind == "O":
        raise _Unreferencable("text or lists of varying length cannot be referenced")
    if dtype.kind == "V":
        raise _Unreferencable("compound values cannot be referenced")
    create = dataset.get_create_plist()
    before = learned.get(key)
    if before is None or before[1].dtype != dtype or not create.equal(before[0]):
        before = learned[key] = (create, _made(create, dtype))
    made = before[1]
    inline = None
    if made.layout == h5py.h5d.CHUNKED:
        chunks = made.chunks
        index, offset, length = _chunked(dataset, chunks)
    else:
        chunks = shape
        index, offset, length = _whole(dataset, shape, create, made.layout)
        if made.layout == h5py.h5d.COMPACT:
            inline = _values(dataset).tobytes()
    attrs, dims = _attributes(dataset, len(shape), full)
    return Variable(label, shape, dtype, chunks, made.filters, made.fill, attrs, index, offset, length, dims, inline)


@lru_cache(maxsize=512)
def _numpy_type(encoded: bytes) -> np.dtype:
    """The numpy type of an encoded HDF5 type; lists and text of varying length are objects."""
    import h5py

    return h5py.h5t.decode(encoded).dtype


@dataclass(frozen=True)
class _Made:
    """How a dataset was made: what its list of creation properties says."""

    dtype: np.dtype
    layout: int
    chunks: tuple[int, ...]
    filters: tuple[dict[str, Any], ...]
    fill: Any


def _made(create: Any, dtype: np.dtype) -> _Made:
    import h5py

    layout = create.get_layout()
    chunks = create.get_chunk() if layout == h5py.h5d.CHUNKED else ()
    filters = tuple(_filter(create.get_filter(k), dtype) for k in range(create.get_nfilters()))
    return _Made(dtype, layout, tuple(chunks), filters, _fill(create, dtype))


def _chunked(dataset: Any, chunks: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # Chunks that were never written have no place: they read as the fill value, and are not in the table.
    places: list[Any] = []
    dataset.chunk_iter(places.append)
    if any(p.filter_mask for p in places):
        raise _Unreferencable("some chunks skip a filter that others use")
    starts = np.array([p.chunk_offset for p in places], np.int64).reshape(len(places), len(chunks))
    return (
        starts // chunks,
        np.array([p.byte_offset for p in places], np.int64),
        np.array([p.size for p in places], np.int64),
    )


def _whole(dataset, shape, create, layout):
    import h5py

    if create.get_external_count():
        raise _Unreferencable("its values lie in another file")
    if layout == h5py.h5d.VIRTUAL:
        raise _Unreferencable("it is assembled from other files")
    where = dataset.get_offset()
    n = 0 if where is None else 1
    return (
        np.zeros((n, len(shape)), np.int64),
        np.array([where] * n, np.int64),
        np.array([dataset.get_storage_size()] * n, np.int64),
    )


def _values(dataset: Any) -> np.ndarray:
    import h5py

    return np.ascontiguousarray(h5py.Dataset(dataset)[()])


def _fill(create: Any, dtype: np.dtype) -> Any:
    if dtype.kind not in "iufb":
        return None
    value = np.zeros(1, dtype)
    create.get_fill_value(value)
    return value[0]


def _attributes(dataset: Any, rank: int, full: bool) -> tuple[dict[str, Any], tuple[str, ...] | None]:
    import h5py

    attrs: dict[str, Any] = {}
    if not full:
        names: list[bytes] = []
        h5py.h5a.iterate(dataset, names.append)
        for name in names:
            key = name.decode()
            if key in DECODING:
                attrs[key] = _attribute(h5py.h5a.open(dataset, name), dataset, key)
        return attrs, _dims(dataset, rank) if rank == 1 and h5py.h5ds.is_scale(dataset) else None
    for k in range(h5py.h5a.get_num_attrs(dataset)):
        attribute = h5py.h5a.open(dataset, index=k)
        if attribute.name not in PLUMBING:
            attrs[attribute.name.decode()] = _attribute(attribute, dataset, attribute.name.decode())
    return attrs, _dims(dataset, rank)


def _attribute(attribute: Any, dataset: Any, key: str) -> Any:
    import h5py

    kind = attribute.get_type()
    dtype = _number_or_text(kind.encode())
    # One value of a plain type, which nearly all are, without the comfortable interface: a third of the time.
    if dtype is not None and attribute.get_storage_size() == dtype.itemsize:
        value = np.empty((), dtype)
        attribute.read(value, mtype=kind)
        return _plain(value.item())
    return _plain(h5py.Dataset(dataset).attrs[key])


@lru_cache(maxsize=512)
def _number_or_text(encoded: bytes) -> np.dtype | None:
    """The numpy type of an encoded HDF5 type, where a value of it is a number or text of fixed length."""
    dtype = _numpy_type(encoded)
    return dtype if dtype.kind in "iufbS" else None


def _dims(dataset: Any, rank: int) -> tuple[str, ...] | None:
    """Names of the dimension scales attached to a dataset; a scale names its own dimension."""
    import h5py

    high = h5py.Dataset(dataset)
    if h5py.h5ds.is_scale(dataset) and rank == 1:
        return (high.name.rsplit("/", 1)[-1],)
    names = []
    for axis in range(rank):
        if h5py.h5ds.get_num_scales(dataset, axis) == 0:
            return None
        names.append(high.dims[axis][0].name.rsplit("/", 1)[-1])
    return tuple(names)


def _filter(entry: tuple, dtype: np.dtype) -> dict[str, Any]:
    code, _, values, _ = entry
    if code == 1:
        return {"id": "zlib", "level": int(values[0]) if values else 1}
    if code == 2:
        return {"id": "shuffle", "elementsize": dtype.itemsize}
    if code == 3:
        return {"id": "fletcher32"}
    if code == 32001:
        return {"id": "blosc"}
    if code == 32015:
        return {"id": "zstd", "level": int(values[0]) if values else 3}
    raise _Unreferencable(f"HDF5 filter {code} is not understood by readers of references")


def _plain(value: Any) -> Any:
    """An attribute as JSON can hold it."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return [_plain(v) for v in value.tolist()] if value.size != 1 else _plain(value.reshape(-1)[0])
    if isinstance(value, np.generic):
        return _plain(value.item())
    return value if isinstance(value, str | int | float | bool) else str(value)


def decoding_form(
    variables: dict[str, Variable], *, free: Collection[str] = (), along: str | None = None
) -> list[list[Any]]:
    """Everything that decides decoding, as JSON can hold it.

    Variables in `free` may have units of their own (time axes); lengths along the dimension `along` may differ.
    """
    return [
        [
            v.name,
            [-1 if v.dims and v.dims[k] == along else n for k, n in enumerate(v.shape)],
            v.dtype.str,
            [] if v.name in free else list(v.chunks),
            [{k: x for k, x in f.items() if k != "level"} for f in v.filters],
            _plain(v.fill) if v.fill is not None else None,
            {k: v.attrs[k] for k in DECODING if k in v.attrs and not (v.name in free and k == "units")},
        ]
        for v in sorted(variables.values(), key=lambda v: v.name)
    ]


def fingerprint(variables: dict[str, Variable], *, free: Collection[str] = (), along: str | None = None) -> str:
    """A short hash of everything that decides decoding: names, shapes, types, chunks, filters, fills, scales, units.

    The compression level is left out: it changes how long writing took, not how bytes become numbers.
    """
    form = json.dumps(decoding_form(variables, free=free, along=along), sort_keys=True)
    return hashlib.blake2b(form.encode(), digest_size=8).hexdigest()
