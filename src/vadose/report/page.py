"""From a folder of results to one page that opens from disk: tables, figures, methods, provenance. No science is computed here."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from vadose.errors import UnreadableFileError
from vadose.report import figures

STYLE = """
:root{--ink:#1b2528;--soft:#566469;--line:#dbe2e3;--paper:#fdfcfa;--panel:#fff;--accent:#0b5d66;--warn:#8a4b08}
*{box-sizing:border-box}html{scroll-behavior:smooth}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:62rem;margin:0 auto;padding:2rem 1.25rem 4rem}h1{font-size:1.75rem;line-height:1.25;margin:.2rem 0 .6rem}h2{font-size:1.25rem;margin:2.4rem 0 .6rem;padding-top:.6rem;border-top:1px solid var(--line)}
p{margin:.5rem 0}.lead{font-size:1.05rem;color:var(--soft);max-width:48rem}.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.75rem;margin:1.2rem 0}
.fact{background:var(--panel);border:1px solid var(--line);border-radius:.5rem;padding:.7rem .9rem}.fact b{display:block;font-size:1.15rem}.fact span{color:var(--soft);font-size:.88rem}
figure{margin:1rem 0;background:var(--panel);border:1px solid var(--line);border-radius:.5rem;padding:.75rem;overflow-x:auto}figure.narrow img{width:36rem}figure img{max-width:100%;height:auto;display:block;margin:auto}figcaption{color:var(--soft);font-size:.88rem;margin-top:.5rem}
.table{overflow-x:auto}table{border-collapse:collapse;font-size:.92rem;margin:.6rem 0;min-width:60%}th,td{padding:.35rem .7rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}thead th{white-space:normal;vertical-align:bottom}th:first-child,td:first-child{text-align:left}thead th{color:var(--soft);font-weight:600;border-bottom:2px solid var(--line)}
td.t{text-align:left;white-space:normal}.drier{color:#8a3f04;font-weight:600}.wetter{color:#174f8a;font-weight:600}.warn{border-left:4px solid var(--warn);background:#fdf4e7;padding:.6rem .9rem;border-radius:.25rem}
nav{font-size:.9rem;margin:.8rem 0}nav a{margin-right:.9rem}a{color:var(--accent)}a:focus-visible,summary:focus-visible{outline:3px solid #e69f00;outline-offset:2px}
code,pre{background:#eef2f1;border-radius:.25rem;font-size:.86em}code{padding:.1rem .3rem}pre{padding:.8rem;overflow-x:auto}details{margin:.6rem 0}summary{cursor:pointer;color:var(--accent)}
@media(max-width:40rem){figure.wide img{max-width:none;width:38rem}main{padding:1rem .9rem 3rem}h1{font-size:1.4rem}}@media print{nav,details>summary{display:none}details{display:block}}
"""

METHODS = (
    "Every source is brought to the same layer, days and places. Errors are estimated by collocation, which needs no reference: three or more products whose errors are independent "
    "(or whose dependence is declared) betray each other's error variance through their covariances (Stoffelen 1998, doi:10.1029/97JC03180; Gruber et al. 2016, doi:10.1002/2015JD024027; "
    "McColl et al. 2014, doi:10.1002/2014GL061322). Intervals come from drawing blocks of days with replacement. Products are scaled to the reference by the ratio of their signal amplitudes and "
    "merged with the weights of least variance, renewed for every subset of products that is there (Gruber et al. 2017, doi:10.1109/TGRS.2017.2734070); the standard error is propagated. "
    "Station scores carry intervals whose sample size is reduced for autocorrelation (Bretherton et al. 1999). bias = other − reference; ubRMSD is what remains of the RMSD without bias."
)


def write(results: str | Path, *, name: str = "report.html") -> Path:
    """Write `results/report.html` from what a study left in the folder; returns its path.

    Raises UnreadableFileError when the folder holds no finished study.
    """
    folder = Path(results)
    if not (folder / "provenance.json").exists():
        raise UnreadableFileError(
            f"{folder} holds no finished study (provenance.json is missing); run it first: vadose run STUDY --output {folder}"
        )
    facts = json.loads((folder / "provenance.json").read_text())
    tables = {p.stem: pd.read_parquet(p) for p in sorted((folder / "tables").glob("*.parquet"))}
    merged = xr.open_zarr(folder / "merged.zarr", consolidated=False)
    products = xr.open_zarr(folder / "products.zarr", consolidated=False)
    failures = json.loads((folder / "failures.json").read_text())
    body = "".join(
        [
            _head(facts, tables, merged, products),
            _series(facts, merged, products),
            _maps(merged, folder),
            _errors(facts, tables),
            _discrepancies(tables),
            _stations(facts, tables),
            _truth(facts, tables),
            _failures(failures),
            _methods(facts, folder),
        ]
    )
    data = json.dumps(
        {"provenance": facts, "tables": {k: json.loads(t.to_json(orient="records")) for k, t in tables.items()}}
    )
    data = data.replace("<", "\\u003c")  # no tag inside a string may end or open a script element
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>{escape(facts["study"])}</title>'
        f'<style>{STYLE}</style></head><body><main>{body}</main><script type="application/json" id="results">{data}</script></body></html>'
    )
    target = folder / name
    partial = target.with_suffix(".part")
    partial.write_text(page, encoding="utf-8")
    os.replace(partial, target)
    return target


def _head(facts, tables, merged, products) -> str:
    values = int(merged.soil_moisture.notnull().sum())
    spread = float(np.sqrt((merged.soil_moisture_standard_error**2).mean()))
    cards = [
        (f"{values:,}", "merged values"),
        (f"{spread:.3f} m³ m⁻³", "their standard error (root mean square)"),
        # No line ends inside a date.
        (" – ".join(day.replace("-", "\N{NON-BREAKING HYPHEN}") for day in facts["period"]), "period"),
        (", ".join(str(p) for p in products["product"].values), "products"),
    ]
    if facts.get("facts", {}).get("coverage_68") is not None:
        cards.append((f"{100 * facts['facts']['coverage_68']:.0f} %", "of truths inside the stated 1 σ (ideal 68 %)"))
    shown = "".join(f'<div class="fact"><b>{escape(a)}</b><span>{escape(b)}</span></div>' for a, b in cards)
    links = [
        ("series", "Series"),
        ("maps", "Maps"),
        ("errors", "Errors"),
        ("discrepancies", "Who is drier?"),
        ("stations", "Stations"),
        ("failures", "What failed"),
        ("methods", "Methods"),
    ]
    if "truth" in tables:
        links.insert(5, ("truth", "Truth"))
    nav = "".join(f'<a href="#{a}">{b}</a>' for a, b in links)
    return f'<header><h1>{escape(facts["study"])}</h1><p class="lead">{escape(facts["summary"])}</p><nav aria-label="Sections">{nav}</nav><div class="facts">{shown}</div></header>'


def _section(name: str, title: str, *parts: str) -> str:
    return f'<section id="{name}"><h2>{title}</h2>{"".join(parts)}</section>'


def _figure(source: str, alt: str, caption: str, *, wide: bool = False) -> str:
    """A wide figure is moved sideways on a phone, where its words would be too small; others shrink to the screen."""
    kind = "wide" if wide else "narrow"
    return f'<figure class="{kind}"><img src="{source}" alt="{escape(alt, quote=True)}"><figcaption>{caption}</figcaption></figure>'


def _regional(array: xr.DataArray) -> pd.Series:
    return array.mean([d for d in array.dims if d != "time"]).to_series()


def _series(facts, merged, products) -> str:
    """Means over the places that have a merged value: over other places a product would stand at another level for no reason of its own."""
    here = merged.soil_moisture.notnull().any("time").compute()
    if not bool(here.any()):
        return ""
    seen = products.soil_moisture.where(here)
    frame = pd.DataFrame({str(n): _regional(seen.sel(product=n)) for n in products["product"].values})
    absent = [str(n) for n in frame.columns if frame[n].isnull().all()]
    frame = frame.drop(columns=absent)
    picture = figures.series(frame, _regional(merged.soil_moisture), _regional(merged.soil_moisture_standard_error))
    count = f"all {here.size}" if bool(here.all()) else f"the {int(here.sum())} of {here.size}"
    where = f"{count} places{'' if bool(here.all()) else ' that have a merged value'}"
    without = f" Not drawn, for it has no value there: {escape(', '.join(absent))}." if absent else ""
    caption = f"Mean over {where}, as each product gives it (their levels differ; the merged product takes the level of <b>{escape(facts['reference'])}</b>). Satellites see other places every day, hence their jumps.{without} n = {int(seen.notnull().sum()):,} product values."
    alt = "Time series of regional mean soil moisture of each product and the merged product"
    return _section("series", "What each product says", _figure(picture, alt, caption, wide=True))


def _maps(merged, folder) -> str:
    estimates = xr.open_zarr(folder / "collocation.zarr", consolidated=False)
    panels: list[tuple[str, xr.DataArray, str]] = [
        ("merged, mean", merged.soil_moisture.mean("time").compute(), "YlGnBu"),
        ("its standard error, mean", merged.soil_moisture_standard_error.mean("time").compute(), "magma_r"),
    ]
    panels += [
        (f"random error of {n!s}", estimates.error_sd.sel(product=n).compute(), "magma_r")
        for n in estimates["product"].values
    ]
    panels = [(t, f, c) for t, f, c in panels if bool(f.notnull().any())]
    alike = [t for t, _, _ in panels if t.startswith("random error of ")]
    title = "Where it is wet, and how sure we are"
    if not panels:
        nothing = "No place has a merged value: too few days on which all collocated products are there."
        return _section("maps", title, f'<p class="warn">{nothing}</p>')
    picture = figures.maps(panels, units="m³ m⁻³", alike=alike)
    total = int(np.prod([estimates.sizes[d] for d in estimates.n.dims]))
    empty = merged.soil_moisture.isnull().all("time").compute()
    unknown = int((estimates.error_sd.isnull().any("product") & ~empty).sum())
    caption = "Random errors are on one color scale, each in its product’s own units of amplitude."
    if unknown:
        caption += f" At {unknown} of {total} places collocation gave no valid estimate (too few common days, or a negative variance); there the region’s median error takes its part (blank or hollow in the maps of errors)."
    if bool(empty.any()):
        caption += f" {int(empty.sum())} of {total} places have no merged value (blank or hollow in every map): a collocated product has no day in common with the others there."
    alt = "Maps of merged soil moisture, its standard error and the random error of each product"
    return _section("maps", title, _figure(picture, alt, caption, wide=True))


def _cell(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return "–" if not np.isfinite(value) else f"{value:.4f}" if abs(float(value)) < 10 else f"{value:.1f}"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    return escape(str(value))


def _table(table: pd.DataFrame, names: dict[str, str], *, tint: str | None = None) -> str:
    head = "".join(f"<th scope='col'>{escape(n)}</th>" for n in names.values())
    rows = []
    for record in table[list(names)].to_dict("records"):
        cells = "".join(
            f'<td class="{escape(str(record[k])) if k == tint else ""}">{_cell(record[k])}</td>' for k in names
        )
        rows.append(f"<tr>{cells}</tr>")
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _errors(facts, tables) -> str:
    table = tables["errors"].assign(snr_db=[f"{v:.1f}" if np.isfinite(v) else "–" for v in tables["errors"]["snr_db"]])
    pairs = ", ".join(" and ".join(p) for p in facts["correlated"]) or "none"
    names = {
        "product": "product",
        "error_sd": "error 1 σ [m³ m⁻³]",
        "low": "95 % low",
        "high": "95 % high",
        "snr_db": "SNR [dB]",
        "correlation": "correlation with the unknown truth",
        "n": "n",
    }
    picture = figures.errors(tables["errors"])
    return _section(
        "errors",
        "How wrong is each product?",
        _figure(
            picture,
            "Estimated random error of each product with 95 percent interval",
            "Random errors over the whole region, each on its product’s own scale, from pooled moments; "
            "intervals by drawing blocks of days.",
        ),
        _table(table, names),
        f"<p>Declared error correlations: {escape(pairs)}. "
        "n counts values of all places on days when all collocated products are there.</p>",
    )


def _discrepancies(tables) -> str:
    table = tables["discrepancies"]
    verdicts = table[table["kind"] == "family"]
    said = "; ".join(f"{r.of}: {r.verdict}" for r in verdicts.itertuples())
    names = {
        "of": "family or product",
        "kind": "kind",
        "bias": "bias [m³ m⁻³]",
        "low": "95 % low",
        "high": "95 % high",
        "verdict": "verdict",
        "days": "days",
    }
    picture = figures.intervals(table)
    return _section(
        "discrepancies",
        "Who is drier, who is wetter?",
        f"<p><b>{escape(said)}.</b> “Drier” means that the whole interval lies below zero.</p>",
        _figure(
            picture,
            "Bias of each family and product to the median of products with intervals",
            "Bias to the median of the collocated products over places and days where all of those have values "
            "(for a product that is not collocated: at least two of them); intervals by block bootstrap.",
        ),
        _table(table, names, tint="verdict"),
    )


def _stations(facts, tables) -> str:
    if "stations" not in tables or tables["stations"].empty:
        reason = facts["facts"].get("no_stations", "the study names no stations")
        said = f"<p>Nothing here is validated against the ground: {escape(reason)}.</p>"
        return _section("stations", "Against stations", said)
    table = tables["stations"]
    usable = table[table["n"] >= 30]
    summary = usable.pivot_table(index="product", columns="score", values="value", aggfunc="median", sort=False)
    beside = usable.pivot_table(
        index="product", columns="score", values="merged_same_days", aggfunc="median", sort=False
    )
    counts = (
        usable[usable["score"] == "bias"]
        .groupby("product", sort=False)
        .agg(stations=("station", "nunique"), n=("n", "sum"))
    )
    joined = summary.join(beside[["ubrmsd", "pearson"]].add_prefix("merged_")).join(counts).reset_index()
    names = {
        "product": "product",
        "bias": "bias",
        "ubrmsd": "ubRMSD",
        "merged_ubrmsd": "merged, same days",
        "pearson": "correlation",
        "merged_pearson": "merged, same days",
        "stations": "stations",
        "n": "n",
    }
    detail = {
        "product": "product",
        "station": "station",
        "score": "score",
        "value": "value",
        "merged_same_days": "merged, same days",
        "low": "95 % low",
        "high": "95 % high",
        "n": "n",
        "n_eff": "effective n",
    }
    once = table.drop_duplicates("station")
    kept = once["readings_kept"].sum() / max(once["readings"].sum(), 1)
    picture = figures.station_scores(usable)
    return _section(
        "stations",
        "Against stations",
        _figure(
            picture,
            "Unbiased RMSD and correlation at each station, by product",
            "One mark a station, the dot is the median. A point differs from its cell for reasons that are nobody’s error; "
            "low scores of all products at one station say something about the station.",
            wide=True,
        ),
        f"<p>Quality control kept {100 * kept:.0f} % of {once['readings'].sum():,} readings; "
        "frozen soil, spikes, breaks and plateaus are left out.</p>",
        "<p>Medians over stations with at least 30 common days [m³ m⁻³, correlation 1]:</p>",
        _table(joined, names),
        f"<details><summary>Every station and score</summary>{_table(table, detail)}</details>",
    )


def _truth(facts, tables) -> str:
    if "truth" not in tables:
        return ""
    table = tables["truth"]
    names = {
        "product": "product",
        "true_error_sd": "true error 1 σ",
        "estimated_error_sd": "estimated error 1 σ",
        "merged_on_its_days": "merged, on the same days",
        "n": "n",
    }
    coverage = facts["facts"]["coverage_68"]
    picture = figures.against_truth(table)
    inputs = table[table["product"] != "merged"]
    better = int((inputs["merged_on_its_days"] < inputs["true_error_sd"]).sum())
    said = f"On the days each has, the merged product is closer to the truth than {better} of the {len(inputs)} inputs."
    return _section(
        "truth",
        "What only a synthetic Earth can tell",
        f"<p>The truth is known here. {said} On the scale of the reference [m³ m⁻³]:</p>",
        _figure(
            picture,
            "Estimated and true random error of each product",
            "Circle: what collocation estimated without knowing the truth. Diamond: what it is.",
        ),
        _table(table, names),
        f"<p>The merged product’s stated one-sigma interval holds the truth in <b>{100 * coverage:.1f} %</b> of "
        f"{facts['facts']['n']:,} values; 68 % would be ideal.</p>",
    )


def _failures(failures) -> str:
    if not failures:
        return _section("failures", "What failed", "<p>Nothing: every file and station was read.</p>")
    rows = [(f["source"], Path(f["what"]).name, f["why"]) for f in failures]
    return _section(
        "failures",
        "What failed",
        '<div class="warn">The study went on without these.</div>',
        _words(("source", "what", "why"), rows),
    )


def _words(names: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table of words: columns by name, the first kept on one line."""
    head = "".join(f"<th scope='col'>{escape(n)}</th>" for n in names)
    body = ""
    for first, *rest in rows:
        cells = "".join(f"<td class='t'>{escape(cell)}</td>" for cell in rest)
        body += f"<tr><td>{escape(first)}</td>{cells}</tr>"
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _methods(facts, folder) -> str:
    inputs = [
        (i["name"], i["collection"] or _few(list(i["sha256"])), i["family"], i["citation"]) for i in facts["inputs"]
    ]
    software = ", ".join(f"{k} {v}" for k, v in facts["software"].items())
    text = (folder / "study.yaml").read_text()
    return _section(
        "methods",
        "Methods, inputs, provenance",
        f"<p>{METHODS}</p>",
        _words(("source", "from", "family", "citation"), inputs),
        f"<p>Layer {facts['layer_m'][0]:g}–{facts['layer_m'][1]:g} m where a product has layers to choose from, "
        f"else its own surface layer. Software: {escape(software)}. Command: <code>{escape(facts['command'])}</code></p>",
        f"<details><summary>The study file</summary><pre>{escape(text)}</pre></details>",
        "<p>All numbers of this page are in <code>tables/</code> (Parquet), <code>merged.zarr</code> and "
        "<code>collocation.zarr</code> beside it, and as JSON in its source.</p>",
    )


def _few(names: list[str], most: int = 5) -> str:
    """The first names, and how many more there are: provenance.json has all of them."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
