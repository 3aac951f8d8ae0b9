"""The same cube as an icechunk store: versions, tags, and a check of each source's time of change.

Settings are written out: a store made on a local disk would otherwise keep settings that split every chunk into five
requests without another try. The format is version 1, which Python 3.11 reads too.
"""

from __future__ import annotations

import asyncio
import datetime
import random
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from zarr.storage import WrapperStore

from vadose.access import metadata, remote
from vadose.access.credentials import Access, EarthdataKeys
from vadose.access.cube import Era, Table, fill_chunk
from vadose.access.recipe import Recipe
from vadose.errors import SourceChangedError, UnreadableFileError

if TYPE_CHECKING:
    import icechunk
    import xarray as xr

#: References in one piece of the manifest: a piece stays near 1 MiB.
SPLIT = 65_536
#: A chunk with all its tries may take so many times what a server may stay silent: a minute.
LONGEST = 4


def prefixes(addresses: Iterable[str]) -> list[str]:
    """What icechunk must be allowed to read: the buckets or top folders of the sources."""
    out = set()
    for address in addresses:
        if remote.is_local(address):
            out.add("file://" + str(Path(remote.local_path(address)).resolve().parent) + "/")
        else:
            out.add("/".join(address.split("/")[:3]) + "/")
    kept: list[str] = []
    for prefix in sorted(out):
        if not any(prefix.startswith(k) for k in kept):
            kept.append(prefix)
    return kept


def configuration(containers: Iterable[str], access: Access) -> icechunk.RepositoryConfig:
    """Settings of a store: one request a chunk, ten tries, and where virtual chunks may lie."""
    import os

    import icechunk

    # One writer a collection is held by a lock of our own; the warning about local folders would only frighten.
    icechunk.set_logs_filter("error")

    config = icechunk.RepositoryConfig.default()
    config.storage = icechunk.StorageSettings(
        concurrency=icechunk.StorageConcurrencySettings(
            max_concurrent_requests_for_object=1, ideal_concurrent_request_size=12 << 20
        ),
        retries=icechunk.StorageRetriesSettings(max_tries=10, initial_backoff_ms=100, max_backoff_ms=20_000),
    )
    config.inline_chunk_threshold_bytes = 2048
    for prefix in containers:
        store: Any
        if prefix.startswith("file://"):
            store = icechunk.local_filesystem_store(prefix.removeprefix("file://"))
        elif prefix.startswith("http"):
            store = icechunk.http_store()
        else:
            endpoint = os.environ.get("AWS_ENDPOINT_URL")
            store = icechunk.s3_store(
                region=access.region or os.environ.get("AWS_REGION", "us-east-1"),
                endpoint_url=endpoint,
                allow_http=bool(endpoint and endpoint.startswith("http://")),
                s3_compatible=bool(endpoint),
                force_path_style=bool(endpoint),
                anonymous=access.auth == "anonymous",
                requester_pays=access.requester_pays,
            )
        config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, store))
    return config


class _Keys:
    """Earthdata keys in the form that icechunk wants; picklable."""

    def __init__(self, endpoint: str) -> None:
        self.source = EarthdataKeys(endpoint)

    def __call__(self) -> Any:
        import icechunk

        keys = self.source()
        return icechunk.S3StaticCredentials(
            access_key_id=keys["access_key_id"],
            secret_access_key=keys["secret_access_key"],
            session_token=keys["token"],
            expires_after=keys["expires_at"],
        )


def permissions(containers: Iterable[str], access: Access) -> Any:
    """Who may read the containers: keys of the access rule for buckets, nothing for files."""
    import icechunk

    rules: dict[str, Any] = {}
    for prefix in containers:
        if not prefix.startswith("s3://"):
            rules[prefix] = None
        elif access.auth == "anonymous":
            rules[prefix] = icechunk.s3_anonymous_credentials()
        elif access.auth == "earthdata" and access.credentials:
            rules[prefix] = icechunk.s3_refreshable_credentials(
                _Keys(access.credentials), scatter_initial_credentials=True
            )
        else:
            rules[prefix] = icechunk.s3_from_env_credentials()
    return icechunk.containers_credentials(rules)


def _oldest_format() -> dict[str, Any]:
    """Format 1, which every icechunk reads: from icechunk 2 on (Python 3.12) another is the default, which icechunk 1 refuses."""
    import inspect

    import icechunk

    return {"spec_version": 1} if "spec_version" in inspect.signature(icechunk.Repository.create).parameters else {}


