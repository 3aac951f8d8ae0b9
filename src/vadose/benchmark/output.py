"""Results on disk: tidy Parquet, Zarr, CMEC JSON, and provenance as an RO-Crate with W3C-PROV terms."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata as metadata
import json
import os
import platform
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import xarray as xr

import vadose
from vadose.benchmark import scores as scoring

if TYPE_CHECKING:
    from vadose.benchmark.runner import Results

TABLES = ("scores", "summary", "curves", "interactions", "weights", "constraint", "engine")
FORMATS = {".parquet": "application/vnd.apache.parquet", ".json": "application/json", ".yaml": "application/yaml"}
UNLICENSED = "The recipe states no license; ask who made these results before using them."
#: The profile of RO-Crate that says how a run is told.
PROFILE = {
    "@id": "https://w3id.org/ro/wfrun/process/0.5",
    "@type": "CreativeWork",
    "name": "Process Run Crate",
    "version": "0.5",
}
PACKAGES = ("numpy", "xarray", "dask", "pandas", "numba", "scipy", "zarr")


def slug(*words: str) -> str:
    """A name for files and anchors: letters of any script and digits."""
    return re.sub(r"[\W_]+", "-", " ".join(words).lower()).strip("-")


def write(results: Results, folder: Path) -> Path:
    """Write everything; each file takes its name when it is whole. Tables and maps of an earlier run in the folder that this one has
    not are removed: a page would show them. Returns the folder.
    """
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    (folder / "maps").mkdir(exist_ok=True)
    for name in TABLES:
        frame = getattr(results, name)
        if len(frame):
            partial = folder / "tables" / f".{name}.part"
            frame.to_parquet(partial)
            os.replace(partial, folder / "tables" / f"{name}.parquet")
        else:
            (folder / "tables" / f"{name}.parquet").unlink(missing_ok=True)
    index = []
    for (page, reference, model), data in results.maps.items():
        path = folder / "maps" / f"{slug(page, reference, model)}.zarr"
        _zarr(
            data.assign_attrs(
                page=page, reference=reference, model=model, title=f"{page}: {model} against {reference}"
            ),
            path,
        )
        index.append({"page": page, "reference": reference, "model": model, "path": f"maps/{path.name}"})
    for old in set((folder / "maps").glob("*.zarr")) - {folder / i["path"] for i in index}:
        shutil.rmtree(old)
    used = inputs(results)
    _text(folder / "recipe.yaml", results.recipe.text)
    _json(folder / "failures.json", results.failures)
    _json(folder / "cmec.json", cmec(results))
    _json(folder / "provenance.json", provenance(results, index, used))
    _json(folder / "ro-crate-metadata.json", crate(results, folder, used))
    return folder


def provenance(results: Results, index: list[dict[str, str]], used: list[dict[str, Any]]) -> dict[str, Any]:
    """What a page needs to say where numbers come from."""
    recipe = results.recipe
    return {
        "title": recipe.title,
        "summary": recipe.summary,
        "period": recipe.period,
        "scheme": recipe.scheme,
        "draws": recipe.draws,
        "pages": [
            {
                "name": p.name,
                "path": p.path,
                "weight": p.weight,
                "summary": p.summary,
                "variable": p.variable,
                "layer": p.layer,
                "references": [r.name for r in p.references],
            }
            for p in recipe.pages
        ],
        "inputs": used,
        "maps": index,
        "notes": results.notes,
        "software": _software(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _software() -> dict[str, str]:
    return {
        "vadose": vadose.__version__,
        "python": platform.python_version(),
        **{n: metadata.version(n) for n in PACKAGES},
    }


def inputs(results: Results) -> list[dict[str, Any]]:
    """Every source once, with role, place and citation; files with their checksums (the first 50 of a source)."""
    import glob

    found: dict[tuple, dict[str, Any]] = {}
    recipe = results.recipe
    listed = [("model", m) for m in recipe.models] + [("reference", r) for p in recipe.leaves for r in p.references]
    listed += [("reference", r) for p in recipe.leaves for q in p.relationships for r in q.references]
    for role, s in listed:
        files = sorted({n for pattern in s.files for n in glob.glob(pattern)})
        key = (role, s.name, s.collection, s.files, s.study, repr(s.where))
        if key in found:
            continue
        sums = {Path(n).name: _sha256(Path(n)) for n in files[:50] if Path(n).is_file()}
        found[key] = {
            "role": role,
            "name": s.name,
            "collection": s.collection,
            "study": s.study and Path(s.study).name,
            "where": dict(s.where),
            "product": s.product,
            "citation": s.citation,
            "ensemble": s.ensemble,
            "sha256": sums,
        }
    return list(found.values())


def _sha256(path: Path) -> str:
    """By pieces: files of a model are larger than memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cmec(results: Results) -> dict[str, Any]:
    """Scores in the JSON structure that the Coordinated Model Evaluation Capabilities exchange: region, model, metric, statistic."""
    scores = results.scores[results.scores.kind.isin(["score", "relationship"])]
    out: dict[str, Any] = {}
    for row in scores.to_dict("records"):
        metric = f"{row['page']}::{row['reference']}"
        place = out.setdefault(str(row["region"]), {}).setdefault(str(row["model"]), {}).setdefault(metric, {})
        value = float(row["value"])
        place[str(row["statistic"])] = round(value, 6) if np.isfinite(value) else None
    pages = list(dict.fromkeys(f"{p}::{r}" for p, r in zip(scores.page, scores.reference, strict=True)))
    dimensions = {
        "region": {name: {} for name in dict.fromkeys(scores.region)},
        "model": {name: {} for name in dict.fromkeys(scores.model)},
        "metric": {name: {"Description": name.replace("::", " against ")} for name in pages},
        "statistic": {"indices": list(dict.fromkeys(scores.statistic)), "short_names": scoring.SCORES},
    }
    return {
        "SCHEMA": {"name": "CMEC", "version": "v1", "package": "vadose"},
        "DIMENSIONS": {"json_structure": ["region", "model", "metric", "statistic"], "dimensions": dimensions},
        "RESULTS": out,
        "PROVENANCE": {"software": _software(), "scheme": results.recipe.scheme, "title": results.recipe.title},
    }


