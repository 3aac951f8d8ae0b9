"""A STAC catalog in a folder: collection.json and items.parquet (stac-geoparquet) a collection; written at once or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from vadose.errors import UnreadableFileError


def filesystem(root: str, storage_options: dict[str, Any] | None = None) -> tuple[Any, str]:
    """The file system of an address and the path in it."""
    import fsspec

    return fsspec.core.url_to_fs(str(root), **(storage_options or {}))


def replace_text(path: Path, text: str) -> None:
    """Write a file at once or not at all: a temporary name beside it, then a rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_text(text)
    os.replace(partial, path)


#: Media types of source files.
MEDIA = {
    "hdf5": "application/x-hdf5",
    "netcdf4": "application/x-netcdf",
    "netcdf3": "application/x-netcdf",
    "grib": "application/wmo-GRIB2",
    "tiff": "image/tiff; application=geotiff",
    "zarr": "application/vnd.zarr",
    "text": "text/plain",
    "parquet": "application/vnd.apache.parquet",
}


def item(
    collection: dict[str, Any], name: str, period: tuple[str, str], said: dict[str, Any], assets: dict[str, Any]
) -> dict[str, Any]:
    """A STAC item of a collection: first and last moment, the collection's box, what else is said of it, its assets."""
    west, south, east, north = collection["extent"]["spatial"]["bbox"][0]
    first, last = period
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": name,
        "collection": collection["id"],
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[west, south], [east, south], [east, north], [west, north], [west, south]]],
        },
        "bbox": [west, south, east, north],
        "properties": {
            "datetime": first if first == last else None,
            "start_datetime": first,
            "end_datetime": last,
            **said,
        },
        "assets": assets,
        "links": [{"rel": "collection", "href": "./collection.json", "type": "application/json"}],
    }


def write_collection(folder: Path, collection: dict[str, Any], items: list[dict[str, Any]]) -> None:
    """One collection and its items. Links are relative, so the folder can be moved or served from anywhere."""
    links = [
        {"rel": "root", "href": "../catalog.json", "type": "application/json"},
        {"rel": "parent", "href": "../catalog.json", "type": "application/json"},
    ]
    if items:
        from stac_geoparquet.arrow import parse_stac_items_to_arrow, to_parquet

        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / "items.parquet.part"
        to_parquet(parse_stac_items_to_arrow(items).read_all(), str(partial))
        os.replace(partial, folder / "items.parquet")
    if items or (folder / "items.parquet").exists():
        links.append({"rel": "items", "href": "./items.parquet", "type": "application/vnd.apache.parquet"})
    own = [link for link in collection.get("links", []) if link["rel"] not in ("root", "parent", "items")]
    replace_text(
        folder / "collection.json",
        json.dumps({**collection, "links": [*links, *own]}, indent=1, ensure_ascii=False),
    )


def write_root(folder: Path, ids: list[str], *, title: str, description: str) -> None:
    """catalog.json with a child link to each collection."""
    links: list[dict[str, Any]] = [
        {"rel": "root", "href": "./catalog.json", "type": "application/json"},
        {"rel": "self", "href": "./catalog.json", "type": "application/json"},
    ]
    links += [{"rel": "child", "href": f"./{i}/collection.json", "type": "application/json"} for i in ids]
    replace_text(
        folder / "catalog.json",
        json.dumps(
            {
                "type": "Catalog",
                "stac_version": "1.1.0",
                "id": "vadose",
                "title": title,
                "description": description,
                "links": links,
            },
            indent=1,
        ),
    )


def folders(folder: Path) -> list[str]:
    """Ids of the collections that lie in a catalog folder, in order of name."""
    return sorted(p.parent.name for p in folder.glob("*/collection.json"))


def read_collections(folder: Path) -> dict[str, dict[str, Any]]:
    """Collections of a folder by id. Raises UnreadableFileError naming the file that is not JSON."""
    root = folder / "catalog.json"
    if not root.exists():
        raise UnreadableFileError(
            f"{folder}: no catalog.json; a catalog is a folder with catalog.json and one folder a collection "
            "(`vadose catalog write FOLDER` makes one of all known archives, `vadose catalog add` one of your own files)"
        )
    out = {}
    for link in _load(root)["links"]:
        if link["rel"] == "child":
            collection = _load(folder / link["href"])
            out[collection["id"]] = collection
    return out


def read_items(folder: Path, collection: str) -> list[dict[str, Any]]:
    """Items of a collection as STAC dictionaries, in file order; empty where it has none."""
    path = folder / collection / "items.parquet"
    if not path.exists():
        return []
    import pyarrow.parquet as pq
    from stac_geoparquet.arrow import stac_table_to_items

    return list(stac_table_to_items(pq.read_table(path)))


def read_sources(
    folder: Path, collection: str, *, start: Any = None, end: Any = None, limit: int = 1000
) -> list[dict[str, Any]]:
    """Ids and etags of the first `limit` items between two times (UTC, without zone): a century of days in a few milliseconds.

    The shape is that of an item with `id` and `properties` only.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    path = folder / collection / "items.parquet"
    if not path.exists():
        return []
    there = set(pq.read_schema(path).names)
    found = pq.read_table(path, columns=[c for c in ("id", "vadose:etag", *TIMES) if c in there])
    first, last = (pc.coalesce(*(found[c] for c in pair if c in there)) for pair in (TIMES[::2], TIMES[1:]))
    keep = pc.is_valid(first)
    if start is not None:
        keep = pc.and_(keep, pc.greater_equal(last, pc.cast(_utc(start), last.type)))
    if end is not None:
        keep = pc.and_(keep, pc.less_equal(first, pc.cast(_utc(end), first.type)))
    found = found.append_column("first", first).filter(keep).sort_by([("first", "ascending"), ("id", "ascending")])
    etags = found["vadose:etag"].to_pylist()[:limit] if "vadose:etag" in there else [None] * limit
    rows = zip(found["id"].to_pylist()[:limit], etags, strict=False)
    return [{"id": i, "properties": {"vadose:etag": e} if e else {}} for i, e in rows]


#: First and last time of an item; `datetime` where it is an instant.
TIMES = ("start_datetime", "end_datetime", "datetime")


def _utc(moment: Any) -> Any:
    import pyarrow as pa

    return pa.scalar(moment.floor("us").to_pydatetime(), pa.timestamp("us", "UTC"))


def count_items(folder: Path, collection: str) -> int:
    """How many items a collection has, without reading them."""
    import pyarrow.parquet as pq

    path = folder / collection / "items.parquet"
    return pq.read_metadata(path).num_rows if path.exists() else 0


def _load(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise UnreadableFileError(f"{path}: {error}") from error
