"""The table of data sets (`datasets.yaml`) as static STAC 1.1: one collection each, with licence, citation and how to open it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from vadose.access import store
from vadose.access.page import browse_page
from vadose.errors import unknown_name

SCHEMA = "vadose-open.schema.json"
SCIENTIFIC = "https://stac-extensions.github.io/scientific/v1.0.0/schema.json"
STORAGE = "https://stac-extensions.github.io/storage/v2.0.0/schema.json"
TITLE = "Soil-moisture archives"
DESCRIPTION = (
    "Satellite, reanalysis, model, station and soil data sets for soil-moisture work: where they are and how they open."
)
#: What the columns of the table are called in the collection, under `vadose:facts`.
FACTS = ("identifier", "native", "layers", "units", "grid", "spacing", "cadence", "latency", "sensor", "address")

MEDIA = {
    "icechunk": "application/vnd.zarr+icechunk",
    "kerchunk": "application/json",
    "zarr": "application/vnd.zarr",
    "netcdf": "application/x-netcdf",
    "hdf5": "application/x-hdf5",
    "hdf4": "application/x-hdf",
    "cog": "image/tiff; application=geotiff; profile=cloud-optimized",
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv",
    "ismn": "application/zip",
}


@lru_cache(maxsize=1)
def table() -> dict[str, Any]:
    """The whole table: `providers`, `licenses`, `schemes` and `datasets` by id."""
    import yaml

    return yaml.safe_load(resources.files("vadose.access").joinpath("datasets.yaml").read_text("utf-8"))


def schema() -> dict[str, Any]:
    """The JSON Schema of `vadose:open`."""
    return json.loads(resources.files("vadose.access").joinpath(SCHEMA).read_text("utf-8"))


def collection(identifier: str) -> dict[str, Any]:
    """One data set of the table as a STAC 1.1 collection (without root and parent links, which the store adds)."""
    whole = table()
    if identifier not in whole["datasets"]:
        raise unknown_name("data set", identifier, whole["datasets"])
    entry = whole["datasets"][identifier]
    license_ = whole["licenses"][entry["license"]]
    scheme = whole["schemes"][entry["scheme"]]
    provider = whole["providers"][entry["provider"]]
    first, last = entry["period"]
    out: dict[str, Any] = {
        "type": "Collection",
        "stac_version": "1.1.0",
        "stac_extensions": [SCIENTIFIC] if entry.get("doi") or entry.get("paper") else [],
        "id": identifier,
        "title": entry["title"],
        "description": entry["about"],
        "keywords": ["soil moisture", entry["sensor"], *entry["variables"]],
        "license": license_["license"],
        "providers": [provider],
        "extent": {
            "spatial": {"bbox": [entry["bbox"]]},
            "temporal": {"interval": [[f"{first}T00:00:00Z", f"{last}T23:59:59Z" if last else None]]},
        },
        "summaries": {"vadose:variables": entry["variables"]} if entry["variables"] else {},
        "vadose:facts": {
            **{k: entry[k] for k in FACTS},
            "known_gaps": entry.get("known_gaps", []),
            "confidence": entry["confidence"],
            "verified_on": entry.get("verified_on"),
            "scheme": entry["scheme"],
            "way": way(entry),
        },
        "assets": {
            "data": {
                "href": entry["address"],
                "title": "Where the files are",
                "type": MEDIA[entry["reader"]],
                "roles": ["data"],
                "vadose:open": opening(entry, scheme),
            }
        },
        "links": [
            {"rel": "license", "href": license_["url"], "title": license_["title"]},
            {"rel": "describedby", "href": f"../schemas/{SCHEMA}", "type": "application/schema+json"},
        ],
    }
    if scheme["type"] == "aws-s3":
        out["stac_extensions"].append(STORAGE)
        out["storage:schemes"] = {
            entry["scheme"]: {
                "type": "aws-s3",
                "platform": "https://{bucket}.s3.{region}.amazonaws.com",
                "bucket": entry["address"].split("/")[2],
                "region": scheme["region"],
                "requester_pays": bool(entry.get("requester_pays", False)),
            }
        }
        out["assets"]["data"]["storage:refs"] = [entry["scheme"]]
    _cite(out, entry)
    return out


def way(entry: dict[str, Any]) -> str:
    """How a row comes to open: `store` as it is, `index` after its files were indexed where they lie, `search` after the scenes of a
    STAC search were, `download` after one's own copy was, or `described` only.
    """
    if entry["reader"] in ("zarr", "icechunk"):
        return "store"
    steps = entry.get("build")
    if steps is None:
        return "described"
    return "index" if steps.get("source") else ("search" if steps.get("search") else "download")


def opening(entry: dict[str, Any], scheme: dict[str, Any]) -> dict[str, Any]:
    """The `vadose:open` object of a row: how it is read, and how one gets in."""
    store_ = {k: scheme[k] for k in ("region", "credentials", "https") if k in scheme}
    how: dict[str, Any] = {"version": 1, "reader": entry["reader"], "product": entry["product"]}
    if entry.get("group"):
        how["group"] = entry["group"]
    chunks = entry.get("build", {}).get("chunks")
    if chunks:
        how["chunks"] = chunks
    how["store"] = {
        "scheme": entry["scheme"],
        "auth": scheme["auth"],
        "requester_pays": bool(entry.get("requester_pays", False)),
        **store_,
    }
    return how


def _cite(out: dict[str, Any], entry: dict[str, Any]) -> None:
    if entry.get("doi"):
        out["sci:doi"] = entry["doi"]
        out["links"].append({"rel": "cite-as", "href": f"https://doi.org/{entry['doi']}", "title": "the data"})
    if entry.get("paper"):
        out["sci:publications"] = [{"doi": entry["paper"]}]
        out["links"].append({"rel": "about", "href": f"https://doi.org/{entry['paper']}", "title": "the paper"})


def recipe(identifier: str) -> dict[str, Any] | None:
    """How the virtual cube of a data set is built, or None where its files are read one by one."""
    return table()["datasets"][identifier].get("build")


def write(folder: str | Path, ids: Iterable[str] | None = None) -> list[str]:
    """Write the static catalog of the table into `folder`; what was built there stays. Returns the ids.

    Collections of other origin in the folder (a demo world, one's own archive) are kept and linked.
    """
    import yaml

    folder = Path(folder)
    chosen = list(ids) if ids is not None else list(table()["datasets"])
    for identifier in chosen:
        entry = collection(identifier)
        _keep_what_was_built(folder / identifier, entry)
        store.write_collection(folder / identifier, entry, [])
        steps = recipe(identifier)
        if steps:
            path = folder / identifier / "recipe.yaml"
            own = yaml.safe_load(path.read_text()).get("source", "") if path.exists() else ""
            # Where somebody said that their own copy is (`build --source`) stays said.
            if own and not own.startswith(("s3://", "https://")):
                steps = {**steps, "source": own}
            store.replace_text(path, yaml.safe_dump(steps, sort_keys=False))
    store.replace_text(folder / "schemas" / SCHEMA, json.dumps(schema(), indent=1) + "\n")
    store.write_root(folder, store.folders(folder), title=TITLE, description=DESCRIPTION)
    found = store.read_collections(folder)
    counts = {i: store.count_items(folder, i) for i in found}
    store.replace_text(folder / "index.html", browse_page(found, counts))
    return chosen


def _keep_what_was_built(folder: Path, entry: dict[str, Any]) -> None:
    """References, series copies and quality of an earlier build survive a new writing of the description."""
    old = folder / "collection.json"
    if not old.exists():
        return
    before = json.loads(old.read_text())
    how = before.get("assets", {}).get("data", {}).get("vadose:open", {})
    mine = entry["assets"]["data"]["vadose:open"]
    for key in ("eras", "series", "references", "locations", "chunks", "join", "alike", "dims", "grid", "time_of"):
        if key in how:
            mine[key] = how[key]
    if "eras" in how or "join" in how:
        mine |= {k: how[k] for k in ("reader", "group", "store") if k in how}
    for key in ("vadose:quality", "cube:dimensions", "cube:variables", "version"):
        if key in before:
            entry[key] = before[key]
    if "join" in how:
        entry["extent"]["temporal"] = before["extent"]["temporal"]
