"""Bytes from where they lie: local paths, s3://, gs://, http(s)://, through obstore. Every failure is named.

A read can be held to the object that was indexed (`expect`): one that changed since is refused, never decoded.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import fnmatch
import os
import re
import threading
import urllib.parse
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from vadose.access.credentials import Access, EarthdataKeys, authorization, https_address, in_region
from vadose.errors import AccessDeniedError, PlatformError, SourceChangedError, UnreadableFileError, VadoseInputError

#: Tries of a read whose body was cut.
TRIES = 4
#: Tries within each, when the server answers 429 or 5xx: some twenty seconds in all.
RETRIES = 8
#: Seconds without a single byte after which a server counts as hanging; VADOSE_READ_TIMEOUT says otherwise.
PATIENCE = 15.0
#: No new try begins after so many times that: a server that hangs is asked three times, and the error comes within a minute.
GIVE_UP = 2.5
T = TypeVar("T")
DEFAULT = Access()


@dataclass(frozen=True)
class Stat:
    """An object as a listing or a first read shows it. `etag` has no quotes; `modified` is seconds since 1970."""

    href: str
    size: int
    etag: str
    modified: float


def is_local(address: str) -> bool:
    return "://" not in address or address.startswith("file://")


def local_path(address: str) -> str:
    return address.removeprefix("file://")


#: The process that made the first connection, once there is one.
_connected: list[int] = []
_renewing = threading.Lock()


def not_forked() -> None:
    """Raise PlatformError in a process that was forked from one with connections: they do not live on there, and a read would never end."""
    if not _connected:
        _connected.append(os.getpid())
    elif _connected[0] != os.getpid():
        raise PlatformError(
            "this process was forked from one that had read from stores already: connections do not survive that, and a read here would "
            "wait without end. Start processes with multiprocessing.get_context('spawn') (DataLoader: multiprocessing_context='spawn'), "
            "or use vadose.access.cluster.connect()"
        )


@lru_cache(maxsize=64)
def _store(root: str, access: Access, environment: tuple[str | None, ...]) -> Any:
    """One obstore store a root (bucket or host), access rule and set of keys; kept for the life of the process."""
    from obstore.store import GCSStore, HTTPStore, S3Store

    # No limit for the whole: large files through thin lines take minutes, and bytes that come are no reason to give up.
    client: Any = {"read_timeout": _seconds(patience()), "timeout": "1h", "connect_timeout": "10s", "allow_http": True}
    retry: Any = {
        "max_retries": RETRIES,
        "retry_timeout": _seconds(GIVE_UP * patience()),
        "backoff": {"init_backoff": _seconds(0.1), "max_backoff": _seconds(10), "base": 2.0},
    }
    scheme, _, rest = root.partition("://")
    if scheme in ("http", "https"):
        if access.auth == "earthdata":
            client["default_headers"] = {"Authorization": authorization()}
        elif access.auth == "token" and os.environ.get("VADOSE_TOKEN"):
            client["default_headers"] = {"Authorization": f"Bearer {os.environ['VADOSE_TOKEN']}"}
        return HTTPStore.from_url(root, client_options=client, retry_config=retry)
    if scheme == "gs":
        unsigned: Any = {"skip_signature": True} if access.auth == "anonymous" else {}
        bucket, _, prefix = rest.partition("/")
        return GCSStore(bucket, prefix=prefix or None, client_options=client, retry_config=retry, **unsigned)
    if scheme != "s3":
        raise VadoseInputError(f"address {root}: expected a path, s3://, gs:// or http(s)://")
    options: Any = {"virtual_hosted_style_request": False}
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        options["endpoint"] = endpoint
    if access.region or os.environ.get("AWS_REGION"):
        options["region"] = access.region or os.environ["AWS_REGION"]
    if access.requester_pays:
        options["request_payer"] = True
    if access.auth == "anonymous":
        options["skip_signature"] = True
    elif access.auth == "earthdata" and access.credentials:
        options["credential_provider"] = EarthdataKeys(access.credentials)
    bucket, _, prefix = rest.partition("/")
    return S3Store(bucket, prefix=prefix or None, client_options=client, retry_config=retry, **options)


def patience() -> float:
    """Seconds that a server may say nothing at all."""
    text = os.environ.get("VADOSE_READ_TIMEOUT", "")
    try:
        value = float(text or PATIENCE)
    except ValueError:
        value = 0.0
    if value <= 0:
        raise VadoseInputError(f"VADOSE_READ_TIMEOUT is {text!r}; expected seconds above 0, such as 30")
    return value


def _seconds(value: float) -> Any:
    import datetime

    return datetime.timedelta(seconds=value)


def _environment() -> tuple[str | None, ...]:
    names = (
        "AWS_ENDPOINT_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "EARTHDATA_TOKEN",
        "VADOSE_TOKEN",
        "VADOSE_READ_TIMEOUT",
    )
    return tuple(os.environ.get(n) for n in names)


def keys_in_use() -> str:
    """A short mark of the keys and settings in the environment: equal while they are; it tells nothing of them."""
    import hashlib

    return hashlib.blake2b(repr(_environment()).encode(), digest_size=8).hexdigest()


def reachable(address: str, access: Access = DEFAULT) -> str:
    """The address by which this process gets at an object: NASA's buckets only from their region, HTTPS elsewhere."""
    access.check(address)
    if access.auth == "earthdata" and address.startswith("s3://") and not in_region(access.region):
        if access.https:
            return https_address(address, access.https)
        raise AccessDeniedError(
            f"{address}: direct reads work only from AWS {access.region}, and this machine is not there (AWS_REGION={os.environ.get('AWS_REGION')}); "
            "run on a hub in that region"
        )
    return address


