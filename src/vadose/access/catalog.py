"""Find data: a STAC API (searched with pystac-client) or a catalog folder, behind the same three questions.

What is there (`collections`), which of it answers a question (`search`), and where its files are (`items`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vadose.access import remote, store
from vadose.errors import NotFoundError, PlatformError, VadoseInputError, unknown_name
from vadose.typing import BBox

TimeSpan = str | tuple[str | None, str | None] | slice | None


#: Access rule (`auth` of `vadose:open`) -> what one needs to get in.
KEYS = {
    "anonymous": "open, no login",
    "environment": "open here",
    "earthdata": "Earthdata token (free)",
    "token": "token of the archive (free)",
    "login": "registration, own download",
}
#: How a collection comes to open (`way` of its facts) -> in words.
WAYS = {
    "opens": "opens as it is",
    "store": "opens as it is",
    "index": "opens after `vadose catalog build`: files are indexed where they lie",
    "search": "opens after `vadose catalog build --source SEARCH`: scenes of a STAC search, or your own download",
    "download": "opens after `vadose catalog build --source FOLDER`: your own download",
    "described": "described only",
}
#: Columns of a search that come from a collection's facts.
FACTS = {"kind": "sensor", "spacing": "spacing", "cadence": "cadence", "latency": "latency"}


@dataclass(frozen=True)
class Catalog:
    """A catalog that was opened: its address and its collections by id (STAC dictionaries)."""

    href: str
    collections: dict[str, dict[str, Any]] = field(repr=False)

    def collection(self, identifier: str) -> dict[str, Any]:
        """One collection; an unknown id answers with the nearest ones."""
        if identifier not in self.collections:
            from vadose.access import datasets

            if identifier in datasets.table()["datasets"]:
                raise NotFoundError(
                    f"{identifier} is an archive that vadose knows, and the catalog {self.href or 'at hand'} does not have it "
                    f"(it has {_some(self.collections)}). `vadose catalog show {identifier}` tells the way in; "
                    f"`vadose catalog write FOLDER --only {identifier}` describes it in a catalog of your own"
                )
            raise unknown_name("collection", identifier, self.collections)
        return self.collections[identifier]

    def place(self, collection: str, href: str) -> str:
        """The address of something that lies beside a collection (`./refs/...`): in its folder, or handed out by the service."""
        if not href.startswith("./"):
            return href
        if self.href.startswith("http"):
            return f"{self.href.rstrip('/')}/references/{collection}/{href[2:]}"
        return str(Path(self.href) / collection / href[2:])

    def search(
        self, text: str = "", *, variable: str | None = None, bbox: BBox | None = None, time: TimeSpan = None
    ) -> pd.DataFrame:
        """Collections that hold `variable`, touch `bbox` and `time`, and mention every word of `text`; one row each."""
        start, end = span(time)
        bbox = region(bbox)
        named = {v for c in self.collections.values() for v in c.get("summaries", {}).get("vadose:variables", [])}
        if variable is not None and not named:
            raise NotFoundError(f"no collection of {self.href} says which variables it holds; search for words instead")
        if variable is not None and variable not in named:
            raise unknown_name("variable", variable, named)
        rows = []
        for identifier, c in self.collections.items():
            known = c.get("summaries", {}).get("vadose:variables", [])
            words = _words(identifier, c)
            first, last = c["extent"]["temporal"]["interval"][0]
            box = c["extent"]["spatial"]["bbox"][0]
            fits = (
                all(word in words for word in text.lower().split())
                and (variable is None or variable in known)
                and (bbox is None or _touch(bbox, box))
                and (start is None or last is None or pd.Timestamp(last).tz_localize(None) >= start)
                and (end is None or first is None or pd.Timestamp(first).tz_localize(None) <= end)
            )
            if fits:
                rows.append(
                    {
                        "id": identifier,
                        "title": c.get("title", ""),
                        "variables": ", ".join(known),
                        "start": (first or "")[:10],
                        "end": (last or "")[:10],
                        "license": c.get("license", ""),
                        **{k: c.get("vadose:facts", {}).get(v, "") for k, v in FACTS.items()},
                    }
                )
        return pd.DataFrame(rows, columns=["id", "title", "variables", "start", "end", "license", *FACTS]).set_index(
            "id"
        )

    def near(self, text: str) -> dict[str, list[str]]:
        """Words of `text` that no collection mentions, each with the nearest that one does."""
        texts = [_words(i, c) for i, c in self.collections.items()]
        known = sorted({w for t in texts for w in re.findall(r"[a-z0-9][a-z0-9-]+", t)})
        lost = [w for w in text.lower().split() if not any(w in t for t in texts)]
        return {w: get_close_matches(w, known, n=3, cutoff=0.6) for w in lost}

    def sources(self, collection: str, *, time: TimeSpan = None, limit: int = 1000) -> list[dict[str, Any]]:
        """Ids and etags of the first items in a time, for provenance: without reading what else is known of them."""
        start, end = span(time)
        if self.href.startswith("http"):
            return _remote_items(self.href, collection, None, time, limit)
        return store.read_sources(Path(self.href), collection, start=start, end=end, limit=limit)

    def items(self, collection: str, *, bbox: BBox | None = None, time: TimeSpan = None) -> list[dict[str, Any]]:
        """Items of a collection that touch `bbox` and `time`, in order of time."""
        self.collection(collection)
        start, end = span(time)
        bbox = region(bbox)
        found = (
            _remote_items(self.href, collection, bbox, time)
            if self.href.startswith("http")
            else store.read_items(Path(self.href), collection)
        )

        def fits(item: dict[str, Any]) -> bool:
            first, last = item_span(item)
            return (
                (bbox is None or _touch(bbox, item["bbox"]))
                and (start is None or last >= start)
                and (end is None or first <= end)
            )

        return sorted((i for i in found if fits(i)), key=lambda i: (item_span(i)[0], i["id"]))


def _words(identifier: str, c: dict[str, Any]) -> str:
    known = c.get("summaries", {}).get("vadose:variables", [])
    return " ".join([identifier, c.get("title", ""), c.get("description", ""), *c.get("keywords", []), *known]).lower()


def access_rule(collection: dict[str, Any]) -> str:
    """What one needs to read a collection's files, in words."""
    how: dict[str, Any] = next(
        (a["vadose:open"] for a in collection.get("assets", {}).values() if "vadose:open" in a), {}
    )
    rule = how.get("store", {})
    words = KEYS.get(rule.get("auth", "environment"), "")
    return f"{words}; reading is billed to you" if rule.get("requester_pays") else words


