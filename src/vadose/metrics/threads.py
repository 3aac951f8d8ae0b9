"""Large arrays in memory on all cores: rows are independent, and compiled kernels release the interpreter's lock.

Workers of dask have threads of their own, so nothing is split there. Results do not depend on the number of threads.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

#: Values up to which one thread is as fast.
ALONE = 500_000


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def native(values: np.ndarray) -> np.ndarray:
    """Values as compiled kernels take them: contiguous, in this machine's byte order; half precision becomes single."""
    kind = np.dtype(np.float32) if values.dtype == np.float16 else values.dtype.newbyteorder("=")
    return np.ascontiguousarray(values, dtype=kind)


def by_rows(kernel: Callable[[slice], object], rows: int, values: int) -> None:
    """Call `kernel(part)` for slices that cover `rows`, at the same time where `values` (how many there are) is large."""
    count = min(rows, cores())
    if count < 2 or values < ALONE or threading.current_thread() is not threading.main_thread():
        kernel(slice(0, rows))
        return
    edges = np.linspace(0, rows, count + 1).astype(int)
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(kernel, [slice(int(a), int(b)) for a, b in itertools.pairwise(edges)]))
