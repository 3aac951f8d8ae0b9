"""Scans of many files as one cube: what each file adds, which files belong together, and where every chunk of the whole lies.

Files of one fingerprint make an era. Within an era chunks are tables of numbers; nothing is decoded and nothing is copied.
Every chunk of a cube has a reference: those that a file never wrote get a small encoded chunk of fill values, so that a
reference that is missing later is a fault, never silence.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vadose.access.recipe import Recipe
from vadose.access.remote import Stat
from vadose.access.scan import STATED_PERIOD, Learned, Variable, fingerprint, opened, scan, stated_period
from vadose.errors import TimeAxisError, UnreadableFileError

#: Variables up to this size are taken into the references themselves, if they do not grow with time.
SMALL = 4 << 20
#: ... and those along time, a file.
SMALL_ALONG = 64 << 10


@dataclass(frozen=True)
class Form:
    """One variable of an era: what all its files have in common. `shape` is that of one file."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...]
    filters: tuple[dict[str, Any], ...]
    fill: Any
    attrs: dict[str, Any]
    dims: tuple[str, ...]
    grows: bool
    loaded: bool

    @property
    def grid(self) -> tuple[int, ...]:
        """Chunks along each dimension in one file."""
        return tuple(math.ceil(n / c) for n, c in zip(self.shape, self.chunks, strict=True))


