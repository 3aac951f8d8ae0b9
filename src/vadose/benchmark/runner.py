"""A recipe to results on disk: every model against every reference of every page, then what needs all models together."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pandas as pd
import xarray as xr

from vadose.benchmark import regions as places
from vadose.benchmark import scores as scoring
from vadose.benchmark import together
from vadose.benchmark.compare import Pair, baseline, maps_of, pair, pooled_quantiles, table
from vadose.benchmark.output import write
from vadose.benchmark.pace import drydown_rows
from vadose.benchmark.recipe import Page, Recipe, Source, read
from vadose.benchmark.records import BROKEN, Record, forget, monthly, record, try_record, why
from vadose.benchmark.relations import relation_rows
from vadose.benchmark.sources import dataset
from vadose.errors import StudyError, VadoseError, VadoseInputError

Tell = Callable[[str], None]
BASELINE = "season and latitude"
MAPS = (
    "reference_mean",
    "model_mean",
    "bias",
    "crmse",
    "shift",
    "bias_score",
    "rmse_score",
    "phase_score",
    "anomaly_correlation",
)


@dataclass
class Results:
    """What a run found: tidy tables, maps by (page, reference, model), and what could not be read."""

    recipe: Recipe
    scores: pd.DataFrame = field(default_factory=pd.DataFrame)
    curves: pd.DataFrame = field(default_factory=pd.DataFrame)
    interactions: pd.DataFrame = field(default_factory=pd.DataFrame)
    weights: pd.DataFrame = field(default_factory=pd.DataFrame)
    constraint: pd.DataFrame = field(default_factory=pd.DataFrame)
    summary: pd.DataFrame = field(default_factory=pd.DataFrame)
    engine: pd.DataFrame = field(default_factory=pd.DataFrame)
    maps: dict[tuple[str, str, str], xr.Dataset] = field(default_factory=dict)
    notes: list[dict[str, str]] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """One model on one page against one reference; it opens its own data, so that it runs on any worker."""

    recipe: Recipe
    page: Page
    reference: Source
    model: Source
    inside: Mapping[str, places.Inside]


@dataclass(frozen=True)
class Outcome:
    """A task's measurement, or why there is none."""

    pair: Pair | None = None
    drydown: pd.DataFrame | None = None
    relations: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame] | None = None
    notes: tuple[str, ...] = ()
    failure: str = ""


def run(
    recipe: str | Path | Recipe,
    output: str | Path,
    *,
    engine: str = "vadose",
    client: Any = None,
    tell: Tell = lambda _: None,
) -> Path:
    """Run a recipe and write results into `output`; returns the folder. `engine="ilamb3"` also runs ilamb3 and lays it beside.

    `client` (of Dask) spreads the comparisons over workers; without one they run here, one after the other, with memory that does
    not grow with the length of the records. What cannot be read is told in the results and does not stop the rest.
    Raises StudyError when nothing could be compared, PlatformError, before anything is, when ilamb3 is asked for and not here.
    """
    the = recipe if isinstance(recipe, Recipe) else read(recipe)
    if engine == "ilamb3":
        from vadose.benchmark.engine import interpreter, side_by_side

        interpreter()  # before hours of comparing
    results = compute(the, client=client, tell=tell)
    if engine == "ilamb3":
        with _fresh(None):
            results.engine = side_by_side(the, results, tell=tell)
    return write(results, Path(output))


def compute(recipe: Recipe, *, client: Any = None, tell: Tell = lambda _: None) -> Results:
    """The results of a recipe in memory. Files are opened anew, and closed at the end: who writes them again can."""
    with _fresh(client):
        return _compute(recipe, client, tell)


@contextmanager
def _fresh(client: Any) -> Iterator[None]:
    """Nothing held from before, here and on workers, and nothing left."""
    forget()
    _forget_on(client)
    try:
        yield
    finally:
        forget()
    _forget_on(client)  # not after a failure, which may be that of the cluster


def _forget_on(client: Any) -> None:
    if client is not None:
        client.run(forget, on_error="ignore")  # a worker that is just going holds nothing


