"""Is a catalog folder right? STAC 1.1 core schemas (which come with pystac), our own schema, and links that lead somewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vadose.access import datasets, store


def validate_folder(folder: str | Path) -> list[str]:
    """Everything that is wrong with a catalog, one sentence each; an empty list when it is right. Needs no network.

    Extensions' schemas live on the web and are not fetched; the fields that vadose writes for them are few and tested.
    """
    folder = Path(folder)
    found: list[str] = []
    root = json.loads((folder / "catalog.json").read_text())
    found += [f"catalog.json: {text}" for text in core_errors(root)]
    listed = {link["href"].split("/")[1] for link in root["links"] if link["rel"] == "child"}
    for identifier in sorted(set(store.folders(folder)) - listed):
        found.append(f"{identifier}: lies in the folder but catalog.json does not link it")
    for identifier, collection in store.read_collections(folder).items():
        found += [f"{identifier}: {text}" for text in collection_errors(collection)]
        found += [f"{identifier}: {text}" for text in _broken_links(folder / identifier, collection)]
        items = store.read_items(folder, identifier)
        seen: set[str] = set()
        for item in items:
            if item["id"] in seen:
                found.append(f"{identifier}: item {item['id']} is there twice")
            seen.add(item["id"])
        for item in items[:: max(1, len(items) // 20)]:
            found += [f"{identifier}/{item['id']}: {text}" for text in core_errors(item)]
    return found


def collection_errors(collection: dict[str, Any]) -> list[str]:
    """What the STAC schema and the schema of `vadose:open` say about one collection."""
    out = core_errors(collection)
    for name, asset in collection.get("assets", {}).items():
        if "vadose:open" in asset:
            out += [f"asset {name}: {text}" for text in open_errors(asset["vadose:open"])]
    return out


def open_errors(how: dict[str, Any]) -> list[str]:
    """What the JSON Schema says about a `vadose:open` object."""
    import jsonschema

    validator = jsonschema.Draft202012Validator(datasets.schema())
    return [f"vadose:open {'/'.join(map(str, e.path)) or '(root)'}: {e.message}" for e in validator.iter_errors(how)]


def core_errors(document: dict[str, Any]) -> list[str]:
    """What the STAC 1.1 core schema says about a catalog, collection or item."""
    from pystac.errors import STACValidationError
    from pystac.stac_object import STACObjectType
    from pystac.validation.stac_validator import JsonSchemaSTACValidator

    kinds = {"Catalog": STACObjectType.CATALOG, "Collection": STACObjectType.COLLECTION, "Feature": STACObjectType.ITEM}
    if document.get("type") not in kinds:
        return [f"type is {document.get('type')!r}, not Catalog, Collection or Feature"]
    try:
        JsonSchemaSTACValidator().validate_core(document, kinds[document["type"]], document.get("stac_version", "?"))
    except STACValidationError as error:
        source = error.source or []
        return [str(getattr(e, "message", e)) for e in (source if isinstance(source, list) else [source])] or [
            str(error)
        ]
    except Exception as error:
        return [f"stac_version {document.get('stac_version')!r} has no schema here: {error}"]
    return []


def _broken_links(folder: Path, collection: dict[str, Any]) -> list[str]:
    out = []
    for link in collection.get("links", []):
        href = link["href"]
        if href.startswith(("./", "../")) and not (folder / href).exists():
            out.append(f"link {link['rel']} leads to {href}, which is not there")
    for name, asset in collection.get("assets", {}).items():
        how = asset.get("vadose:open", {})
        places = [how.get("references", ""), how.get("series", {}).get("href", "")]
        places += [era.get(k, "") for era in how.get("eras", []) for k in ("icechunk", "references")]
        out += [
            f"asset {name} points to {p}, which is not there"
            for p in places
            if p.startswith("./") and not (folder / p).exists()
        ]
    return out
