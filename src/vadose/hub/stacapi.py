"""The hub's catalog as a real STAC API (stac-fastapi over the catalog folder, offline), with a page to browse it.

`python -m vadose.hub.stacapi --port 8080 --catalog FOLDER --prefix /services/stac`
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import attr
import click
import pandas as pd

import vadose
from vadose.access import store
from vadose.access.catalog import _touch, item_span
from vadose.access.page import browse_page
from vadose.errors import UnreadableFileError
from vadose.hub.apipage import api_page

#: Seconds between two looks at the folder.
PAUSE = 5.0
#: Parts of a collection's folder that readers need: references, and copies for long records.
SERVED = ("refs", "series.zarr")
TITLE = "vadose catalog"
DESCRIPTION = "Soil moisture: products, models, stations"


@attr.s(auto_attribs=True)
class Folder:
    """A catalog folder held in memory: collections and items by collection."""

    path: Path
    collections: dict[str, dict[str, Any]] = attr.Factory(dict)
    items: dict[str, list[dict[str, Any]]] = attr.Factory(dict)
    seen: dict[str, int] = attr.Factory(dict)
    looked: float = 0.0

    def load(self) -> Folder:
        self.seen, self.looked = self._stamps(), time.monotonic()
        self.collections = store.read_collections(self.path)
        self.items = {c: store.read_items(self.path, c) for c in self.collections}
        return self

    def refresh(self) -> None:
        """Read again what a build, an update or a rollback has changed; looked for every few seconds at most."""
        if time.monotonic() - self.looked < PAUSE:
            return
        self.looked, now = time.monotonic(), self._stamps()
        if now == self.seen:
            return
        with contextlib.suppress(UnreadableFileError):  # half written: what is in memory stays until the next look
            known = store.read_collections(self.path)
            changed = [c for c in known if now.get(c) != self.seen.get(c) or c not in self.items]
            self.items = {c: store.read_items(self.path, c) if c in changed else self.items[c] for c in known}
            self.collections, self.seen = known, now

    def _stamps(self) -> dict[str, int]:
        return {p.parent.name: p.stat().st_mtime_ns for p in self.path.glob("*/collection.json")}


def _shape(text: Any) -> Any:
    """A geometry from GeoJSON, or from GeoJSON as text. ValueError says what it is instead."""
    from shapely.errors import ShapelyError
    from shapely.geometry import shape

    try:
        return shape(json.loads(text) if isinstance(text, str) else text)
    except (ValueError, TypeError, KeyError, AttributeError, ShapelyError) as error:
        raise ValueError(f"intersects is no GeoJSON geometry: {error}") from error


def _shape_touches(item: dict[str, Any], geometry: Any) -> bool:
    from shapely.geometry import shape

    return geometry.intersects(shape(item["geometry"]))


def application(folder: Folder, prefix: str):
    """The ASGI application: STAC API core, item search with paging, collections; `/browse` for people; `/references`."""
    from fastapi import APIRouter, HTTPException
    from fastapi.responses import FileResponse, HTMLResponse
    from stac_fastapi.api.app import StacApi
    from stac_fastapi.api.models import (
        ItemCollectionUri,
        create_get_request_model,
        create_post_request_model,
        create_request_model,
    )
    from stac_fastapi.extensions.pagination import TokenPaginationExtension
    from stac_fastapi.types.config import ApiSettings
    from stac_fastapi.types.core import BaseCoreClient
    from stac_fastapi.types.errors import InvalidQueryParameter, NotFoundError

    def absolute(request, path: str) -> str:
        return str(request.base_url).rstrip("/") + prefix + path

    def with_links(request, item: dict[str, Any]) -> dict[str, Any]:
        collection, identifier = item["collection"], item["id"]
        links = [
            {
                "rel": "self",
                "href": absolute(request, f"/collections/{collection}/items/{identifier}"),
                "type": "application/geo+json",
            },
            {"rel": "parent", "href": absolute(request, f"/collections/{collection}"), "type": "application/json"},
            {"rel": "collection", "href": absolute(request, f"/collections/{collection}"), "type": "application/json"},
            {"rel": "root", "href": absolute(request, "/"), "type": "application/json"},
        ]
        return {**item, "links": links}

    def collection_with_links(request, collection: dict[str, Any]) -> dict[str, Any]:
        identifier = collection["id"]
        links = [
            {"rel": "self", "href": absolute(request, f"/collections/{identifier}"), "type": "application/json"},
            {"rel": "root", "href": absolute(request, "/"), "type": "application/json"},
            {"rel": "parent", "href": absolute(request, "/"), "type": "application/json"},
            {
                "rel": "items",
                "href": absolute(request, f"/collections/{identifier}/items"),
                "type": "application/geo+json",
            },
        ]
        kept = [link for link in collection.get("links", []) if link["rel"] in ("license", "cite-as", "about", "via")]
        # What lies beside the collection has its own address here; relative ones would be looked for beside this document.
        assets = {
            k: {**a, "href": absolute(request, f"/references/{identifier}/{a['href'][2:]}")} if a["href"].startswith("./") else a
            for k, a in collection.get("assets", {}).items()
        }  # fmt: skip
        return {**collection, "assets": assets, "links": [*links, *kept]}

    def page(
        request,
        found: list[dict[str, Any]],
        limit: int | None,
        token: str | None,
        method: str,
        body: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        size = max(1, min(limit or 10, 10_000))
        if token and not token.isdigit():
            raise InvalidQueryParameter(f"token {token!r} is none of ours; follow the link `next` of a page")
        start = int(token or 0)
        chosen = found[start : start + size]
        here = str(request.url)
        links: list[dict[str, Any]] = [
            {"rel": "root", "href": absolute(request, "/"), "type": "application/json"},
            {"rel": "self", "href": here, "type": "application/geo+json"},
        ]
        if start + size < len(found):
            following = str(start + size)
            if method == "POST":
                links.append(
                    {
                        "rel": "next",
                        "href": absolute(request, "/search"),
                        "type": "application/geo+json",
                        "method": "POST",
                        "body": {**(body or {}), "token": following},
                    }
                )
            else:
                address = request.url.include_query_params(token=following)
                links.append({"rel": "next", "href": str(address), "type": "application/geo+json", "method": "GET"})
        return {
            "type": "FeatureCollection",
            "features": [with_links(request, i) for i in chosen],
            "links": links,
            "numberMatched": len(found),
            "numberReturned": len(chosen),
        }

    def matching(collections=None, ids=None, bbox=None, intersects=None, period=None) -> list[dict[str, Any]]:
        folder.refresh()
        if bbox is not None and intersects is not None:
            raise InvalidQueryParameter("bbox and intersects cannot both be given; leave one out")
        names = [c for c in (collections or folder.items) if c in folder.items]
        box = None if bbox is None else ([*bbox[:2], *bbox[3:5]] if len(bbox) == 6 else list(bbox))
        if box is not None and box[1] > box[3]:
            raise InvalidQueryParameter(
                f"bbox goes from latitude {box[1]:g} to {box[3]:g}; write west,south,east,north"
            )
        start, end = _period(period)
        try:
            place = None if intersects is None else _shape(intersects)
        except ValueError as error:
            raise InvalidQueryParameter(str(error)) from error
        out = []
        for name in names:
            for item in folder.items[name]:
                first, last = item_span(item)
                if ids and item["id"] not in ids:
                    continue
                if box is not None and not _touch(box, item["bbox"]):
                    continue
                if (start is not None and last < start) or (end is not None and first > end):
                    continue
                if place is not None and not _shape_touches(item, place):
                    continue
                out.append(item)
        return out

    class Client(BaseCoreClient):
        def all_collections(self, **kwargs):
            folder.refresh()
            request = kwargs["request"]
            links = [
                {"rel": "self", "href": absolute(request, "/collections"), "type": "application/json"},
                {"rel": "root", "href": absolute(request, "/"), "type": "application/json"},
            ]
            return {
                "collections": [collection_with_links(request, c) for c in folder.collections.values()],
                "links": links,
            }

        def get_collection(self, collection_id, **kwargs):
            folder.refresh()
            if collection_id not in folder.collections:
                raise NotFoundError(f"no collection {collection_id!r}; there are {', '.join(folder.collections)}")
            return collection_with_links(kwargs["request"], folder.collections[collection_id])

        def item_collection(self, collection_id, bbox=None, datetime=None, limit=10, token=None, **kwargs):
            self.get_collection(collection_id, **kwargs)
            return page(kwargs["request"], matching([collection_id], bbox=bbox, period=datetime), limit, token, "GET")

        def get_item(self, item_id, collection_id, **kwargs):
            self.get_collection(collection_id, **kwargs)
            found = matching([collection_id], ids=[item_id])
            if not found:
                raise NotFoundError(f"no item {item_id!r} in {collection_id}")
            return with_links(kwargs["request"], found[0])

        def get_search(
            self, collections=None, ids=None, bbox=None, intersects=None, datetime=None, limit=10, token=None, **kwargs
        ):
            return page(kwargs["request"], matching(collections, ids, bbox, intersects, datetime), limit, token, "GET")

        def post_search(self, search_request, **kwargs):
            asked = search_request.model_dump(exclude_none=True, by_alias=True, mode="json")
            found = matching(
                asked.get("collections"),
                asked.get("ids"),
                asked.get("bbox"),
                asked.get("intersects"),
                asked.get("datetime"),
            )
            return page(kwargs["request"], found, asked.get("limit"), asked.get("token"), "POST", asked)

    paging = TokenPaginationExtension()
    api = StacApi(
        settings=ApiSettings(
            enable_response_models=False,
            stac_fastapi_title=TITLE,
            stac_fastapi_description=DESCRIPTION,
            stac_fastapi_landing_id="vadose",
            stac_fastapi_version=vadose.__version__,
            openapi_url=prefix + "/api",
            docs_url="",  # its viewer loads itself from outside; ours does not
        ),
        client=Client(title=TITLE, description=DESCRIPTION, landing_page_id="vadose", stac_version="1.1.0"),
        stac_version="1.1.0",
        router=APIRouter(prefix=prefix),
        extensions=[paging],
        search_get_request_model=create_get_request_model([paging]),
        search_post_request_model=create_post_request_model([paging]),
        items_get_request_model=create_request_model(
            "ItemsUri", base_model=ItemCollectionUri, mixins=[paging.GET], request_type="GET"
        ),  # type: ignore[arg-type]
    )
    app = api.app

    def about_the_api(request):
        folder.refresh()
        first = next((c for c in folder.collections if folder.items.get(c)), next(iter(folder.collections), None))
        return HTMLResponse(api_page(app.openapi(), root=absolute(request, ""), example=first))

    # The landing page looks for its page about the API under the name that FastAPI gives to its own.
    app.add_route(prefix + "/api.html", about_the_api, name="swagger_ui_html", include_in_schema=False)

    @app.get(prefix + "/references/{collection}/{path:path}", include_in_schema=False)
    def references(collection: str, path: str):
        """What lies beside a collection and its readers need: references of any form, copies for long records."""
        home = (folder.path / collection).resolve()
        there = (home / path).resolve()
        if (
            collection not in folder.collections
            or not there.is_relative_to(home)
            or not (there.suffix == ".json" or there.relative_to(home).parts[0] in SERVED)
            or not there.is_file()
        ):
            raise HTTPException(404, "no such references")
        return FileResponse(there, media_type="application/json" if there.suffix == ".json" else None)

    @app.get(prefix + "/browse", include_in_schema=False)
    def browse():
        folder.refresh()
        return HTMLResponse(browse_page(folder.collections, {k: len(v) for k, v in folder.items.items()}))

    return app


class BehindProxy:
    """Every link is built from the Host header and the first scheme that a proxy names.

    A proxy keeps Host as the browser wrote it, port included; X-Forwarded-Host and -Port would say the same port twice.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            schemes = [
                part.strip()
                for name, value in scope["headers"]
                if name == b"x-forwarded-proto"
                for part in value.decode().split(",")
                if part.strip()
            ]
            kept = [
                (name, value)
                for name, value in scope["headers"]
                if not name.startswith(b"x-forwarded-") and name != b"forwarded"
            ]
            scope = {**scope, "headers": kept, "scheme": schemes[0] if schemes else scope["scheme"]}
        await self.app(scope, receive, send)


def _period(text: Any) -> tuple[pd.Timestamp | None, pd.Timestamp | None]:
    """Start and end of an RFC 3339 instant or interval (open ends are `..`), or of the pair that the framework has parsed."""
    if text is None:
        return None, None
    parts = (
        [str(p) if p is not None else ".." for p in text] if isinstance(text, tuple | list) else str(text).split("/")
    )
    low, high = (parts[0], parts[-1])

    def moment(part: str) -> pd.Timestamp | None:
        return (
            None
            if part in ("", "..", "None")
            else pd.Timestamp(part).tz_localize(None)
            if pd.Timestamp(part).tzinfo is None
            else pd.Timestamp(part).tz_convert("UTC").tz_localize(None)
        )

    return moment(low), moment(high)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8080, show_default=True)
@click.option("--catalog", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--prefix", default="", help="Path under which a proxy serves this, such as /services/stac.")
def main(host: str, port: int, catalog: Path, prefix: str) -> None:
    """Serve a catalog folder as a STAC API."""
    import uvicorn

    uvicorn.run(
        BehindProxy(application(Folder(catalog).load(), prefix.rstrip("/"))),
        host=host,
        port=port,
        log_level="warning",
        proxy_headers=False,
    )


if __name__ == "__main__":
    main()
