"""A study file: YAML read into a frozen `Study`; what is wrong is answered with line, key and allowed values."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from vadose.errors import StudyError, VadoseError
from vadose.harmonize import grid as grids
from vadose.products import PRODUCTS


@dataclass(frozen=True)
class Source:
    """One product of the study: a catalog collection or files, how they are standardized, and of which family they are."""

    name: str
    collection: str | None = None
    files: tuple[str, ...] = ()
    product: str | None = None
    family: str = "other"
    citation: str = ""


@dataclass(frozen=True)
class Study:
    """What to do: sources, period, region, grid, how to harmonize, what to collocate and merge, and against what to validate."""

    title: str
    period: tuple[str, str]
    sources: tuple[Source, ...]
    bbox: tuple[float, float, float, float]
    resolution: float | None = None
    layer: tuple[float, float] = (0.0, 0.05)
    regrid: str = "conservative"
    climatology: str = "kept"
    reference: str = ""
    collocate: tuple[str, ...] = ()
    correlated: tuple[tuple[str, str], ...] = ()
    stations: Source | None = None
    truth: Source | None = None
    summary: str = ""
    bootstrap: int = 200
    block_days: int = 30
    text: str = field(default="", repr=False, compare=False)
    file: str = field(default="study", repr=False, compare=False)


FAMILIES = ("remote-sensing", "model", "reanalysis", "in-situ", "learned", "other")
#: What collocation compares: values, departures from the seasonal cycle, departures from a running mean.
CLIMATOLOGIES = ("kept", "removed", "short-term")
#: Key -> (what it must be, required, explanation). The schema is this table; messages and the docs are made from it.
KEYS: dict[str, tuple[str, bool, str]] = {
    "title": ("text", True, "one line that says what the study asks"),
    "summary": ("text", False, "a paragraph for the report"),
    "period": ("pair of dates", True, "first and last day"),
    "bbox": ("four numbers", True, "west, south, east, north in degrees"),
    "resolution": (
        "number",
        False,
        "cell size in degrees; without it the sources are point series, matched by location",
    ),
    "layer": ("pair of numbers", False, "top and bottom of the layer in m"),
    "sources": ("mapping", True, "product name -> collection or files"),
    "regrid": (" | ".join(grids.METHODS), False, "how to bring sources to the grid"),
    "climatology": (
        " | ".join(CLIMATOLOGIES),
        False,
        "what collocation does with the seasonal cycle: kept, removed (harmonics), or removed with all slow change (35-day mean)",
    ),
    "reference": ("text", False, "source whose climatology and scale the merged product takes; the first by default"),
    "collocate": ("list", False, "three or more sources with independent errors; all by default"),
    "correlated": ("list", False, "pairs of sources whose errors are correlated"),
    "stations": ("mapping", False, "in-situ data to validate against"),
    "truth": ("mapping", False, "the truth of a synthetic study"),
    "bootstrap": ("number", False, "draws for intervals of the error estimates"),
    "block_days": ("number", False, "length of a bootstrap block in days"),
}
SOURCE_KEYS = ("collection", "files", "product", "family", "citation")


class _Lines(yaml.SafeLoader):
    """A loader that remembers on which line every key stands."""


def _mapping(loader: _Lines, node: yaml.MappingNode) -> dict:
    pairs = {}
    for key, value in node.value:
        name = loader.construct_object(key, deep=True)
        if name in pairs:
            raise StudyError(f"line {key.start_mark.line + 1}: key {name!r} appears twice")
        pairs[name] = loader.construct_object(value, deep=True)
        loader.lines[(id(node), name)] = key.start_mark.line + 1  # type: ignore[attr-defined]
    result = Keyed(pairs)
    result.lines = {name: loader.lines[(id(node), name)] for name in pairs}  # type: ignore[attr-defined]
    return result


class Keyed(dict):
    """A mapping that knows the lines of its keys."""

    lines: dict[str, int]


def _date(loader: _Lines, node: yaml.ScalarNode) -> Any:
    """A date; text where the calendar has no such day, so that the key's own check can name it."""
    try:
        return loader.construct_yaml_timestamp(node)
    except ValueError:
        return node.value


_Lines.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Lines.add_constructor("tag:yaml.org,2002:timestamp", _date)


def read(path: str | Path) -> Study:
    """The study of a file. `${NAME}` and `${NAME:-default}` take environment variables; relative paths start at the file.

    Raises StudyError with the file, the line, the key and what is allowed.
    """
    path = Path(path)
    try:
        text = path.read_text()
    except OSError as error:
        raise StudyError(
            f"{path}: {error.strerror}; give the path of a study file (two come with vadose: studies/demo.yaml, studies/hawaii.yaml)"
        ) from error
    except UnicodeDecodeError as error:
        raise StudyError(f"{path}: not a text (byte {error.start} is none of UTF-8); a study is a YAML file") from error
    return parse(text, name=str(path), folder=path.parent)


