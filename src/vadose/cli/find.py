"""`vadose catalog list|search|show`: what there is, what answers a question, and how one gets in."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from vadose.access.catalog import Catalog

PLACE = click.option(
    "--catalog",
    "place",
    envvar="VADOSE_CATALOG",
    default="",
    help="Folder or STAC API to look in; VADOSE_CATALOG where it is not given; else every archive that vadose knows.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")


def box(text: str | None) -> tuple[float, float, float, float] | None:
    """west,south,east,north in degrees."""
    if text is None:
        return None
    try:
        west, south, east, north = (float(v) for v in text.split(","))
    except ValueError:
        raise click.BadParameter(
            f"{text!r}: write west,south,east,north in degrees, such as --bbox=-100,35,-90,45"
        ) from None
    if not (west < east and -90 <= south < north <= 90):
        raise click.BadParameter(
            f"{text!r}: west must be less than east, south less than north, latitudes within 90 degrees"
        )
    return west, south, east, north


def _look_in(place: str) -> Catalog:
    """The catalog that is named; without one the archives that vadose knows, and the demo world where it was written."""
    from vadose.access.catalog import Catalog, described, open_catalog
    from vadose.access.local import demo_folder

    if place:
        return open_catalog(place)
    known = described().collections
    if (demo_folder() / "catalog.json").exists():
        known = {**open_catalog(demo_folder()).collections, **known}
    return Catalog("", known)


def _row(identifier: str, collection: dict[str, Any], files: int = 0) -> dict[str, Any]:
    from vadose.access.catalog import access_rule, license_of, way_of

    facts = collection.get("vadose:facts", {})
    first, last = collection["extent"]["temporal"]["interval"][0]
    return {
        "id": identifier,
        "title": collection.get("title", ""),
        "opens": SHORT.get(way_of(collection, files), ""),
        "access": access_rule(collection),
        "cadence": facts.get("cadence", ""),
        "license": license_of(collection)[0],
        "start": (first or "")[:10],
        "end": (last or "")[:10],
        "variables": collection.get("summaries", {}).get("vadose:variables", []),
        "spacing": facts.get("spacing", ""),
        "latency": facts.get("latency", ""),
    }


#: How a collection comes to open, in a column's width.
SHORT = {
    "opens": "as it is",
    "index": "build",
    "search": "build --source",
    "download": "build --source",
    "described": "-",
}
#: Columns of a listing on a screen; --json has all.
COLUMNS = ("id", "title", "opens", "access", "cadence", "license")


def _tell(place: Catalog, ids: list[str], as_json: bool) -> None:
    rows = [_row(i, place.collection(i), len(place.sources(i, limit=1)) if place.href else 0) for i in ids]
    if as_json:
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, no_wrap=name == "id", overflow="fold")
    for row in rows:
        table.add_row(*(str(row[name]) for name in COLUMNS))
    # Into a pipe each collection is one line, whatever its length.
    Console(width=None if sys.stdout.isatty() else 400, markup=False, highlight=False).print(table)
    where = (
        f"in {place.href}" if place.href else "that vadose knows; `vadose catalog write FOLDER` makes a catalog of them"
    )
    click.echo(f"{len(rows)} of {len(place.collections)} collections {where}", err=True)
    click.echo("more of one: vadose catalog show ID", err=True)


@click.command(name="list", short_help="All data sets that vadose knows.")
@PLACE
@JSON
def listing(place: str, as_json: bool) -> None:
    """All data sets: title, who may read them, how often they come, license."""
    found = _look_in(place)
    _tell(found, sorted(found.collections), as_json)


@click.command(short_help="Data sets by words, variable, time and region.")
@click.argument("words", nargs=-1)
@click.option("--variable", default=None, help="Only those that hold it: soil_moisture, snow_amount ...")
@click.option("--time", default=None, help="Only those that have it: 2017, 2017-05, 2010-01-01/2019-12-31.")
@click.option("--bbox", default=None, help="Only those that touch it: --bbox=west,south,east,north.")
@PLACE
@JSON
def search(
    words: tuple[str, ...], variable: str | None, time: str | None, bbox: str | None, place: str, as_json: bool
) -> None:
    """Data sets that mention all WORDS (id, title, description, variables) and fit variable, time and region.

    Exit code 1: nothing fits.
    """
    found = _look_in(place)
    text = " ".join(words)
    ids = list(found.search(text, variable=variable, bbox=box(bbox), time=time).index)
    if not ids and not as_json:
        for word, near in found.near(text).items():
            hint = f"did you mean {' or '.join(near)}?" if near else "leave it out"
            click.echo(f"no collection mentions {word!r}: {hint}", err=True)
        click.echo("nothing fits all of it; take away a word or an option, or see `vadose catalog list`", err=True)
    else:
        _tell(found, sorted(ids), as_json)
    sys.exit(0 if ids else 1)


@click.command(short_help="All that is known of one data set.")
@click.argument("identifier")
@PLACE
@JSON
def show(identifier: str, place: str, as_json: bool) -> None:
    """All that is known of one data set: what it measures, where its files are, how one gets in, how to cite it."""
    found = _look_in(place)
    collection = found.collection(identifier)
    if as_json:
        click.echo(json.dumps(collection, indent=1, ensure_ascii=False))
        return
    click.echo(f"{collection.get('title', identifier)}\n{collection.get('description', '')}\n")
    rows = [(k, v) for k, v in _facts(identifier, collection).items() if v]
    width = max(len(k) for k, _ in rows)
    for key, value in rows:
        click.echo(f"{key:<{width}}  {value}")
    click.echo()
    click.echo(_way_in(identifier, collection, found))


def _facts(identifier: str, collection: dict[str, Any]) -> dict[str, str]:
    """What a person wants to know of a collection, in order; empty where it does not say."""
    from vadose.access.catalog import license_of

    facts, row = collection.get("vadose:facts", {}), _row(identifier, collection)
    west, south, east, north = collection["extent"]["spatial"]["bbox"][0]
    layers = ", ".join(f"{a:g} to {b:g} m" if a != b else f"{a:g} m" for a, b in facts.get("layers", []))
    text, address = license_of(collection)
    confidence = f"{facts['confidence']} that this description is right" if "confidence" in facts else ""
    verified = facts.get("verified_on")
    return {
        "id": identifier,
        "variables": ", ".join(row["variables"]),
        "layers": layers,
        "units": facts.get("units", ""),
        "period": f"{row['start']} to {row['end'] or 'now'}",
        "gaps": ", ".join(g.replace("/", " to ") for g in facts.get("known_gaps", [])),
        "region": f"{west:g} to {east:g} E, {south:g} to {north:g} N",
        "grid": facts.get("grid", ""),
        "spacing": row["spacing"],
        "cadence": row["cadence"],
        "latency": row["latency"],
        "access": row["access"],
        "license": f"{text} ({address})" if address else text,
        "producer": ", ".join(p["name"] for p in collection.get("providers", [])),
        "identifier": facts.get("identifier", ""),
        "cite": ", ".join(link["href"] for link in collection.get("links", []) if link["rel"] in ("cite-as", "about")),
        "files": str(collection.get("assets", {}).get("data", {}).get("href", "")),
        "confidence": f"{confidence}; {f'checked on {verified}' if verified else 'not checked against the archive itself'}"
        if confidence
        else "",
    }


def _way_in(identifier: str, collection: dict[str, Any], place: Catalog) -> str:
    """What to type to open it, from where one stands."""
    from vadose.access import datasets
    from vadose.access.catalog import opens, way_of

    if place.href and opens(collection, len(place.sources(identifier, limit=1))):
        return f'it opens:\n  vadose.open("{identifier}", catalog="{place.href}")'
    row = datasets.table()["datasets"].get(identifier)
    if row is None and not place.href:  # the demo world
        return f'it opens:\n  vadose.open("{identifier}")'
    if row is None:
        return f"it is described and not indexed yet:\n  vadose catalog build {identifier} --catalog {place.href}"
    folder = place.href if place.href and not place.href.startswith("http") else "FOLDER"
    lines = [] if place.href else [f"vadose catalog write {folder} --only {identifier}"]
    opening = f'vadose.open("{identifier}", catalog="{folder}")'
    build = f"vadose catalog build {identifier} --catalog {folder}"
    way = way_of(collection, 0)
    if way == "opens":
        lines.append(opening)
    elif way == "index":
        own = "   # a copy of your own: --source FOLDER"
        lines += [f"{build}   # indexes the files where they lie", own.strip(), opening]
    elif way == "search":
        search = f"{row['build']['search']}&bbox=W,S,E,N&datetime=2020-05-01/2020-05-31"
        lines += [f"{build} --source '{search}'   # or the folder of your own download", opening]
    elif way == "download":
        names = row["build"]["files"]
        lines += [f"{build} --source PATH   # the folder of your download; looks for {names} in it and below", opening]
    elif row["reader"] == "hdf4":
        lines = [
            "its files are HDF4, which vadose does not read; take the same product as GeoTIFF (Planetary Computer, AppEEARS), then"
        ]
        lines.append(
            f"vadose catalog add my-{identifier} 'PATH/*BAND*.tif' --format tiff --time-pattern '(\\d{{7}})' --time-format %Y%j --catalog {folder}"
        )
    else:
        lines = [
            "it is described only: its scenes need calibration and terrain correction first; sentinel1-rtc has both"
        ]
    return "to open it:\n" + "\n".join(f"  {line}" for line in lines)
