"""Ctrl-C that always works: the main thread waits and hears it, the work is done beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def interruptible(work: Callable[[], T]) -> T:
    """What `work` returns or raises, done in a thread that the end of the program does not wait for.

    In the main thread an interrupt can come while a library holds a lock (HDF5's, say), which is then never released: closing the
    file would wait for ever. Or it comes within a finalizer, where it is lost. Work must bear a sudden end, as it bears SIGKILL.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome.result()
