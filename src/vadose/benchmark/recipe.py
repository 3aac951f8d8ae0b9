"""A recipe: nested YAML whose nesting is the page tree; what is wrong is answered with line, key and the right names.

Literal tables say what each level may hold; the loader of studies knows the lines.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from vadose.benchmark import scores as scoring
from vadose.benchmark.output import slug
from vadose.benchmark.regions import BY, REGIONS
from vadose.errors import StudyError
from vadose.products import PRODUCTS
from vadose.products.cmip6 import RENAMED
from vadose.study.model import Checker, load
from vadose.typing import BBox
from vadose.vocabulary import VARIABLES

#: What a recipe may hold at its top: key -> explanation.
KEYS = {
    "title": "one line that says what the recipe asks",
    "summary": "a paragraph for the page",
    "license": "license of the results, as they are to be passed on: an SPDX name or an address",
    "period": "first and last month, such as [2000-01, 2014-12]; all common months without it",
    "scheme": f"scores: {', '.join(scoring.SCHEMES)}",
    "regions": f"names ({', '.join(REGIONS)}) or name: {{bbox | polygon | sites}}, or climate: {{by: ..., a source}}",
    "models": "name: {collection | files | study, ...}",
    "pages": "page name: pages, or what is compared",
    "weights": "weights of models: {page: ..., methods: [...]}",
    "constraint": "an emergent constraint: {page, values, mechanism, error}",
    "draws": "resamplings for the interval of every score (0: none)",
    "mass": "weight scores by the reference's mean (true or false)",
}
#: A place data come from.
SOURCE_KEYS = ("collection", "files", "study", "product", "where", "citation", "land_fraction", "column_depth")
MODEL_KEYS = (*SOURCE_KEYS, "ensemble")
REFERENCE_KEYS = (*SOURCE_KEYS, "weight", "places")
#: A page that compares something; any other page only holds pages, a weight and a summary.
LEAF_KEYS = ("variable", "layer", "references", "relationships", "weight", "summary")
RELATION_KEYS = ("role", "references", "and")
REGION_KEYS = ("bbox", "polygon", "sites", "by", *SOURCE_KEYS)
WEIGHT_KEYS = ("page", "methods")
CONSTRAINT_KEYS = ("page", "values", "mechanism", "observed", "error", "region")
METHODS = ("performance-independence", "bma", "posterior")
#: Names that models give their variables, and ours.
THEIRS = {**RENAMED, "mrsos": "soil_moisture", "mrsol": "soil_moisture", "mrso": "soil_moisture"}
#: Bottom of the deepest soil that models have [m]: a larger number is in another unit.
DEEPEST = 60.0


@dataclass(frozen=True)
class Source:
    """Where data of a model or reference come from, and how they are weighted or grouped."""

    name: str
    collection: str | None = None
    files: tuple[str, ...] = ()
    study: str | None = None
    product: str | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    citation: str = ""
    land_fraction: str | None = None
    column_depth: float | None = None
    ensemble: str | None = None
    weight: float = 1.0
    places: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Relation:
    """How a page's variable goes with `variable`: it is the driver where `role` is "response", and answers where it is "driver"."""

    variable: str
    role: str = "response"
    references: tuple[Source, ...] = ()
    second: str | None = None


@dataclass(frozen=True)
class Page:
    """A page of the tree: `path` from the root; one with a `variable` compares it with `references`."""

    path: tuple[str, ...]
    weight: float = 1.0
    summary: str = ""
    variable: str | None = None
    layer: tuple[float, float] | None = None
    references: tuple[Source, ...] = ()
    relationships: tuple[Relation, ...] = ()

    @property
    def name(self) -> str:
        """The path in one line."""
        return " / ".join(self.path)


@dataclass(frozen=True)
class Region:
    """A region of the recipe: a box, a polygon (lon, lat), named sites, or climate zones (`by`) of a source."""

    name: str
    bbox: tuple[float, float, float, float] | None = None
    polygon: tuple[tuple[float, float], ...] = ()
    sites: tuple[tuple[float, float], ...] = ()
    by: str | None = None
    source: Source | None = None