def zarr_store(address: str, access: Access = DEFAULT) -> Any:
    """A Zarr store at an address, read only."""
    from obstore.store import LocalStore
    from zarr.storage import ObjectStore

    not_forked()
    if is_local(address):
        return ObjectStore(LocalStore(local_path(address)), read_only=True)
    return ObjectStore(_store(reachable(address, access).rstrip("/"), access, _environment()), read_only=True)


def at(address: str, access: Access = DEFAULT) -> tuple[Any, str]:
    """The store of an address and the path in it."""
    not_forked()
    address = reachable(address, access)
    scheme, _, rest = address.partition("://")
    host, _, path = rest.partition("/")
    return _store(f"{scheme}://{host}", access, _environment()), urllib.parse.unquote(path) if scheme.startswith(
        "http"
    ) else path


def explain(error: BaseException, address: str, access: Access = DEFAULT) -> Exception:
    """A store's error as one of ours: what it means and what to do."""
    import obstore.exceptions as kinds

    text = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
    ours = re.search(r"AccessDeniedError: ([^\n]+)", str(error))
    if ours:  # from our own provider of keys, by way of the store
        return AccessDeniedError(f"{address}: {ours[1]}")
    if isinstance(error, kinds.PreconditionError):
        return SourceChangedError(
            f"{address}: changed since it was indexed; run `vadose catalog diff`, then `vadose catalog update`"
        )
    if isinstance(error, FileNotFoundError | kinds.NotFoundError):
        return SourceChangedError(f"{address}: is gone since it was indexed; run `vadose catalog diff`")
    if (
        isinstance(error, PermissionError | kinds.PermissionDeniedError | kinds.UnauthenticatedError)
        or " 401 " in text
        or " 403 " in text
    ):
        hint = (
            "set EARTHDATA_TOKEN and run in us-west-2"
            if access.auth == "earthdata"
            else "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
        return AccessDeniedError(f"{address}: the store refuses to hand it out ({text[:120]}); {hint}")
    if _hangs(error):
        return UnreadableFileError(
            f"{address}: the server took the question and then said nothing for {patience():g} s, more than once; "
            "try later, or give it more time with VADOSE_READ_TIMEOUT (seconds)"
        )
    return UnreadableFileError(f"{address}: not read, though asked for again: {text}")


def _hangs(error: BaseException) -> bool:
    """Whether nothing came within the time allowed."""
    return "kind: Timeout" in str(error)


def _final(error: BaseException) -> bool:
    """Errors that another try cannot mend, and those of a server that was asked often enough."""
    import obstore.exceptions as kinds

    return (
        f"max_retries: {RETRIES}" in str(error)
        or _hangs(error)
        or isinstance(
            error,
            kinds.PreconditionError
            | kinds.NotFoundError
            | kinds.PermissionDeniedError
            | kinds.UnauthenticatedError
            | FileNotFoundError
            | PermissionError,
        )
    )


def stat(address: str, access: Access = DEFAULT) -> Stat:
    """Size, etag and time of change of one object. SourceChangedError where it is gone."""
    import obstore

    if is_local(address):
        try:
            found = os.stat(local_path(address))
        except FileNotFoundError as error:
            raise SourceChangedError(f"{address}: is gone; run `vadose catalog diff`") from error
        return Stat(address, found.st_size, _local_etag(found), found.st_mtime)
    store, path = at(address, access)
    try:
        return _stat(address, obstore.head(store, path))
    except Exception as error:
        raise explain(error, address, access) from error


def _stat(address: str, meta: Any) -> Stat:
    return Stat(address, int(meta["size"]), (meta.get("e_tag") or "").strip('"'), meta["last_modified"].timestamp())


def _local_etag(found: os.stat_result) -> str:
    return f"{found.st_mtime_ns:x}-{found.st_size:x}"


def listing(pattern: str, access: Access = DEFAULT) -> list[Stat]:
    """Objects that match a glob (`*` stays within a folder, `**` does not), in order of name. Local paths and buckets."""
    import obstore

    if is_local(pattern):
        return [stat(str(p)) for p in _local_glob(local_path(pattern))]
    if pattern.startswith("http"):
        raise VadoseInputError(
            f"{pattern}: web folders cannot be listed; give the addresses in a text file, one a line, as @FILE"
        )
    fixed = pattern.split("*", 1)[0].split("?", 1)[0].rsplit("/", 1)[0]
    if reachable(fixed, access).startswith("http"):
        raise AccessDeniedError(
            f"{pattern}: this bucket can be listed only from AWS {access.region}, and this machine is not there (AWS_REGION={os.environ.get('AWS_REGION')}). "
            "Elsewhere its files are read over HTTPS, and you say which: --source @FILE with one address a line (what a search at the archive hands out), "
            "or --source FOLDER for your own download"
        )
    store, prefix = at(fixed, access)
    root = (
        pattern[: len(pattern) - len(pattern.removeprefix("s3://").removeprefix("gs://"))]
        + pattern.split("://")[1].split("/")[0]
    )
    found = []
    try:
        for page in obstore.list(store, prefix=prefix or None, chunk_size=1000):
            found += [_stat(f"{root}/{m['path']}", m) for m in page]
    except Exception as error:
        raise explain(error, pattern, access) from error
    return sorted((s for s in found if matches(s.href, pattern)), key=lambda s: s.href)


def matches(address: str, pattern: str) -> bool:
    """Whether an address fits a glob part by part."""
    have, want = address.split("/"), pattern.split("/")
    if "**" in want:
        return fnmatch.fnmatchcase(address, pattern.replace("**/", "*").replace("**", "*"))
    return len(have) == len(want) and all(fnmatch.fnmatchcase(h, w) for h, w in zip(have, want, strict=True))


def _local_glob(pattern: str) -> Iterator[Path]:
    import glob

    return (Path(p) for p in sorted(glob.glob(pattern, recursive=True)) if os.path.isfile(p))


def read(
    address: str, start: int = 0, length: int | None = None, *, access: Access = DEFAULT, expect: Stat | None = None
) -> bytes:
    """Bytes of an object, all or a range."""
    return run(read_async(address, start, length, access=access, expect=expect)).result()


@lru_cache(maxsize=1)
def _loop(process: int) -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="vadose-reads", daemon=True).start()
    return loop


