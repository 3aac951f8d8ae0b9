"""What the threads of a process share: made by the first that asks, kept for the others, the longest unused dropped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """`make` with a memory of `most` results. Of two threads that ask for one thing, the second waits: `lru_cache` alone makes it twice.

    What `make` raises is not kept: the next that asks tries again.
    """

    def __init__(self, make: Callable[..., T], most: int) -> None:
        self._make = make
        self._door = threading.Lock()
        self._slots = lru_cache(maxsize=most)(lambda *_: _Slot())

    def __call__(self, *key: Any) -> T:
        with self._door:
            slot = self._slots(*key)
        with slot.door:
            if not slot.full:
                slot.value, slot.full = self._make(*key), True
            return slot.value

    def forget(self) -> None:
        """Drop what is held; what is being made now goes to those that wait for it and no further."""
        with self._door:
            self._slots.cache_clear()


class _Slot:
    def __init__(self) -> None:
        self.door = threading.Lock()
        self.full = False
        self.value: Any = None
