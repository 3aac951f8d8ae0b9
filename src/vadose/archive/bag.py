"""BagIt (RFC 8493): a folder or zip with payload, manifests and a note of its size; written the same twice, checked file by file."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from vadose.errors import UnreadableFileError, VadoseInputError

BLOCK = 1 << 20
#: Time of every member of a zip: its bytes depend on names and contents alone.
EPOCH = (1980, 1, 1, 0, 0, 0)
#: What reading a damaged, encrypted or oddly packed member of a zip raises.
DAMAGE = (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)


# -- writing ---------------------------------------------------------------------------------------------------------------


def sha256(path: Path) -> str:
    """SHA-256 of a file, read in blocks."""
    with open(path, "rb") as file:
        return digests(file, ["sha256"])["sha256"]


def digests(file: IO[bytes], algorithms: Iterable[str]) -> dict[str, str]:
    """Digests of an open file by algorithm, read once and in blocks."""
    found = {name: hashlib.new(name) for name in algorithms}
    while block := file.read(BLOCK):
        for digest in found.values():
            digest.update(block)
    return {name: digest.hexdigest() for name, digest in found.items()}


def encode(name: str) -> str:
    """A path as a manifest writes it: `%`, carriage return and line feed are percent-encoded, nothing else."""
    return name.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def decode(name: str) -> str:
    """The path that `encode` wrote."""
    return name.replace("%0D", "\r").replace("%0d", "\r").replace("%0A", "\n").replace("%0a", "\n").replace("%25", "%")


def files(folder: Path) -> list[Path]:
    """Every file under `folder`, in the order of their names as bytes; folders that are links are not entered."""
    return sorted(
        (p for p in folder.rglob("*") if p.is_file()), key=lambda p: os.fsencode(p.relative_to(folder).as_posix())
    )


def payload_oxum(folder: Path) -> str:
    """Octets and number of files of a payload folder, as `octets.streamcount`."""
    found = files(folder)
    return f"{sum(p.stat().st_size for p in found)}.{len(found)}"


def finish(bag: Path, info: Mapping[str, str], known: Mapping[str, str] | None = None) -> None:
    """Turn a folder that holds `data/` into a bag: declaration, `bag-info.txt`, manifest and tag manifest.

    Nothing is taken from the clock: the date is `info["Bagging-Date"]`. `known`: path inside the bag -> SHA-256, of files hashed before.
    """
    _write(bag / "bagit.txt", "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
    lines = {**info, "Payload-Oxum": payload_oxum(bag / "data")}
    _write(bag / "bag-info.txt", "".join(f"{k}: {' '.join(str(lines[k]).split())}\n" for k in sorted(lines)))
    _write(bag / "manifest-sha256.txt", _manifest(bag, files(bag / "data"), known or {}))
    tags = [p for p in files(bag) if p.parent == bag and not p.name.startswith("tagmanifest-")]
    _write(bag / "tagmanifest-sha256.txt", _manifest(bag, tags, {}))


def _manifest(bag: Path, paths: list[Path], known: Mapping[str, str]) -> str:
    names = {p.relative_to(bag).as_posix(): p for p in paths}
    return "".join(f"{known.get(name) or sha256(path)}  {encode(name)}\n" for name, path in names.items())


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode())


def write_zip(members: Mapping[str, Path], target: Path) -> None:
    """A zip (stored) of files by their name in it, whose bytes depend on names and contents only: sorted, one date and mode."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name in sorted(members, key=str.encode):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3
            entry.file_size = members[name].stat().st_size
            with open(members[name], "rb") as read, archive.open(entry, "w") as write:
                pour(read, write)


def pour(read: IO[bytes], write: IO[bytes]) -> None:
    """Copy an open file in blocks."""
    while block := read.read(BLOCK):
        write.write(block)


# -- reading ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bag:
    """What lies in a bag, be it a folder or a zip: name of each file -> octets, how one is opened, and what should not be there."""

    sizes: Mapping[str, int]
    read: Callable[[str], IO[bytes]]
    strange: tuple[str, ...] = ()

    def text(self, name: str) -> str:
        """A tag file as text; empty where there is none."""
        if name not in self.sizes:
            return ""
        with self.read(name) as file:
            return file.read().decode("utf-8-sig", "replace")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Bag]:
    """A bag to look at. A zip is read where it lies: nothing is unpacked.

    Raises VadoseInputError where there is nothing, UnreadableFileError for a file that is no whole zip.
    """
    if not path.exists():
        raise VadoseInputError(f"{path}: not found; give a package, a folder or .zip that `vadose archive pack` made")
    if path.is_dir():
        yield _folder(path)
        return
    try:
        archive = zipfile.ZipFile(path)
    except DAMAGE as error:
        raise UnreadableFileError(
            f"{path}: not a whole zip file ({error}); a package is a folder or a .zip, fetch it again"
        ) from error
    with archive:
        yield _zip(archive)


def _folder(base: Path) -> Bag:
    sizes: dict[str, int] = {}
    strange: list[str] = []
    for folder, folders, names in os.walk(base):
        for name in (*folders, *names):
            path = Path(folder) / name
            inside, mode = path.relative_to(base).as_posix(), path.lstat().st_mode
            if stat.S_ISLNK(mode):
                strange.append(f"{inside}: a link; a package holds files only, what it leads to is not part of it")
            elif stat.S_ISREG(mode):
                sizes[inside] = path.stat().st_size
            elif not stat.S_ISDIR(mode):
                strange.append(f"{inside}: neither file nor folder")
    return Bag(sizes, lambda name: open(base / name, "rb"), tuple(sorted(strange)))


