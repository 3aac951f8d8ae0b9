"""From the folder of a benchmark to one page that opens from disk: matrix, maps, curves, tables, method, provenance."""

from __future__ import annotations

import json
import os
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vadose.errors import UnreadableFileError
from vadose.report import benchmark_figures as figures
from vadose.report.benchmark_section import section
from vadose.report.benchmark_table import WORDS, anchor, cell, shade
from vadose.report.page import STYLE

MATRIX_STYLE = """
.skip{position:absolute;left:-999rem}.skip:focus{left:1rem;top:.5rem;background:#fff;padding:.5rem;z-index:9}
.matrix td{padding:0;text-align:center}.matrix td a,.matrix td span{display:block;padding:.4rem .7rem;color:inherit;text-decoration:none;font-variant-numeric:tabular-nums}.matrix td a:hover,.matrix td a:focus-visible{text-decoration:underline}
.matrix thead th{position:sticky;top:0;background:var(--paper);text-align:center}.matrix tbody th{position:sticky;left:0;background:var(--paper);font-weight:500;white-space:normal;min-width:7rem}
.matrix .top th{font-weight:700}.key{display:flex;gap:.4rem;align-items:center;font-size:.88rem;color:var(--soft);flex-wrap:wrap}.key i{width:1.6rem;height:1rem;display:inline-block}
th.t{text-align:left}.matrix{font-size:.88rem}.matrix thead th{padding:.35rem .4rem}.matrix tbody td a,.matrix tbody td span{padding:.4rem .45rem}
figure.fits img{width:auto;max-width:100%}nav a{white-space:nowrap}
"""
#: Share of the reference's area from which on a model is taken to cover it (coasts differ between grids).
WHOLE = 0.9
METHOD = (
    "Records are compared on the months both have and on the union of their cell edges, each cell sampled in both records without interpolation; meshes and stations at the "
    "nearest center. Scores lie between 0 and 1; 1 is best. <b>mean</b>: exp(−|bias| / s) with s the standard deviation in time of the reference; <b>departures</b>: exp(−centered RMS error / s), "
    "or, in scheme <code>vadose</code>, both against the error that 70 % of cells of the region stay below, beyond the reference's uncertainty; <b>season</b>: (1 + cos(2π shift / 365)) / 2; "
    "<b>pattern</b>: 2 (1 + R) / (σ + 1/σ)²; <b>year to year</b>, <b>memory</b>: likeness of the size and of the e-folding time of departures from the mean cycle; <b>values</b>: Hellinger likeness of "
    "distributions; <b>coverage</b>: share of the reference's area where the model has values (Collier et al. 2018, doi:10.1029/2018MS001354). Intervals are the spread of 90 % of draws that take blocks of cells "
    "with replacement and move the reference within its standard error, laid around the score. <i>season and latitude</i> is what knowing only the mean year of each parallel would score: a model below it adds nothing."
)


def write_benchmark(results: str | Path, *, name: str = "index.html") -> Path:
    """Write `results/index.html` from what `vadose benchmark` left in the folder; returns its path.

    Raises UnreadableFileError when the folder holds no finished benchmark.
    """
    folder = Path(results)
    if not (folder / "provenance.json").exists() or not (folder / "tables" / "scores.parquet").exists():
        raise UnreadableFileError(
            f"{folder} holds no finished benchmark; run it first: vadose benchmark RECIPE --output {folder}"
        )
    facts = json.loads((folder / "provenance.json").read_text())
    tables = {p.stem: pd.read_parquet(p) for p in sorted((folder / "tables").glob("*.parquet"))}
    failures = json.loads((folder / "failures.json").read_text())
    leaves = [p for p in facts["pages"] if p["variable"]]
    body = "".join(
        [
            _head(facts, leaves, tables),
            _matrix(facts, tables),
            *(section(page, facts, tables, folder) for page in leaves),
            _weights(tables),
            _constraint(tables),
            _engine(tables),
            _failures(failures),
            _method(facts, folder),
        ]
    )
    data = json.dumps(
        {"provenance": facts, "summary": json.loads(tables["summary"].to_json(orient="records"))}
    ).replace("<", "\\u003c")
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>{escape(facts["title"])}</title>'
        f'<style>{STYLE}{MATRIX_STYLE}</style></head><body><a class="skip" href="#matrix">To the summary</a><main>{body}</main><script type="application/json" id="results">{data}</script></body></html>'
    )
    target = folder / name
    partial = target.with_suffix(".part")
    partial.write_text(page, encoding="utf-8")
    os.replace(partial, target)
    return target


