"""Virtual cubes as a Zarr store of our own: chunks come from where the producer put them, each read is checked.

A chunk without a reference is an error with its name; a source that changed, was cut or is gone is an error with its name;
a body that broke off is asked for again. Stores can be pickled: Dask workers read with their own connections and keys.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zarr
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from vadose.access import cache, remote
from vadose.access.credentials import Access
from vadose.access.parquet import References
from vadose.errors import UnreadableFileError, VadoseError

if TYPE_CHECKING:
    import xarray as xr

#: Chunks under way at a time. Zarr's own default of 10 makes a year at one pixel wait four times as long.
CONCURRENCY = 64


def raise_concurrency() -> None:
    """Let Zarr ask for as many chunks at a time as a store bears, unless somebody chose a number."""
    if zarr.config.get("async.concurrency") == 10:
        zarr.config.set({"async.concurrency": CONCURRENCY})


#: Warnings of Zarr that a reader of archives can do nothing about: what they say is as it should be.
KNOWN = (
    "Failed to open Zarr store with consolidated",
    "Consolidated metadata is currently not part",
    "Numcodecs codecs are not in the Zarr version 3",
    "The data type .* does not have a Zarr V3 specification",
)


def calm() -> None:
    """Leave these warnings out from now on. Not by `warnings.catch_warnings`, which swaps the filters under all other threads."""
    there = {getattr(f[1], "pattern", f[1]) for f in warnings.filters}
    for text in KNOWN:
        if text not in there:
            warnings.filterwarnings("ignore", message=text)


class JsonReferences:
    """Kerchunk references (version 1) from JSON, behind the questions of `parquet.References`."""

    def __init__(self, references: dict[str, Any], name: str, locations: dict[str, str] | None = None) -> None:
        refs = references.get("refs", references)
        if references.get("gen"):
            raise UnreadableFileError(f"{name}: generated references (gen) are not read; expand them with fsspec first")
        templates = references.get("templates", {})
        self.folder, self.refs, self.templates, self.locations = name, refs, templates, dict(locations or {})
        self.metadata = {k: _meta(v) for k, v in refs.items() if k.rsplit("/", 1)[-1].startswith(".z")}
        self.sources: dict[str, remote.Stat] = {}

    @property
    def variables(self) -> list[str]:
        return [k.removesuffix("/.zarray") for k in self.metadata if k.endswith("/.zarray")]

    def chunk(self, name: str, index: tuple[int, ...]) -> bytes | tuple[str, int, int | None]:
        import base64

        separator = self.metadata[f"{name}/.zarray"].get("dimension_separator", ".")
        where = self.refs.get(f"{name}/{separator.join(map(str, index)) or '0'}")
        if where is None:
            raise UnreadableFileError(
                f"{self.folder}: chunk {index} of {name} has no reference: never written by the producer, or lost; "
                "vadose does not guess. Index the files again with `vadose catalog add` and `build`"
            )
        if isinstance(where, str):
            return base64.b64decode(where[7:]) if where.startswith("base64:") else where.encode("latin-1")
        address = where[0]
        for key, value in self.templates.items():
            address = address.replace("{{" + key + "}}", value)
        for old, new in self.locations.items():
            if address.startswith(old):
                address = new + address[len(old) :]
        return (address, where[1], where[2]) if len(where) == 3 else (address, 0, None)


def _meta(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else json.loads(value)


class ReferenceStore(Store):
    """Zarr (version 2, read only) over references."""

    def __init__(
        self, references: References | JsonReferences, access: Access = remote.DEFAULT, *, absent: str = "refuse"
    ) -> None:
        super().__init__(read_only=True)
        self.references, self.access, self.absent = references, access, absent
        self._is_open = True
        raise_concurrency()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.references, self.access, self.absent)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ReferenceStore) and other.references.folder == self.references.folder

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return f"references://{self.references.folder}"

    @property
    def supports_writes(self) -> bool:  # type: ignore[override]
        return False

    @property
    def supports_deletes(self) -> bool:  # type: ignore[override]
        return False

    @property
    def supports_listing(self) -> bool:  # type: ignore[override]
        return True

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        body = await self._bytes(key)
        if body is None:
            return None
        return prototype.buffer.from_bytes(_cut(body, byte_range))

    async def _bytes(self, key: str) -> bytes | None:
        meta = self.references.metadata
        if key in meta:
            return json.dumps(meta[key]).encode()
        if key == ".zmetadata":
            return json.dumps({"metadata": meta, "zarr_consolidated_format": 1}).encode()
        name, _, last = key.rpartition("/")
        if last.startswith(".") or last == "zarr.json":
            return None
        while name and f"{name}/.zarray" not in meta:
            name, _, part = name.rpartition("/")
            last = f"{part}/{last}"
        if not name:
            return None
        shape = meta[f"{name}/.zarray"]["shape"]
        index = tuple(int(p) for p in last.replace("/", ".").split(".")) if shape else ()
        try:
            where = self.references.chunk(name, index)
        except UnreadableFileError:
            if self.absent == "fill":
                return None
            raise
        if isinstance(where, bytes):
            return where
        address, offset, length = where
        return await cache.through(
            address, offset, length, access=self.access, expect=self.references.sources.get(address)
        )

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        import asyncio

        return list(await asyncio.gather(*(self.get(k, prototype, r) for k, r in key_ranges)))

    async def exists(self, key: str) -> bool:
        meta = self.references.metadata
        return key in meta or key == ".zmetadata" or f"{key.rpartition('/')[0]}/.zarray" in meta

    async def set(self, key: str, value: Buffer) -> None:
        raise VadoseError("references are read only")

    async def delete(self, key: str) -> None:
        raise VadoseError("references are read only")

    async def list(self) -> AsyncIterator[str]:
        for key in self.references.metadata:
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        for key in self.references.metadata:
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        start = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
        for part in sorted({k[len(start) :].split("/", 1)[0] for k in self.references.metadata if k.startswith(start)}):
            yield part


class Named(WrapperStore):
    """A Zarr store whose faults have the address of what was read: vadose's errors, when it is opened and when it is computed."""

    def __init__(self, store: Any, address: str, access: Access = remote.DEFAULT) -> None:
        super().__init__(store)
        self.address, self.access = address, access

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._store, self.address, self.access)

    def _with_store(self, store: Any) -> Any:
        return type(self)(store, self.address, self.access)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        remote.not_forked()
        try:
            return await self._store.get(key, prototype, byte_range)
        except Exception as error:
            raise self._explained(error, key) from error

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[Any]) -> Any:
        wanted = list(key_ranges)
        try:
            return await self._store.get_partial_values(prototype, wanted)
        except Exception as error:
            raise self._explained(error, wanted[0][0] if wanted else "") from error

    def _explained(self, error: Exception, key: str) -> Exception:
        ours = type(error).__module__.startswith("obstore") or isinstance(error, PermissionError)
        return remote.explain(error, f"{self.address.rstrip('/')}/{key}", self.access) if ours else error


