"""Scan many remote files fast: their index is read in blocks that the first file taught us, several files ahead.

An HDF5 file's index lies in a few places. Which 1 MiB blocks hold them is learned from the first file; for the following
files exactly those are asked for before they are needed, so that one process waits for no answer.
"""

from __future__ import annotations

import concurrent.futures
import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from vadose.access import remote
from vadose.access.credentials import Access
from vadose.access.remote import Stat

BLOCK = 1 << 20
#: Files whose blocks are under way while one is being scanned: enough for 100 ms of latency; each may be ten megabytes.
AHEAD = 4
#: Blocks between two wanted ones that are read along rather than asked for in a request of their own.
GAP = 2
Result = TypeVar("Result")


class BlockFile(io.RawIOBase):
    """A remote object as a file for h5py: whole blocks are fetched, kept, and counted."""

    def __init__(self, stat: Stat, access: Access, blocks: dict[int, bytes | memoryview] | None = None) -> None:
        super().__init__()
        self.stat, self.access, self.blocks = stat, access, dict(blocks or {})
        self.touched: set[int] = set()
        self.missed = 0
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = (0, self._at, self.stat.size)[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, into: Any) -> int:
        view = memoryview(into).cast("B")
        want = max(0, min(len(view), self.stat.size - self._at))
        number, inside = divmod(self._at, BLOCK)
        if inside + want <= BLOCK and number in self.blocks:
            # Nearly every read: a little of a block that is there.
            self.touched.add(number)
            view[:want] = self.blocks[number][inside : inside + want]
            self._at += want
            return want
        done = 0
        while done < want:
            number, inside = divmod(self._at, BLOCK)
            part = self._block(number)[inside : inside + want - done]
            view[done : done + len(part)] = part
            done += len(part)
            self._at += len(part)
        return done

    def _block(self, number: int) -> bytes | memoryview:
        self.touched.add(number)
        if number not in self.blocks:
            self.missed += 1
            start = number * BLOCK
            self.blocks[number] = remote.read(
                self.stat.href, start, min(BLOCK, self.stat.size - start), access=self.access, expect=_held(self.stat)
            )
        return self.blocks[number]


class LazyFile(BlockFile):
    """A remote object for readers that come back to it later: the newest blocks are kept, long stretches are asked for at once.

    It can be pickled, so that Dask workers read with connections and keys of their own. What goes wrong has the name of the
    object: vadose's own errors come out of every read, the first one and those of a computation later.
    """

    #: Blocks that are kept: those with a file's index, and some around the place that is read.
    KEPT = 32

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.stat, self.access)

    def readinto(self, into: Any) -> int:
        view = memoryview(into).cast("B")
        want = max(0, min(len(view), self.stat.size - self._at))
        if want <= BLOCK:
            return super().readinto(into)
        view[:want] = remote.read(self.stat.href, self._at, want, access=self.access, expect=_held(self.stat))
        self._at += want
        return want

    def _block(self, number: int) -> bytes | memoryview:
        body = super()._block(number)
        while len(self.blocks) > self.KEPT:
            self.blocks.pop(next(k for k in self.blocks if k not in (0, number)))
        return body


class Head(BlockFile):
    """The beginning of a remote object, and whatever else is looked at: for headers of some kilobytes."""

    FIRST = 32 << 10

    def read(self, size: int = -1) -> bytes:
        want = max(0, self.stat.size - self._at if size < 0 else min(size, self.stat.size - self._at))
        if 0 not in self.blocks:
            self.blocks[0] = self._part(0, min(self.FIRST, self.stat.size))
        inside = self._at + want <= len(self.blocks[0])
        body = bytes(self.blocks[0][self._at : self._at + want]) if inside else self._part(self._at, want)
        self._at += len(body)
        return body

    def _part(self, start: int, length: int) -> bytes:
        return remote.read(self.stat.href, start, length, access=self.access, expect=_held(self.stat))


def _held(stat: Stat) -> Stat | None:
    return stat if stat.etag else None


def runs(blocks: Iterable[int], size: int) -> list[tuple[int, int]]:
    """Block numbers as few ranges of bytes (start, end); near ones are joined."""
    last = (size - 1) // BLOCK
    out: list[list[int]] = []
    for number in sorted(b for b in blocks if b <= last):
        if out and number - out[-1][1] <= GAP:
            out[-1][1] = number
        else:
            out.append([number, number])
    return [(a * BLOCK, min(size, (b + 1) * BLOCK)) for a, b in out]


async def _prefetch(stat: Stat, access: Access, blocks: frozenset[int]) -> dict[int, bytes | memoryview]:
    import asyncio

    ranges = runs(blocks, stat.size)
    bodies = await asyncio.gather(
        *(remote.read_async(stat.href, a, b - a, access=access, expect=_held(stat)) for a, b in ranges)
    )
    out: dict[int, bytes | memoryview] = {}
    for (start, _), body in zip(ranges, bodies, strict=True):
        whole = memoryview(body)
        for k in range(0, len(body), BLOCK):
            out[(start + k) // BLOCK] = whole[k : k + BLOCK]
    return out


def each(
    stats: Iterable[Stat],
    work: Callable[[Any, Stat], Result],
    *,
    access: Access = remote.DEFAULT,
    ahead: int = AHEAD,
) -> Iterator[tuple[Stat, Result | Exception]]:
    """`work(file, stat)` for each object, in order; an exception is its result, so that one bad file stops nothing.

    Local files are handed over as paths. Remote ones as `BlockFile`, with the blocks that earlier files needed already there.
    """
    waiting: deque[tuple[Stat, concurrent.futures.Future[dict[int, bytes | memoryview]] | None]] = deque()
    hot: set[int] = {0}
    source = iter(stats)
    learned = False

    def fill() -> None:
        while len(waiting) < (ahead if learned else 1):
            stat = next(source, None)
            if stat is None:
                return
            waiting.append(
                (stat, None if remote.is_local(stat.href) else remote.run(_prefetch(stat, access, frozenset(hot))))
            )

    fill()
    while waiting:
        stat, under_way = waiting.popleft()
        try:
            if under_way is None:
                yield stat, work(remote.local_path(stat.href), stat)
            else:
                file = BlockFile(stat, access, under_way.result())
                yield stat, work(file, stat)
                if file.missed:
                    hot |= file.touched
        except Exception as error:  # the caller's table of failures
            yield stat, error
        learned = True
        fill()