def _head(facts, leaves, tables) -> str:
    models = [i["name"] for i in facts["inputs"] if i["role"] == "model"]
    period = " – ".join(facts["period"]).replace("-", "\u2011") if facts["period"] else "all common months"
    cards = [
        (str(len(models)), "models"),
        (str(len(leaves)), "pages that compare"),
        (period, "period"),
        (facts["scheme"], "scores"),
    ]
    shown = "".join(f'<div class="fact"><b>{escape(a)}</b><span>{escape(b)}</span></div>' for a, b in cards)
    links = [("matrix", "Summary"), *((anchor(p["name"]), p["path"][-1]) for p in leaves)]
    links += [
        (k, w)
        for k, w in (("weights", "Weights"), ("constraint", "Constraint"), ("engine", "Beside ilamb3"))
        if k in tables
    ]
    nav = " ".join(  # with room to break lines between, on a phone
        f'<a href="#{a}">{escape(b)}</a>' for a, b in (*links, ("failures", "What failed"), ("methods", "Method"))
    )
    return f'<header><h1>{escape(facts["title"])}</h1><p class="lead">{escape(facts["summary"])}</p><nav aria-label="Sections">{nav}</nav><div class="facts">{shown}</div></header>'


def _partial(tables, region) -> dict[tuple[str, str], float]:
    """Pages and models whose least coverage of a reference is below `WHOLE`: what is missing lowers no other score."""
    s = tables["scores"]
    s = s[(s.kind == "score") & (s.statistic == "coverage") & (s.region == region)]
    least = s.groupby(["page", "model"]).value.min()
    return {(str(p), str(m)): float(v) for (p, m), v in least.items() if v < WHOLE}


def _matrix(facts, tables) -> str:
    summary = tables["summary"]
    regions = list(dict.fromkeys(summary.region))
    models = list(dict.fromkeys(summary.model))
    key = (
        '<p class="key">score <span>0</span>'
        + "".join(f'<i style="{shade(v)}"></i>' for v in np.linspace(0, 1, 6))
        + "<span>1 (best)</span></p>"
    )
    parts = []
    marked = unlike = False
    for n, region in enumerate(regions):
        part = summary[summary.region == region].set_index(["page", "model"])
        partial = _partial(tables, region)
        marked = marked or bool(partial)
        without = _without(part, models)
        unlike = unlike or bool(without)
        rows = []
        for page in ["everything", *(p["name"] for p in facts["pages"])]:
            found = part.loc[page]
            depth, leaf = int(found.depth.iloc[0]), bool(found.leaf.iloc[0])
            cells = "".join(
                _summary_cell(page, m, region, float(found.value.get(m, np.nan)), leaf, partial, without)
                for m in models
            )
            label = escape(page.split(" / ")[-1])
            rows.append(
                f'<tr class="{"" if leaf else "top"}"><th scope="row" style="padding-left:{0.5 + 0.9 * max(depth, 0):.1f}rem">{label}</th>{cells}</tr>'
            )
        head = "".join(f'<th scope="col">{escape(m)}</th>' for m in models)
        table = f'<div class="table" tabindex="0" role="region" aria-label="overall scores, {escape(region)}"><table class="matrix"><thead><tr><td></td>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        parts.append(table if n == 0 else f"<details><summary>Region: {escape(region)}</summary>{table}</details>")
    note = (
        f"<p>* compared where the model has values, which is less than {WHOLE:.0%} of the reference's area: the score says nothing of the rest.</p>"
        if marked
        else ""
    )
    if unlike:
        note += "<p>† a mean without the pages that could not be compared: not to be held against a mean of all.</p>"
    absent = [i["name"] for i in facts["inputs"] if i["role"] == "model" and i["name"] not in models]
    if absent:
        note += f'<p>Not compared at all: {escape(", ".join(absent))}; see <a href="#failures">What failed</a>.</p>'
    return f'<section id="matrix"><h2>Summary</h2><p>Overall score of every model by page, region <b>{escape(regions[0])}</b>. Rows in bold are weighted means of the rows below; a number leads to its page.</p>{key}{note}{"".join(parts)}</section>'


def _without(part, models) -> list[tuple[str, str]]:
    """Pages that compare, with the models that have no score there though another model has."""
    found = part[part.leaf.astype(bool)].value.unstack()
    return [
        (str(p), str(m))
        for p in found.index
        for m in models
        if found.loc[p].notna().any() and not found.notna().at[p, m]
    ]


def _summary_cell(page, model, region, value, leaf, partial, without) -> str:
    """A number of the matrix, marked where it, or a page below it, rests on part of the reference, or where such a page has no score."""
    held = [
        v
        for (p, m), v in partial.items()
        if m == model and (p == page or page == "everything" or p.startswith(f"{page} / "))
    ]
    gone = [p for p, m in without if m == model and not leaf and (page == "everything" or p.startswith(f"{page} / "))]
    tip = f"{page}, {model}, {region}" + (f"; covers {min(held):.0%} of the reference's area" if held else "")
    tip += f"; without {', '.join(gone)}" if gone else ""
    return cell(value, anchor(page) if leaf else "", tip, ("*" if held else "") + ("†" if gone else ""))


