"""Archives whose files are read one by one: swaths, scenes, images of many bands, text. A build notes which there are.

No cube can be made of such files by references: their shapes differ, or they are no arrays. Items say where each file is, when,
and what its name tells (tile, model, band); files that differ in their band only are one item with several assets. Items that
others wrote, in a STAC item collection or as the answer of a STAC API, are taken as they are.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from vadose.access import remote, store
from vadose.access.blocks import Head
from vadose.access.credentials import Access
from vadose.access.recipe import Recipe
from vadose.access.remote import Stat
from vadose.errors import UnreadableFileError, VadoseError, VadoseInputError

#: Names in a pattern that are no property of an item.
APART = ("time", "until", "revision", "asset")
#: Pages of a STAC API's answer that are followed.
PAGES = 1000


def is_items(source: str) -> bool:
    """Whether a source is items that others wrote: an item collection, or a question to a STAC API."""
    plain = source.split("?", 1)[0].rstrip("/")
    return plain.endswith((".json", ".geojson")) or (
        source.startswith("http") and plain.endswith(("/search", "/items"))
    )


def items_of(source: str) -> list[dict[str, Any]]:
    """Items of an item collection (a file, an address) or of a STAC API's answer, all its pages. UnreadableFileError names what it is not."""
    found: list[dict[str, Any]] = []
    following: str | None = source
    for _ in range(PAGES):
        if following is None:
            break
        try:
            page = json.loads(_text(following))
            if page.get("type") == "Feature":
                page = {"features": [page], "links": []}
            found += page["features"]
        except (ValueError, KeyError, AttributeError) as error:
            raise UnreadableFileError(f"{following}: not a STAC item collection: {error!r}") from error
        links = page.get("links", [])
        following = next((link["href"] for link in links if link["rel"] == "next" and link.get("method", "GET") == "GET"), None)  # fmt: skip
    return found


def _text(address: str) -> bytes:
    if not address.startswith("http"):
        return remote.read(address)
    from vadose.access.chunkstore import web

    return web(address)


def made(found: Iterable[Stat], recipe: Recipe, collection: dict[str, Any], access: Access) -> tuple[list[dict[str, Any]], dict[str, str]]:  # fmt: skip
    """Items of files, in order of time, and files that are set aside with the reason; of several revisions the highest is taken."""
    aside: dict[str, str] = {}
    groups: dict[tuple[Any, ...], dict[str, Stat]] = {}
    times: dict[tuple[Any, ...], np.datetime64 | None] = {}
    for stat in found:
        try:
            moment = recipe.time_of(stat.href) if recipe.stacks else None
        except VadoseError as error:
            aside[stat.href] = str(error)
            continue
        names = recipe.named(stat.href)
        said = {recipe.properties.get(k, f"vadose:{k}"): v for k, v in names.items() if k not in APART}
        # Without bands each file is an item, its revisions together; with them those of one time and place are.
        alone = () if "asset" in names else (recipe.without_revision(stat.href),)
        key = (str(moment), *sorted(said.items()), *alone)
        times[key] = moment
        asset = names.get("asset", "data")
        other = groups.setdefault(key, {}).get(asset)
        if other is not None:
            newer = recipe.revision_of(stat.href) > recipe.revision_of(other.href)
            old, stat = (other, stat) if newer else (stat, other)
            aside[old.href] = f"an older revision: {stat.href} replaces it"
        groups[key][asset] = stat
    out = []
    for key, assets in groups.items():
        said = dict(pair for pair in key[1:] if isinstance(pair, tuple))
        out.append(_item(collection, assets, times[key], said, recipe))
    if recipe.format == "tiff":
        _footprints(out, aside, access)
    return sorted(out, key=lambda i: (i["properties"]["start_datetime"], i["id"])), aside


def _item(collection: dict[str, Any], assets: dict[str, Stat], moment: np.datetime64 | None, said: dict[str, str], recipe: Recipe) -> dict[str, Any]:  # fmt: skip
    first, last = ((t or "9999-12-31T00:00:00Z") for t in collection["extent"]["temporal"]["interval"][0])
    one = next(iter(assets.values()))
    if moment is not None:
        end = recipe.until(one.href)
        first, last = (f"{t.astype('datetime64[s]')}Z" for t in (moment, moment if end is None else end))
    name = Path(one.href).name
    if len(assets) > 1:
        name = name.removesuffix(Path(name).suffix).removesuffix(next(iter(assets))).rstrip("._-")
    parts = {
        k: {"href": s.href, "roles": ["data"], "type": store.MEDIA[recipe.format], "file:size": s.size, "vadose:etag": s.etag}
        for k, s in assets.items()
    }  # fmt: skip
    return store.item(collection, name, (first, last), {"vadose:etag": one.etag, **said}, parts)


def _footprints(items: list[dict[str, Any]], aside: dict[str, str], access: Access) -> None:
    """Where images lie, from the header of one of each item's; those that cannot be read are set aside."""
    from concurrent.futures import ThreadPoolExecutor

    from vadose.access.tiff import footprint

    def look(item: dict[str, Any]) -> dict[str, Any] | VadoseError:
        href = next(iter(item["assets"].values()))["href"]
        try:
            with header(href, access) as handle:
                return footprint(handle, href)
        except VadoseError as error:
            return error

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(look, items))
    for item, place in zip(list(items), found, strict=True):
        if isinstance(place, VadoseError):
            aside[next(iter(item["assets"].values()))["href"]] = str(place)
            items.remove(item)
            continue
        west, south, east, north = item["bbox"] = place["bbox"]
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        item["geometry"] = {"type": "Polygon", "coordinates": [ring]}
        item["properties"] |= {k: v for k, v in place.items() if k != "bbox"}


