"""BagIt (RFC 8493): a folder with payload, manifests and a note of its size; written the same twice, checked file by file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from vadose.errors import UnreadableFileError

BLOCK = 1 << 20


def sha256(path: Path) -> str:
    """SHA-256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def encode(name: str) -> str:
    """A path as a manifest writes it: `%`, carriage return and line feed are percent-encoded, nothing else."""
    return name.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def decode(name: str) -> str:
    """The path that `encode` wrote."""
    return name.replace("%0D", "\r").replace("%0d", "\r").replace("%0A", "\n").replace("%0a", "\n").replace("%25", "%")


def files(folder: Path) -> list[Path]:
    """Every file under `folder`, in the order of their names as bytes."""
    return sorted(
        (p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.relative_to(folder).as_posix().encode()
    )


def payload_oxum(folder: Path) -> str:
    """Octets and number of files of a payload folder, as `octets.streamcount`."""
    found = files(folder)
    return f"{sum(p.stat().st_size for p in found)}.{len(found)}"


def finish(bag: Path, info: Mapping[str, str]) -> None:
    """Turn a folder that holds `data/` into a bag: declaration, `bag-info.txt`, manifest and tag manifest.

    Nothing is taken from the clock: the date is `info["Bagging-Date"]`.
    """
    _write(bag / "bagit.txt", "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
    lines = {**info, "Payload-Oxum": payload_oxum(bag / "data")}
    _write(bag / "bag-info.txt", "".join(f"{k}: {' '.join(str(lines[k]).split())}\n" for k in sorted(lines)))
    _write(bag / "manifest-sha256.txt", _manifest(bag, files(bag / "data")))
    tags = [p for p in files(bag) if p.parent == bag and not p.name.startswith("tagmanifest-")]
    _write(bag / "tagmanifest-sha256.txt", _manifest(bag, tags))


def _manifest(bag: Path, paths: list[Path]) -> str:
    return "".join(f"{sha256(p)}  {encode(p.relative_to(bag).as_posix())}\n" for p in paths)


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode())


def read_manifest(path: Path) -> dict[str, str]:
    """Path -> digest. A line that is no digest and path, or a path that leaves the bag, is an error naming file and line."""
    found: dict[str, str] = {}
    for number, line in enumerate(path.read_text("utf-8").split("\n"), 1):
        if not line.strip():
            continue
        digest, _, name = line.rstrip("\r").partition(" ")
        name = decode(name.lstrip(" *"))
        place = PurePosixPath(name)
        if len(digest) != 64 or not name or place.is_absolute() or ".." in place.parts:
            raise UnreadableFileError(
                f"{path.name}: line {number}: expected 'sha256  path inside the bag', found {line[:80]!r}"
            )
        found[name] = digest.lower()
    return found


def problems(bag: Path) -> list[str]:
    """What is wrong with a bag, one sentence a finding that names the file; an empty list means that it is whole."""
    out = [f"{n}: missing" for n in ("bagit.txt", "manifest-sha256.txt", "data") if not (bag / n).exists()]
    if out:
        return out
    try:
        manifest = read_manifest(bag / "manifest-sha256.txt")
        tags = read_manifest(bag / "tagmanifest-sha256.txt") if (bag / "tagmanifest-sha256.txt").exists() else {}
    except (UnreadableFileError, UnicodeDecodeError) as error:
        return [str(error)]
    if "BagIt-Version: 1.0" not in (bag / "bagit.txt").read_text("utf-8", "replace"):
        out.append("bagit.txt: does not say 'BagIt-Version: 1.0'")
    for name, digest in sorted({**manifest, **tags}.items()):
        path = bag / name
        if path.is_symlink() or not path.is_file():
            out.append(f"{name}: missing")
        elif sha256(path) != digest:
            out.append(f"{name}: content changed (its SHA-256 is not that of the manifest)")
    present = {p.relative_to(bag).as_posix() for p in files(bag / "data")}
    out += [f"{name}: not in the manifest, added later" for name in sorted(present - set(manifest))]
    said = next(
        (x.split(":", 1)[1].strip() for x in _lines(bag / "bag-info.txt") if x.startswith("Payload-Oxum:")), None
    )
    if said is not None and said != payload_oxum(bag / "data"):
        out.append(f"bag-info.txt: says {said} octets.files of payload, found {payload_oxum(bag / 'data')}")
    return out


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8", "replace").splitlines() if path.is_file() else []
