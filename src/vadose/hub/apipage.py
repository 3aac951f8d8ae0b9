"""The API of the catalog as a page for people, made from its own OpenAPI document: no script, nothing from outside.

Usual viewers of such documents load themselves from a content network; a classroom without a line sees a white page then.
"""

from __future__ import annotations

import html
import json
import re
from typing import Any

from vadose.access.page import STYLE

#: Path of the API -> what one gets there, and what to put after the address to see something.
ABOUT = {
    "/": ("What this service is, and links to all else.", ""),
    "/conformance": ("Which parts of the STAC API standard it keeps.", ""),
    "/collections": ("All collections, whole.", ""),
    "/collections/{collection_id}": ("One collection: extent, variables, license, how it opens.", ""),
    "/collections/{collection_id}/items": ("Items (files) of one collection, a page at a time.", "?limit=2"),
    "/collections/{collection_id}/items/{item_id}": ("One item: its time, its place, the address of its files.", ""),
    "/search": ("Items of any collections by place and time, a page at a time; `next` among its links is the next page.", "?limit=2"),
    "/_mgmt/ping": ("Whether the service answers.", ""),
    "/_mgmt/health": ("Whether the service is well.", ""),
}  # fmt: skip

MORE = """
main{display:block;padding-bottom:3rem}article{margin:0 0 .75rem;padding:.7rem 1.1rem}article h2{font:600 1.05rem/1.5 ui-monospace,monospace;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{text-align:left;vertical-align:top;padding:.35rem .6rem .35rem 0;border-top:1px solid var(--line)}
th{color:var(--soft);font-weight:400;white-space:nowrap;width:9rem}pre{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.8rem 1rem;font-size:.86rem}
.m{color:var(--accent);margin-right:.5rem}h3{font-size:1rem;margin:.8rem 0 .2rem}
"""


def api_page(document: dict[str, Any], *, root: str, example: str | None = None) -> str:
    """An OpenAPI document as HTML. `root` is the address that all paths start with; `example` a collection that is there."""
    cards = [
        _card(document, root, path, method, said, example)
        for path, methods in sorted(document["paths"].items(), key=lambda pair: _rank(pair[0], root))
        for method, said in methods.items()
    ]
    info = document["info"]
    title = html.escape(f"{info['title']}: the API")
    code = html.escape(_python(root, example))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}{MORE}</style><header><h1>{title}</h1>"
        f"<p>{html.escape(str(info.get('description', '')))}. A STAC API, version {html.escape(str(info['version']))}: answers are JSON. "
        f'<a href="{_safe(root)}/browse">To browse instead</a>; '
        f'<a href="{_safe(root)}/api">the OpenAPI document</a> that this page is made of.</p></header>'
        f"<main><h3>From Python</h3><pre>{code}</pre><h3>Addresses</h3>{''.join(cards)}</main></html>"
    )


def _safe(text: str) -> str:
    return html.escape(text, quote=True)


def _rank(path: str, root: str) -> tuple[int, str]:
    """In the order of the table; what it does not know comes last."""
    plain = path.removeprefix(_prefix(root)) or "/"
    return (list(ABOUT).index(plain) if plain in ABOUT else len(ABOUT), path)


def _prefix(root: str) -> str:
    """The path of an address, such as /services/stac."""
    return "/" + root.partition("://")[2].partition("/")[2] if "/" in root.partition("://")[2] else ""


def _python(root: str, example: str | None) -> str:
    return (
        f"import pystac_client\ncatalog = pystac_client.Client.open({root + '/'!r})\n"
        f"items = catalog.search(collections=[{example or 'ID'!r}], max_items=10).item_collection()\n\n"
        f"import vadose\nvadose.open({example or 'ID'!r}, catalog={root!r})"
    )


def _card(document: dict[str, Any], root: str, path: str, method: str, said: dict[str, Any], example: str | None) -> str:  # fmt: skip
    plain = path.removeprefix(_prefix(root)) or "/"
    about, question = ABOUT.get(plain, (str(said.get("summary", "")), ""))
    rows = [
        (p["name"], "in the path" if p["in"] == "path" else "", p.get("description") or "")
        for p in said.get("parameters", [])
    ] + _body(document, said)
    table = "".join(
        f"<tr><th><code>{html.escape(name)}</code></th><td>{_words(' '.join(filter(None, (text, where))))}</td></tr>"
        for name, where, text in rows
    )
    shown = plain.replace("{collection_id}", example) if example else plain
    link = ""
    if method == "get" and "{" not in shown:
        address = _safe(f"{root}{shown}{question}")
        link = f'<p class="d"><a href="{address}">{html.escape(shown + question)}</a></p>'
    return (
        f'<article><h2><span class="m">{method.upper()}</span>{html.escape(plain)}</h2><p class="d">{_words(about)}</p>{link}'
        + (f"<table>{table}</table>" if table else "")
        + "</article>"
    )


def _body(document: dict[str, Any], said: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What a request's JSON may hold: name, nothing, kind."""
    schema = said.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    name = schema.get("$ref", "").rsplit("/", 1)[-1]
    known = document.get("components", {}).get("schemas", {}).get(name, schema)
    return [(k, "", v.get("description") or _kind(v)) for k, v in known.get("properties", {}).items()]


def _kind(schema: dict[str, Any]) -> str:
    """The type of a field in words."""
    if "$ref" in schema:
        return f"GeoJSON {schema['$ref'].rsplit('/', 1)[-1].removesuffix('-Input')}"
    if "anyOf" in schema:
        kinds = dict.fromkeys(_kind(s) for s in schema["anyOf"] if s.get("type") != "null")
        return " or ".join(k for k in kinds if k)
    if schema.get("type") == "array":
        return (
            f"list of {schema['maxItems']} numbers"
            if "maxItems" in schema
            else f"list of {_kind(schema.get('items', {}))}"
        )
    return str(schema.get("type", json.dumps(schema)))


def _words(text: str) -> str:
    """Plain text with `code`; the bold and italics of Markdown are left out."""
    plain = html.escape(re.sub(r"\*+", "", text))
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", plain)
