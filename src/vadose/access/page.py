"""The catalog as one page for people: static HTML beside the catalog, and the same page from the hub's catalog service."""

from __future__ import annotations

import html
from typing import Any

from vadose.access.catalog import WAYS, access_rule, how_to_open, license_of, opens, way_of

STYLE = """
:root{--ink:#1c2a2e;--soft:#54646a;--line:#d5dedf;--paper:#f7f6f2;--card:#fff;--accent:#0b6e6e;--warm:#8a5a00}
@media(prefers-color-scheme:dark){:root{--ink:#e6edee;--soft:#a3b3b8;--line:#33444a;--paper:#142024;--card:#1b2a2f;--accent:#5cc8c2;--warm:#e3b35c}}
*{box-sizing:border-box}body{margin:0;font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
header,main{max-width:78rem;margin:auto;padding:0 1.25rem}header{padding-top:2rem;padding-bottom:1rem}h1{margin:0;font-size:1.7rem}
header p{color:var(--soft);margin:.3rem 0 1rem;max-width:46rem}form{display:flex;flex-wrap:wrap;gap:.75rem;align-items:end}
label{font-size:.85rem;color:var(--soft);display:grid;gap:.2rem}input,select{font:inherit;color:inherit;padding:.45rem .7rem;border:1px solid var(--soft);border-radius:.4rem;background:var(--card);height:2.5rem}
input{width:min(24rem,80vw)}output{font-size:.9rem;color:var(--soft);padding:.5rem 0;flex:1 1 10rem}
main{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(21rem,1fr));padding-bottom:3rem}
article{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:1rem 1.1rem;display:flex;flex-direction:column}
article h2{font-size:1.05rem;line-height:1.3;margin:0 0 .3rem}p.d{margin:.2rem 0 .5rem;font-size:.93rem}
code{background:color-mix(in srgb,var(--accent) 12%,transparent);padding:.1rem .35rem;border-radius:.25rem;font-size:.86em;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:6.2rem 1fr;gap:.15rem .75rem;margin:0;font-size:.88rem}dt{color:var(--soft)}dd{margin:0}a{color:var(--accent)}
header .tag{margin:0 .3rem 0 0}.tag{display:inline-block;font-size:.75rem;border:1px solid currentColor;border-radius:1rem;padding:.02rem .55rem;margin:0 .3rem .35rem 0;color:var(--soft)}
.ready{color:var(--accent)}.described{color:var(--warm)}[hidden]{display:none}
"""

SCRIPT = """
const q=document.getElementById('q'),s=document.getElementById('s'),v=document.getElementById('w'),o=document.getElementById('n'),all=[...document.querySelectorAll('article')];
function show(){const w=q.value.toLowerCase().split(/\\s+/).filter(Boolean);let n=0;
all.forEach(a=>{const fits=w.every(x=>a.dataset.words.includes(x))&&(!s.value||a.dataset.kind===s.value)&&(!v.value||a.dataset.way===v.value);a.hidden=!fits;n+=fits});
o.textContent=n+' of '+all.length+' collections'+(n?'':': take away a word or choose another kind')}
q.addEventListener('input',show);s.addEventListener('change',show);v.addEventListener('change',show);show();
"""


def browse_page(collections: dict[str, dict[str, Any]], counts: dict[str, int]) -> str:
    """What each collection is, how it opens, who may read it, under which license; all text escaped."""
    ready_first = sorted(collections.items(), key=lambda pair: not opens(pair[1], counts.get(pair[0], 0)))
    cards = [_card(identifier, c, counts.get(identifier, 0)) for identifier, c in ready_first]
    kinds = sorted({_kind(c) for c in collections.values()} - {""})
    options = "".join(f"<option>{html.escape(k)}</option>" for k in kinds)
    there = {way_of(c, counts.get(i, 0)) for i, c in collections.items()}
    ways = "".join(f'<option value="{w}">{TAGS[w]}</option>' for w in TAGS if w in there)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Soil-moisture catalog</title><style>{STYLE}</style><header><h1>Soil-moisture catalog</h1>"
        f"<p>{len(collections)} collections: what they measure, where they lie, who may read them, and how each opens. "
        f"{_tally(collections, counts)}</p>"
        '<form onsubmit="return false"><label>Words<input id="q" type="search" autocomplete="off" placeholder="SMAP root zone 2020"></label>'
        f'<label>Kind<select id="s"><option value="">any</option>{options}</select></label><label>Opens<select id="w"><option value="">in any way</option>{ways}</select></label><output id="n"></output></form></header>'
        f"<main>{''.join(cards)}</main><script>{SCRIPT}</script></html>"
    )