def storage(place: str, access: Access = remote.DEFAULT) -> Any:
    """Where the store itself lies: a folder, or a bucket that is entered without keys where its rule says so, else with one's own."""
    import os

    import icechunk

    remote.not_forked()
    if remote.is_local(place):
        return icechunk.local_filesystem_storage(remote.local_path(place))
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    way: dict[str, Any] = {"anonymous": True} if access.auth == "anonymous" else {"from_env": True}
    return icechunk.s3_storage(
        bucket=bucket,
        prefix=prefix,
        region=access.region or os.environ.get("AWS_REGION"),
        **way,
        endpoint_url=endpoint,
        allow_http=bool(endpoint),
        force_path_style=bool(endpoint),
    )


def write(era: Era, recipe: Recipe, place: str, *, message: str, tag: str, access: Access = remote.DEFAULT) -> str:
    """Write an era as one commit on `main` and tag it; returns the snapshot's id. Nothing is seen before the commit."""
    import icechunk
    import zarr

    from vadose.access.chunkstore import calm

    containers = prefixes(s.href for s in era.files)
    config = configuration(containers, access)
    where = storage(place)
    allowed = permissions(containers, access)
    repository = (
        icechunk.Repository.open(where, config=config, authorize_virtual_chunk_access=allowed)
        if icechunk.Repository.exists(where)
        else icechunk.Repository.create(
            where, config=config, authorize_virtual_chunk_access=allowed, **_oldest_format()
        )
    )
    repository.save_config()
    session = repository.writable_session("main")
    calm()
    root = zarr.create_group(session.store, overwrite=True, zarr_format=3)
    for name, table in era.tables.items():
        _array(root, session.store, name, table, era, recipe)
    for name, (dims, values, attrs) in metadata.coordinates(era, recipe.grid, recipe.stacks).items():
        array = root.create_array(
            name,
            data=np.array(values, order="C"),
            chunks=values.shape or "auto",
            compressors=None,
            dimension_names=dims,
        )
        array.attrs.update(attrs)
    snapshot = session.commit(message)
    if tag not in repository.list_tags():
        repository.create_tag(tag, snapshot)
    return snapshot


def _array(root: Any, store: Any, name: str, table: Table, era: Era, recipe: Recipe) -> None:
    dims = metadata.dims_of(table, era, recipe.stacks)
    attrs = metadata.attributes(table, era, recipe.stacks)
    dtype = table.values.dtype if table.values is not None else np.dtype(table.form.dtype)
    if "_FillValue" in attrs:
        attrs["_FillValue"] = encoded_fill(attrs["_FillValue"], dtype)
    if table.values is not None:
        array = root.create_array(
            name,
            data=np.array(table.values, order="C"),
            chunks=table.values.shape or "auto",
            compressors=None,
            dimension_names=dims,
        )
        array.attrs.update(attrs)
        return
    root.create_array(
        name,
        shape=table.shape,
        chunks=table.chunks if table.shape else "auto",
        dtype=dtype,
        filters=None,
        compressors=codecs(table.form.filters),
        serializer=_serializer(dtype),
        fill_value=table.form.fill if table.form.fill is not None else None,
        dimension_names=dims,
        attributes=attrs,
    )
    _references(store, name, table, era)


def _references(store: Any, name: str, table: Table, era: Era) -> None:
    import icechunk
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync

    locations = [
        s.href if not remote.is_local(s.href) else "file://" + str(Path(remote.local_path(s.href)).resolve())
        for s in era.files
    ]
    # Seconds, rounded up: HTTP dates have no fractions, and a source that was written earlier in that second is the same.
    stamps = [datetime.datetime.fromtimestamp(int(np.ceil(s.modified)), datetime.UTC) for s in era.files]
    there = np.flatnonzero(table.file >= 0)
    indexes = np.stack(np.unravel_index(there, table.grid), axis=1).tolist()
    files, offsets, lengths = table.file[there].tolist(), table.offset[there].tolist(), table.length[there].tolist()
    specs = [
        icechunk.VirtualChunkSpec(index, locations[f], offset, length, None, stamps[f])
        for index, f, offset, length in zip(indexes, files, offsets, lengths, strict=True)
    ]
    if specs:
        store.set_virtual_refs(f"/{name}", specs, validate_containers=False)
    gone = np.flatnonzero(table.file < 0)
    if len(gone):
        filler = default_buffer_prototype().buffer.from_bytes(fill_chunk(table.form, table.chunks))
        for index in np.stack(np.unravel_index(gone, table.grid), axis=1).tolist():
            sync(store.set(f"{name}/c/{'/'.join(map(str, index))}", filler))


#: Filters of HDF5 that Zarr 3 has codecs for.
CODECS = {"zlib": "Zlib", "shuffle": "Shuffle", "zstd": "Zstd", "blosc": "Blosc", "fletcher32": "Fletcher32"}


def fits(era: Era) -> bool:
    """Whether every filter of an era has a Zarr 3 codec; GRIB messages and TIFF predictors have none."""
    return all(f["id"] in CODECS for table in era.tables.values() for f in table.form.filters)


