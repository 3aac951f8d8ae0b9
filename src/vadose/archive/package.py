"""A package that outlives the project: pack, verify, restore. BagIt outside, RO-Crate, DataCite and ESS-DIVE descriptions inside."""

from __future__ import annotations

import contextlib
import datetime
import errno
import glob
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import vadose
from vadose.archive import bag, content, describe, tables
from vadose.archive.profile import RULES
from vadose.errors import PlatformError, UnreadableFileError, VadoseInputError

#: What a package cannot do without, and how to say so.
NEEDED = {
    "title": "a title of 7 to 20 words", "summary": "what was measured, where, when, how and why, in 100 words or more", "creator_name": "Family, Given",
    "institution": "who answers for the data", "license": "CC-BY-4.0 or CC0-1.0",
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What `check_package` found: `problems` is empty when the package is whole."""

    path: Path
    files: int
    octets: int
    problems: tuple[str, ...]


def build_package(sources: Iterable[str | Path], meta: Mapping[str, Any], out: str | Path) -> Path:
    """Pack files, folders, a study's results or a stream release into the bag `out` (a folder, or one file when it ends in .zip).

    `meta` holds the dataset group of the metadata profile; what a study or release knows of itself need not be given.
    The same input, `meta` and name give the same bytes. Complete or not there: it is made under another name beside `out`.

    Raises VadoseInputError naming what is missing or cannot be packed, PlatformError when the disk is full.
    """
    places, final = [Path(s) for s in sources], Path(out)
    if not places:
        raise VadoseInputError("nothing to pack: name a study's folder, a release or files")
    if final.exists():
        raise VadoseInputError(f"{final} exists; a package is never changed, choose another name")
    inside = [p for p in places if p.is_dir() and final.resolve().is_relative_to(p.resolve())]
    if inside:
        raise VadoseInputError(f"{final} would lie inside {inside[0]}, which it packs; choose a place outside with -o")
    content.plan(places)  # what cannot be packed is told before anything else is asked
    facts = _complete(places, meta)
    with made(final, "Make room, or choose another place") as work:
        base = work / final.stem if final.suffix == ".zip" else work
        (base / "data").mkdir(parents=True)
        notes = content.copy(places, base / "data" / "content")
        known = _write_descriptions(base / "data", facts, notes)
        bag.finish(base, _bag_info(facts), {f"data/{name}": digest for name, digest in known.items()})
        if final.suffix == ".zip":  # the bag's folder is the one entry of the zip (RFC 8493, section 4)
            members = {p.relative_to(work).as_posix(): p for p in bag.files(work)}
            bag.write_zip(members, work / final.name)
            os.replace(work / final.name, final)
        else:
            os.replace(work, final)
    return final


@contextlib.contextmanager
def made(final: Path, advice: str) -> Iterator[Path]:
    """A folder beside `final` to make it in, gone in the end; what interrupted runs left there goes first."""
    final.parent.mkdir(parents=True, exist_ok=True)
    _sweep(final)
    work = final.with_name(f".{final.name}.{os.getpid()}.part")
    try:
        work.mkdir()
        yield work
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG):
            raise PlatformError(f"cannot write {final}: {error.strerror}; nothing was left behind. {advice}") from error
        if isinstance(error, PermissionError) and not isinstance(error, UnreadableFileError):
            raise VadoseInputError(
                f"{error.filename or final}: no permission; ask its owner, or choose another place"
            ) from error
        raise
    except RuntimeError as error:
        if "NetCDF" not in str(error):
            raise
        raise PlatformError(  # on a full disk its library says no more than "HDF error"
            f"cannot write {final}: {error}, most often a full disk; nothing was left behind. {advice}"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _sweep(final: Path) -> None:
    """Remove what an interrupted run left beside `final`; not what a run that still lives is writing."""
    for old in final.parent.glob(f".{glob.escape(final.name)}.*.part"):
        pid = old.name.removeprefix(f".{final.name}.").split(".")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink(missing_ok=True)


def _complete(places: list[Path], meta: Mapping[str, Any]) -> dict[str, Any]:
    """What the package says of itself: what the sources know, and over it what was given; every given field of its form."""
    known: dict[str, Any] = {}
    for place in places:
        if place.is_dir():
            known = {**content.describe(place), **known}
    facts = {
        "version": "1.0",
        "doi": "pending",
        "keywords": [],
        "steps": [],
        **known,
        **{k: v for k, v in meta.items() if v not in (None, "")},
    }
    facts.setdefault("date_created", content.newest(places))
    if isinstance(facts["keywords"], str):
        facts["keywords"] = [word.strip() for word in facts["keywords"].split(",") if word.strip()]
    missing = [f"{k} ({v})" for k, v in NEEDED.items() if not str(facts.get(k, "")).strip()]
    for names in TOGETHER:
        given = [n for n in names if facts.get(n) is not None]
        missing += [f"{n} (as {given[0]} is given)" for n in names if given and n not in given]
    if missing:
        raise VadoseInputError(
            f"the package would not say: {'; '.join(missing)}. Put it into a metadata file (`vadose metadata template`) and give it with --metadata"
        )
    for rule in RULES:
        value = meta.get(rule.field)
        if (
            rule.group == "dataset"
            and rule.field not in LENGTHS
            and value not in (None, "")
            and not rule.form.holds(value)
        ):
            raise VadoseInputError(f"{rule.field} is {str(value)[:60]!r}; write {rule.expected}")
    facts["date_created"] = str(facts["date_created"])[:10]
    if datetime.date.fromisoformat(facts["date_created"]).year < 1900:
        raise VadoseInputError(f"date_created is {facts['date_created']}; write the day of the package, as 2026-05-17")
    return facts


def _write_descriptions(data: Path, facts: dict[str, Any], notes: list[str]) -> dict[str, str]:
    """Write all that describes the content. Returns name below `data` -> SHA-256 of each file that is hashed by then."""
    slug = re.sub(r"[^A-Za-z0-9]+", "_", facts["title"]).strip("_")[:40].strip("_") or "dataset"
    found = {f"content/{name}": table for name, table in tables.tables(data / "content").items()}
    rows = tables.dictionary(data, found)
    if rows:
        tables.write_csv(data / f"{slug}_dd.csv", tables.DICTIONARY, rows)
    (data / "essdive.jsonld").write_bytes(describe.as_json(describe.essdive(facts)))
    digests: dict[str, str] = {}
    listed = _entries(data, digests)
    size = sum(e["size"] for e in listed)
    text = describe.as_json(describe.datacite(facts, size=size, formats=[describe.encoding(e["name"]) for e in listed]))
    (data / "datacite.json").write_bytes(text)
    flmd = f"{slug}_flmd.csv"
    names = [e["name"] for e in listed] + ["datacite.json", "README.md", "ro-crate-metadata.json", flmd]
    tables.write_csv(data / flmd, tables.FLMD, [_flmd_row(n, names, found.get(n), facts) for n in names])
    meaning = notes or ["Units and meanings of columns stand in the files themselves and in the `_dd.csv` table."]
    (data / "README.md").write_bytes(describe.readme(facts, listed, meaning).encode())
    crate = describe.ro_crate(facts, _entries(data, digests), facts["steps"])
    (data / "ro-crate-metadata.json").write_bytes(describe.as_json(crate))
    return digests


#: Fields that say nothing one without the other.
TOGETHER = (
    ("time_coverage_start", "time_coverage_end"),
    ("geospatial_lat_min", "geospatial_lat_max", "geospatial_lon_min", "geospatial_lon_max"),
)
#: Fields whose words are counted by `vadose metadata check` only: a short title is no reason not to pack.
LENGTHS = {"title", "summary", "keywords"}
SENTENCES = {
    "datacite.json": "what a DOI registrar asks for (DataCite 4.5)", "essdive.jsonld": "what ESS-DIVE asks for (schema.org Dataset)",
    "README.md": "what this is and how to read it", "ro-crate-metadata.json": "every file and processing step (RO-Crate 1.1)",
}  # fmt: skip


def _describe_file(name: str, names: Iterable[str]) -> str:
    if name.startswith("content/"):
        return content.sentence(name, names)
    if name.endswith("_flmd.csv"):
        return "list of all files with a description of each (file-level metadata)"
    if name.endswith("_dd.csv"):
        return "data dictionary: every column of the CSV tables with unit and definition"
    return SENTENCES[name]


def _entries(data: Path, digests: dict[str, str]) -> list[dict[str, Any]]:
    """Name, description, size and SHA-256 of each file; one that is in `digests` is not read again."""
    paths = {p.relative_to(data).as_posix(): p for p in bag.files(data)}
    for name, path in paths.items():
        if name not in digests:
            digests[name] = bag.sha256(path)
    return [
        {"name": n, "description": _describe_file(n, paths), "size": p.stat().st_size, "sha256": digests[n]}
        for n, p in paths.items()
    ]


def _flmd_row(name: str, names: list[str], table: tables.Table | None, facts: dict[str, Any]) -> list[Any]:
    ours = not name.startswith("content/") and name.endswith(".csv")
    tabular = ours or table is not None
    standard = "ESS-DIVE FLMD v1" if ours else "ESS-DIVE CSV v1" if table and table.follows_rules else "N/A"
    above = table.above if table else 0
    orientation, header_rows, position = ("vertical", 0, above + 1) if tabular else ("N/A", -9999, -9999)
    return [name, _describe_file(name, names), standard, facts["version"], orientation, header_rows, position, "N/A"]


def _bag_info(facts: dict[str, Any]) -> dict[str, str]:
    doi = facts["doi"]
    return {
        "Bagging-Date": facts["date_created"], "Source-Organization": facts["institution"], "External-Description": facts["title"],
        "External-Identifier": doi if doi != "pending" else "DOI pending", "Bag-Software-Agent": f"vadose {vadose.__version__}",
    }  # fmt: skip


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The folder of a package; a zip is unpacked for the time."""
    if path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="vadose-") as folder, bag.opened(path) as found:
        try:
            _pour(found, {name: name for name in found.sizes}, Path(folder))
        except bag.DAMAGE as error:
            raise UnreadableFileError(
                f"{path}: cannot be unpacked ({error}); `vadose archive verify` says more"
            ) from error
        yield Path(folder)


