"""Archives of Zarr stores: a store is its own index, so a build notes which there are, when, and what their metadata was.

Each store is decoded by its own scale, offset and fill and then joined along time; nothing is written but items.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from vadose.access import remote, store
from vadose.access.credentials import Access
from vadose.access.recipe import Recipe
from vadose.access.remote import Stat
from vadose.errors import VadoseError, VadoseInputError

#: What lies at the root of a store: version 3, consolidated version 2, version 2.
ROOTS = ("zarr.json", ".zmetadata", ".zgroup")


@dataclass(frozen=True)
class Store:
    """One store: the stat of its metadata, under the address of the store, and its times."""

    stat: Stat
    times: np.ndarray


def listing(source: str, access: Access) -> list[Stat]:
    """Stores that match a glob such as `s3://bucket/prefix/*.zarr`, each with size and etag of its metadata."""
    for root in ROOTS:
        found = remote.listing(f"{source.rstrip('/')}/{root}", access)
        if found:
            return [Stat(s.href.removesuffix(f"/{root}"), s.size, s.etag, s.modified) for s in found]
    return []


def scan(found: list[Stat], recipe: Recipe, access: Access) -> tuple[list[Store], dict[str, str]]:
    """Stores in order of time, and those set aside with the reason."""
    stores, aside = [], {}
    for stat in found:
        try:
            stores.append(Store(stat, _times(stat.href, recipe, access)))
        except VadoseError as error:
            aside[stat.href] = str(error)
    kept: list[Store] = []
    for one in sorted(stores, key=lambda s: s.times[0]):
        if kept and one.times[0] <= kept[-1].times[-1]:
            aside[one.stat.href] = f"its times repeat those of {kept[-1].stat.href}"
        else:
            kept.append(one)
    return kept, aside


def _times(address: str, recipe: Recipe, access: Access) -> np.ndarray:
    from vadose.access.opening import open_zarr

    if recipe.stacks:
        return np.array([recipe.time_of(address)])
    opened = open_zarr(address, access=access, group=group_of(recipe), chunks={})
    if recipe.dim not in opened.indexes or not len(opened.indexes[recipe.dim]):
        raise VadoseInputError(f"{address}: has no coordinate {recipe.dim!r} to join stores by; it has {', '.join(map(str, opened.coords))}")  # fmt: skip
    times = opened[recipe.dim].values
    if times.dtype.kind != "M":
        raise VadoseInputError(f"{address}: {recipe.dim} is no time of the standard calendar but {times.dtype}")
    if (np.diff(times) <= np.timedelta64(0, "ns")).any():
        raise VadoseInputError(f"{address}: its times do not increase")
    return times.astype("datetime64[ns]")


def group_of(recipe: Recipe) -> str | None:
    return recipe.groups[0] if recipe.groups and recipe.groups != ("/",) else None


def commit(home: Path, collection: dict[str, Any], recipe: Recipe, kept: list[Store], aside: int, tag: str) -> None:
    """Write the items, and last the collection."""
    how = collection["assets"]["data"].setdefault("vadose:open", {"version": 1})
    how |= {"reader": "zarr", "stores": len(kept), "chunks": dict(recipe.chunks)}
    if recipe.stacks:
        how["time_pattern"] = {"pattern": recipe.time["pattern"], "format": recipe.time.get("format", "%Y%m%d")}
    if recipe.dim != "time":
        how["dim"] = recipe.dim
    if group := group_of(recipe):
        how["group"] = group
    collection["version"] = tag
    collection["extent"]["temporal"]["interval"] = [[_stamp(kept[0].times[0]), _stamp(kept[-1].times[-1])]]
    built = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    collection["vadose:quality"] = {"built": built, "files": len(kept), "quarantined": aside}
    store.write_collection(home, collection, [_item(collection, s) for s in kept])


def _stamp(moment: np.datetime64) -> str:
    return f"{moment.astype('datetime64[s]')}Z"


def _item(collection: dict[str, Any], one: Store) -> dict[str, Any]:
    west, south, east, north = collection["extent"]["spatial"]["bbox"][0]
    first, last = _stamp(one.times[0]), _stamp(one.times[-1])
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": one.stat.href.rsplit("/", 1)[-1],
        "collection": collection["id"],
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": {
            "datetime": first if first == last else None,
            "start_datetime": first,
            "end_datetime": last,
            "vadose:etag": one.stat.etag,
        },
        "assets": {
            "data": {
                "href": one.stat.href,
                "roles": ["data"],
                "type": "application/vnd.zarr",
                "file:size": one.stat.size,
            }
        },
        "links": [{"rel": "collection", "href": "./collection.json", "type": "application/json"}],
    }


def known(folder: Path, identifier: str) -> dict[str, Stat]:
    """What each store's metadata was when it was indexed."""
    out = {}
    for item in store.read_items(folder, identifier):
        asset = item["assets"]["data"]
        out[asset["href"]] = Stat(asset["href"], int(asset["file:size"]), item["properties"]["vadose:etag"], 0.0)
    return out


def with_time(opened: xr.Dataset, address: str, how: dict[str, Any]) -> xr.Dataset:
    """A store whose time stands in its name, with that time."""
    named = how.get("time_pattern")
    if not named:
        return opened
    moment = Recipe("", time={"from": "name", **named}).time_of(address)
    return opened.expand_dims(time=[moment])