#: How a collection opens, in a word or two.
TAGS = {
    "opens": "opens",
    "index": "index first",
    "search": "search first",
    "download": "download first",
    "described": "described only",
}


def _tally(collections: dict[str, dict[str, Any]], counts: dict[str, int]) -> str:
    """How many open in which way."""
    ways = [way_of(c, counts.get(i, 0)) for i, c in collections.items()]
    words = {
        "opens": "open with one line",
        "index": "after one command that indexes the files where they lie",
        "search": "after the same command on the scenes of a search",
        "download": "after the same command on your own download",
        "described": "are only described",
    }
    return (
        "; ".join(
            f"<span class='tag {'ready' if w == 'opens' else 'described'}'>{TAGS[w]}</span>{ways.count(w)} {words[w]}"
            for w in TAGS
            if w in ways
        )
        + "."
    )


def _kind(collection: dict[str, Any]) -> str:
    return str(collection.get("vadose:facts", {}).get("sensor", "")) or (
        "synthetic" if "synthetic" in collection.get("keywords", []) else ""
    )


def _card(identifier: str, c: dict[str, Any], files: int) -> str:
    facts = c.get("vadose:facts", {})
    way = way_of(c, files)
    variables = (
        ", ".join(v.replace("_", " ") for v in c.get("summaries", {}).get("vadose:variables", [])) or "see description"
    )
    first, last = ((t or "now")[:10] for t in c["extent"]["temporal"]["interval"][0])
    layers = ", ".join(f"{a:g}-{b:g} m" if a != b else f"{a:g} m" for a, b in facts.get("layers", []))
    rows = {
        "variables": variables,
        "layers": layers,
        "period": f"{first} to {last}",
        "spacing": facts.get("spacing", ""),
        "cadence": facts.get("cadence", ""),
        "latency": facts.get("latency", ""),
        "files": f"{files} indexed" if files else "",
        "opens": WAYS[way].removeprefix("opens "),
        "access": access_rule(c),
        "identifier": f"{facts['identifier']} (confidence {facts['confidence']})" if facts else "",
    }
    license_, address = license_of(c)
    license_ = html.escape(license_)
    if address:
        license_ = f'<a href="{html.escape(address, quote=True)}" rel="noopener">{license_}</a>'
    words = html.escape(
        " ".join(
            [identifier, c.get("title", ""), c.get("description", ""), *map(str, rows.values()), *c.get("keywords", [])]
        ).lower(),
        quote=True,
    )
    state = f"<span class='tag {'ready' if way == 'opens' else 'described'}'>{TAGS[way]}</span>"
    kind = html.escape(_kind(c), quote=True)
    line = how_to_open(identifier, way)
    listed = "".join(f"<dt>{k}</dt><dd>{html.escape(str(v))}</dd>" for k, v in rows.items() if v)
    return (
        f'<article data-words="{words}" data-kind="{kind}" data-way="{way}"><div>{state}<span class="tag">{kind}</span></div><h2>{html.escape(c.get("title", identifier))}</h2>'
        f'<p class="d">{html.escape(c.get("description", ""))}</p><p class="d"><code>{html.escape(line)}</code></p>'
        f"<dl>{listed}<dt>license</dt><dd>{license_}</dd></dl></article>"
    )
