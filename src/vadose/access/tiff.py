"""Where the tiles of a GeoTIFF lie, read from its first directory: a few kilobytes a file, in a bucket too.

Full resolution only: overviews of a Cloud Optimized GeoTIFF come after it and are left alone. Classic and BigTIFF, either
byte order; deflate, zstd or none, with or without a predictor. TIFF 6.0 (Adobe, 1992); GeoTIFF 1.1 (OGC 19-008r4).
"""

from __future__ import annotations

import math
import re
import struct
from typing import Any

import numpy as np
from numcodecs.abc import Codec

from vadose.access.scan import Variable, constant
from vadose.errors import UnreadableFileError

WIDTH, HEIGHT, BITS, COMPRESSION, SAMPLES, ROWS_A_STRIP, PLANAR, PREDICTOR, FORMAT = (
    256,
    257,
    258,
    259,
    277,
    278,
    284,
    317,
    339,
)
STRIPS, STRIP_BYTES, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES = 273, 279, 322, 323, 324, 325
SCALE, TIEPOINT, GEO_KEYS, METADATA, NODATA = 33550, 33922, 34735, 42112, 42113
#: Type of a tag's values -> struct letter and bytes.
TYPES = {1: ("B", 1), 2: ("s", 1), 3: ("H", 2), 4: ("I", 4), 5: ("II", 8), 6: ("b", 1), 7: ("s", 1), 8: ("h", 2), 9: ("i", 4), 11: ("f", 4), 12: ("d", 8), 16: ("Q", 8)}  # fmt: skip
COMPRESSIONS: dict[int, tuple[dict[str, Any], ...]] = {
    1: (),
    8: ({"id": "zlib", "level": 6},),
    32946: ({"id": "zlib", "level": 6},),
    50000: ({"id": "zstd", "level": 9},),
}
KINDS = {1: "u", 2: "i", 3: "f"}


class Predictor(Codec):
    """Differences along a row, of numbers (2) or of the bytes of floats (3), as TIFF stores them before compression."""

    codec_id = "vadose_tiff_predictor"

    def __init__(self, predictor: int, dtype: str, shape: list[int]) -> None:
        self.predictor, self.dtype, self.shape = predictor, dtype, list(shape)

    def decode(self, buf: Any, out: Any = None) -> Any:
        dtype, (rows, columns, samples) = np.dtype(self.dtype), self.shape
        if self.predictor == 2:
            native = np.frombuffer(buf, dtype).reshape(rows, columns, samples).astype(dtype.newbyteorder("="))
            values = np.cumsum(native, axis=1, dtype=native.dtype).astype(dtype)
        else:
            planes = np.frombuffer(buf, np.uint8).reshape(rows, -1, samples)
            summed = np.cumsum(planes, axis=1, dtype=np.uint8).reshape(rows, dtype.itemsize, columns * samples)
            values = np.ascontiguousarray(summed.transpose(0, 2, 1)).view(f">f{dtype.itemsize}").astype(dtype)
        return _into(values.reshape(-1), out)

    def encode(self, buf: Any) -> Any:
        dtype, (rows, columns, samples) = np.dtype(self.dtype), self.shape
        data = np.frombuffer(buf, dtype).reshape(rows, columns, samples)
        if self.predictor == 2:
            native = data.astype(dtype.newbyteorder("="))
            native[:, 1:] = native[:, 1:] - data.astype(native.dtype)[:, :-1]
            return native.astype(dtype).tobytes()
        planes = np.ascontiguousarray(data.astype(f">f{dtype.itemsize}")).view(np.uint8)
        rolled = (
            planes.reshape(rows, columns * samples, dtype.itemsize).transpose(0, 2, 1).reshape(rows, -1, samples).copy()
        )
        rolled[:, 1:] -= rolled[:, :-1].copy()
        return rolled.tobytes()


def _into(values: np.ndarray, out: Any) -> Any:
    if out is None:
        return values
    np.frombuffer(out, values.dtype)[:] = values
    return out


