"""What a package says of itself: RO-Crate, DataCite and ESS-DIVE descriptions and a README, from one dictionary."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import vadose

ENCODINGS = {
    ".csv": "text/csv", ".json": "application/json", ".jsonld": "application/ld+json", ".txt": "text/plain", ".md": "text/markdown",
    ".html": "text/html", ".yaml": "application/yaml", ".yml": "application/yaml", ".nc": "application/x-netcdf", ".zip": "application/zip",
    ".parquet": "application/vnd.apache.parquet", ".png": "image/png", ".svg": "image/svg+xml", ".stm": "text/plain",
}  # fmt: skip

LICENSES = {
    "CC-BY-4.0": ("https://creativecommons.org/licenses/by/4.0/", "Creative Commons Attribution 4.0 International"),
    "CC0-1.0": ("https://creativecommons.org/publicdomain/zero/1.0/", "Creative Commons Zero 1.0 Universal"),
}


def encoding(name: str) -> str:
    """The media type by the ending of a file name."""
    return ENCODINGS.get("." + name.rsplit(".", 1)[-1].lower(), "application/octet-stream")


def as_json(value: Any) -> bytes:
    """Sorted keys, two blanks, a line feed at the end: the same bytes every time."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=str) + "\n").encode()


def license_address(name: str) -> str:
    """The address of a license named by its SPDX id."""
    return LICENSES.get(name, (name if "://" in name else f"https://spdx.org/licenses/{name}", ""))[0]


def orcid(value: str) -> str:
    """An ORCID as an address."""
    return value if value.startswith("http") else f"https://orcid.org/{value}"


def ro_crate(
    meta: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], steps: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """RO-Crate 1.1: descriptor, root, one entity a file (type, size, sha256), one action a processing step.

    `entries`: name, description, size, sha256. `steps`: name, parameters, inputs.
    """
    license_, person = (
        license_address(meta["license"]),
        orcid(meta["creator_orcid"]) if meta.get("creator_orcid") else "#creator",
    )
    files = [
        {
            "@id": quote(e["name"]), "@type": "File", "name": e["name"].rsplit("/", 1)[-1], "description": e["description"],
            "encodingFormat": encoding(e["name"]), "contentSize": str(e["size"]), "sha256": e["sha256"],
        }
        for e in entries
    ]  # fmt: skip
    software = {
        "@id": "#vadose", "@type": "SoftwareApplication", "name": "vadose", "version": vadose.__version__, "softwareVersion": vadose.__version__,
        "url": "https://github.com/vadose-hub/vadose",
    }  # fmt: skip
    actions = [
        {
            "@id": f"#step-{k}", "@type": "CreateAction", "name": s["name"], "description": s.get("parameters", "") or s["name"],
            "instrument": {"@id": "#vadose"}, "agent": {"@id": person}, "endTime": meta["date_created"],
            "result": _one_or_more([f for f in files if f["@id"].startswith("content/")] or [{"@id": "./"}]),
        }
        for k, s in enumerate(steps, 1)
    ]  # fmt: skip
    root: dict[str, Any] = {
        "@id": "./", "@type": "Dataset", "name": meta["title"], "description": meta["summary"], "datePublished": meta["date_created"],
        "license": {"@id": license_}, "author": {"@id": person}, "publisher": {"@id": "#institution"}, "version": meta["version"],
        "keywords": ", ".join(meta.get("keywords", [])), "hasPart": _one_or_more(files),
    }  # fmt: skip
    if actions:
        root["mentions"] = _one_or_more(actions)
    if meta.get("doi", "pending") != "pending":
        root["identifier"] = f"https://doi.org/{meta['doi'].removeprefix('https://doi.org/')}"
    graph = [
        {
            "@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"},
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        },
        root,
        {"@id": license_, "@type": "CreativeWork", "name": meta["license"], "description": LICENSES.get(meta["license"], ("", meta["license"]))[1]},
        {"@id": person, "@type": "Person", "name": meta["creator_name"], "affiliation": {"@id": "#institution"}},
        {"@id": "#institution", "@type": "Organization", "name": meta["institution"], **({"url": meta["institution_url"]} if meta.get("institution_url") else {})},
        software, *actions, *files,
    ]  # fmt: skip
    return {
        "@context": ["https://w3id.org/ro/crate/1.1/context", {"sha256": "https://schema.org/sha256"}],
        "@graph": graph,
    }


def _one_or_more(entities: Sequence[Mapping[str, Any]]) -> Any:
    """References to entities: one by itself, more as a list, as RO-Crate 1.1 recommends."""
    found = [{"@id": e["@id"]} for e in entities]
    return found[0] if len(found) == 1 else found