def crate(results: Results, folder: Path, used: list[dict[str, Any]]) -> dict[str, Any]:
    """RO-Crate 1.1 metadata: files with checksums, the run as an action with its inputs, agents and results (also in PROV terms).

    The page is not in it: it is made of these files, and again by whoever likes another.
    """
    files = sorted((folder / "tables").glob("*.parquet"))
    files += [folder / n for n in ("recipe.yaml", "failures.json", "cmec.json", "provenance.json")]
    nodes: list[dict[str, Any]] = [
        {
            "@id": str(p.relative_to(folder)),
            "@type": "File",
            "name": p.name,
            "encodingFormat": FORMATS[p.suffix],
            "contentSize": str(p.stat().st_size),
            "sha256": _sha256(p),
            "prov:wasGeneratedBy": {"@id": "#run"},
        }
        for p in files
    ]
    maps: list[dict[str, Any]] = [
        {
            "@id": f"maps/{quote(p.name)}/",
            "@type": "Dataset",
            "name": f"maps {p.stem}",
            "encodingFormat": "application/vnd+zarr",
            "prov:wasGeneratedBy": {"@id": "#run"},
        }
        for p in sorted((folder / "maps").glob("*.zarr"))
    ]
    sources: list[dict[str, Any]] = [
        {
            "@id": f"#{i['role']}-{k}-{quote(slug(i['name']))}",
            "@type": ["Dataset", "prov:Entity"],
            "name": i["name"],
            "description": i["citation"] or i["collection"] or ", ".join(i["sha256"]),
            "identifier": i["collection"] or i["study"] or "",
            "sha256": _one_or_all(list(i["sha256"].values())),
        }
        for k, i in enumerate(used)
    ]
    sources = [{k: v for k, v in s.items() if v} for s in sources]
    license_ = _license(results.recipe.license)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    parts = [{"@id": n["@id"]} for n in (*nodes, *maps)]
    return {
        "@context": ["https://w3id.org/ro/crate/1.1/context", {"prov": "http://www.w3.org/ns/prov#", "sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}],
        "@graph": [
            {"@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"}, "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"}},
            {"@id": "./", "@type": "Dataset", "name": results.recipe.title, "description": results.recipe.summary or results.recipe.title, "datePublished": now[:10], "license": {"@id": license_["@id"]}, "conformsTo": {"@id": PROFILE["@id"]}, "hasPart": parts, "mentions": {"@id": "#run"}},
            {"@id": "#run", "@type": ["CreateAction", "prov:Activity"], "name": "vadose benchmark", "instrument": {"@id": "#vadose"}, "object": [{"@id": s["@id"]} for s in sources], "result": parts, "endTime": now, "prov:used": [{"@id": s["@id"]} for s in sources], "prov:wasAssociatedWith": {"@id": "#vadose"}},
            {"@id": "#vadose", "@type": ["SoftwareApplication", "prov:SoftwareAgent"], "name": "vadose", "version": vadose.__version__, "softwareRequirements": [f"{k} {v}" for k, v in _software().items()]},
            license_,
            PROFILE,
            *sources,
            *nodes,
            *maps,
        ],
    }  # fmt: skip


def _license(text: str) -> dict[str, str]:
    """The license of the results as a node: an address, an SPDX name, or that there is none."""
    if not text:
        return {"@id": "#license", "@type": "CreativeWork", "name": "no license stated", "description": UNLICENSED}
    address = text if "://" in text else f"https://spdx.org/licenses/{quote(text)}"
    return {"@id": address, "@type": "CreativeWork", "name": text, "description": f"License of the results: {text}"}


def _one_or_all(values: list[str]) -> Any:
    """As JSON-LD writes a property: one value by itself."""
    return values[0] if len(values) == 1 else values


def _zarr(data: xr.Dataset, path: Path) -> None:
    partial = path.with_name(path.name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    data.to_zarr(partial, mode="w", consolidated=False, zarr_format=3)
    shutil.rmtree(path, ignore_errors=True)
    partial.rename(path)


def _text(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".part")
    partial.write_text(text)
    os.replace(partial, path)


def _json(path: Path, value: Any) -> None:
    _text(path, json.dumps(value, indent=1, default=_plain))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else None if value is pd.NA else str(value)