def scan_tiff(handle: Any, name: str) -> dict[str, Variable]:
    """`data` with dims (y, x), or (band, y, x) and (y, x, band) as the file keeps its bands; and the centers of rows and columns.

    Rows and columns are `lat` and `lon` where the file says degrees, `y` and `x` in its projection otherwise. The scale,
    offset and missing value that GDAL wrote become attributes. UnreadableFileError names what cannot be referenced.
    """
    tags, order = _directory(handle, name)
    try:
        width, height, bits = tags[WIDTH][0], tags[HEIGHT][0], tags[BITS]
    except KeyError as error:
        raise UnreadableFileError(f"{name}: not a whole TIFF: tag {error} is missing") from error
    samples = tags.get(SAMPLES, (1,))[0]
    kind = KINDS.get(tags.get(FORMAT, (1,))[0])
    if len(set(bits)) != 1 or bits[0] not in (8, 16, 32, 64) or kind is None:
        raise UnreadableFileError(f"{name}: values of {bits} bits are not numbers that can be referenced")
    dtype = np.dtype(f"{order}{kind}{bits[0] // 8}")
    chunky = tags.get(PLANAR, (1,))[0] == 1
    (rows, columns), offsets, lengths = _pieces(tags, height, width, samples if chunky else 1, dtype, name)
    depth = samples if chunky else 1
    filters = _filters(tags, dtype, (rows, columns, depth), name)
    down, across = math.ceil(height / rows), math.ceil(width / columns)
    layers = 1 if chunky else samples
    number = np.arange(layers * down * across)
    place = np.stack([number // (down * across), number // across % down, number % across], axis=1)
    ydim, xdim = ("lat", "lon") if _geographic(tags) else ("y", "x")
    shape: tuple[int, ...] = (height, width)
    chunks: tuple[int, ...] = (rows, columns)
    dims: tuple[str, ...] = (ydim, xdim)
    index = place[:, 1:]
    if samples > 1 and chunky:
        shape, chunks, dims = (*shape, samples), (*chunks, samples), (*dims, "band")
        index = np.column_stack([index, np.zeros(len(place), np.int64)])
    elif samples > 1:
        shape, chunks, dims, index = (samples, *shape), (1, *chunks), ("band", *dims), place
    attrs = _attributes(tags, dtype)
    there = lengths > 0  # tiles that were never written have no place
    out = {
        "data": Variable(
            "data", shape, dtype, chunks, filters, dtype.type(attrs["_FillValue"]) if "_FillValue" in attrs else None, attrs,
            index[there], offsets[there], lengths[there], dims,
        )
    }  # fmt: skip
    return out | _centers(tags, height, width, ydim, xdim)


def _directory(handle: Any, name: str) -> tuple[dict[int, tuple[Any, ...]], str]:
    handle.seek(0)
    head = handle.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or struct.unpack(f"{order}H", head[2:4])[0] not in (42, 43):
        raise UnreadableFileError(f"{name}: not a TIFF file")
    big = struct.unpack(f"{order}H", head[2:4])[0] == 43
    at = struct.unpack(f"{order}Q", head[8:16])[0] if big else struct.unpack(f"{order}I", head[4:8])[0]
    counter, entry, inline = ("Q", 20, 8) if big else ("H", 12, 4)
    handle.seek(at)
    many = struct.unpack(f"{order}{counter}", _whole(handle, struct.calcsize(counter), name))[0]
    rows = _whole(handle, many * entry, name)
    out = {}
    for k in range(many):
        row = rows[k * entry : (k + 1) * entry]
        tag, kind = struct.unpack(f"{order}HH", row[:4])
        count = struct.unpack(f"{order}{'Q' if big else 'I'}", row[4 : 4 + inline])[0]
        if kind not in TYPES:
            continue
        letter, size = TYPES[kind]
        body = row[-inline:]
        if count * size > inline:
            handle.seek(struct.unpack(f"{order}{'Q' if big else 'I'}", body)[0])
            body = _whole(handle, count * size, name)
        form = f"{order}{count}s" if letter == "s" else f"{order}{letter * count}"
        out[tag] = struct.unpack(form, body[: count * size])
    return out, order


def _whole(handle: Any, size: int, name: str) -> bytes:
    body = handle.read(size)
    if len(body) < size:
        raise UnreadableFileError(f"{name}: its directory is cut: truncated")
    return body


def _pieces(tags, height, width, samples, dtype, name):
    """Rows and columns of a piece, and where the pieces lie: tiles, whole strips, or one stretch of plain bytes."""
    if TILES in tags:
        size = (tags[TILE_HEIGHT][0], tags[TILE_WIDTH][0])
        return size, np.array(tags[TILES], np.int64), np.array(tags[TILE_BYTES], np.int64)
    offsets, lengths = np.array(tags[STRIPS], np.int64), np.array(tags[STRIP_BYTES], np.int64)
    rows = min(tags.get(ROWS_A_STRIP, (height,))[0], height)
    whole = height * width * samples * dtype.itemsize
    if tags.get(COMPRESSION, (1,))[0] == 1 and lengths.sum() == whole and (np.diff(offsets) == lengths[:-1]).all():
        return (height, width), offsets[:1], np.array([whole])
    if height % rows:
        raise UnreadableFileError(
            f"{name}: its last strip has {height % rows} of {rows} rows and cannot be referenced; rewrite it as a tiled (cloud optimized) GeoTIFF"
        )
    return (rows, width), offsets, lengths


def _filters(tags, dtype: np.dtype, shape: tuple[int, int, int], name: str) -> tuple[dict[str, Any], ...]:
    packed = tags.get(COMPRESSION, (1,))[0]
    if packed not in COMPRESSIONS:
        raise UnreadableFileError(
            f"{name}: compression {packed} cannot be referenced; those that can: deflate, zstd, none"
        )
    predictor = tags.get(PREDICTOR, (1,))[0]
    if predictor == 1 or packed == 1:
        return COMPRESSIONS[packed]
    if predictor not in (2, 3):
        raise UnreadableFileError(f"{name}: predictor {predictor} is not known; 1, 2 and 3 are")
    return (
        {"id": Predictor.codec_id, "predictor": predictor, "dtype": dtype.str, "shape": list(shape)},
        *COMPRESSIONS[packed],
    )


def _geo_key(tags, key: int) -> int | None:
    table = tags.get(GEO_KEYS, ())
    return next((table[k + 3] for k in range(4, len(table) - 3, 4) if table[k] == key and table[k + 1] == 0), None)


def _geographic(tags) -> bool:
    return _geo_key(tags, 1024) == 2


def _attributes(tags, dtype: np.dtype) -> dict[str, Any]:
    attrs: dict[str, Any] = {}
    text = tags[NODATA][0].decode("ascii", "replace").strip("\0 ") if NODATA in tags else ""
    if text:
        value = float(text)
        attrs["_FillValue"] = value if dtype.kind == "f" else int(value)
    if METADATA in tags:
        words = tags[METADATA][0].decode("utf-8", "replace")
        for key, ours in (("scale", "scale_factor"), ("offset", "add_offset")):
            # As GDAL writes it, or as a plain item that the producer added.
            found = re.search(rf'role="{key}"[^>]*>([^<]+)<', words) or re.search(
                rf'name="{ours}"[^>]*>([^<]+)<', words
            )
            if found:
                attrs[ours] = float(found[1])
    code = _geo_key(tags, 3072) or _geo_key(tags, 2048)
    return attrs | ({"crs": f"EPSG:{code}"} if code and code != 32767 else {})


def _centers(tags, height: int, width: int, ydim: str, xdim: str) -> dict[str, Variable]:
    if SCALE not in tags or TIEPOINT not in tags:
        return {}
    dx, dy, *_ = tags[SCALE]
    column, row, _, x, y, *_ = tags[TIEPOINT]
    half = 0.0 if _geo_key(tags, 1025) == 2 else 0.5
    degrees = _geographic(tags)
    names = ("latitude", "longitude") if degrees else ("projection_y_coordinate", "projection_x_coordinate")
    units = ("degrees_north", "degrees_east") if degrees else ("m", "m")
    ys = y - (np.arange(height) - row + half) * dy
    xs = x + (np.arange(width) - column + half) * dx
    return {
        ydim: constant(ydim, ys, (ydim,), {"standard_name": names[0], "units": units[0]}),
        xdim: constant(xdim, xs, (xdim,), {"standard_name": names[1], "units": units[1]}),
    }


def footprint(handle: Any, name: str) -> dict[str, Any]:
    """Where an image lies: `bbox` (west, south, east, north) and STAC's `proj:code`; UnreadableFileError where it does not say."""
    from pyproj import Transformer

    tags, _ = _directory(handle, name)
    code = _geo_key(tags, 3072) or _geo_key(tags, 2048)
    if SCALE not in tags or TIEPOINT not in tags or not code:
        raise UnreadableFileError(
            f"{name}: does not say where it lies (no scale, corner or EPSG code); needs terrain correction, or a STAC item"
        )
    places = _centers(tags, tags[HEIGHT][0], tags[WIDTH][0], "y", "x")
    ys, xs = (np.frombuffer(places[n].inline or b"", "f8") for n in ("y", "x"))
    if code == 32767:  # a projection of its own: the catalog's box stays
        return {"bbox": [-180.0, -90.0, 180.0, 90.0], "proj:code": "user-defined"}
    half_y, half_x = abs(tags[SCALE][1]) / 2, abs(tags[SCALE][0]) / 2
    edges = (xs.min() - half_x, ys.min() - half_y, xs.max() + half_x, ys.max() + half_y)
    box = Transformer.from_crs(f"EPSG:{code}", "EPSG:4326", always_xy=True).transform_bounds(*edges)
    return {"bbox": [round(float(v), 6) for v in box], "proj:code": f"EPSG:{code}"}
