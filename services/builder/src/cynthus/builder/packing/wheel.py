"""A wheel read as what it installs: checked files at their places, commands, and the folder of its record."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from cynthus.builder.packing.commands import commands
from cynthus.builder.packing.layer import WheelRefused
from cynthus.builder.packing.places import PYTHON, NoPlace, Places, folders_of
from cynthus.builder.packing.splice import content
from cynthus.builder.packing.zips import Member, Zip

INSTALLER = b"cynthus\n"

_REMADE = {"RECORD", "RECORD.jws", "RECORD.p7s", "INSTALLER"}
_MOST_TEXT = 16 * 1024 * 1024
_VERSION = re.compile(rb"^Wheel-Version:[ \t]*1\.\d", re.MULTILINE | re.IGNORECASE)
_PLACEHOLDER = b"#!python"


@dataclass(frozen=True, slots=True)
class Placed:
    """A file at its place in the image."""

    path: str
    mode: int
    content: Member | bytes


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel and what it installs; `files` are sorted by path, RECORD is not among them."""

    path: Path
    distribution: str
    version: str
    site: str
    record: str
    files: tuple[Placed, ...]

    @property
    def package(self) -> str:
        """name==version."""
        return f"{self.distribution}=={self.version}"


def read_wheel(path: Path, python: str, sha256: str | None = None) -> Wheel:
    """Blocking. With `sha256` (hex) its bytes must have it. Raises WheelRefused, OSError."""
    try:
        distribution, version, _, _ = parse_wheel_filename(path.name)
    except InvalidWheelFilename as error:
        raise WheelRefused(path.name, "its name is no wheel's name") from error
    if sha256 is not None:
        _check_hash(path, sha256)
    with Zip(path) as archive:
        places = Places(python, distribution)
        try:
            information = _information(archive, distribution, version)
            files = _files(archive, places, information)
        except NoPlace as error:
            raise archive.refused(str(error)) from error
    return Wheel(
        path=path,
        distribution=distribution,
        version=str(version),
        site=places.site,
        record=f"{places.site}/{information}/RECORD",
        files=tuple(sorted(files, key=lambda file: file.path.encode())),
    )


def _check_hash(path: Path, sha256: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256.removeprefix("sha256:"):
        raise WheelRefused(path.name, f"its SHA-256 is {found}, not {sha256.removeprefix('sha256:')}")


def _information(archive: Zip, distribution: str, version: Version) -> str:
    """The name of the .dist-info folder."""
    tops = {member.name.split("/")[0] for member in archive.members if "/" in member.name}
    found = sorted(top for top in tops if top.endswith(".dist-info"))
    if len(found) != 1:
        raise archive.refused(f"it has {len(found)} .dist-info folders, not one")
    name, _, stated = found[0].removesuffix(".dist-info").partition("-")
    try:
        agrees = canonicalize_name(name) == distribution and Version(stated) == version
    except InvalidVersion:
        agrees = False
    if not agrees:
        raise archive.refused(f"it holds {found[0]}")
    return found[0]


def _files(archive: Zip, places: Places, information: str) -> Iterable[Placed]:
    found: dict[str, Placed] = {}
    texts: dict[str, Member] = {}
    for member in archive.members:
        place = places.place(member.name)
        folder, _, name = member.name.rpartition("/")
        if folder == information:
            texts[name] = member
        if place is None or (folder == information and name in _REMADE):
            continue
        path, is_script = place
        mode = 0o755 if member.executable or is_script else 0o644
        placed = Placed(path, mode, _script(archive, member) if is_script else member)
        if found.setdefault(path, placed) != placed and not _same(found[path], placed):
            raise archive.refused(f"{path!r} is in it twice, and not the same")
    _check_format(archive, texts)
    for name, script in _commands(archive, texts):
        path = places.script(name)
        found[path] = Placed(path, 0o755, script)
    installer = f"{places.site}/{information}/INSTALLER"
    found[installer] = Placed(installer, 0o644, INSTALLER)
    clashes = folders_of(set(found)) & {*found, f"{places.site}/{information}/RECORD"}
    if clashes:
        raise archive.refused(f"{min(clashes)!r} is both a file and a folder in it")
    return found.values()


def _same(one: Placed, other: Placed) -> bool:
    if isinstance(one.content, bytes) or isinstance(other.content, bytes):
        return one == other
    return (one.content.crc, one.content.size) == (other.content.crc, other.content.size)


def _check_format(archive: Zip, texts: dict[str, Member]) -> None:
    missing = {"WHEEL", "METADATA"} - texts.keys()
    if missing:
        raise archive.refused(f"it has no {min(missing)}")
    if not _VERSION.search(_text(archive, texts["WHEEL"])):
        raise archive.refused("its WHEEL file states no version 1 of the format")


def _commands(archive: Zip, texts: dict[str, Member]) -> Iterator[tuple[str, bytes]]:
    if "entry_points.txt" in texts:
        try:
            text = _text(archive, texts["entry_points.txt"]).decode()
        except UnicodeDecodeError as error:
            raise archive.refused("its entry_points.txt is not UTF-8") from error
        yield from commands(text)


def _script(archive: Zip, member: Member) -> Member | bytes:
    """A script for the environment's Python; anything else in its place stays as it is."""
    first = b""
    for chunk in content(archive, member):
        first += chunk
        if len(first) >= len(_PLACEHOLDER):
            break
    if not first.startswith(_PLACEHOLDER):
        return member
    _, newline, rest = _text(archive, member).partition(b"\n")
    return b"#!" + PYTHON.encode() + (newline or b"\n") + rest


def _text(archive: Zip, member: Member) -> bytes:
    if member.size > _MOST_TEXT:
        raise archive.refused(f"{member.name!r} is longer than {_MOST_TEXT // 1024**2} MiB")
    return b"".join(content(archive, member))