def codecs(filters: Iterable[dict[str, Any]]) -> Any:
    """HDF5's filters as Zarr 3 codecs."""
    from zarr.codecs import numcodecs as known

    made = (getattr(known, CODECS[f["id"]])(**{k: v for k, v in f.items() if k != "id"}) for f in filters)
    return tuple(made) or None


def _serializer(dtype: np.dtype) -> Any:
    from zarr.codecs import BytesCodec

    return (
        BytesCodec(endian="big" if dtype.byteorder == ">" else "little")
        if dtype.itemsize > 1 and dtype.kind in "iufc"
        else "auto"
    )


def encoded_fill(value: Any, dtype: np.dtype) -> Any:
    """A _FillValue as xarray keeps it in Zarr 3 attributes."""
    from xarray.backends.zarr import FillValueCoder

    return FillValueCoder.encode(np.dtype(dtype.newbyteorder("=")).type(value), dtype.newbyteorder("="))


def open_icechunk(
    place: str, *, access: Access = remote.DEFAULT, snapshot: str | None = None, tag: str | None = None, group: str | None = None,
    containers: Iterable[str] = (), chunks: Any = None,
) -> xr.Dataset:  # fmt: skip
    """An icechunk store as a lazy Dataset, at a snapshot, a tag, or the newest state; broken bodies are asked for again."""
    import icechunk
    import xarray as xr

    from vadose.access.chunkstore import calm, raise_concurrency

    raise_concurrency()
    where = storage(place, access)
    try:
        known = icechunk.Repository.fetch_config(where)
        allowed = list(containers) or list((known.virtual_chunk_containers or {}) if known else [])
        repository = icechunk.Repository.open(
            where, config=configuration(allowed, access), authorize_virtual_chunk_access=permissions(allowed, access)
        )
        session = (
            repository.readonly_session(snapshot_id=snapshot)
            if snapshot
            else (repository.readonly_session(tag=tag) if tag else repository.readonly_session("main"))
        )
    except icechunk.IcechunkError as error:
        text = str(error).splitlines()[0]
        hint = (
            " (it may be written by icechunk 2: that needs Python 3.12 or newer)"
            if "version" in text.lower() or "v2 format" in text
            else ""
        )
        raise UnreadableFileError(f"{place}: not opened as an icechunk store: {text}{hint}") from error
    calm()
    store: Any = Steady(session.store, place)
    return xr.open_dataset(store, engine="zarr", consolidated=False, zarr_format=3, group=group, chunks=chunks)


class Steady(WrapperStore):
    """An icechunk store whose faults have names: sources that changed, chunks that are lost, bodies that broke off."""

    def __init__(self, store: Any, place: str = "") -> None:
        super().__init__(store)
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return _steady, (self._store, self.place)

    def _with_store(self, store: Any) -> Any:
        return type(self)(store, self.place)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        limit = LONGEST * remote.patience()
        for attempt in range(1, remote.RETRIES + 1):
            try:
                # icechunk itself waits without end for a server that says nothing.
                body = await asyncio.wait_for(self._store.get(key, prototype, byte_range), limit)
                break
            except TimeoutError as error:
                raise UnreadableFileError(
                    f"{self.place}: {key} did not come within {limit:g} s; try later, or give the server more time with "
                    "VADOSE_READ_TIMEOUT (seconds)"
                ) from error
            except Exception as error:
                text = str(error).replace(key, "")
                codes = set(re.findall(r"\b[45]\d\d\b", text))
                if "modified" in text or "hecksum" in text or "Precondition" in text or "412" in codes:
                    raise SourceChangedError(
                        f"{self.place}: the source of {key} changed since it was indexed; run `vadose catalog diff`, then `update`"
                    ) from error
                if "NotFound" in text or "NoSuchKey" in text or "not found" in text:
                    raise SourceChangedError(
                        f"{self.place}: the source of {key} is gone since it was indexed"
                    ) from error
                throttled = "SlowDown" in text or bool(codes & {"429", "503"})
                tries = remote.RETRIES if throttled else remote.TRIES
                if attempt == tries or "403" in codes or "denied" in text.lower():
                    raise UnreadableFileError(
                        f"{self.place}: {key} is not read: {text.splitlines()[0][:300]}"
                    ) from error
                # At different moments: who was refused together is refused together again.
                await asyncio.sleep(0.1 * 2**attempt * random.uniform(0.5, 1.5))
        if body is None and "/c/" in f"/{key}":
            raise UnreadableFileError(
                f"{self.place}: chunk {key} has no reference: it is lost, not empty; build it again"
            )
        return body


def _steady(store: Any, place: str) -> Steady:
    return Steady(store, place)