def _weights(tables) -> str:
    if "weights" not in tables:
        return ""
    w = tables["weights"]
    rows = "".join(
        f"<tr><td>{escape(r['model'])}</td><td class='t'>{escape(r['method'])}</td><td>{r['weight']:.3f}</td><td>{'–' if not np.isfinite(r['spread']) else format(r['spread'], '.3g')}</td></tr>"
        for r in w.to_dict("records")
    )
    return f'<section id="weights"><h2>Weights of models</h2><p>From mean annual cycles of <b>{escape(w.page.iloc[0])}</b> against {escape(w.reference.iloc[0])}: performance and independence (Knutti et al. 2017, doi:10.1002/2016GL072012), Bayesian model averaging (Raftery et al. 2005, doi:10.1175/MWR2906.1).</p><div class="table" tabindex="0"><table><thead><tr><th>model</th><th class="t">method</th><th>weight</th><th>spread</th></tr></thead><tbody>{rows}</tbody></table></div></section>'


def _constraint(tables) -> str:
    if "constraint" not in tables:
        return ""
    c = tables["constraint"]
    one = c.iloc[0]
    warning = f'<div class="warn">{escape(one.warning)}</div>' if one.warning else ""
    return (
        f'<section id="constraint"><h2>Emergent constraint</h2><p>{escape(one.mechanism)}</p>{warning}<figure><img src="{figures.constraint(c)}" alt="projection against observable, one point a model"><figcaption>Line through models, the observation with its error, and the projection before ({one.prior_mean:.3g} ± {one.prior_sd:.2g}) '
        f"and after it ({one['mean']:.3g} ± {one.sd:.2g}; 66 %: {one.low:.3g} to {one.high:.3g}); correlation {one.correlation:.2f}. Without single models the mean lies within {c.left_out.min():.3g} to {c.left_out.max():.3g}.</figcaption></figure></section>"
    )


def _engine(tables) -> str:
    if "engine" not in tables:
        return ""
    e = tables["engine"]
    parts = []
    for (page, reference), one in e.groupby(["page", "reference"], sort=False):
        rows = "".join(
            f"<tr><td>{escape(r['model'])}</td><td class='t'>{escape(WORDS.get(r['statistic'], r['statistic']))}</td><td>{r['vadose']:.3f}</td><td>{r['ilamb3']:.3f}</td><td>{r['vadose'] - r['ilamb3']:+.3f}</td></tr>"
            for r in one.to_dict("records")
        )
        parts.append(
            f'<h3>{escape(str(page))}, against {escape(str(reference))}</h3><div class="table" tabindex="0"><table><thead><tr><th>model</th><th class="t">score</th><th>vadose</th><th>ilamb3</th><th>difference</th></tr></thead><tbody>{rows}</tbody></table></div>'
        )
    return (
        f'<section id="engine"><h2>Beside ilamb3</h2><p>The same monthly records through ilamb3 {escape(e.version.iloc[0])} and through the scheme <code>ilamb3</code> of vadose, both over all months that each '
        f"record has. The other schemes take only what both records have.</p>{''.join(parts)}</section>"
    )


def _failures(failures) -> str:
    if not failures:
        return '<section id="failures"><h2>What failed</h2><p>Nothing: every comparison was made.</p></section>'
    rows = "".join(
        f"<tr><td>{escape(f['page'])}</td><td class='t'>{escape(f['reference'])}</td><td class='t'>{escape(f['model'])}</td><td class='t'>{escape(f['why'])}</td></tr>"
        for f in failures
    )
    return f'<section id="failures"><h2>What failed</h2><div class="warn">The run went on without these.</div><div class="table" tabindex="0"><table><thead><tr><th>page</th><th class="t">reference</th><th class="t">model</th><th class="t">why</th></tr></thead><tbody>{rows}</tbody></table></div></section>'


def _method(facts, folder) -> str:
    def origin(i: dict[str, Any]) -> str:
        return escape(i["collection"] or i["study"] or ", ".join(i["sha256"]) or "")

    rows = "".join(
        f"<tr><td>{escape(i['name'])}</td><td class='t'>{i['role']}</td><td class='t'>{origin(i)} {escape(' '.join(map(str, i['where'].values())))}</td><td class='t'>{escape(i['citation'])}</td></tr>"
        for i in facts["inputs"]
    )
    software = ", ".join(f"{k} {v}" for k, v in facts["software"].items())
    return (
        f'<section id="methods"><h2>Method, inputs, provenance</h2><p>{METHOD}</p><div class="table" tabindex="0"><table><thead><tr><th>name</th><th class="t">role</th><th class="t">from</th><th class="t">citation</th></tr></thead><tbody>{rows}</tbody></table></div>'
        f"<p>Software: {escape(software)}. Command: <code>{escape(facts['command'])}</code>, {escape(facts['created'])}</p><details><summary>The recipe</summary><pre>{escape((folder / 'recipe.yaml').read_text())}</pre></details>"
        "<p>Beside this page: <code>tables/</code> (Parquet), <code>maps/</code> (Zarr), <code>cmec.json</code>, <code>ro-crate-metadata.json</code>.</p></section>"
    )
