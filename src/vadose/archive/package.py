"""A package that outlives the project: pack, verify, restore. BagIt outside, RO-Crate, DataCite and ESS-DIVE descriptions inside."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import vadose
from vadose.archive import bag, content, describe
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
    The same input and `meta` give the same bytes. Complete or not there: it is made under another name beside `out`.

    Raises VadoseInputError naming what is missing, PlatformError when the disk is full.
    """
    places, final = [Path(s) for s in sources], Path(out)
    if not places:
        raise VadoseInputError("nothing to pack: name a study's folder, a release or files")
    if final.exists():
        raise VadoseInputError(f"{final} exists; a package is never changed, choose another name")
    facts = _complete(places, meta)
    final.parent.mkdir(parents=True, exist_ok=True)
    _sweep(final)
    work = final.with_name(f".{final.name}.{os.getpid()}.part")
    try:
        (work / "data").mkdir(parents=True)
        notes = content.copy(places, work / "data" / "content")
        _write_descriptions(work / "data", facts, notes)
        bag.finish(work, _bag_info(facts))
        if final.suffix == ".zip":
            packed = final.with_name(f".{final.name}.{os.getpid()}.zip.part")
            content.zip_folder(work, packed)
            os.replace(packed, final)
        else:
            os.replace(work, final)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise PlatformError(
                f"cannot write {final}: {error.strerror}; nothing was left behind. Make room, or choose another place"
            ) from error
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
        final.with_name(f".{final.name}.{os.getpid()}.zip.part").unlink(missing_ok=True)
    return final


def _complete(places: list[Path], meta: Mapping[str, Any]) -> dict[str, Any]:
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
    missing = [f"{k} ({v})" for k, v in NEEDED.items() if not str(facts.get(k, "")).strip()]
    if missing:
        raise VadoseInputError(
            f"the package would not say: {'; '.join(missing)}. Put it into a metadata file (`vadose metadata template`) and give it with --metadata"
        )
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(facts["date_created"])[:10]):
        raise VadoseInputError(f"date_created {facts['date_created']!r}: write it as 2026-05-17")
    facts["date_created"] = str(facts["date_created"])[:10]
    return facts


def _write_descriptions(data: Path, facts: dict[str, Any], notes: list[str]) -> None:
    slug = re.sub(r"[^A-Za-z0-9]+", "_", facts["title"]).strip("_")[:40] or "dataset"
    rows = content.dictionary(data / "content")
    if rows:
        content.write_csv(data / f"{slug}_dd.csv", content.DICTIONARY, rows)
    (data / "essdive.jsonld").write_bytes(describe.as_json(describe.essdive(facts)))
    listed = [_entry(p, data) for p in bag.files(data)]
    size = sum(e["size"] for e in listed)
    text = describe.as_json(describe.datacite(facts, size=size, formats=[describe.encoding(e["name"]) for e in listed]))
    (data / "datacite.json").write_bytes(text)
    flmd = f"{slug}_flmd.csv"
    names = [e["name"] for e in listed] + ["datacite.json", "README.md", "ro-crate-metadata.json", flmd]
    content.write_csv(data / flmd, content.FLMD, [_flmd_row(n, data / n, facts) for n in names])
    meaning = notes or ["Units and meanings of columns stand in the files themselves and in the `_dd.csv` table."]
    (data / "README.md").write_bytes(describe.readme(facts, listed, meaning).encode())
    entries = [_entry(p, data) for p in bag.files(data)]
    (data / "ro-crate-metadata.json").write_bytes(describe.as_json(describe.ro_crate(facts, entries, facts["steps"])))


SENTENCES = {
    "datacite.json": "what a DOI registrar asks for (DataCite 4.5)", "essdive.jsonld": "what ESS-DIVE asks for (schema.org Dataset)",
    "README.md": "what this is and how to read it", "ro-crate-metadata.json": "every file and processing step (RO-Crate 1.1)",
}  # fmt: skip