def _compute(recipe: Recipe, client: Any, tell: Tell) -> Results:
    results = Results(recipe)
    with dask.config.set(scheduler="threads"):  # this process reads for itself, cluster or not
        inside = _regions(recipe, results)
    tasks = [Task(recipe, p, r, m, inside) for p in recipe.leaves for r in p.references for m in recipe.models]
    if client is None:
        outcomes = [_told(t, tell) for t in tasks]
    else:
        tell(f"{len(tasks)} comparisons on a cluster")
        # zones of a climate are as large as its grid: they travel once a worker, not once a task
        (held,) = client.scatter([inside], broadcast=True)
        outcomes = client.gather(client.map(_alone, [replace(t, inside={}) for t in tasks], inside=held, pure=False))
    frames: list[pd.DataFrame] = []
    curves: list[pd.DataFrame] = []
    interactions: list[pd.DataFrame] = []
    pairs: dict[tuple[str, str], dict[str, Pair]] = {}
    for t, o in zip(tasks, outcomes, strict=True):
        where = {"page": t.page.name, "reference": t.reference.name, "model": t.model.name}
        results.notes += [{**where, "note": n} for n in o.notes]
        if o.failure:
            results.failures.append({**where, "why": o.failure})
        if o.pair is not None:
            pairs.setdefault((t.page.name, t.reference.name), {})[t.model.name] = o.pair
        if o.drydown is not None:
            frames.append(o.drydown.assign(**where))
        if o.relations is not None:
            for held, frame in zip((frames, curves, interactions), o.relations, strict=True):
                held.append(frame.assign(**where))
    results.failures = _in_few_words(results.failures, len(recipe.models))
    if not pairs:
        raise StudyError(
            "nothing could be compared: "
            + "; ".join(f"{f['page']}, {f['model']}: {f['why']}" for f in results.failures[:3])
        )
    results.failures += _nowhere(recipe, inside, [p for found in pairs.values() for p in found.values()])
    the = scoring.scheme(recipe.scheme)
    for (page, reference), found in pairs.items():
        frames += _scored(recipe, the, page, reference, found, results)
    results.scores = _ordered(pd.concat(frames, ignore_index=True))
    results.curves = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame()
    results.interactions = pd.concat(interactions, ignore_index=True) if interactions else pd.DataFrame()
    results.scores = pd.concat([results.scores, together.ensembles(results.scores, recipe)], ignore_index=True)
    results.summary = together.tree(results.scores, recipe)
    if recipe.weights:
        results.weights = _or_told("weights", results, lambda: together.model_weights(recipe, pairs))
    if recipe.constraint:
        results.constraint = _or_told("constraint", results, lambda: together.constrain(recipe, results.scores))
    return results


def _in_few_words(failures: list[dict[str, str]], models: int) -> list[dict[str, str]]:
    """What fails for every model in the same way, once: it is the reference."""
    alike = Counter((f["page"], f["reference"], f["why"]) for f in failures)
    out: dict[tuple[str, ...], dict[str, str]] = {}
    for f in failures:
        key = (f["page"], f["reference"], f["why"])
        every = models > 1 and alike[key] == models
        one = {**f, "model": "all models"} if every else f
        out.setdefault(key if every else (*key, f["model"]), one)
    return list(out.values())


def _nowhere(recipe: Recipe, inside: Mapping[str, places.Inside], pairs: list[Pair]) -> list[dict[str, str]]:
    """Regions of the recipe that hold no cell of any comparison: they are on no page. Zones come from a climate, and may lie elsewhere."""
    asked = {r.name for r in recipe.regions if r.by is None}
    return [
        {"page": "regions", "reference": name, "model": "", "why": "no place that was compared lies in it"}
        for k, name in enumerate(inside)
        if name in asked and not any(p.inside[k].any() for p in pairs)
    ]