def opens(collection: dict[str, Any], files: int) -> bool:
    """Whether a collection opens as it stands: a store, references, or files that are indexed."""
    assets = collection.get("assets", {})
    how: dict[str, Any] = next((a["vadose:open"] for a in assets.values() if "vadose:open" in a), {})
    return bool(files or how.get("eras") or how.get("references") or how.get("reader") in ("zarr", "icechunk"))


def way_of(collection: dict[str, Any], files: int) -> str:
    """`opens`, or what a collection needs first: `index`, `search`, `download`; `described` where it can only be read about."""
    if opens(collection, files):
        return "opens"
    return str(collection.get("vadose:facts", {}).get("way", "index"))


def how_to_open(identifier: str, way: str) -> str:
    """What to type."""
    if way == "opens":
        return f'vadose.open("{identifier}")'
    end = {"index": "", "search": " --source SEARCH", "download": " --source FOLDER"}.get(way)
    return f"vadose catalog show {identifier}" if end is None else f"vadose catalog build {identifier}{end}"


def license_of(collection: dict[str, Any]) -> tuple[str, str]:
    """A collection's license in words, and its address where it has one that can be followed."""
    plain = str(collection.get("license", ""))
    for link in collection.get("links", []):
        if link["rel"] == "license" and str(link["href"]).startswith("https://"):
            return str(link.get("title", plain)), str(link["href"])
    return plain, ""


def item_span(item: dict[str, Any]) -> tuple[pd.Timestamp, pd.Timestamp]:
    """First and last time of an item (UTC, without zone)."""
    p = item["properties"]
    first = pd.Timestamp(p.get("start_datetime") or p["datetime"]).tz_localize(None)
    last = pd.Timestamp(p.get("end_datetime") or p["datetime"]).tz_localize(None)
    return first, last


def span(time: TimeSpan) -> tuple[pd.Timestamp | None, pd.Timestamp | None]:
    """Start and end of "2017", "2017-05", "2017-01-01/2017-12-31", a pair, or a slice; the end takes in its whole day, month or year."""
    if time is None:
        return None, None
    if isinstance(time, slice):
        pair = [time.start, time.stop]
    elif isinstance(time, str):
        low, _, high = time.partition("/")
        pair = [low, high or low]
    elif isinstance(time, tuple | list):
        pair = list(time)
    else:
        pair = [time, time]
    try:
        low, high = pair
        start = None if low in (None, "", "..") else _period(low).start_time
        end = None if high in (None, "", "..") else _period(high).end_time
    except (ValueError, TypeError) as error:
        raise VadoseInputError(
            f"time {time!r} is not understood; write '2017', '2017-05-01/2017-09-30', or a pair of dates"
        ) from error
    if start is not None and end is not None and end < start:
        raise VadoseInputError(f"time {time!r} ends before it starts")
    return start, end


def _period(moment: Any) -> pd.Period:
    """A year, month, day or instant (UTC) as the stretch of time that it names."""
    text = str(moment)
    stamp = pd.Timestamp(text) if len(text) > 10 else None
    return pd.Period(str(stamp.tz_convert("UTC").tz_localize(None)) if stamp is not None and stamp.tzinfo else text)