def _zip(archive: zipfile.ZipFile) -> Bag:
    """RFC 8493 has the bag's own folder as the one entry of a zip; a bag at the top of it is read as well."""
    every = [m for m in archive.infolist() if not m.is_dir()]
    tops = [m.filename.removesuffix("bagit.txt") for m in every if re.fullmatch(r"([^/]+/)?bagit\.txt", m.filename)]
    top = min(tops, key=len, default="")
    members = [m for m in every if m.filename.startswith(top)]
    names = [m.filename for m in members]
    strange = [f"{n}: leads out of the folder; this package was made to do harm" for n in set(names) if not _inside(n)]
    strange += [f"{n.removeprefix(top)}: is in the zip twice" for n, k in Counter(names).items() if k > 1]  # fmt: skip
    links = [m.filename for m in members if stat.S_ISLNK(m.external_attr >> 16)]
    strange += [f"{n.removeprefix(top)}: a link; a package holds files only" for n in links]
    sizes = {m.filename.removeprefix(top): m.file_size for m in members if _inside(m.filename)}
    return Bag(sizes, lambda name: archive.open(top + name), tuple(sorted(strange)))


def _inside(name: str) -> bool:
    place = PurePosixPath(name)
    return bool(name) and not place.is_absolute() and ".." not in place.parts and "\0" not in name


def read_manifest(text: str, name: str, algorithm: str = "sha256") -> dict[str, str]:
    """Path -> digest. A line that is no digest and path, a path that leaves the bag or comes twice, is an error naming file and line."""
    found: dict[str, str] = {}
    length = hashlib.new(algorithm).digest_size * 2
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        digest, _, path = line.rstrip("\r").partition(" ")
        path = decode(path.lstrip(" *"))
        if len(digest) != length or not _inside(path):
            raise UnreadableFileError(
                f"{name}: line {number}: expected '{algorithm}  path inside the bag', found {line[:80]!r}"
            )
        if path in found:
            raise UnreadableFileError(f"{name}: line {number}: {path} is listed twice")
        found[path] = digest.lower()
    return found


def problems(bag: Bag) -> list[str]:
    """What is wrong with a bag, one sentence a finding that names the file; an empty list means that it is whole."""
    missing = [] if "bagit.txt" in bag.sizes else ["bagit.txt: missing"]
    lists = {n: m[2] for n in bag.sizes if (m := re.fullmatch(r"(tag)?manifest-([a-z0-9]+)\.txt", n))}
    if not any(n.startswith("manifest-") for n in lists):
        missing.append("manifest-sha256.txt: missing")
    if not any(n.startswith("data/") for n in bag.sizes):
        missing.append("data: missing")
    if missing:
        return [*bag.strange, *missing]
    unknown = sorted(n for n, algorithm in lists.items() if algorithm not in hashlib.algorithms_guaranteed)
    if unknown:
        return [f"{n}: this Python cannot compute {lists[n]} digests" for n in unknown]
    try:
        manifests = {n: read_manifest(bag.text(n), n, algorithm) for n, algorithm in lists.items()}
    except (UnreadableFileError, *DAMAGE) as error:
        return [*bag.strange, str(error)]
    out = list(bag.strange)
    if "BagIt-Version: 1.0" not in bag.text("bagit.txt"):
        out.append("bagit.txt: does not say 'BagIt-Version: 1.0'")
    wanted: dict[str, dict[str, str]] = {}
    for name, manifest in manifests.items():
        for path, digest in manifest.items():
            wanted.setdefault(path, {})[lists[name]] = digest
    told = {s.split(":")[0] for s in bag.strange}
    out += [f for path in sorted(wanted) if path not in told for f in _finding(bag, path, wanted[path])]
    payload = {n: size for n, size in bag.sizes.items() if n.startswith("data/")}
    listed = {n for name, manifest in manifests.items() if name.startswith("manifest-") for n in manifest}
    out += [f"{name}: not in the manifest, added later" for name in sorted(set(payload) - listed)]
    oxum = f"{sum(payload.values())}.{len(payload)}"
    said = re.search(r"^Payload-Oxum:\s*(\S+)", bag.text("bag-info.txt"), re.MULTILINE)
    if said and said[1] != oxum:
        out.append(f"bag-info.txt: says {said[1]} octets.files of payload, found {oxum}")
    return out


def _finding(bag: Bag, path: str, wanted: Mapping[str, str]) -> list[str]:
    if path not in bag.sizes:
        addresses = (line.split(None, 2) for line in bag.text("fetch.txt").splitlines())
        address = next((a[0] for a in addresses if len(a) == 3 and decode(a[2]) == path), "")
        return [f"{path}: missing" + (f"; fetch.txt says that it is to be had from {address}" if address else "")]
    try:
        with bag.read(path) as file:
            found = digests(file, wanted)
    except DAMAGE as error:
        return [f"{path}: cannot be read ({error})"]
    wrong = [name for name, digest in wanted.items() if found[name] != digest]
    if not wrong:
        return []
    return [f"{path}: content changed (its {wrong[0].upper().replace('SHA', 'SHA-')} is not that of the manifest)"]
