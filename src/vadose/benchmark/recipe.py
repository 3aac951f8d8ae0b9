"""A recipe: nested YAML whose nesting is the page tree; what is wrong is answered with line, key and the right names.

Literal tables say what each level may hold; the loader of studies knows the lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vadose.benchmark import scores as scoring
from vadose.benchmark.regions import BY, REGIONS
from vadose.errors import StudyError
from vadose.products import PRODUCTS
from vadose.study.model import Checker, load
from vadose.vocabulary import VARIABLES

#: What a recipe may hold at its top: key -> explanation.
KEYS = {
    "title": "one line that says what the recipe asks",
    "summary": "a paragraph for the page",
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
        self.later("weights", WEIGHT_KEYS, leaves)
        self.later("constraint", CONSTRAINT_KEYS, leaves, models)
        draws = self.numbers("draws", 1)
        return Recipe(
            title=str(self.raw["title"]),
            summary=" ".join(str(self.raw.get("summary", "")).split()),
            models=models,
            pages=pages,
            regions=tuple(self.regions()),
            scheme=self.choice("scheme", tuple(scoring.SCHEMES), "ilamb2018"),
            period=self.period(),
            weights=dict(self.raw.get("weights") or {}),
            constraint=dict(self.raw.get("constraint") or {}),
            draws=int(draws[0]) if draws else 40,
            mass=bool(self.raw.get("mass", False)),
            text=text,
        )

    def period(self) -> tuple[str, str] | None:
        value = self.raw.get("period")
        if value is None:
            return None
        if not (isinstance(value, list) and len(value) == 2 and all(len(str(v)) >= 7 for v in value)):
            raise self.fail("period", f"expected two months, for example [2000-01, 2014-12], got {value!r}")
        first, last = (str(v)[:7] for v in value)
        if first > last:
            raise self.fail("period", f"ends ({last}) before it starts ({first})")
        return first, last

    def pages(self, path: tuple[str, ...], body: Any) -> list[Page]:
        found = []
        for key, value in body.items():
            here = (*path, str(key))
            if key in ("weight", "summary") and path:
                continue
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
        return float(value[0]), float(value[1])

    def relation(self, name: Any, body: Any, owner: Any) -> Relation:
        variable = self.variable(name, name, owner)
        self.known(body, RELATION_KEYS)
        role = str(body.get("role", "response"))
        if role not in ("response", "driver"):
            raise self.fail("role", f"{role!r} is unknown; allowed: response, driver", body)
        second = self.variable(body["and"], "and", body) if "and" in body else None
        return Relation(variable, role, self.sources(body, "references") if "references" in body else (), second)

    def variable(self, value: Any, key: Any, body: Any) -> str:
        if value not in VARIABLES:
            raise self.fail(key, self.nearest(str(value), VARIABLES, "variable"), body)
        return str(value)

    def nearest(self, value: str, allowed: Any, kind: str) -> str:
        from difflib import get_close_matches

        near = get_close_matches(value, list(allowed), n=2, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        return f"{value!r} is no {kind}; {hint}there are: {', '.join(allowed)}"

    def number(self, body: Any, key: str, default: float) -> float:
        value = body.get(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
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
        files = body.get("files") or []
        files = [files] if isinstance(files, str) else files
        depth = body.get("column_depth")
        return Source(
            str(name),
            body.get("collection"),
            tuple(self.path(str(f)) for f in files),
            self.path(str(body["study"])) if "study" in body else None,
            body.get("product"),
            dict(body.get("where") or {}),
            str(body.get("citation", "")),
            self.path(str(body["land_fraction"])) if "land_fraction" in body else None,
            None if depth is None else float(depth),
            body.get("ensemble"),
            self.number(body, "weight", 1.0),
            {str(k): (float(v[0]), float(v[1])) for k, v in (body.get("places") or {}).items()},
        )

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
            box = body["bbox"]
            if not (isinstance(box, list) and len(box) == 4 and box[1] < box[3]):
                raise self.fail("bbox", f"expected [west, south, east, north], got {box!r}", body)
            return Region(name, bbox=tuple(map(float, box)))  # type: ignore[arg-type]
        for key, least in (("polygon", 3), ("sites", 1)):
            if key in body:
                points = body[key]
                if not (
                    isinstance(points, list)
                    and len(points) >= least
                    and all(isinstance(p, list) and len(p) == 2 for p in points)
                ):
                    raise self.fail(key, f"expected at least {least} [lon, lat] pairs, got {points!r}", body)
                return Region(name, **{key: tuple((float(a), float(b)) for a, b in points)})  # type: ignore[arg-type]
        raise self.fail(name, "expected bbox, polygon, sites or by", owner)

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
        for method in body.get("methods") or ():
            if method not in METHODS:
                raise self.fail("methods", self.nearest(str(method), METHODS, "method"), body)
        for name in body.get("values") or ():
            if name not in [m.name for m in models]:
                raise self.fail("values", self.nearest(str(name), [m.name for m in models], "model"), body)
        if key == "constraint" and not {"values", "mechanism", "error"} <= set(body):
            raise self.fail(
                key,
                "needs 'values' (a number a model), 'mechanism' (a sentence) and 'error' (standard error of the observed mean)",
            )
