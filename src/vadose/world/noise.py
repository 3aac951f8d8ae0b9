"""Random numbers by place and day: the same cell on the same day has the same luck, however the world is cut into chunks.

Two kinds: `normal` is white in space (a hash of seed, stream, cell and day), `Modes` is a smooth Gaussian field made of
plane waves with random directions and phases, correlated in space over `length` degrees and in time by `memory`.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, inline="always")
def _mix(x):
    """SplitMix64 finalizer (Steele et al. 2014, doi:10.1145/2660193.2660195)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(cache=True, nogil=True)
def _normal(seed, rows, columns, days, memory, out):
    scale = np.sqrt(1.0 - memory * memory)
    unit = 1.0 / 9007199254740992.0
    for c in range(rows.size):
        key = _mix(_mix(seed ^ rows[c]) + columns[c] * np.uint64(0x9E3779B97F4A7C15))
        last = 0.0
        for t in range(days.size):
            a = _mix(key + days[t] * np.uint64(0xD1B54A32D192ED03))
            b = _mix(a + np.uint64(0x9E3779B97F4A7C15))
            u = (np.float64(a >> np.uint64(11)) + 0.5) * unit
            v = np.float64(b >> np.uint64(11)) * unit
            draw = np.sqrt(-2.0 * np.log(u)) * np.cos(2.0 * np.pi * v)
            last = draw if t == 0 else memory * last + scale * draw
            out[c, t] = last


def _stream(seed: int, name: str) -> int:
    mixed = np.random.SeedSequence([seed, *name.encode()]).generate_state(1, np.uint64)[0]
    return int(mixed)


def normal(
    seed: int, name: str, lat: np.ndarray, lon: np.ndarray, days: np.ndarray, *, memory: float = 0.0
) -> np.ndarray:
    """Standard normal noise (cells, days), white in space, AR(1) in time with coefficient `memory`.

    `lat`, `lon` are one value a cell (degrees, told apart to 1e-4); `days` counts days since 1970.
    """
    rows = np.round((np.asarray(lat) + 90.0) * 1e4).astype(np.uint64)
    columns = np.round(np.mod(np.asarray(lon), 360.0) * 1e4).astype(np.uint64)
    out = np.empty((rows.size, np.size(days)))
    _normal(np.uint64(_stream(seed, name)), rows, columns, np.asarray(days).astype(np.uint64), float(memory), out)
    return out


class Modes:
    """A stationary Gaussian field on the plane of longitude and latitude, standard normal everywhere."""

    def __init__(self, seed: int, name: str, *, length: float, count: int = 160) -> None:
        self._rng = np.random.default_rng(_stream(seed, name))
        self._waves = self._rng.normal(0.0, 1.0 / length, (count, 2))
        self._count = count

    def _basis(self, lat, lon):
        return np.exp(1j * (np.outer(lon, self._waves[:, 0]) + np.outer(lat, self._waves[:, 1])))

    def still(self, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
        """The field at cells (cells,), without time."""
        amplitude = self._rng_copy().normal(size=(2, self._count))
        return (self._basis(lat, lon) @ (amplitude[0] + 1j * amplitude[1])).real / np.sqrt(self._count)

    def moving(self, lat: np.ndarray, lon: np.ndarray, days: int, *, memory: float, drift: float = 0.0) -> np.ndarray:
        """The field at cells for `days` days (cells, days): phases turn by `drift` degrees eastward a day and forget by `memory`."""
        rng = self._rng_copy()
        shocks = rng.normal(size=(days, 2, self._count))
        turn = np.exp(-1j * self._waves[:, 0] * drift)
        state = np.empty((days, self._count), dtype=complex)
        scale = np.sqrt(1.0 - memory * memory)
        now = shocks[0, 0] + 1j * shocks[0, 1]
        for day in range(days):
            if day:
                now = memory * now * turn + scale * (shocks[day, 0] + 1j * shocks[day, 1])
            state[day] = now
        return (self._basis(lat, lon) @ state.T).real / np.sqrt(self._count)

    def _rng_copy(self):
        return np.random.default_rng(self._rng.bit_generator.state["state"]["state"] % 2**63)
