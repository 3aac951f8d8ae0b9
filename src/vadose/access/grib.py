"""Where the messages of a GRIB file lie (edition 1 and 2), as scanned variables: one variable a quantity and level.

Needs eccodes (`pip install "vadose[grib]"`). Chunks are whole messages, decoded by the codec that kerchunk brings, so that
other readers of kerchunk references read the same numbers.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from vadose.access.scan import Variable, constant
from vadose.errors import UnreadableFileError

#: Bytes between two messages that are skipped in search of the next one.
PADDING = 1 << 16
#: Grids whose rows share a latitude and whose columns share a longitude.
REGULAR = ("regular_ll", "regular_gg")
KEYS = (
    "shortName", "cfVarName", "typeOfLevel", "level", "topLevel", "bottomLevel", "stepType", "stepRange", "number", "units", "name",
    "gridType", "Nx", "Ny", "validityDate", "validityTime", "alternativeRowScanning", "indicatorOfParameter", "table2Version",
    "indicatorOfTypeOfLevel", "discipline", "parameterCategory", "parameterNumber", "typeOfFirstFixedSurface",
)  # fmt: skip


@dataclass(frozen=True)
class Message:
    """One message: its place in the file, what it says of itself, and its grid's latitudes and longitudes."""

    offset: int
    length: int
    keys: dict[str, Any]
    lat: np.ndarray
    lon: np.ndarray


def scan_grib(handle: Any, name: str, *, stacks: bool) -> dict[str, Variable]:
    """The variables of an open GRIB file. With `stacks` every variable has one time, which the file's name states.

    Names: `t2m` where a quantity lies on one level, `swvl_0_10` and `t_surface_0` where it lies on several; quantities that
    eccodes does not know are `parameter_TABLE_NUMBER`. UnreadableFileError where grids, times or messages do not fit together.
    """
    messages = list(_messages(handle, name))
    if not messages:
        raise UnreadableFileError(f"{name}: holds no GRIB message")
    first = messages[0]
    groups: dict[tuple[Any, ...], list[Message]] = {}
    for m in messages:
        if m.keys["gridType"] != first.keys["gridType"] or m.lat.shape != first.lat.shape:
            raise UnreadableFileError(f"{name}: its messages lie on different grids; index them apart with `only`")
        groups.setdefault((*_identity(m), *_finer(m)), []).append(m)
    times = sorted({_valid(m) for m in messages})
    out: dict[str, Variable] = {}
    for label, members in _labels(groups).items():
        moments = [_valid(m) for m in members]
        if len(set(moments)) < len(moments):
            raise UnreadableFileError(f"{name}: {label} is there twice for one time")
        if not stacks and set(moments) != set(times):
            raise UnreadableFileError(
                f"{name}: {label} has {len(moments)} of {len(times)} times; index it apart with `only`"
            )
        if stacks and len(moments) > 1:
            raise UnreadableFileError(
                f"{name}: {label} has {len(moments)} times; take times from the file: time.from: variable"
            )
        out[label] = _variable(label, sorted(members, key=_valid), stacks)
    return out | _coordinates(first, None if stacks else times)


def _messages(handle: Any, name: str) -> Iterator[Message]:
    at = 0
    while True:
        handle.seek(at)
        head = handle.read(PADDING)
        start = head.find(b"GRIB")
        if start < 0:
            return
        edition = head[start + 7] if len(head) > start + 7 else 0
        if edition not in (1, 2):
            raise UnreadableFileError(f"{name}: GRIB edition {edition} at byte {at + start}; 1 and 2 are read")
        size = head[start + 4 : start + 7] if edition == 1 else head[start + 8 : start + 16]
        length = int.from_bytes(size, "big")
        handle.seek(at + start)
        body = handle.read(length)
        if len(body) < length or not body.endswith(b"7777"):
            raise UnreadableFileError(f"{name}: the message at byte {at + start} is cut: truncated")
        yield Message(at + start, length, *_say(body, name, at + start))
        at += start + length


def _say(body: bytes, name: str, at: int) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """What a message says of itself."""
    codes = _eccodes()
    handle = codes.codes_new_from_message(body)
    try:
        keys = {k: codes.codes_get(handle, k) if codes.codes_is_defined(handle, k) else None for k in KEYS}
        size = codes.codes_get_size(handle, "values")
        if (
            keys["Nx"] is None
            or keys["Ny"] is None
            or keys["Nx"] * keys["Ny"] != size
            or keys["alternativeRowScanning"]
        ):
            raise UnreadableFileError(
                f"{name}: the message at byte {at} lies on a grid of type {keys['gridType']}, which has no rows and columns"
            )
        shape = (keys["Ny"], keys["Nx"])
        lat = codes.codes_get_array(handle, "latitudes").reshape(shape)
        lon = codes.codes_get_array(handle, "longitudes").reshape(shape)
        return (
            (keys, lat[:, 0].copy(), np.unwrap(lon[0], period=360.0))
            if keys["gridType"] in REGULAR
            else (keys, lat, lon)
        )
    finally:
        codes.codes_release(handle)


