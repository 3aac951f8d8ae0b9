"""The section of one page of a recipe: for each reference scores, what they are made of, maps, response curves."""

from __future__ import annotations

from html import escape

import numpy as np
import pandas as pd
import xarray as xr

from vadose.report import benchmark_figures as figures
from vadose.report.benchmark_table import WORDS, anchor, cell

#: Fewer places than these are no map.
LEAST_PLACES = 3


def section(page, facts, tables, folder) -> str:
    """The HTML of a page of the recipe that compares something; `facts` are those of provenance.json."""
    scores = tables["scores"]
    part = scores[scores.page == page["name"]]
    title = escape(page["name"])
    layer = f", {page['layer'][0]:g}–{page['layer'][1]:g} m" if page["layer"] else ""
    out = [
        f'<section id="{anchor(page["name"])}"><h2>{title}</h2><p class="lead">{escape(page["variable"].replace("_", " "))}{layer}. {escape(page["summary"])}</p>'
    ]
    if part.empty:
        return "".join(out) + "<p>Nothing could be compared here; see What failed.</p></section>"
    for reference in page["references"]:
        one = part[part.reference == reference]
        if one.empty:
            continue
        out.append(f"<h3>Against {escape(reference)}</h3>")
        known = set(one[one.value.notna()].region)
        for n, region in enumerate(r for r in dict.fromkeys(tables["summary"].region) if r in known):
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
            cells.append(cell(value, "", interval))
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
    return f'<details><summary>What the scores are made of</summary><div class="table" tabindex="0"><table><thead><tr><th>area mean</th>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>'


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
            f'<tr><th scope="row">{escape(str(m))}</th>{"".join(cell(float(v)) for v in row)}</tr>'
            for m, row in zip(wide.index, wide.to_numpy(), strict=True)
        )
        caption = f"{escape(relation.replace('_', ' '))}, region {escape(region)}: mean response with the interval of 90 %; only bins that hold 0.3 % of the samples. Samples are cells and months of the mean year, of a model those that the reference has."
        out.append(
            f'<h3>{escape(relation.replace("_", " "))}</h3><figure class="wide"><img src="{image}" alt="response curves of reference and models"><figcaption>{caption}</figcaption></figure><div class="table" tabindex="0"><table class="matrix"><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        )
    out.append(_two_drivers(page, reference, region, tables.get("interactions")))
    return "".join(out)


def _two_drivers(page, reference, region, interactions) -> str:
    if interactions is None or interactions.empty:
        return ""
    here = interactions[
        (interactions.page == page["name"]) & (interactions.reference == reference) & (interactions.region == region)
    ]
    if here.empty:
        return ""
    known = here[here.source == "reference"].drop_duplicates(["relation", "second"]).assign(model=reference)
    rows = "".join(
        f"<tr><td>{escape(r['model'])}</td><td class='t'>{escape(r['relation'].replace('_', ' '))}, with {escape(r['second'].replace('_', ' '))}</td><td>{r['explained']:.2f}</td><td>{r['interaction']:.2f}</td><td>{r['partial_correlation']:+.2f}</td></tr>"
        for r in pd.concat([known, here[here.source == "model"]]).to_dict("records")
    )
    return f'<h3>Two drivers</h3><div class="table" tabindex="0"><table><thead><tr><th>source</th><th class="t">response and drivers</th><th>variance explained by both</th><th>of it, by their interaction</th><th>correlation with the first, given the second</th></tr></thead><tbody>{rows}</tbody></table></div>'