@dataclass
class FileScan:
    """What one file adds: its era, its times, and its chunks as flat tables over the era's variables in order."""

    stat: Stat
    era: str
    times: np.ndarray
    counts: np.ndarray
    number: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    values: dict[str, np.ndarray] = field(default_factory=dict)
    place: str = ""
    forms: list[Form] | None = None
    skipped: dict[str, str] = field(default_factory=dict)

    def chunks_of(self, position: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Chunk numbers, offsets and lengths of the era's variable at `position`."""
        start = int(self.counts[:position].sum())
        part = slice(start, start + int(self.counts[position]))
        return self.number[part], self.offset[part], self.length[part]


def scan_file(file: Any, stat: Stat, recipe: Recipe, known: set[str], learned: Learned | None = None) -> FileScan:
    """Scan one file by a recipe. Attributes are read in full only for the first file of an era (`known` holds the others)."""
    if recipe.format not in ("hdf5", "netcdf4"):
        return _scan(file, stat, recipe, known, learned)
    with opened(file, stat.href) as handle:
        if recipe.stacks:
            _same_time(handle, stat, recipe)
        return _scan(handle, stat, recipe, known, learned)


def _scan(file: Any, stat: Stat, recipe: Recipe, known: set[str], learned: Learned | None) -> FileScan:
    full = not recipe.stacks
    variables, skipped = _gather(file, stat, recipe, full=full, learned=learned)
    along = None if recipe.stacks else recipe.dim
    free = (
        {v.name for v in variables.values() if recipe.dim in (v.dims or ()) and v.inline is not None}
        if along
        else set()
    )
    era = fingerprint(variables, free=free, along=along)
    forms = None
    if era not in known:
        if not full:
            variables, skipped = _gather(file, stat, recipe, full=True)
        forms = [_form(v, recipe) for v in variables.values()]
    return _pack(variables, stat, recipe, era, forms, skipped)


def _same_time(file: Any, stat: Stat, recipe: Recipe) -> None:
    """The time in a file's name is the cube's time; where the file's own metadata tell of another, nobody knows which is right."""
    if recipe.time.get("inside") == "ignore":
        return
    inside = stated_period(file)
    if inside is None:
        return
    begin, end = recipe.period_of(stat.href)
    if inside[0] >= end or inside[1] < begin:
        raise TimeAxisError(
            f"{stat.href}: its name says {_short(begin)}, {STATED_PERIOD[0]} inside says {_short(inside[0])} to {_short(inside[1])}; "
            "see which is right: rename the file, or add `inside: ignore` to the recipe's time if names are right"
        )


def _short(moment: np.datetime64) -> str:
    return str(moment.astype("datetime64[s]")).removesuffix("T00:00:00")


def _gather(
    file: Any, stat: Stat, recipe: Recipe, *, full: bool, learned: Learned | None = None
) -> tuple[dict[str, Variable], dict[str, str]]:
    from vadose.access import fallback

    def load(v: Variable) -> bool:
        size = math.prod(v.shape) * v.dtype.itemsize
        if recipe.stacks:
            return _constant(v) and size <= SMALL
        grows = recipe.dim in (v.dims or ())
        return size <= (SMALL_ALONG if grows else SMALL) or (grows and v.dims == (recipe.dim,))

    out: dict[str, Variable] = {}
    skipped: dict[str, str] = {}
    for group in recipe.groups:
        if recipe.format in ("hdf5", "netcdf4"):
            only = set(recipe.only) or None
            found = scan(
                file, group=group, name=stat.href, full=full, only=only, skipped=skipped, load=load, learned=learned
            )
        else:
            found = fallback.scan_other(file, stat, recipe, load)
        for name, variable in found.items():
            if name in recipe.leave_out or (recipe.only and name not in recipe.only):
                continue
            label = name if name not in out else f"{name}_{group.rsplit('_', 1)[-1].lower()}"
            if label in out:
                raise UnreadableFileError(f"{stat.href}: {name} is in several groups; name them apart with leave_out")
            out[label] = variable if label == name else Variable(label, *list(variable.__dict__.values())[1:])
    if not out:
        raise UnreadableFileError(f"{stat.href}: no variable in {', '.join(recipe.groups)} can be referenced")
    return out, skipped


def _constant(v: Variable) -> bool:
    """Whether a variable names places along its own dimensions: stacked files share it, and must."""
    return v.dims == (v.name,) or (v.inline is not None and v.name in ("latitude", "longitude", "lat", "lon"))


def _form(v: Variable, recipe: Recipe) -> Form:
    dims = v.dims or recipe.dims.get(len(v.shape)) or tuple(f"{v.name}_dim{k}" for k in range(len(v.shape)))
    if len(dims) != len(v.shape):
        raise UnreadableFileError(f"{v.name} has {len(v.shape)} dimensions, the recipe names {dims}")
    grows = not (v.inline is not None and _constant(v)) if recipe.stacks else recipe.dim in dims
    if grows and not recipe.stacks and dims[0] != recipe.dim:
        raise UnreadableFileError(
            f"{v.name}: {recipe.dim} is not its first dimension {dims}; it cannot be joined without copying"
        )
    # Filters in the order of encoding; HDF5 lists them so.
    fill = None if v.fill is None else (v.fill.item() if isinstance(v.fill, np.generic) else v.fill)
    return Form(
        v.name, v.shape, v.dtype.str, v.chunks, v.filters, fill, v.attrs, tuple(dims), grows, v.inline is not None
    )


def _pack(variables, stat, recipe, era, forms, skipped) -> FileScan:
    counts, numbers, offsets, lengths, values = [], [], [], [], {}
    place = hashlib.blake2b(digest_size=8)
    for v in variables.values():
        if v.inline is not None:
            values[v.name] = np.frombuffer(v.inline, v.dtype).reshape(v.shape)
            if _constant(v) if recipe.stacks else recipe.dim not in (v.dims or ()):
                place.update(v.name.encode() + v.inline)
            counts.append(0)
            continue
        grid = tuple(math.ceil(n / c) for n, c in zip(v.shape, v.chunks, strict=True))
        flat = np.zeros(len(v.offset), np.int64)
        for axis, size in enumerate(grid):
            flat = flat * size + v.index[:, axis]
        counts.append(len(flat))
        numbers.append(flat)
        offsets.append(v.offset)
        lengths.append(v.length)
    times = np.array([recipe.time_of(stat.href)]) if recipe.stacks else _times(variables, values, recipe, stat)
    join = lambda parts: np.concatenate(parts) if parts else np.zeros(0, np.int64)  # noqa: E731
    scanned = FileScan(
        stat,
        era,
        times,
        np.array(counts, np.int64),
        join(numbers),
        join(offsets),
        join(lengths),
        values,
        place.hexdigest(),
        forms,
        skipped,
    )
    if scanned.length.size and int((scanned.offset + scanned.length).max()) > stat.size:
        raise UnreadableFileError(f"{stat.href}: its index points beyond its end ({stat.size} bytes): truncated")
    return scanned


def _times(variables, values, recipe: Recipe, stat: Stat) -> np.ndarray:
    if recipe.places:
        # Places have no order in time: they are numbered when all files are known.
        sizes = {v.shape[v.dims.index(recipe.dim)] for v in variables.values() if recipe.dim in (v.dims or ())}
        if len(sizes) != 1:
            raise UnreadableFileError(f"{stat.href}: no variable has the dimension {recipe.dim!r}")
        return np.zeros(sizes.pop(), "datetime64[ns]")
    name = recipe.time.get("variable", recipe.dim)
    if name not in values:
        raise UnreadableFileError(f"{stat.href}: no time variable {name!r} of a size that can be loaded")
    attrs = variables[name].attrs
    import cftime

    raw = values[name].reshape(-1)
    calendar = attrs.get("calendar", "standard")
    try:
        moments = cftime.num2date(raw, attrs.get("units", "none"), calendar)
        out = np.array([np.datetime64(m.isoformat(), "us") for m in np.atleast_1d(moments)]).astype("datetime64[ns]")
    except ValueError as error:
        raise TimeAxisError(
            f"{stat.href}: {name} is no time that can be joined: units {attrs.get('units')!r}, calendar {calendar!r}: {error}"
        ) from error
    if (np.diff(out) <= np.timedelta64(0, "ns")).any():
        raise TimeAxisError(f"{stat.href}: its times do not increase")
    return out


@dataclass
class Table:
    """All chunks of one variable: file and place for each chunk number; `file` is -1 where a chunk was never written."""

    form: Form
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    file: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    values: np.ndarray | None = None

    @property
    def grid(self) -> tuple[int, ...]:
        return tuple(max(1, math.ceil(n / c)) for n, c in zip(self.shape, self.chunks, strict=True))


@dataclass
class Era:
    """Files of one layout in order of time, and the chunk tables of the cube that they make."""

    id: str
    files: list[Stat]
    times: np.ndarray
    tables: dict[str, Table]
    dim: str


def assemble(scans: Sequence[FileScan], forms: Sequence[Form], recipe: Recipe) -> Era:
    """One era's files, in order of time, as chunk tables. Duplicate times were sorted out before."""
    ordered = sorted(scans, key=lambda s: s.times[0])
    times = np.concatenate([s.times for s in ordered])
    if (np.diff(times) <= np.timedelta64(0, "ns")).any():
        k = int(np.flatnonzero(np.diff(times) <= np.timedelta64(0, "ns"))[0])
        raise TimeAxisError(f"times of two files overlap at {times[k]}")
    tables = {form.name: _table(form, position, ordered, recipe) for position, form in enumerate(forms)}
    return Era(ordered[0].era, [s.stat for s in ordered], times, tables, recipe.dim)


def _table(form: Form, position: int, scans: Sequence[FileScan], recipe: Recipe) -> Table:
    if form.loaded:
        return _loaded(form, scans, recipe)
    if not form.grows:
        number, offset, length = scans[0].chunks_of(position)
        return _spread(form, form.shape, form.chunks, [(0, number, offset, length)])
    inner = int(np.prod(form.grid if recipe.stacks else form.grid[1:], dtype=np.int64))
    parts, start, steps = [], 0, 0
    for k, scanned in enumerate(scans):
        number, offset, length = scanned.chunks_of(position)
        parts.append((k, number + start * inner, offset, length))
        if recipe.stacks:
            start += 1
            steps += 1
            continue
        n, c = len(scanned.times), form.chunks[0]
        if n % c and k < len(scans) - 1:
            raise UnreadableFileError(
                f"{form.name}: files of {n} steps in chunks of {c} cannot be joined without copying; make a copy of it with `vadose catalog series`"
            )
        start += n // c
        steps += n
    shape = (steps, *(form.shape if recipe.stacks else form.shape[1:]))
    chunks = (1, *form.chunks) if recipe.stacks else form.chunks
    return _spread(form, shape, chunks, parts)


def _spread(form: Form, shape, chunks, parts) -> Table:
    out = Table(form, tuple(shape), tuple(chunks), *(np.zeros(0, np.int64),) * 3)
    size = int(np.prod(out.grid, dtype=np.int64))
    out.file, out.offset, out.length = np.full(size, -1, np.int32), np.zeros(size, np.int64), np.zeros(size, np.int64)
    for k, number, offset, length in parts:
        out.file[number], out.offset[number], out.length[number] = k, offset, length
    return out


def _loaded(form: Form, scans: Sequence[FileScan], recipe: Recipe) -> Table:
    first = scans[0].values[form.name]
    values = first
    if form.grows:
        parts = [_in_common_units(s, form, recipe) for s in scans]
        values = np.stack(parts) if recipe.stacks else np.concatenate(parts)
    empty = np.zeros(0, np.int64)
    return Table(form, values.shape, values.shape or (1,), empty, empty, empty, values)


def _in_common_units(scanned: FileScan, form: Form, recipe: Recipe) -> np.ndarray:
    """Times as seconds since 1970 where the variable is the time axis; others as the file has them."""
    if not recipe.places and form.name == recipe.time.get("variable", recipe.dim):
        return seconds(scanned.times)
    return scanned.values[form.name]


def seconds(times: np.ndarray) -> np.ndarray:
    """Times as whole seconds since 1970-01-01 (float where they have fractions)."""
    ns = times.astype("datetime64[ns]").astype(np.int64)
    return ns // 10**9 if not (ns % 10**9).any() else ns / 1e9


def fill_chunk(form: Form, chunks: tuple[int, ...]) -> bytes:
    """A chunk of fill values, encoded as the file would have written it."""
    import numcodecs

    data: Any = np.full(chunks, form.fill if form.fill is not None else 0, np.dtype(form.dtype)).tobytes()
    for config in form.filters:
        codec = numcodecs.get_codec(dict(config))
        data = codec.encode(data)
    return bytes(data)