def datacite(meta: Mapping[str, Any], *, size: int, formats: Sequence[str]) -> dict[str, Any]:
    """DataCite 4.5 in its JSON form. While the DOI is pending there is none in it: the registrar adds it."""
    creator: dict[str, Any] = {
        "name": meta["creator_name"],
        "nameType": "Personal",
        "affiliation": [{"name": meta["institution"]}],
    }
    if meta.get("creator_orcid"):
        creator["nameIdentifiers"] = [
            {
                "nameIdentifier": orcid(meta["creator_orcid"]),
                "nameIdentifierScheme": "ORCID",
                "schemeUri": "https://orcid.org",
            }
        ]
    out: dict[str, Any] = {
        "schemaVersion": "http://datacite.org/schema/kernel-4", "creators": [creator], "titles": [{"title": meta["title"]}],
        "publisher": {"name": meta["institution"]}, "publicationYear": str(meta["date_created"])[:4],
        "types": {"resourceTypeGeneral": "Dataset", "resourceType": meta.get("kind", "Soil moisture data")},
        "subjects": [{"subject": k} for k in meta.get("keywords", [])], "version": str(meta["version"]),
        "dates": [{"date": meta["date_created"], "dateType": "Created"}],
        "descriptions": [{"description": meta["summary"], "descriptionType": "Abstract"}],
        "rightsList": [{"rights": meta["license"], "rightsUri": license_address(meta["license"]), "rightsIdentifier": meta["license"], "rightsIdentifierScheme": "SPDX"}],
        "sizes": [f"{size} bytes"], "formats": sorted(set(formats)), "language": "en",
    }  # fmt: skip
    if meta.get("time_coverage_start"):
        out["dates"].append(
            {"date": f"{meta['time_coverage_start']}/{meta['time_coverage_end']}", "dateType": "Collected"}
        )
    if meta.get("geospatial_lat_min") is not None:
        out["geoLocations"] = [{"geoLocationBox": _box(meta)}]
    if meta.get("funder"):
        out["fundingReferences"] = [
            {"funderName": meta["funder"], **({"awardNumber": meta["award"]} if meta.get("award") else {})}
        ]
    if meta.get("doi", "pending") != "pending":
        doi = meta["doi"].removeprefix("https://doi.org/")
        out |= {"doi": doi, "prefix": doi.split("/")[0], "suffix": doi.split("/", 1)[1]}
        out["identifiers"] = [{"identifier": f"https://doi.org/{doi}", "identifierType": "DOI"}]
    return out


def _box(meta: Mapping[str, Any]) -> dict[str, float]:
    return {
        "westBoundLongitude": meta["geospatial_lon_min"], "eastBoundLongitude": meta["geospatial_lon_max"],
        "southBoundLatitude": meta["geospatial_lat_min"], "northBoundLatitude": meta["geospatial_lat_max"],
    }  # fmt: skip


def essdive(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The package-level description that ESS-DIVE takes: schema.org Dataset as JSON-LD."""
    family, _, given = str(meta["creator_name"]).partition(", ")
    person = {"@type": "Person", "familyName": family, "givenName": given, "affiliation": meta["institution"]}
    if meta.get("creator_orcid"):
        person["@id"] = orcid(meta["creator_orcid"])
    if meta.get("creator_email"):
        person["email"] = meta["creator_email"]
    keywords = [
        *meta.get("keywords", []),
        "ESS-DIVE File Level Metadata Reporting Format",
        "ESS-DIVE CSV File Formatting Guidelines Reporting Format",
    ]
    out: dict[str, Any] = {
        "@context": "https://schema.org/", "@type": "Dataset", "name": meta["title"], "description": [meta["summary"]], "keywords": keywords,
        "variableMeasured": meta.get("variables_measured", ["soil moisture"]), "license": license_address(meta["license"]),
        "provider": {"@type": "Organization", "name": meta.get("project") or meta["institution"]}, "creator": [person], "editor": [person],
        "datePublished": meta["date_created"], "measurementTechnique": meta.get("technique") or [meta["summary"].split(". ")[0]],
    }  # fmt: skip
    if meta.get("funder"):
        out["funder"] = [{"@type": "Organization", "name": meta["funder"]}]
    if meta.get("award"):
        out["award"] = [meta["award"]]
    if meta.get("time_coverage_start"):
        out["temporalCoverage"] = {
            "startDate": str(meta["time_coverage_start"])[:10],
            "endDate": str(meta["time_coverage_end"])[:10],
        }
    if meta.get("geospatial_lat_min") is not None:
        corners = [("Northwest", "lat_max", "lon_min"), ("Southeast", "lat_min", "lon_max")]
        geo = [
            {"name": n, "latitude": meta[f"geospatial_{a}"], "longitude": meta[f"geospatial_{b}"]}
            for n, a, b in corners
        ]
        out["spatialCoverage"] = [{"description": meta.get("place", "Bounding box of all data"), "geo": geo}]
    return out


def readme(meta: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], notes: Sequence[str]) -> str:
    """A page for somebody who has this folder and nothing else."""
    rows = "\n".join(f"- `{e['name']}` ({e['size']} bytes): {e['description']}" for e in entries)
    said = "\n".join(f"- {n}" for n in notes)
    return f"""# {meta["title"]}

{meta["summary"]}

Creator: {meta["creator_name"]}, {meta["institution"]}. Date: {meta["date_created"]}. Version: {meta["version"]}. License: {meta["license"]} ({license_address(meta["license"])}). DOI: {meta.get("doi", "pending")}.

## What is in it

{rows}

## What the numbers mean

{said}

## How to check and read it without any special program

This folder is the `data` part of a BagIt bag (RFC 8493). In the folder above it, `sha256sum -c manifest-sha256.txt` checks every file.
`ro-crate-metadata.json` describes each file and each processing step (RO-Crate 1.1), `datacite.json` is what a DOI registrar asks for,
`essdive.jsonld` and the `_flmd.csv` and `_dd.csv` tables are what ESS-DIVE asks for. NetCDF files (.nc) open with `ncdump`, R, Python, MATLAB or Panoply;
`.zarr.zip` holds one Zarr store, which also opens where it is unpacked; `.parquet` opens with R (arrow), Python (pandas) or DuckDB; all else is text.
"""
