"""The recipe in the language of ILAMB 2 (`ilamb-run`): a configure file of two levels, a table of models, boxes as regions.

Collier et al. 2018, doi:10.1029/2018MS001354; syntax as of ILAMB 2.7.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from vadose.benchmark.output import slug
from vadose.benchmark.recipe import Page, Recipe, Relation, Source
from vadose.benchmark.scores import scheme

#: Files in the exported folder: the configure file, models, regions, and the call that runs them.
CONFIGURE, MODELS, REGIONS, RUN = "ilamb.cfg", "ilamb-models.txt", "ilamb-regions.txt", "ilamb.sh"
#: The basis of the error score by scheme; all others follow the series.
CYCLE = ("ilamb2018-cycle",)


def word(text: str) -> str:
    """A name as ILAMB 2 can hold it: it becomes a folder, and stands between brackets before comments and lists."""
    return " ".join(re.sub(r'[\[\]#"=,/:]+', " ", text).split())


def headings(page: Page) -> tuple[str, str]:
    """The two headings of a page: its first name, and the rest in one line."""
    return word(page.path[0]), word(" - ".join(page.path[1:]) or page.path[0])


def share(page: Page, recipe: Recipe) -> float:
    """The page's share of the score of its first heading: weights of the levels that ILAMB 2 does not have, multiplied."""
    out = 1.0
    for depth in range(2, len(page.path) + 1):
        beside = [p for p in recipe.pages if p.path[:-1] == page.path[: depth - 1]]
        own = next(p for p in beside if p.path == page.path[:depth])
        total = sum(p.weight for p in beside)
        out *= own.weight / total if total > 0 else 0.0
    return out


def configure(recipe: Recipe, files: Mapping[tuple[str, str], tuple[str, str]]) -> tuple[str, list[str]]:
    """The configure file, and which relationships it cannot hold.

    `files`: (page, reference) -> variable in the file and its path from the folder. ILAMB 2 relates two data sets that are
    both scored: a relationship needs a page of its other variable.
    """
    pages = [p for p in recipe.leaves if any((p.name, r.name) in files for r in p.references)]
    related, left = _relationships(recipe, pages, files)
    lines = [f"# {word(recipe.title)}"]
    last = ""
    for page in pages:
        top, heading = headings(page)
        if top != last:
            weight = next(p.weight for p in recipe.pages if p.path == page.path[:1])
            lines += ["", f"[h1: {top}]", f"weight = {weight:g}" if len(page.path) > 1 else f"weight = {page.weight:g}"]
            last = top
        name = next(files[(page.name, r.name)][0] for r in page.references if (page.name, r.name) in files)
        lines += ["", f"[h2: {heading}]", f'variable = "{name}"', f"weight = {share(page, recipe):g}"]
        lines += ["mass_weighting = True"] if recipe.mass else []
        lines += ["skip_iav = False"] if "iav" in scheme(recipe.scheme).weights else []
        for reference in page.references:
            if (page.name, reference.name) not in files:
                continue
            lines += ["", f"[{word(reference.name)}]", f'source = "{files[(page.name, reference.name)][1]}"']
            lines += [f"weight = {reference.weight:g}"]
            if found := related.get((page.name, reference.name)):
                lines.append(f"relationships = {','.join(found)}")
    return "\n".join(lines) + "\n", left


def _relationships(
    recipe: Recipe, pages: Sequence[Page], files: Mapping[tuple[str, str], tuple[str, str]]
) -> tuple[dict[tuple[str, str], list[str]], list[str]]:
    """Which data sets each (page, reference) is related to, by the name ILAMB 2 gives them; and what has no counterpart."""
    out: dict[tuple[str, str], list[str]] = {}
    left = []
    for page in pages:
        for relation in page.relationships:
            pair = _partner(page, relation, pages, files)
            if pair is None:
                left.append(f"{page.name}: no page of {relation.variable} has a reference to relate it with")
                continue
            ours, theirs = pair
            # ILAMB 2 writes the driver beside the response
            response, driver = (theirs, ours) if relation.role == "response" else (ours, theirs)
            out.setdefault((response[0].name, response[1].name), []).append(_longname(*driver))
    return out, left


def _partner(
    page: Page, relation: Relation, pages: Sequence[Page], files: Mapping[tuple[str, str], tuple[str, str]]
) -> tuple[tuple[Page, Source], tuple[Page, Source]] | None:
    """A reference of the page and one of a page of the other variable, of the same name where there is one."""
    here = [r for r in page.references if (page.name, r.name) in files]
    there = [
        (p, r) for p in pages if p.variable == relation.variable for r in p.references if (p.name, r.name) in files
    ]
    alike = [((page, a), (p, b)) for a in here for p, b in there if a.name == b.name]
    if alike:
        return alike[0]
    return ((page, here[0]), there[0]) if here and there else None


def _longname(page: Page, reference: Source) -> str:
    """How ILAMB 2 calls a data set: the last two folders of its results, without blanks."""
    return f"{headings(page)[1]}/{word(reference.name)}".replace(" ", "")


def models(recipe: Recipe, folders: Mapping[str, str]) -> str:
    """Lines of name, folder and group (the ensemble)."""
    named = {m.name: m for m in recipe.models}
    return "".join(f"{word(name)}, {folder}, {word(named[name].ensemble or '')}\n" for name, folder in folders.items())


def regions(recipe: Recipe) -> tuple[str, list[str], list[str]]:
    """Boxes as lines of label, name and limits; their labels; and the regions that are no boxes or cross the date line."""
    lines, labels, left = [], [], []
    for region in recipe.regions:
        if region.bbox is None or region.bbox[0] > region.bbox[2]:
            left.append(f"region {region.name}: ILAMB 2 takes boxes that do not cross the date line")
            continue
        west, south, east, north = region.bbox
        if (west, south, east, north) == (-180.0, -90.0, 180.0, 90.0):
            continue  # its own `global`
        label = slug(region.name).replace("-", "")
        lines.append(f"{label},{word(region.name)},{south:g},{north:g},{west:g},{east:g}\n")
        labels.append(label)
    return "".join(lines), labels, left


def call(recipe: Recipe, labels: Sequence[str]) -> str:
    """The script that runs ILAMB 2 in the folder it lies in."""
    more = f" --define_regions {REGIONS}" if labels else ""
    basis = "cycle" if recipe.scheme in CYCLE else "series"
    return (
        "#!/bin/sh\n"
        "# Runs the recipe beside this file with ILAMB 2 (the package ilamb); its pages come into _build_ilamb2.\n"
        'cd "$(dirname "$0")" && ILAMB_ROOT=. exec ilamb-run '
        f"--config {CONFIGURE} --model_setup {MODELS} --regions global {' '.join(labels)}{more} "
        f'--rmse_score_basis {basis} --build_dir _build_ilamb2 "$@"\n'
    )