def parse(text: str, *, name: str = "study", folder: Path | None = None) -> Study:
    """The study of a text; see `read`."""
    raw = load(text, name=name)
    if not isinstance(raw, dict):
        raise StudyError(
            f"{name}: line 1: expected keys such as {', '.join(k for k, (_, needed, _) in KEYS.items() if needed)}"
        )
    return Checker(name, raw, folder or Path.cwd()).study(text)


def load(text: str, *, name: str = "study") -> Any:
    """YAML whose mappings know on which line each key stands (`.lines`); raises StudyError with the line for a double key or bad YAML."""
    loader = _Lines(text)
    loader.lines = {}  # type: ignore[attr-defined]
    try:
        return loader.get_single_data()
    except StudyError as error:
        raise StudyError(f"{name}: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise StudyError(f"{name}: {where}not valid YAML: {getattr(error, 'problem', error)}") from error


def known_collections(study: Study, known: Iterable[str]) -> None:
    """Raise StudyError, with the line, for the first source whose collection is not among the `known` ones of the catalog."""
    names = sorted(known)
    for source in [*study.sources, *filter(None, [study.stations, study.truth])]:
        if source.collection is None or source.collection in names:
            continue
        raw = load(study.text, name=study.file) if study.text else {}
        body = {**raw.get("sources", {}), **raw}.get(source.name)
        line = getattr(body, "lines", {}).get("collection", 1)
        near = get_close_matches(source.collection, names, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise StudyError(
            f"{study.file}: line {line}: key 'collection': {source.collection!r} is not in the catalog; {hint}it has: {', '.join(names)}"
        )


class Checker:
    """Answers what is wrong in a file read by `load`: line, key, what is allowed."""

    def __init__(self, name: str, raw: Any, folder: Path) -> None:
        self.name, self.raw, self.folder = name, raw, folder

    def fail(self, key: str, message: str, at: Any = None) -> StudyError:
        lines = getattr(at if at is not None else self.raw, "lines", {})
        return StudyError(f"{self.name}: line {lines.get(key, 1)}: key {key!r}: {message}")

    def study(self, text: str) -> Study:
        self.known(self.raw, KEYS)
        for key, (_, needed, meaning) in KEYS.items():
            if needed and key not in self.raw:
                raise StudyError(f"{self.name}: line 1: key {key!r} is missing: {meaning}")
        sources = tuple(self.source(str(n), body) for n, body in self.mapping("sources").items())
        names = [s.name for s in sources]
        collocate = tuple(self.names("collocate", names)) or tuple(names)
        if len(set(collocate)) < 3:
            raise self.fail(
                "collocate" if "collocate" in self.raw else "sources",
                f"collocation needs three sources or more, found {len(set(collocate))}: {', '.join(collocate)}",
            )
        pairs = tuple(tuple(self.pair(p, names)) for p in self.raw.get("correlated") or [])
        reference = str(self.raw.get("reference", names[0]))
        if reference not in names:
            raise self.fail("reference", f"{reference!r} is not a source; sources: {', '.join(names)}")
        bbox = self.square()
        layer = self.numbers("layer", 2) or (0.0, 0.05)
        if not 0 <= layer[0] < layer[1]:
            raise self.fail("layer", f"expected top and bottom in m with 0 <= top < bottom, got {self.raw['layer']}")
        return Study(
            title=str(self.raw["title"]),
            summary=" ".join(str(self.raw.get("summary", "")).split()),
            period=self.two_dates(),
            bbox=bbox,
            resolution=self.cell_size(bbox),
            layer=(layer[0], layer[1]),
            sources=sources,
            regrid=self.choice("regrid", grids.METHODS, "conservative"),
            climatology=self.choice("climatology", CLIMATOLOGIES, "kept"),
            reference=reference,
            collocate=collocate,
            correlated=pairs,  # type: ignore[arg-type]
            stations=self.source("stations", self.raw["stations"]) if self.raw.get("stations") else None,
            truth=self.source("truth", self.raw["truth"]) if self.raw.get("truth") else None,
            bootstrap=self.whole("bootstrap", 200),
            block_days=self.whole("block_days", 30),
            text=text,
            file=self.name,
        )

    def two_dates(self) -> tuple[str, str]:
        """First and last day as YYYY-MM-DD."""
        value = self.raw["period"]
        try:
            first, last = (date.fromisoformat(str(day)[:10]) for day in value)
        except (TypeError, ValueError):
            shown = f"[{', '.join(map(str, value))}]" if isinstance(value, list) else repr(value)
            raise self.fail(
                "period", f"expected two dates, for example [2017-01-01, 2018-12-31], got {shown}"
            ) from None
        if first > last:
            raise self.fail("period", f"ends ({last}) before it starts ({first})")
        return first.isoformat(), last.isoformat()

    def square(self) -> tuple[float, float, float, float]:
        """West, south, east, north [degrees]."""
        west, south, east, north = self.numbers("bbox", 4) or (0.0, 0.0, 0.0, 0.0)
        if not (west < east and -90 <= south < north <= 90):
            swapped = max(abs(south), abs(north)) > 90 and -90 <= west < east <= 90 and south < north
            hint = (
                f"; latitude and longitude are swapped: [{south:g}, {west:g}, {north:g}, {east:g}]?" if swapped else ""
            )
            raise self.fail(
                "bbox",
                f"expected west, south, east, north with west < east, south < north and latitudes within 90, "
                f"got {self.raw['bbox']}{hint}",
            )
        return west, south, east, north

    def cell_size(self, bbox: tuple[float, float, float, float]) -> float | None:
        """Size of a cell [degrees], of which the region holds a whole number; None where sources are point series."""
        value = self.numbers("resolution", 1)
        if value is None:
            return None
        if value[0] <= 0:
            raise self.fail("resolution", f"expected a size of cells in degrees above zero, got {value[0]:g}")
        try:
            grids.Grid.regular(bbox, value[0])
        except VadoseError as error:
            raise self.fail("resolution", f"{error}; change one of the two") from error
        return value[0]

    def whole(self, key: str, default: int) -> int:
        """A whole number of at least one."""
        value = (self.numbers(key, 1) or (default,))[0]
        if value < 1 or value != int(value):
            raise self.fail(key, f"expected a whole number of at least 1, got {value:g}")
        return int(value)

    def known(self, mapping: Any, allowed: Any) -> None:
        for key in mapping:
            if key not in allowed:
                near = get_close_matches(str(key), list(allowed), n=2, cutoff=0.5)
                hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
                raise self.fail(key, f"unknown; {hint}allowed: {', '.join(allowed)}", mapping)

    def mapping(self, key: str) -> dict:
        value = self.raw[key]
        if not isinstance(value, dict):
            raise self.fail(key, f"expected name: {{...}} entries, got {value!r}")
        return value

    def source(self, name: str, body: Any) -> Source:
        owner = self.raw if name in ("stations", "truth") else self.raw["sources"]
        if not isinstance(body, dict):
            raise self.fail(name, f"expected 'collection: ID' or 'files: [...]', got {body!r}", owner)
        self.known(body, SOURCE_KEYS)
        if ("collection" in body) == ("files" in body):
            raise self.fail(
                name, "give either 'collection' (an id of the catalog) or 'files' (paths or patterns)", owner
            )
        if "files" in body and body.get("product") not in PRODUCTS:
            raise self.fail(
                "product" if "product" in body else name,
                f"files need a product that says what they are; allowed: {', '.join(PRODUCTS)}",
                body if "product" in body else owner,
            )
        family = str(body.get("family", "other"))
        if family not in FAMILIES:
            raise self.fail("family", f"{family!r} is unknown; allowed: {', '.join(FAMILIES)}", body)
        files = body.get("files") or []
        files = [files] if isinstance(files, str) else files
        return Source(
            name,
            body.get("collection"),
            tuple(self.path(str(f)) for f in files),
            body.get("product"),
            family,
            str(body.get("citation", "")),
        )

    def path(self, text: str) -> str:
        def value(match: re.Match) -> str:
            found = os.environ.get(match[1]) or match[3]
            if found is None:
                raise StudyError(
                    f"{self.name}: the variable {match[1]} is not set; set it to the folder of the files, or write ${{{match[1]}:-default}}"
                )
            return found

        filled = re.sub(r"\$\{(\w+)(:-([^}]*))?\}", value, text)
        return filled if "://" in filled or Path(filled).is_absolute() else str(self.folder / filled)

    def names(self, key: str, allowed: list[str]) -> list[str]:
        out = [str(n) for n in self.raw.get(key) or []]
        for n in out:
            if n not in allowed:
                raise self.fail(key, f"{n!r} is not a source; sources: {', '.join(allowed)}")
        return out

    def pair(self, value: Any, allowed: list[str]) -> list[str]:
        if not (isinstance(value, list) and len(value) == 2 and all(v in allowed for v in value)):
            raise self.fail(
                "correlated", f"expected pairs of sources such as [a, b], got {value!r}; sources: {', '.join(allowed)}"
            )
        return value

    def numbers(self, key: str, count: int) -> tuple[float, ...] | None:
        if key not in self.raw:
            return None
        value = self.raw[key] if isinstance(self.raw[key], list) else [self.raw[key]]
        if len(value) != count or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
            raise self.fail(key, f"expected {count} number{'s' if count > 1 else ''}, got {self.raw[key]!r}")
        return tuple(float(v) for v in value)

    def choice(self, key: str, allowed: tuple[str, ...], default: str) -> str:
        value = str(self.raw.get(key, default))
        if value not in allowed:
            near = get_close_matches(value, allowed, n=1)
            raise self.fail(
                key,
                f"{value!r} is unknown; {f'did you mean {near[0]!r}? ' if near else ''}allowed: {', '.join(allowed)}",
            )
        return value
