"""Blocks that were read once, on local disk, up to a size: nothing is fetched twice, and the disk never fills.

Off unless VADOSE_CACHE_GB is set. Blocks are keyed by address, place and the
etag they were indexed with, so that a changed source never answers from the cache.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import threading
from pathlib import Path

from vadose.access import remote
from vadose.access.credentials import Access
from vadose.access.remote import Stat

_lock = threading.Lock()
#: Bytes written since the folder was measured last; it is measured anew when this reaches a tenth of the cap.
_written: dict[str, int] = {}


def folder() -> Path:
    """The cache folder: VADOSE_CACHE_DIR, else the user's."""
    return Path(
        os.environ.get("VADOSE_CACHE_DIR") or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "vadose"
    )


def limit() -> int:
    """Bytes that blocks may take; 0 turns the cache off."""
    try:
        return int(float(os.environ.get("VADOSE_CACHE_GB", "0")) * 1e9)
    except ValueError:
        return 0


async def through(
    address: str, offset: int, length: int | None, *, access: Access = remote.DEFAULT, expect: Stat | None = None
) -> bytes:
    """Bytes of a remote object by way of the cache; local files are read directly."""
    cap = limit()
    if cap <= 0 or remote.is_local(address) or length is None:
        return await remote.read_async(address, offset, length, access=access, expect=expect)
    key = hashlib.blake2b(
        f"{address}|{offset}|{length}|{expect.etag if expect else ''}".encode(), digest_size=16
    ).hexdigest()
    path = folder() / "blocks" / key[:2] / key
    with contextlib.suppress(OSError):
        body = path.read_bytes()
        if len(body) == length:
            os.utime(path)
            return body
    body = await remote.read_async(address, offset, length, access=access, expect=expect)
    if len(body) <= cap // 4:
        await asyncio.to_thread(_keep, path, body, cap)
    return body


def _keep(path: Path, body: bytes, cap: int) -> None:
    """A full or read-only disk is no reason to fail a read."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
        partial.write_bytes(body)
        os.replace(partial, path)
    root = str(folder() / "blocks")
    with _lock:
        known = root in _written
        _written[root] = _written.get(root, 0) + len(body)
        if known and _written[root] < cap // 10:
            return
        _written[root] = 0
    shrink(cap)


def shrink(cap: int) -> int:
    """Remove the blocks that were not used for longest until the rest fits; returns the bytes kept."""
    found = []
    for path in (folder() / "blocks").glob("*/*"):
        with contextlib.suppress(OSError):
            stat = path.stat()
            found.append((stat.st_mtime, stat.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= cap:
            break
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size
    return total