@dataclass(frozen=True)
class Recipe:
    """What to compare with what, and how."""

    title: str
    models: tuple[Source, ...]
    pages: tuple[Page, ...]
    regions: tuple[Region, ...] = ()
    scheme: str = "ilamb2018"
    period: tuple[str, str] | None = None
    summary: str = ""
    weights: Mapping[str, Any] = field(default_factory=dict)
    constraint: Mapping[str, Any] = field(default_factory=dict)
    draws: int = 40
    mass: bool = False
    license: str = ""
    text: str = field(default="", repr=False, compare=False)

    @property
    def leaves(self) -> tuple[Page, ...]:
        """Pages that compare something."""
        return tuple(p for p in self.pages if p.variable)


def read(path: str | Path) -> Recipe:
    """The recipe of a file. Raises StudyError with the file, line, key and what is allowed."""
    path = Path(path)
    try:
        text = path.read_text()
    except OSError as error:
        raise StudyError(f"{path}: {error.strerror}; give the path of a recipe (recipes/demo.yaml is one)") from error
    except UnicodeDecodeError as error:
        raise StudyError(
            f"{path}: not a text (byte {error.start} is none of UTF-8); a recipe is a YAML file"
        ) from error
    return parse(text, name=str(path), folder=path.parent)


def parse(text: str, *, name: str = "recipe", folder: Path | None = None) -> Recipe:
    """The recipe of a text; see `read`."""
    raw = load(text, name=name)
    if not isinstance(raw, dict):
        raise StudyError(f"{name}: line 1: expected keys such as title, models, pages")
    return _Reader(name, raw, folder or Path.cwd()).recipe(text)