def run(work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
    """Start asynchronous work on this process's own loop: works in notebooks, threads and workers alike."""
    return asyncio.run_coroutine_threadsafe(work, _loop(os.getpid()))


async def read_async(
    address: str, start: int = 0, length: int | None = None, *, access: Access = DEFAULT, expect: Stat | None = None
) -> bytes:
    """Bytes of an object; with `expect`, only if it is still the one that was indexed.

    A body that was cut is asked for again. Raises SourceChangedError (changed, truncated, gone), AccessDeniedError,
    UnreadableFileError after all tries.
    """
    if is_local(address):
        return await asyncio.to_thread(read_local, local_path(address), start, length, expect)
    store, path = at(address, access)
    renewed = False
    for attempt in range(1, TRIES + 1):
        try:
            return await _once(store, path, address, start, length, expect)
        except (SourceChangedError, UnreadableFileError):
            raise
        except Exception as error:
            provider = getattr(store, "credential_provider", None)
            refused = isinstance(explain(error, address, access), AccessDeniedError)
            if refused and not renewed and isinstance(provider, EarthdataKeys):
                store, renewed = _renewed(address, access, store), True
                continue
            if _final(error) or refused or attempt == TRIES:
                raise explain(error, address, access) from error
            await asyncio.sleep(0.1 * 2**attempt)
    raise AssertionError("unreachable")


def _renewed(address: str, access: Access, refused: Any) -> Any:
    """A store with new keys. Of many reads that were refused together the first one makes it, the others take it."""
    with _renewing:
        current = at(address, access)[0]
        if current is refused:
            _store.cache_clear()
            current = at(address, access)[0]
        return current


async def _once(store: Any, path: str, address: str, start: int, length: int | None, expect: Stat | None) -> bytes:
    import obstore

    options: Any = {}
    if length is not None:
        if length == 0:
            return b""
        options["range"] = (start, start + length)
    if expect is not None and expect.etag:
        options["if_match"] = f'"{expect.etag}"'
    answer = await obstore.get_async(store, path, options=options)
    if expect is not None and int(answer.meta["size"]) != expect.size:
        raise SourceChangedError(
            f"{address}: is {answer.meta['size']} bytes long, {expect.size} when it was indexed; run `vadose catalog diff`"
        )
    body = bytes(await answer.bytes_async())
    if length is not None and len(body) != length:
        if start + length > int(answer.meta["size"]):
            raise SourceChangedError(
                f"{address}: bytes {start} to {start + length} are asked for and it ends at {answer.meta['size']}: truncated since it was indexed"
            )
        raise EOFError(f"{len(body)} of {length} bytes came")
    return body


def read_local(path: str, start: int, length: int | None, expect: Stat | None) -> bytes:
    """Bytes of a local file, held to `expect`."""
    try:
        with open(path, "rb", buffering=0) as file:
            found = os.fstat(file.fileno())
            if expect is not None and (
                found.st_size != expect.size or (expect.etag and _local_etag(found) != expect.etag)
            ):
                raise SourceChangedError(
                    f"{path}: changed since it was indexed; run `vadose catalog diff`, then `vadose catalog update`"
                )
            want = found.st_size - start if length is None else length
            body = os.pread(file.fileno(), want, start)
    except FileNotFoundError as error:
        raise SourceChangedError(f"{path}: is gone since it was indexed; run `vadose catalog diff`") from error
    except PermissionError as error:
        raise AccessDeniedError(f"{path}: this user may not read it") from error
    if len(body) != want:
        raise SourceChangedError(f"{path}: truncated since it was indexed: {len(body)} of {want} bytes at {start}")
    return body