def _rebuild(references: Any, access: Access, absent: str) -> ReferenceStore:
    return ReferenceStore(references, access, absent=absent)


def _cut(body: bytes, wanted: ByteRequest | None) -> bytes:
    if isinstance(wanted, RangeByteRequest):
        return body[wanted.start : wanted.end]
    if isinstance(wanted, OffsetByteRequest):
        return body[wanted.offset :]
    if isinstance(wanted, SuffixByteRequest):
        return body[-wanted.suffix :]
    return body


def open_references(
    place: str | dict[str, Any], *, access: Access = remote.DEFAULT, locations: dict[str, str] | None = None, group: str | None = None,
    chunks: Any = None, absent: str = "refuse", decode: bool = True,
) -> xr.Dataset:  # fmt: skip
    """A virtual cube as a lazy Dataset: a parquet folder, a JSON file (also .gz), or references already in memory.

    `absent="fill"` lets chunks without a reference read as fill values, as other tools do: for references that you trust and
    whose producer leaves empty chunks out.
    """
    import xarray as xr

    store: Any = ReferenceStore(references_at(place, locations), access, absent=absent)
    return xr.open_dataset(
        store, engine="zarr", consolidated=False, zarr_format=2, group=group, chunks=chunks, mask_and_scale=decode
    )  # type: ignore[arg-type]


def references_at(place: str | dict[str, Any], locations: dict[str, str] | None = None) -> References | JsonReferences:
    """References from a parquet folder, a JSON file or address, or memory."""
    if isinstance(place, dict):
        return JsonReferences(place, "references in memory", locations)
    parquet = place.rstrip("/").endswith((".parq", ".parquet"))
    if remote.is_local(place) and (parquet or Path(remote.local_path(place)).is_dir()):
        return References(remote.local_path(place), locations)
    if parquet:
        return References(str(mirror(place)), locations, origin=place)
    body = remote.read(place) if not place.startswith("http") else web(place)
    if place.endswith(".gz"):
        import gzip

        body = gzip.decompress(body)
    try:
        return JsonReferences(json.loads(body), place, locations)
    except (json.JSONDecodeError, AttributeError, KeyError) as error:
        raise UnreadableFileError(f"{place}: not kerchunk references: {error}") from error


def web(address: str) -> bytes:
    """What a web address answers, or a PlatformError that names it."""
    import urllib.request

    from vadose.errors import PlatformError

    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            address, timeout=remote.patience()
        ) as answer:
            return answer.read()
    except OSError as error:
        raise PlatformError(f"{address} cannot be fetched: {error}") from error


def mirror(address: str, access: Access = remote.DEFAULT) -> Path:
    """A parquet reference set of a bucket or a catalog service, copied into the cache folder once (small, named by version)."""
    import hashlib

    base = address.rstrip("/")
    target = cache.folder() / "references" / hashlib.blake2b(address.encode(), digest_size=8).hexdigest()
    if not (target / ".zmetadata").exists():
        served = base.startswith("http")
        body = web(f"{base}/.zmetadata") if served else remote.read(f"{base}/.zmetadata", access=access)
        names = _pages(json.loads(body)) if served else [s.href.removeprefix(f"{base}/") for s in remote.listing(f"{base}/**", access)]  # fmt: skip
        for name in names:
            if (target / name).name != ".zmetadata":
                part = web(f"{base}/{name}") if served else remote.read(f"{base}/{name}", access=access)
                _whole(target / name, part)
        _whole(target / ".zmetadata", body)  # last: what has it is whole
    return target


def _whole(path: Path, body: bytes) -> None:
    """A file at once: several workers may copy the same set at the same time."""
    import os
    import threading

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
    partial.write_bytes(body)
    os.replace(partial, path)


def _pages(whole: dict[str, Any]) -> list[str]:
    """Files of a reference set that vadose wrote: the web has no listing, but the shapes say how many pages there are."""
    out = ["sources.parquet"]
    for key, meta in whole["metadata"].items():
        if key.endswith("/.zarray"):
            chunks = math.prod(max(1, -(-n // c)) for n, c in zip(meta["shape"], meta["chunks"], strict=True))
            out += [f"{key.removesuffix('/.zarray')}/refs.{k}.parq" for k in range(-(-chunks // whole["record_size"]))]
    return out