def header(href: str, access: Access, stat: Stat | None = None) -> Any:
    """A file to read the header of, wherever it lies."""
    if remote.is_local(href):
        try:
            return open(remote.local_path(href), "rb")
        except FileNotFoundError as error:
            raise UnreadableFileError(f"{href}: the catalog lists it, and it is not there") from error
    return Head(stat or remote.stat(href, access), access)


def adopted(found: list[dict[str, Any]], collection: dict[str, Any]) -> list[dict[str, Any]]:
    """Items that others wrote, as items of our collection: what they say of time, place and assets is kept."""
    if not found:
        raise VadoseInputError(f"{collection['id']}: the item collection is empty")
    out = []
    for item in found:
        said = dict(item["properties"])
        moment = said.get("datetime")
        said["start_datetime"] = said.get("start_datetime") or moment
        said["end_datetime"] = said.get("end_datetime") or moment
        plain = {k: v for k, v in said.items() if isinstance(v, str | int | float | bool) or v is None}
        box = item["bbox"] if len(item["bbox"]) == 4 else [*item["bbox"][:2], *item["bbox"][3:5]]
        out.append(
            {
                "type": "Feature",
                "stac_version": "1.1.0",
                "stac_extensions": [],
                "id": item["id"],
                "collection": collection["id"],
                "geometry": item["geometry"],
                "bbox": box,
                "properties": plain,
                "assets": {
                    k: {x: a[x] for x in ("href", "type", "roles", "title") if x in a}
                    for k, a in item["assets"].items()
                },
                "links": [{"rel": "collection", "href": "./collection.json", "type": "application/json"}],
            }
        )
    return sorted(out, key=lambda i: (i["properties"]["start_datetime"], i["id"]))


def sources(items: Iterable[dict[str, Any]]) -> dict[str, Stat]:
    """Every file of some items by its address."""
    assets = (a for item in items for a in item["assets"].values() if a and a.get("href"))
    return {
        a["href"]: Stat(a["href"], int(a.get("file:size") or -1), str(a.get("vadose:etag") or ""), 0.0) for a in assets
    }


def states(items: Iterable[dict[str, Any]]) -> dict[tuple[str, str], tuple[Any, ...]]:
    """What each file of some items was: where it lies, how large, when and where its values are.

    Items that others wrote have no etag; a new date of writing (`updated`) or another place or time is a change as well.
    """
    out = {}
    for item in items:
        said = item["properties"]
        when = tuple(_moment(said.get(k)) for k in ("start_datetime", "end_datetime", "updated"))
        where = tuple(round(float(v), 9) for v in item["bbox"])
        for key, asset in item["assets"].items():
            if asset and asset.get("href"):
                size, etag = (
                    int(asset.get("file:size") or -1),
                    str(asset.get("vadose:etag") or said.get("vadose:etag") or ""),
                )
                out[item["id"], key] = (asset["href"], size, etag, when, where)
    return out


def _moment(stamp: Any) -> Any:
    """A time as it compares: items that were kept write it in another way."""
    import pandas as pd

    moment = None if stamp is None else pd.Timestamp(stamp)
    return moment.tz_localize("UTC") if moment is not None and moment.tzinfo is None else moment


def rewritten(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> list[str]:
    """Addresses that stay while others' items say anew what lies there: another time, place or date of writing."""
    old, new = states(before), states(now)
    return sorted({new[k][0] for k in old.keys() & new.keys() if old[k] != new[k] and old[k][0] == new[k][0]})


def describe(collection: dict[str, Any], recipe: Recipe, items: list[dict[str, Any]], aside: int, tag: str) -> None:
    """What readers need to know, into the collection: how files come together, which properties must be alike, the period."""
    how = collection["assets"]["data"].setdefault("vadose:open", {"version": 1})
    readers = {"tiff": "cog", "hdf5": "hdf5", "netcdf4": "netcdf", "netcdf3": "netcdf", "parquet": "parquet"}
    how["reader"] = readers.get(recipe.format, how.get("reader", "csv"))
    how["join"] = recipe.join
    if recipe.alike:
        how["alike"] = list(recipe.alike)
    if recipe.grid:
        how["grid"] = recipe.grid
    if recipe.dims:
        how["dims"] = {str(k): list(v) for k, v in recipe.dims.items()}
    if recipe.groups not in ((), ("/",)):
        how["group"] = recipe.groups[0]
    if recipe.chunks:
        how["chunks"] = dict(recipe.chunks)
    if recipe.stacks and recipe.format in ("hdf5", "netcdf4"):
        how["time_of"] = "item"
    collection["version"] = tag
    if recipe.stacks or is_items(recipe.source):
        stamps = [(i["properties"]["start_datetime"], i["properties"]["end_datetime"]) for i in items]
        collection["extent"]["temporal"]["interval"] = [[min(a for a, _ in stamps), max(b for _, b in stamps)]]
    built = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    collection["vadose:quality"] = {"built": built, "files": len(items), "quarantined": aside}