def region(bbox: BBox | Sequence[float] | None) -> BBox | None:
    """A bbox that makes sense: west, south, east, north in degrees. One that spans the date line has its west greater than its east.

    VadoseInputError says what is wrong with it: a latitude that lies beyond a pole, south above north, other than four numbers.
    """
    if bbox is None:
        return None
    how = "write bbox=(west, south, east, north) in degrees, such as (-100, 35, -90, 45)"
    try:
        west, south, east, north = (float(v) for v in bbox)
    except (TypeError, ValueError) as error:
        raise VadoseInputError(f"bbox is {bbox!r}: expected four numbers; {how}") from error
    if not (-90 <= south <= 90 and -90 <= north <= 90 and -180 <= west <= 360 and -180 <= east <= 360):
        raise VadoseInputError(
            f"bbox is {bbox!r}: latitudes lie within 90 and longitudes within 180 degrees; {how}, not latitude first"
        )
    if south > north:
        raise VadoseInputError(f"bbox is {bbox!r}: its south {south:g} lies above its north {north:g}; {how}")
    # Longitudes that are counted to 360 are taken to the count of all else here.
    if east - west >= 360.0:
        return -180.0, south, 180.0, north
    return west - 360.0 if west > 180.0 else west, south, east - 360.0 if east > 180.0 else east, north


def _touch(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether two boxes touch; one whose west is greater than its east spans the date line."""
    return any(
        p[0] <= q[2] and p[2] >= q[0] and p[1] <= q[3] and p[3] >= q[1]
        for p in halves(list(a))
        for q in halves(list(b))
    )


def halves(box: list[float]) -> list[list[float]]:
    """A box as it is, or the two sides of the date line that it spans."""
    west, south, east, north = box
    return [box] if west <= east else [[west, south, 180.0, north], [-180.0, south, east, north]]


def _some(names: Iterable[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:10]) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "")


def _remote_items(href: str, collection: str, bbox, time, most: int | None = None) -> list[dict[str, Any]]:
    start, end = span(time)
    period = f"{_iso(start)}/{_iso(end)}" if start is not None or end is not None else None
    found = _client(href).search(
        collections=[collection], bbox=list(bbox) if bbox else None, datetime=period, limit=500, max_items=most
    )
    return list(found.items_as_dicts())


def _iso(moment: pd.Timestamp | None) -> str:
    return ".." if moment is None else np.datetime_as_string(moment.to_datetime64(), "s") + "Z"


def open_catalog(href: str | Path | None = None) -> Catalog:
    """Open a catalog: a STAC API's address, a folder with catalog.json, or (None) the one this installation is set to.

    Set it with VADOSE_CATALOG; a hub sets it for every notebook. Without it, the demo world is written into the cache
    folder on first use (about a minute on two cores, 160 MB) and its catalog opened.
    """
    from vadose.access.local import demo_catalog

    place = str(href) if href is not None else configured()
    if not place:
        place = str(demo_catalog())
    if place.startswith("http"):
        return Catalog(place, _remote_collections(place))
    folder = Path(place.removeprefix("file://"))
    folder = folder.parent if folder.name == "catalog.json" else folder
    return Catalog(str(folder), store.read_collections(folder))


def described() -> Catalog:
    """Every archive that vadose can describe, without a catalog folder: nothing is written, nothing opens from it yet."""
    from vadose.access import datasets

    return Catalog("", {identifier: datasets.collection(identifier) for identifier in datasets.table()["datasets"]})


def configured() -> str:
    """The catalog that the environment names, or nothing."""
    import os

    return os.environ.get("VADOSE_CATALOG", "")


def _client(href: str) -> Any:
    """A STAC client that gives up on a service which says nothing: pystac-client by itself would wait without end."""
    import pystac_client
    from pystac_client.stac_api_io import StacApiIO

    limit: Any = remote.patience()  # named twice: opening sets the limit of its StacApiIO anew, to none by default
    return pystac_client.Client.open(href, stac_io=StacApiIO(timeout=limit, max_retries=1), timeout=limit)


def _remote_collections(href: str) -> dict[str, dict[str, Any]]:
    try:
        return {c.id: c.to_dict(include_self_link=False) for c in _client(href).get_collections()}
    except Exception as error:
        raise PlatformError(
            f"the catalog {href} does not answer as a STAC API: {error}; check VADOSE_CATALOG, or on a hub that the service 'stac' runs"
        ) from error


def search(text: str = "", **question: Any) -> pd.DataFrame:
    """`Catalog.search` on the configured catalog."""
    return open_catalog().search(text, **question)


def items(collection: str, **question: Any) -> list[dict[str, Any]]:
    """`Catalog.items` on the configured catalog."""
    return open_catalog().items(collection, **question)
