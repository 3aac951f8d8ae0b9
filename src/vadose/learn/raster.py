"""A map as Cloud Optimized GeoTIFF, for those who open maps in a GIS: tiles, overviews, all directories at the head of the file.

Written block by block, so that memory is bounded by a row of tiles whatever the size of the map. TIFF 6.0 (Adobe 1992), BigTIFF
above 4 GB, GeoTIFF 1.1 (OGC 19-008r4), layout of OGC 21-026 (Cloud Optimized GeoTIFF): smallest overview first in the data, full
resolution last, so that a client reads the head and then what it shows.
"""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any, BinaryIO
from xml.sax.saxutils import escape

import numpy as np
import xarray as xr

from vadose.errors import DimensionError, VadoseInputError
from vadose.typing import Path

TILE = 512
CLASSIC_LIMIT = 2**32 - 2**20  # bytes that offsets of 32 bits can reach, less what the head needs
SHORT, LONG, DOUBLE, ASCII, LONG8 = 3, 4, 12, 2, 16
KINDS = {"f": 3, "u": 1, "i": 2}  # SampleFormat
DEGREES = 4326


def write_cog(
    field: xr.DataArray,
    path: Path,
    *,
    epsg: int | None = None,
    tile: int = TILE,
    report: Callable[[int, int], None] | None = None,
) -> None:
    """Write one field as a Cloud Optimized GeoTIFF at a path or URL (`s3://...`); the file appears when it is whole.

    Parameters
    ----------
    field : two-dimensional on a regular grid with coordinates, `lat` and `lon` in degrees or the y and x of a projection; a
        variable of a map that `vadose.learn.write_map` wrote is read tile by tile. NaN is the no-data value of floats.
    epsg : code of the reference system; 4326 for `lat` and `lon`.
    tile : side of the tiles, a multiple of 16.
    report : `report(done, rows)` after every row of tiles at full resolution.

    Overviews halve the resolution until one tile holds the map: means over valid pixels, or the first pixel for integers (flags).
    """
    if field.ndim != 2:
        raise DimensionError(f"a GeoTIFF holds one plane; {field.name!r} has dims {field.dims}: select a time first")
    if tile <= 0 or tile % 16:
        raise VadoseInputError(f"tiles of GeoTIFF are multiples of 16 pixels, got {tile}")
    if field.dtype.kind not in KINDS or field.dtype.itemsize > 8:
        raise VadoseInputError(f"{field.name!r} is of type {field.dtype}; numbers were expected")
    field, scale, corner = _north_up(field)
    code = epsg if epsg is not None else DEGREES if set(field.dims) == {"lat", "lon"} else None
    if code is None:
        raise VadoseInputError(
            f"dims {field.dims} do not tell the reference system: pass epsg=, for example epsg=32614"
        )
    if "://" in str(path):
        import fsspec

        with tempfile.TemporaryDirectory() as scratch:
            here = FilePath(scratch) / "map.tif"
            write_cog(field, here, epsg=code, tile=tile, report=report)
            system, name = fsspec.core.url_to_fs(str(path))
            system.put_file(str(here), name)
        return
    target = FilePath(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
        temporary = FilePath(scratch) / target.name
        with temporary.open("w+b") as file:
            levels = _overviews(field, tile, FilePath(scratch))
            shared = _words(field, scale, corner, code)
            _Writer(file, levels, tile, shared, report or (lambda done, rows: None)).write()
        os.replace(temporary, target)


def _north_up(field: xr.DataArray) -> tuple[xr.DataArray, tuple[float, float], tuple[float, float]]:
    """The field with rows from north to south and columns from west to east, its pixel size and its north-west corner."""
    steps = []
    for dim, sign in zip(field.dims, (-1.0, 1.0), strict=True):
        if dim not in field.coords or field.sizes[dim] < 2:
            raise DimensionError(f"dimension {dim!r} needs a coordinate of at least two values to place the map")
        at = field[dim].values.astype(float)
        step = (at[-1] - at[0]) / (at.size - 1)
        if step == 0 or np.abs(np.diff(at) - step).max() > 1e-3 * abs(step):
            raise VadoseInputError(f"coordinate {dim!r} is not regular; regrid first (vadose.harmonize.regrid)")
        if step * sign < 0:
            field = field.isel({dim: slice(None, None, -1)})
        steps.append(abs(step))
    dy, dx = steps
    north, west = float(field[field.dims[0]][0]) + dy / 2, float(field[field.dims[1]][0]) - dx / 2
    return field, (dx, dy), (west, north)


def _words(field, scale, corner, code) -> list[tuple[int, int, Any]]:
    """Tags of place and meaning: pixel size, tie point, GeoTIFF keys, GDAL's metadata and no-data."""
    degrees = 4000 <= code < 5000
    keys = [1, 1, 1, 3, 1024, 0, 1, 2 if degrees else 1, 1025, 0, 1, 1, 2048 if degrees else 3072, 0, 1, code]
    items = {**{k: v for k, v in field.attrs.items() if isinstance(v, str)}, "name": str(field.name)}
    text = "".join(f'<Item name="{escape(k)}">{escape(v)}</Item>' for k, v in items.items())
    out: list[tuple[int, int, Any]] = [
        (33550, DOUBLE, (*scale, 0.0)), (33922, DOUBLE, (0.0, 0.0, 0.0, *corner, 0.0)), (34735, SHORT, keys),
        (42112, ASCII, f"<GDALMetadata>{text}</GDALMetadata>"),
    ]  # fmt: skip
    return [*out, (42113, ASCII, "nan")] if field.dtype.kind == "f" else out


def _overviews(field, tile, scratch) -> list[np.ndarray | xr.DataArray]:
    """The field and its halvings down to one tile, the halvings on disk."""
    levels: list[Any] = [field]
    while max(levels[-1].shape) > tile:
        above, number = levels[-1], len(levels)
        rows, columns = (max(1, (n + 1) // 2) for n in above.shape)
        below = np.memmap(scratch / f"level-{number}", dtype=field.dtype, mode="w+", shape=(rows, columns))
        for start in range(0, above.shape[0], 2 * tile):
            part = np.asarray(above[start : start + 2 * tile])
            below[start // 2 : start // 2 + (part.shape[0] + 1) // 2] = _halve(part)
        levels.append(below)
    return levels


def _halve(part: np.ndarray) -> np.ndarray:
    if part.dtype.kind != "f":
        return part[::2, ::2]
    wide = np.pad(part, [(0, n % 2) for n in part.shape], constant_values=np.nan)
    four = wide.reshape(wide.shape[0] // 2, 2, wide.shape[1] // 2, 2)
    there = np.isfinite(four)
    n = there.sum(axis=(1, 3))
    total = np.where(there, four, 0).sum(axis=(1, 3), dtype=float)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan).astype(part.dtype)


class _Writer:
    """Head first with room for the offsets, then the data from the smallest level on, then the offsets into their room."""

    def __init__(
        self,
        file: BinaryIO,
        levels: list[Any],
        tile: int,
        shared: list[tuple[int, int, Any]],
        report: Callable[[int, int], None],
    ) -> None:
        self.file, self.levels, self.tile, self.shared, self.report = file, levels, tile, shared, report
        size = sum(int(np.prod(v.shape)) * v.dtype.itemsize for v in levels)
        self.big = size > CLASSIC_LIMIT
        self.offset = LONG8 if self.big else LONG

    def write(self) -> None:
        counts = [-(-v.shape[0] // self.tile) * -(-v.shape[1] // self.tile) for v in self.levels]
        blank = [(np.zeros(n, int), np.zeros(n, int)) for n in counts]
        start = len(self._head(blank))
        self.file.write(b"\0" * start)
        filled = list(blank)
        for k in reversed(range(len(self.levels))):
            filled[k] = self._tiles(self.levels[k])
        if not self.big and self.file.tell() >= 2**32:
            raise VadoseInputError("the compressed map is larger than 4 GB; write fewer pixels or a smaller type")
        self.file.seek(0)
        self.file.write(self._head(filled))

    def _tiles(self, level: Any) -> tuple[np.ndarray, np.ndarray]:
        side, at, size = self.tile, [], []
        for i in range(0, level.shape[0], side):
            row = np.asarray(level[i : i + side])
            for j in range(0, level.shape[1], side):
                part = row[:, j : j + side]
                full = np.full((side, side), np.nan if part.dtype.kind == "f" else 0, part.dtype)
                full[: part.shape[0], : part.shape[1]] = part
                data = zlib.compress(full.astype(full.dtype.newbyteorder("<")).tobytes(), 6)
                at.append(self.file.tell())
                size.append(len(data))
                self.file.write(data)
            if level is self.levels[0]:
                self.report(min(i + side, level.shape[0]), level.shape[0])
        return np.array(at), np.array(size)

    def _head(self, places: list[tuple[np.ndarray, np.ndarray]]) -> bytes:
        """Header and directories of all levels; its length does not depend on the offsets."""
        out = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) if self.big else struct.pack("<2sHI", b"II", 42, 8)
        for k, (level, (at, size)) in enumerate(zip(self.levels, places, strict=True)):
            out += self._directory(len(out), level, k, at, size, last=k == len(self.levels) - 1)
        return out

    def _directory(self, start: int, level: Any, number: int, at, size, *, last: bool) -> bytes:
        rows, columns = level.shape
        bits = 8 * level.dtype.itemsize
        tags: list[tuple[int, int, Any]] = [
            (254, LONG, [int(number > 0)]), (256, LONG, [columns]), (257, LONG, [rows]), (258, SHORT, [bits]), (259, SHORT, [8]),
            (262, SHORT, [1]), (277, SHORT, [1]), (284, SHORT, [1]), (322, SHORT, [self.tile]), (323, SHORT, [self.tile]),
            (324, self.offset, at.tolist()), (325, LONG, size.tolist()), (339, SHORT, [KINDS[level.dtype.kind]]),
            *(t for t in self.shared if number == 0 or t[0] == 42113),
        ]  # fmt: skip
        entry, room, word = (20, 8, "Q") if self.big else (12, 4, "I")
        head = struct.pack("<Q" if self.big else "<H", len(tags))
        length = len(head) + entry * len(tags) + room
        directory, values = head, b""
        for tag, kind, value in tags:
            data, n = _encode(kind, value)
            if len(data) <= room:
                field = data.ljust(room, b"\0")
            else:
                field = struct.pack("<" + word, start + length + len(values))
                values += data + b"\0" * (-len(data) % 8)
            directory += struct.pack("<HH" + word, tag, kind, n) + field
        following = 0 if last else start + length + len(values)
        return directory + struct.pack("<" + word, following) + values


def _encode(kind: int, value: Any) -> tuple[bytes, int]:
    if kind == ASCII:
        data = value.encode("ascii", "xmlcharrefreplace") + b"\0"
        return data, len(data)
    letter = {SHORT: "H", LONG: "I", DOUBLE: "d", LONG8: "Q"}[kind]
    return struct.pack(f"<{len(value)}{letter}", *value), len(value)