def _or_told(what: str, results: Results, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """What needs several models, or why there is none: a run goes on without it."""
    try:
        return make()
    except VadoseError as error:
        results.failures.append({"page": what, "reference": "", "model": "all", "why": str(error)})
        return pd.DataFrame()


def _told(task: Task, tell: Tell) -> Outcome:
    tell(f"{task.page.name}: {task.model.name} against {task.reference.name}")
    return evaluate(task)


def _alone(task: Task, inside: Mapping[str, places.Inside]) -> Outcome:
    """On a worker: in its own thread, for a task that handed its reads back to the cluster would have files open in two threads."""
    with _own_thread():
        return evaluate(replace(task, inside=inside))


_inside = 0
_setting: Any = None
_door = threading.Lock()


@contextmanager
def _own_thread() -> Iterator[None]:
    """Dask computes in the thread that asks. The setting is of the whole process: the first in makes it, the last out takes it back."""
    global _inside, _setting
    with _door:
        if _inside == 0:
            _setting = dask.config.set(scheduler="synchronous")
        _inside += 1
    try:
        yield
    finally:
        with _door:
            _inside -= 1
            if _inside == 0:
                _setting.__exit__(None, None, None)


def evaluate(task: Task) -> Outcome:
    """Measure one model against one reference; a failure is an outcome too."""
    try:
        return _evaluate(task)
    except BROKEN as error:
        return Outcome(failure=why(error))


def _evaluate(task: Task) -> Outcome:
    recipe, page = task.recipe, task.page
    variable = str(page.variable)
    reference = record(task.reference, variable, page.layer, recipe)
    model = record(task.model, variable, page.layer, recipe)
    the = scoring.scheme(recipe.scheme)
    measured = pair(
        reference.values,
        model.values,
        regions=task.inside,
        error=reference.error,
        period=recipe.period,
        second=scoring.needs_second(the, reference.error is not None),
        own=the.own,
        land=model.land,
    )
    if not np.isfinite(measured.state.total).any():
        seen = [
            f"{side} has {int(n)}"
            for side, n in zip(("the reference", "the model"), measured.state.seen.sum(axis=1), strict=True)
        ]
        raise VadoseInputError(
            f"no place and month where both have values: {', '.join(seen)} on the common cells and months"
            + (" (of soil moisture only what lies within 0 and 1 m3 m-3 counts)" if variable == "soil_moisture" else "")
        )
    notes = [f"reference: {n}" for n in reference.notes] + [f"model: {n}" for n in model.notes]
    relations, more = _relations(task, reference, model)
    return Outcome(measured, drydown_rows(reference, model, measured), relations, (*notes, *more))


def _relations(task: Task, reference: Record, model: Record) -> tuple[Any, list[str]]:
    if not task.page.relationships:
        return None, []
    parts: list[tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]] = []
    notes = []
    for relation in task.page.relationships:
        name = relation.variable
        there = [try_record(s, name, None, task.recipe) for s in (*relation.references, task.reference)]
        known = next((r for r in there if isinstance(r, Record)), None)
        ours = try_record(task.model, name, None, task.recipe)
        if known is None or not isinstance(ours, Record):
            notes.append(f"no relationship with {name}: {there[0] if known is None else ours}")
            continue
        second = None
        if relation.second:
            two = [
                next(
                    (
                        r
                        for r in (try_record(s, relation.second, None, task.recipe) for s in sources)
                        if isinstance(r, Record)
                    ),
                    None,
                )
                for sources in ((*relation.references, task.reference), (task.model,))
            ]
            second = (two[0], two[1]) if two[0] is not None and two[1] is not None else None
        try:
            parts.append(
                relation_rows(
                    relation,
                    str(task.page.variable),
                    (reference, known),
                    (model, ours),
                    second,
                    task.inside,
                    task.recipe,
                )
            )
        except VadoseError as error:
            notes.append(f"no relationship with {name}: {error}")
    if not parts:
        return None, notes
    return tuple(pd.concat([p[k] for p in parts], ignore_index=True) for k in range(3)), notes


def _regions(recipe: Recipe, results: Results) -> dict[str, places.Inside]:
    out: dict[str, places.Inside] = {}
    for region in recipe.regions:
        if region.bbox is not None:
            out[region.name] = places.box(region.bbox)
        elif region.polygon:
            out[region.name] = places.polygon(region.polygon)
        elif region.sites:
            out[region.name] = places.sites(region.sites)
        elif region.source is not None and region.by is not None:
            try:
                data = dataset(region.source, recipe)
                climate = {
                    n: monthly(data[n]).load()
                    for n in ("air_temperature", "precipitation_flux", "potential_evaporation_flux")
                    if n in data
                }
                out |= {f"{region.name}: {k}": f for k, f in places.zones(climate, region.by).items()}
            except BROKEN as error:
                results.failures.append({"page": "regions", "reference": region.name, "model": "", "why": why(error)})
    return out or {"all": places.box(places.REGIONS["all"])}


def _scored(recipe, the, page, reference, found, results) -> list[pd.DataFrame]:
    quantiles = pooled_quantiles(list(found.values()), the) if the.quantiles else None
    options = {"quantiles": quantiles, "mass": recipe.mass, "draws": recipe.draws}
    frames = []
    for name, measured in found.items():
        frames.append(table(measured, the, **options).assign(page=page, reference=reference, model=name))
        maps = maps_of(measured, the)
        results.maps[(page, reference, name)] = _map_dataset(measured, maps)
    first = next(iter(found.values()))
    frames.append(table(baseline(first), the, **options).assign(page=page, reference=reference, model=BASELINE))
    return frames


def _map_dataset(measured: Pair, maps: Mapping[str, np.ndarray]) -> xr.Dataset:
    scale = {"shift": "d", "anomaly_correlation": "1"}
    out = {
        name: measured.cells.unfold(
            maps[name].astype("float32"), name, units=scale.get(name, "1" if name.endswith("score") else measured.units)
        )
        for name in MAPS
    }
    years = "{}-{}".format(*measured.axis.years)
    return xr.Dataset(out, attrs={"period": years, "months": measured.state.steps, "units": measured.units})


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    first = ["page", "reference", "model", "region", "kind", "statistic", "value", "low", "high", "n", "units"]
    return frame[first]