class _Reader(Checker):
    """Checks a recipe; every message has line and key."""

    def recipe(self, text: str) -> Recipe:
        self.known(self.raw, KEYS)
        for key in ("title", "models", "pages"):
            if key not in self.raw:
                raise StudyError(f"{self.name}: line 1: key {key!r} is missing: {KEYS[key]}")
        models = tuple(
            self.where_from(n, b, self.mapping("models"), MODEL_KEYS) for n, b in self.mapping("models").items()
        )
        if not models:
            raise self.fail("models", "name at least one model")
        pages = tuple(self.pages((), self.mapping("pages")))
        leaves = [p.name for p in pages if p.variable]
        if not leaves:
            raise self.fail("pages", "no page compares anything: give one a 'variable' and 'references'")
        self.apart("models", [m.name for m in models])
        self.apart("pages", [p.name for p in pages])
        for page in pages:
            self.apart("pages", [r.name for r in page.references])
        self.later("weights", WEIGHT_KEYS, leaves)
        self.later("constraint", CONSTRAINT_KEYS, leaves, models)
        regions = tuple(self.regions())
        self.constrained(regions)
        mass = self.raw.get("mass", False)
        if not isinstance(mass, bool):
            raise self.fail("mass", f"expected true or false, got {mass!r}")
        return Recipe(
            title=str(self.raw["title"]),
            summary=" ".join(str(self.raw.get("summary", "")).split()),
            models=models,
            pages=pages,
            regions=regions,
            scheme=self.choice("scheme", tuple(scoring.SCHEMES), "ilamb2018"),
            period=self.period(),
            weights=dict(self.raw.get("weights") or {}),
            constraint=dict(self.raw.get("constraint") or {}),
            draws=self.whole_from_zero("draws", 40),
            mass=mass,
            license=str(self.raw.get("license") or ""),
            text=text,
        )

    def apart(self, key: str, names: list[str]) -> None:
        """Names must differ in letters and digits: files and places of the page are called by these."""
        held: dict[str, str] = {}
        for name in names:
            short = slug(name)
            if not short or short in held:
                with_whom = f"{held[short]!r} and {name!r} are one name" if short else f"{name!r} is no name"
                raise self.fail(key, f"{with_whom} in letters and digits, by which files are called; change one")
            held[short] = name

    def period(self) -> tuple[str, str] | None:
        value = self.raw.get("period")
        if value is None:
            return None
        months = [str(v) for v in value] if isinstance(value, list) else []
        if len(months) != 2 or not all(re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])(-\d\d)?", m) for m in months):
            raise self.fail("period", f"expected two months, for example [2000-01, 2014-12], got {value!r}")
        first, last = (m[:7] for m in months)
        if first > last:
            raise self.fail("period", f"ends ({last}) before it starts ({first})")
        return first, last

    def whole_from_zero(self, key: str, default: int) -> int:
        value = self.raw.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.fail(key, f"expected a whole number of at least 0, got {value!r}")
        return value

    def pages(self, path: tuple[str, ...], body: Any) -> list[Page]:
        found = []
        for key, value in body.items():
            here = (*path, str(key))
            if key in ("weight", "summary") and path:
                continue
            if " / " in str(key):
                raise self.fail(
                    key, "a page's name cannot hold ' / ', which stands between a page and those below it", body
                )
            if not isinstance(value, dict):
                allowed = f"; did you mean a key of {', '.join(LEAF_KEYS)}?" if path else ""
                raise self.fail(
                    key,
                    f"expected a page (pages below it, or 'variable' and 'references'), got {value!r}{allowed}",
                    body,
                )
            if "variable" in value or "references" in value:
                found.append(self.leaf(here, value, body))
            else:
                found.append(Page(here, self.number(value, "weight", 1.0), str(value.get("summary", ""))))
                found += self.pages(here, value)
        return found

    def leaf(self, path: tuple[str, ...], body: Any, owner: Any) -> Page:
        self.known(body, LEAF_KEYS)
        for key in ("variable", "references"):
            if key not in body:
                raise self.fail(path[-1], f"needs {key!r}", owner)
        variable = self.variable(body["variable"], "variable", body)
        references = self.sources(body, "references")
        relations = body.get("relationships") or {}
        if not isinstance(relations, dict):
            raise self.fail(
                "relationships", f"expected 'variable: {{role: response}}' entries, got {relations!r}", body
            )
        return Page(
            path,
            self.number(body, "weight", 1.0),
            " ".join(str(body.get("summary", "")).split()),
            variable,
            self.layer(body),
            references,
            tuple(self.relation(v, b or {}, relations) for v, b in relations.items()),
        )

    def layer(self, body: Any) -> tuple[float, float] | None:
        value = body.get("layer")
        if value is None:
            return None
        good = isinstance(value, list) and len(value) == 2 and all(isinstance(v, int | float) for v in value)
        if not good or not 0 <= value[0] < value[1]:
            raise self.fail("layer", f"expected top and bottom in m, such as [0.0, 0.1], got {value!r}", body)
        if value[1] > DEEPEST:
            raise self.fail(
                "layer", f"expected m; {value[1]} m is deeper than the soil of any model: centimeters?", body
            )
        return float(value[0]), float(value[1])

    def relation(self, name: Any, body: Any, owner: Any) -> Relation:
        variable = self.variable(name, name, owner)
        if not isinstance(body, dict):
            raise self.fail(name, f"expected {', '.join(RELATION_KEYS)}, got {body!r}", owner)
        self.known(body, RELATION_KEYS)
        role = str(body.get("role", "response"))
        if role not in ("response", "driver"):
            raise self.fail("role", f"{role!r} is unknown; allowed: response, driver", body)
        second = self.variable(body["and"], "and", body) if "and" in body else None
        return Relation(variable, role, self.sources(body, "references") if "references" in body else (), second)

    def variable(self, value: Any, key: Any, body: Any) -> str:
        if value not in VARIABLES:
            if str(value) in THEIRS:
                raise self.fail(key, f"{value!r} is called {THEIRS[str(value)]!r} here", body)
            raise self.fail(key, self.nearest(str(value), VARIABLES, "variable"), body)
        return str(value)

    def nearest(self, value: str, allowed: Any, kind: str) -> str:
        near = get_close_matches(value, list(allowed), n=2, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        return f"{value!r} is no {kind}; {hint}there are: {', '.join(allowed)}"

    def number(self, body: Any, key: str, default: float) -> float:
        value = body.get(key, default)
        if not _is_number(value) or value < 0:
            raise self.fail(key, f"expected a number of at least 0, got {value!r}", body)
        return float(value)

    def sources(self, body: Any, key: str) -> tuple[Source, ...]:
        value = body[key]
        if not isinstance(value, dict) or not value:
            raise self.fail(key, f"expected name: {{collection | files | study}} entries, got {value!r}", body)
        return tuple(self.where_from(n, b, value, REFERENCE_KEYS) for n, b in value.items())

    def where_from(self, name: Any, body: Any, owner: Any, keys: tuple[str, ...]) -> Source:
        if not isinstance(body, dict):
            raise self.fail(name, f"expected collection, files or study, got {body!r}", owner)
        self.known(body, keys)
        given = [k for k in ("collection", "files", "study") if k in body]
        if len(given) != 1:
            raise self.fail(
                name,
                f"give one of 'collection' (an id of the catalog), 'files' (paths or patterns), 'study' (a folder of vadose run); got {given}",
                owner,
            )
        if "files" in body and body.get("product") not in PRODUCTS:
            key, at = ("product", body) if "product" in body else (name, owner)
            raise self.fail(key, self.nearest(str(body.get("product", "")), PRODUCTS, "product"), at)
        files = body.get("files", [])
        files = [files] if isinstance(files, str) else files
        if "files" in body and not (isinstance(files, list) and files and all(isinstance(f, str) for f in files)):
            raise self.fail("files", f"expected a path, a pattern, or a list of them, got {body['files']!r}", body)
        where = body.get("where") or {}
        if not isinstance(where, dict):
            raise self.fail(
                "where", f"expected property: value, such as {{'cmip6:source_id': CESM2}}, got {where!r}", body
            )
        depth = body.get("column_depth")
        if depth is not None and not (_is_number(depth) and depth > 0):
            raise self.fail("column_depth", f"expected a depth in m above zero, without its unit, got {depth!r}", body)
        ensemble = body.get("ensemble")
        return Source(
            str(name),
            body.get("collection"),
            tuple(self.path(f) for f in files),
            self.path(str(body["study"])) if "study" in body else None,
            body.get("product"),
            dict(where),
            str(body.get("citation", "")),
            self.path(str(body["land_fraction"])) if "land_fraction" in body else None,
            None if depth is None else float(depth),
            None if ensemble is None else str(ensemble),
            self.number(body, "weight", 1.0),
            self.places(body),
        )

    def places(self, body: Any) -> dict[str, tuple[float, float]]:
        value = body.get("places") or {}
        if not isinstance(value, dict) or not all(_is_place(p) for p in value.values()):
            raise self.fail("places", f"expected station: [lon, lat] in degrees, got {value!r}", body)
        return {str(k): (_to_180(p[0]), float(p[1])) for k, p in value.items()}

    def regions(self) -> list[Region]:
        value = self.raw.get("regions") or ["all"]
        if isinstance(value, list):
            for name in value:
                if name not in REGIONS:
                    raise self.fail("regions", self.nearest(str(name), REGIONS, "region"))
            return [Region(str(n), bbox=REGIONS[n]) for n in value]
        return [self.region(str(n), b, value) for n, b in self.mapping("regions").items()]

    def region(self, name: str, body: Any, owner: Any) -> Region:
        if body is None or body == {}:
            if name not in REGIONS:
                raise self.fail(name, self.nearest(name, REGIONS, "region"), owner)
            return Region(name, bbox=REGIONS[name])
        if not isinstance(body, dict):
            raise self.fail(name, f"expected bbox, polygon, sites or by, got {body!r}", owner)
        self.known(body, REGION_KEYS)
        if "by" in body:
            if body["by"] not in BY:
                raise self.fail("by", self.nearest(str(body["by"]), BY, "kind of zone"), body)
            rest = {k: v for k, v in body.items() if k != "by"}
            return Region(name, by=str(body["by"]), source=self.where_from(name, rest, owner, SOURCE_KEYS))
        if "bbox" in body:
            return Region(name, bbox=self.box(body))
        for key, least in (("polygon", 3), ("sites", 1)):
            if key in body:
                points = body[key]
                if not (isinstance(points, list) and len(points) >= least and all(_is_place(p) for p in points)):
                    raise self.fail(key, f"expected at least {least} [lon, lat] pairs in degrees, got {points!r}", body)
                if key == "polygon":
                    return Region(name, polygon=_around(points))
                return Region(name, sites=tuple((_to_180(lon), float(lat)) for lon, lat in points))
        raise self.fail(name, "expected bbox, polygon, sites or by", owner)

    def box(self, body: Any) -> BBox:
        """West, south, east, north with longitudes as -180..180, also of who counts them from 0 to 360."""
        value = body["bbox"]
        good = isinstance(value, list) and len(value) == 4 and all(_is_number(v) for v in value)
        if not good or not (-90 <= value[1] < value[3] <= 90 and -180 <= value[0] <= 360 and -180 <= value[2] <= 360):
            raise self.fail("bbox", f"expected [west, south, east, north] in degrees, got {value!r}", body)
        west, south, east, north = map(float, value)
        if east - west >= 360:
            return -180.0, south, 180.0, north
        return _to_180(west), south, 180.0 if east == 180 else _to_180(east), north

    def constrained(self, regions: tuple[Region, ...]) -> None:
        """What an emergent constraint is computed from: asked for here, not after hours of comparing."""
        body = self.raw.get("constraint")
        if not body:
            return
        for key in ("error", "observed"):
            if key in body and not _is_number(body[key]):
                raise self.fail(key, f"expected a number in the unit of the page's variable, got {body[key]!r}", body)
        if body["error"] <= 0:
            raise self.fail("error", f"expected a standard error above zero, got {body['error']!r}", body)
        for name, value in body["values"].items():
            if not _is_number(value):
                raise self.fail(name, f"expected a number, got {value!r}", body["values"])
        if len(str(body["mechanism"]).split()) < 3:
            raise self.fail("mechanism", "say in a sentence why the observable tells about the projection", body)
        region, names = body.get("region"), [r.name for r in regions]
        zones = tuple(f"{r.name}: " for r in regions if r.by)
        if region is not None and region not in names and not (zones and str(region).startswith(zones)):
            raise self.fail("region", self.nearest(str(region), names, "region of the recipe"), body)

    def later(self, key: str, allowed: tuple[str, ...], leaves: list[str], models: tuple[Source, ...] = ()) -> None:
        body = self.raw.get(key)
        if body is None:
            return
        if not isinstance(body, dict):
            raise self.fail(key, f"expected {', '.join(allowed)}, got {body!r}")
        self.known(body, allowed)
        if body.get("page") not in leaves:
            raise self.fail(
                "page" if "page" in body else key,
                self.nearest(str(body.get("page")), leaves, "page that compares something"),
                body if "page" in body else None,
            )
        methods = body.get("methods", [])
        if not isinstance(methods, list):
            raise self.fail("methods", f"expected a list of {', '.join(METHODS)}, got {methods!r}", body)
        for method in methods:
            if method not in METHODS:
                raise self.fail("methods", self.nearest(str(method), METHODS, "method"), body)
        if "values" in body and not isinstance(body["values"], dict):
            raise self.fail("values", f"expected model: number entries, got {body['values']!r}", body)
        for name in body.get("values") or ():
            if name not in [m.name for m in models]:
                raise self.fail("values", self.nearest(str(name), [m.name for m in models], "model"), body)
        if key == "constraint" and not {"values", "mechanism", "error"} <= set(body):
            raise self.fail(
                key,
                "needs 'values' (a number a model), 'mechanism' (a sentence) and 'error' (standard error of the observed mean)",
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_place(value: Any) -> bool:
    good = isinstance(value, list) and len(value) == 2 and all(_is_number(v) for v in value)
    return good and -180 <= value[0] <= 360 and -90 <= value[1] <= 90


def _to_180(lon: float) -> float:
    """A longitude as -180..180."""
    return float(lon) - 360.0 if lon > 180 else float(lon)


def _around(points: Any) -> tuple[tuple[float, float], ...]:
    """The corners of a polygon; one that lies wholly beyond 180 degrees is counted from -180."""
    turn = 360.0 if all(lon >= 180 for lon, _ in points) else 0.0
    return tuple((float(lon) - turn, float(lat)) for lon, lat in points)