def _pour(found: bag.Bag, names: Mapping[str, str], into: Path) -> None:
    """Write files of a bag below `into`, each under its new name."""
    for name, new in names.items():
        (into / new).parent.mkdir(parents=True, exist_ok=True)
        with found.read(name) as read, open(into / new, "wb") as write:
            bag.pour(read, write)


def check_package(path: str | Path) -> Found:
    """Look at every file of a package, where it lies. Each problem names its file: changed, missing, added later, a link."""
    with bag.opened(Path(path)) as found:
        payload = [size for name, size in found.sizes.items() if name.startswith("data/")]
        return Found(Path(path), len(payload), sum(payload), tuple(bag.problems(found)))


def restore(path: str | Path, out: str | Path) -> Path:
    """Verify a package and put its content into the new folder `out`, Zarr stores unpacked. Complete or not there.

    Raises VadoseInputError when `out` exists, UnreadableFileError for a package that is not whole or was not made by vadose.
    """
    final = Path(out)
    if final.exists():
        raise VadoseInputError(f"{final} exists; choose a new folder to restore into")
    with bag.opened(Path(path)) as found:
        wrong = bag.problems(found)
        if wrong:
            more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            raise UnreadableFileError(f"{path}: {wrong[0]}{more}; not restored. `vadose archive verify` lists all")
        names = {n: n.removeprefix("data/content/") for n in found.sizes if n.startswith("data/content/")}
        if not names:
            raise UnreadableFileError(
                f"{path}: a whole bag, but not one that vadose packed (no data/content); take its files from data/"
            )
        about = {f"data/{n}": f"PACKAGE-{n}" for n in ("README.md", "ro-crate-metadata.json")}
        names |= {n: new for n, new in about.items() if n in found.sizes}
        with made(final, "Make room and run again") as work:
            _pour(found, names, work)
            for store in sorted(work.rglob("*.zarr.zip")):
                if not store.with_suffix("").exists() and zipfile.is_zipfile(store):
                    content.unzip(store, store.with_suffix(""))
                    store.unlink()
            os.replace(work, final)
    return final
