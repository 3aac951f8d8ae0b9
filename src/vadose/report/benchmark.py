"""From the folder of a benchmark to one page that opens from disk: matrix, maps, curves, tables, method, provenance."""

from __future__ import annotations

import json
import os
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from vadose.errors import UnreadableFileError
from vadose.report import benchmark_figures as figures
from vadose.report.page import STYLE

MATRIX_STYLE = """
.skip{position:absolute;left:-999rem}.skip:focus{left:1rem;top:.5rem;background:#fff;padding:.5rem;z-index:9}
.matrix td{padding:0;text-align:center}.matrix td a,.matrix td span{display:block;padding:.4rem .7rem;color:inherit;text-decoration:none;font-variant-numeric:tabular-nums}.matrix td a:hover,.matrix td a:focus-visible{text-decoration:underline}
.matrix thead th{position:sticky;top:0;background:var(--paper);text-align:center}.matrix tbody th{position:sticky;left:0;background:var(--paper);font-weight:500;white-space:normal;min-width:7rem}
.matrix .top th{font-weight:700}.key{display:flex;gap:.4rem;align-items:center;font-size:.88rem;color:var(--soft);flex-wrap:wrap}.key i{width:1.6rem;height:1rem;display:inline-block}
th.t{text-align:left}.matrix{font-size:.88rem}.matrix thead th{padding:.35rem .4rem}.matrix tbody td a,.matrix tbody td span{padding:.4rem .45rem}
figure.fits img{width:auto;max-width:100%}nav a{white-space:nowrap}
"""
#: Dark to light, in the order of luminance: reads in gray and by color-blind eyes.
RAMP = ((0, 34, 78), (53, 69, 108), (102, 105, 112), (148, 142, 119), (200, 184, 102), (254, 232, 56))
#: Fewer places than these are no map.
LEAST_PLACES = 3
#: Share of the reference's area from which on a model is taken to cover it (coasts differ between grids).
WHOLE = 0.9
WORDS = {
    "overall": "overall", "bias": "mean", "rmse": "departures", "phase": "season", "iav": "year to year", "distribution": "pattern", "coverage": "coverage",
    "memory": "memory", "values": "values", "anomaly": "anomalies", "drydown": "drydown",
}  # fmt: skip
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
            *(_leaf(page, facts, tables, folder) for page in leaves),
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


def _id(name: str) -> str:
    return "p-" + "".join(c if c.isalnum() else "-" for c in name.lower())


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
    links = [("matrix", "Summary"), *((_id(p["name"]), p["path"][-1]) for p in leaves)]
    links += [
        (k, w)
        for k, w in (("weights", "Weights"), ("constraint", "Constraint"), ("engine", "Beside ilamb3"))
        if k in tables
    ]
    nav = "".join(
        f'<a href="#{a}">{escape(b)}</a>' for a, b in (*links, ("failures", "What failed"), ("methods", "Method"))
    )
    return f'<header><h1>{escape(facts["title"])}</h1><p class="lead">{escape(facts["summary"])}</p><nav aria-label="Sections">{nav}</nav><div class="facts">{shown}</div></header>'