def _describe_file(name: str) -> str:
    if name.endswith("_flmd.csv"):
        return "list of all files with a description of each (file-level metadata)"
    if name.endswith("_dd.csv"):
        return "data dictionary: every column of the CSV tables with unit and definition"
    return SENTENCES.get(name) or content.sentence(name)


def _entry(path: Path, data: Path) -> dict[str, Any]:
    name = path.relative_to(data).as_posix()
    return {"name": name, "description": _describe_file(name), "size": path.stat().st_size, "sha256": bag.sha256(path)}


def _flmd_row(name: str, path: Path, facts: dict[str, Any]) -> list[Any]:
    table = name.endswith(".csv")
    standard = "ESS-DIVE FLMD v1" if name.endswith(("_flmd.csv", "_dd.csv")) else "ESS-DIVE CSV v1" if table else "N/A"
    before = _comment_rows(path) if table and path.exists() else 0
    return [
        name,
        _describe_file(name),
        standard,
        facts["version"],
        "vertical" if table else "N/A",
        0 if table else -9999,
        before + 1 if table else -9999,
        "N/A",
    ]


def _comment_rows(path: Path) -> int:
    with open(path, encoding="utf-8", errors="replace") as file:
        return next((k for k, line in enumerate(file) if not line.startswith("#")), 0)


def _bag_info(facts: dict[str, Any]) -> dict[str, str]:
    doi = facts["doi"]
    return {
        "Bagging-Date": facts["date_created"], "Source-Organization": facts["institution"], "External-Description": facts["title"],
        "External-Identifier": doi if doi != "pending" else "DOI pending", "Bag-Software-Agent": f"vadose {vadose.__version__}",
    }  # fmt: skip


def _sweep(final: Path) -> None:
    """Remove what an interrupted run left beside `final`; not what a run that still lives is writing."""
    for old in final.parent.glob(f".{final.name}.*.part"):
        pid = old.name.removeprefix(f".{final.name}.").split(".")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink(missing_ok=True)


@contextlib.contextmanager
def opened(path: Path):
    """The folder of a package, which a zip is unpacked into for the time."""
    if not path.exists():
        raise VadoseInputError(f"{path}: not found; give a package, a folder or .zip that `vadose archive pack` made")
    if path.is_dir():
        yield path
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="vadose-") as folder:
        try:
            content.unzip(path, Path(folder))
        except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
            raise UnreadableFileError(f"{path}: not a whole zip file ({error}); fetch it again") from error
        yield Path(folder)


def check_package(path: str | Path) -> Found:
    """Look at every file of a package. Each problem names its file: changed, missing, added later."""
    with opened(Path(path)) as folder:
        found = bag.files(folder / "data") if (folder / "data").is_dir() else []
        out = bag.problems(folder)
        return Found(Path(path), len(found), sum(p.stat().st_size for p in found), tuple(out))


def restore(path: str | Path, out: str | Path) -> Path:
    """Verify a package and put its content into the new folder `out`, Zarr stores unpacked. Complete or not there."""
    final = Path(out)
    if final.exists():
        raise VadoseInputError(f"{final} exists; choose a new folder to restore into")
    final.parent.mkdir(parents=True, exist_ok=True)
    _sweep(final)
    work = final.with_name(f".{final.name}.{os.getpid()}.part")
    with opened(Path(path)) as folder:
        wrong = bag.problems(folder)
        if wrong:
            more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            raise UnreadableFileError(f"{path}: {wrong[0]}{more}; not restored. `vadose archive verify` lists all")
        try:
            shutil.copytree(folder / "data" / "content", work)
            for store in sorted(work.rglob("*.zarr.zip")):
                content.unzip(store, store.with_suffix(""))
                store.unlink()
            for extra in ("README.md", "ro-crate-metadata.json"):
                shutil.copyfile(folder / "data" / extra, work / f"PACKAGE-{extra}")
            os.replace(work, final)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise PlatformError(
                    f"cannot write {final}: {error.strerror}; nothing was left behind. Make room and run again"
                ) from error
            raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return final