def _eccodes() -> Any:
    try:
        import eccodes
    except (ImportError, RuntimeError) as error:
        raise UnreadableFileError('GRIB needs eccodes: pip install "vadose[grib]"') from error
    return eccodes


def _identity(m: Message) -> tuple[str, str]:
    k = m.keys
    known = next((k[n] for n in ("cfVarName", "shortName") if k[n] not in (None, "unknown", "undef", "~")), None)
    if known:
        return (known, str(k["units"]))
    code = (
        (k["table2Version"], k["indicatorOfParameter"])
        if k["indicatorOfParameter"] is not None
        else (k["discipline"], k["parameterCategory"], k["parameterNumber"])
    )
    return (f"parameter_{'_'.join(map(str, code))}", "unknown")


def _finer(m: Message) -> tuple[str, str, str, str]:
    """What tells messages of one quantity apart: level, kind of level, kind of step, ensemble member."""
    k = m.keys
    top, bottom = k["topLevel"], k["bottomLevel"]
    level = str(k["level"]) if top is None or top == bottom else f"{top}_{bottom}"
    kind = str(k["typeOfLevel"])
    if kind == "unknown":
        number = (
            k["indicatorOfTypeOfLevel"] if k["indicatorOfTypeOfLevel"] is not None else k["typeOfFirstFixedSurface"]
        )
        kind = f"level{number}"
    return level, kind, str(k["stepType"]), "" if k["number"] is None else f"member{k['number']}"


def _labels(groups: dict[tuple[Any, ...], list[Message]]) -> dict[str, list[Message]]:
    """The shortest names that tell the messages of a quantity apart."""
    forms = (
        lambda level, kind, step, member: (),
        lambda level, kind, step, member: (level,),
        lambda level, kind, step, member: (kind, level),
        lambda level, kind, step, member: (kind, level, step),
        lambda level, kind, step, member: (kind, level, step, member),
    )
    out: dict[str, list[Message]] = {}
    for base in dict.fromkeys(key[0] for key in groups):
        mine = {key: value for key, value in groups.items() if key[0] == base}
        for form in forms:
            names = ["_".join([base, *(p for p in form(*key[2:]) if p)]) for key in mine]
            if len(set(names)) == len(names):
                break
        out |= dict(zip(names, mine.values(), strict=True))
    return out


def _valid(m: Message) -> np.datetime64:
    day, hour = int(m.keys["validityDate"]), int(m.keys["validityTime"])
    moment = datetime.datetime(day // 10_000, day // 100 % 100, day % 100, hour // 100, hour % 100)
    return np.datetime64(moment, "s")


def _variable(label: str, members: list[Message], stacks: bool) -> Variable:
    k = members[0].keys
    grid = (k["Ny"], k["Nx"])
    dims = ("latitude", "longitude") if k["gridType"] in REGULAR else ("y", "x")
    lead: tuple[int, ...] = () if stacks else (len(members),)
    attrs = {
        "long_name": str(k["name"]),
        "units": str(k["units"]).replace("**", ""),
        "level_type": str(k["typeOfLevel"]),
        "step_type": str(k["stepType"]),
        "step_range": str(k["stepRange"]),
    }
    # Steps differ from file to file; only what stays the same describes the whole.
    attrs = {n: v for n, v in attrs.items() if v not in ("unknown", "None") and n != "step_range"}
    steps = np.arange(len(members))
    index = np.zeros((len(members), len(lead) + 2), np.int64)
    if not stacks:
        index[:, 0] = steps
    return Variable(
        label,
        (*lead, *grid),
        np.dtype("<f8"),
        (*((1,) if lead else ()), *grid),
        ({"id": "grib", "var": "values", "dtype": "float64"},),
        None,
        attrs,
        index,
        np.array([m.offset for m in members], np.int64),
        np.array([m.length for m in members], np.int64),
        ((*(("time",) if lead else ()), *dims)),
    )


def _coordinates(m: Message, times: list[np.datetime64] | None) -> dict[str, Variable]:
    dims = {"latitude": ("latitude",), "longitude": ("longitude",)}
    if m.keys["gridType"] not in REGULAR:
        dims = dict.fromkeys(dims, ("y", "x"))  # type: ignore[arg-type]
    out = {
        "latitude": constant(
            "latitude", m.lat, dims["latitude"], {"units": "degrees_north", "standard_name": "latitude"}
        ),
        "longitude": constant(
            "longitude", m.lon, dims["longitude"], {"units": "degrees_east", "standard_name": "longitude"}
        ),
    }
    if times is not None:
        values = np.array(times).astype(np.int64)
        out["time"] = constant("time", values, ("time",), {"units": "seconds since 1970-01-01", "calendar": "standard"})
    return out