def shade(value: float) -> str:
    """Background and ink of a score: text stays readable on every shade (contrast above 4.5)."""
    if not np.isfinite(value):
        return "background:#fff;color:#566469"
    x = min(max(value, 0.0), 1.0) * (len(RAMP) - 1)
    k = min(int(x), len(RAMP) - 2)
    rgb = [round(a + (b - a) * (x - k)) for a, b in zip(RAMP[k], RAMP[k + 1], strict=True)]
    linear = [(c / 255 / 12.92) if c / 255 <= 0.03928 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    ink = "#fff" if 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.05 else "#000"
    return f"background:rgb({rgb[0]},{rgb[1]},{rgb[2]});color:{ink}"


def _cell(value: float, link: str = "", title: str = "", mark: str = "") -> str:
    text = f"{value:.2f}{mark}" if np.isfinite(value) else "–"
    tip = f' title="{escape(title, quote=True)}"' if title else ""
    inner = f'<a href="#{link}"{tip}>{text}</a>' if link else f"<span{tip}>{text}</span>"
    return f'<td style="{shade(value)}">{inner}</td>'


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
    marked = False
    for n, region in enumerate(regions):
        part = summary[summary.region == region].set_index(["page", "model"])
        partial = _partial(tables, region)
        marked = marked or bool(partial)
        rows = []
        for page in ["everything", *(p["name"] for p in facts["pages"])]:
            found = part.loc[page]
            depth, leaf = int(found.depth.iloc[0]), bool(found.leaf.iloc[0])
            cells = "".join(
                _summary_cell(page, m, region, float(found.value.get(m, np.nan)), leaf, partial) for m in models
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
    return f'<section id="matrix"><h2>Summary</h2><p>Overall score of every model by page, region <b>{escape(regions[0])}</b>. Rows in bold are weighted means of the rows below; a number leads to its page.</p>{key}{note}{"".join(parts)}</section>'


def _summary_cell(page, model, region, value, leaf, partial) -> str:
    """A number of the matrix, marked where it, or a page below it, rests on part of the reference."""
    held = [
        v
        for (p, m), v in partial.items()
        if m == model and (p == page or page == "everything" or p.startswith(f"{page} / "))
    ]
    tip = f"{page}, {model}, {region}" + (f"; covers {min(held):.0%} of the reference's area" if held else "")
    return _cell(value, _id(page) if leaf else "", tip, "*" if held else "")


def _leaf(page, facts, tables, folder) -> str:
    scores = tables["scores"]
    part = scores[scores.page == page["name"]]
    title = escape(page["name"])
    layer = f", {page['layer'][0]:g}–{page['layer'][1]:g} m" if page["layer"] else ""
    out = [
        f'<section id="{_id(page["name"])}"><h2>{title}</h2><p class="lead">{escape(page["variable"].replace("_", " "))}{layer}. {escape(page["summary"])}</p>'
    ]
    if part.empty:
        return "".join(out) + "<p>Nothing could be compared here; see What failed.</p></section>"
    for reference in page["references"]:
        one = part[part.reference == reference]
        if one.empty:
            continue
        out.append(f"<h3>Against {escape(reference)}</h3>")
        for n, region in enumerate(dict.fromkeys(one[one.value.notna()].region)):
            table = _scores(one[one.region == region], page["variable"])
            out.append(table if n == 0 else f"<details><summary>Region: {escape(region)}</summary>{table}</details>")
        out.append(_maps(page, reference, facts, folder))
        out.append(_curves(page, reference, tables))
    notes = sorted(
        {
            f"{n['model']}: {n['note']}"
            if not n["note"].startswith("reference")
            else f"{n['reference']}: {n['note'][11:]}"
            for n in facts["notes"]
            if n["page"] == page["name"]
        }
    )
    if notes:
        out.append(
            f"<details><summary>How the data were made comparable</summary><ul>{''.join(f'<li>{escape(n)}</li>' for n in notes)}</ul></details>"
        )
    return "".join(out) + "</section>"


def _scores(part: pd.DataFrame, variable: str) -> str:
    scored = part[part.kind == "score"]
    statistics = [s for s in WORDS if s in set(scored.statistic)]
    wide = scored.set_index(["model", "statistic"])
    rows = []
    models = list(dict.fromkeys(scored.model))
    for model in models:
        cells = []
        for s in statistics:
            row = wide.loc[(model, s)] if (model, s) in wide.index else None
            value = float(row["value"]) if row is not None else np.nan
            interval = (
                f"90 %: {row['low']:.2f} to {row['high']:.2f}" if row is not None and np.isfinite(row["low"]) else ""
            )
            cells.append(_cell(value, "", interval))
        rows.append(f'<tr><th scope="row">{escape(model)}</th>{"".join(cells)}</tr>')
    head = "".join(f'<th scope="col">{WORDS[s]}</th>' for s in statistics)
    shown = f'<div class="table" tabindex="0" role="region" aria-label="scores"><table class="matrix"><thead><tr><td></td>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    figure = figures.intervals(scored[scored.statistic == "overall"])
    more = _quantities(part[part.kind == "quantity"], variable)
    caption = "Overall score with the interval of 90 % (or the spread of runs of an ensemble)."
    return (
        shown
        + (
            f'<figure class="fits"><img src="{figure}" alt="overall scores with intervals"><figcaption>{caption}</figcaption></figure>'
            if figure
            else ""
        )
        + more
    )


def _quantities(part: pd.DataFrame, variable: str) -> str:
    if part.empty:
        return ""
    shown = [figures.for_eyes(variable, str(u)) for u in part.units]
    part = part.assign(value=part.value * [f for f, _ in shown], units=[u for _, u in shown])
    wide = part.pivot_table(index="statistic", columns="model", values="value", sort=False)
    units = part.drop_duplicates("statistic").set_index("statistic").units
    head = "".join(f"<th>{escape(str(m))}</th>" for m in wide.columns)
    rows = "".join(
        f"<tr><td>{escape(str(s).replace('_', ' '))} [{escape(str(units[s]))}]</td>{''.join(f'<td>{v:.3g}</td>' if np.isfinite(v) else '<td>–</td>' for v in row)}</tr>"
        for s, row in zip(wide.index, wide.to_numpy(), strict=True)
    )
    return f'<details><summary>What the scores are made of</summary><div class="table"><table><thead><tr><th>area mean</th>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>'


def _maps(page, reference, facts, folder) -> str:
    entries = [m for m in facts["maps"] if m["page"] == page["name"] and m["reference"] == reference]
    data = {m["model"]: xr.open_zarr(folder / m["path"], consolidated=False) for m in entries}
    if not data:
        return ""
    first = next(iter(data.values()))
    factor, units = figures.for_eyes(page["variable"], first.attrs["units"])
    what = f"{first.attrs['period']}, {first.attrs['months']} months"
    if max(int(one.reference_mean.notnull().sum()) for one in data.values()) < LEAST_PLACES:
        return f"<p>{escape(reference)}: {what}; too few places for a map.</p>"
    image = figures.biases(data, factor, units)
    caption = f"{escape(reference)}: mean, and bias (model − reference) of each model [{escape(units)}], {what}. Gray: not in both. Made by <code>{escape(facts['command'])}</code>"
    return f'<figure class="wide"><img src="{image}" alt="maps of {escape(reference, quote=True)} and of the bias of each model"><figcaption>{caption}</figcaption></figure>'


def _curves(page, reference, tables) -> str:
    curves, scores = tables.get("curves"), tables["scores"]
    if curves is None or curves.empty:
        return ""
    part = curves[(curves.page == page["name"]) & (curves.reference == reference)]
    if part.empty:
        return ""
    region = part.region.iloc[0]
    out = []
    for relation in dict.fromkeys(part.relation):
        one = part[(part.relation == relation) & (part.region == region)]
        image = figures.curves(one)
        held = scores[
            (scores.page == page["name"])
            & (scores.reference == reference)
            & (scores.kind == "relationship")
            & scores.statistic.str.startswith(relation)
        ]
        wide = held.assign(what=held.statistic.str.split(": ").str[-1]).pivot_table(
            index="model", columns=["region", "what"], values="value", sort=False
        )
        head = "".join(f"<th>{escape(str(r))}<br>{escape(str(w))}</th>" for r, w in wide.columns)
        rows = "".join(
            f'<tr><th scope="row">{escape(str(m))}</th>{"".join(_cell(float(v)) for v in row)}</tr>'
            for m, row in zip(wide.index, wide.to_numpy(), strict=True)
        )
        caption = f"{escape(relation.replace('_', ' '))}, region {escape(region)}: mean response with the interval of 90 %; only bins that hold 0.3 % of the samples. Samples are cells and months of the mean year, of a model those that the reference has."
        out.append(
            f'<h3>{escape(relation.replace("_", " "))}</h3><figure class="wide"><img src="{image}" alt="response curves of reference and models"><figcaption>{caption}</figcaption></figure><div class="table" tabindex="0"><table class="matrix"><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        )
    interactions = tables.get("interactions")
    if interactions is not None and len(interactions):
        i = interactions[
            (interactions.page == page["name"])
            & (interactions.reference == reference)
            & (interactions.region == region)
        ]
        if len(i):
            i = pd.concat(
                [
                    i[i.source == "reference"].drop_duplicates(["relation", "second"]).assign(model=reference),
                    i[i.source == "model"],
                ]
            )
            rows = "".join(
                f"<tr><td>{escape(r['model'])}</td><td class='t'>{escape(r['relation'].replace('_', ' '))}, with {escape(r['second'].replace('_', ' '))}</td><td>{r['explained']:.2f}</td><td>{r['interaction']:.2f}</td><td>{r['partial_correlation']:+.2f}</td></tr>"
                for r in i.to_dict("records")
            )
            out.append(
                f'<h3>Two drivers</h3><div class="table"><table><thead><tr><th>source</th><th class="t">response and drivers</th><th>variance explained by both</th><th>of it, by their interaction</th><th>correlation with the first, given the second</th></tr></thead><tbody>{rows}</tbody></table></div>'
            )
    return "".join(out)


def _weights(tables) -> str:
    if "weights" not in tables:
        return ""
    w = tables["weights"]
    rows = "".join(
        f"<tr><td>{escape(r['model'])}</td><td class='t'>{escape(r['method'])}</td><td>{r['weight']:.3f}</td><td>{'–' if not np.isfinite(r['spread']) else format(r['spread'], '.3g')}</td></tr>"
        for r in w.to_dict("records")
    )
    return f'<section id="weights"><h2>Weights of models</h2><p>From mean annual cycles of <b>{escape(w.page.iloc[0])}</b> against {escape(w.reference.iloc[0])}: performance and independence (Knutti et al. 2017, doi:10.1002/2016GL072012), Bayesian model averaging (Raftery et al. 2005, doi:10.1175/MWR2906.1).</p><div class="table"><table><thead><tr><th>model</th><th>method</th><th>weight</th><th>spread</th></tr></thead><tbody>{rows}</tbody></table></div></section>'


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
    return f'<section id="failures"><h2>What failed</h2><div class="warn">The run went on without these.</div><div class="table"><table><thead><tr><th>page</th><th>reference</th><th>model</th><th>why</th></tr></thead><tbody>{rows}</tbody></table></div></section>'


def _method(facts, folder) -> str:
    def origin(i: dict[str, Any]) -> str:
        return escape(i["collection"] or i["study"] or ", ".join(i["sha256"]) or "")

    rows = "".join(
        f"<tr><td>{escape(i['name'])}</td><td class='t'>{i['role']}</td><td class='t'>{origin(i)} {escape(' '.join(map(str, i['where'].values())))}</td><td class='t'>{escape(i['citation'])}</td></tr>"
        for i in facts["inputs"]
    )
    software = ", ".join(f"{k} {v}" for k, v in facts["software"].items())
    return (
        f'<section id="methods"><h2>Method, inputs, provenance</h2><p>{METHOD}</p><div class="table"><table><thead><tr><th>name</th><th>role</th><th>from</th><th>citation</th></tr></thead><tbody>{rows}</tbody></table></div>'
        f"<p>Software: {escape(software)}. Command: <code>{escape(facts['command'])}</code>, {escape(facts['created'])}</p><details><summary>The recipe</summary><pre>{escape((folder / 'recipe.yaml').read_text())}</pre></details>"
        "<p>Beside this page: <code>tables/</code> (Parquet), <code>maps/</code> (Zarr), <code>cmec.json</code>, <code>ro-crate-metadata.json</code>.</p></section>"
    )
