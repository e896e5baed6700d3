"""What a built wheel says it needs, and how uv is told."""

import email
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from cynthus.builder.domain.lock import LockRefused

_LARGEST = 4_000_000


@dataclass(frozen=True, slots=True)
class Metadata:
    """A package's name, version (None: any) and requirements."""

    name: str
    version: str | None
    requires: tuple[str, ...]
    extras: tuple[str, ...] = ()


def read_metadata(wheel: Path) -> Metadata:
    """From the wheel's METADATA. Blocking. Raises LockRefused."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            entries = [
                entry
                for entry in archive.infolist()
                if entry.filename.count("/") == 1 and entry.filename.endswith(".dist-info/METADATA")
            ]
            if len(entries) != 1 or entries[0].file_size > _LARGEST:
                raise _broken(wheel)
            message = email.message_from_bytes(archive.read(entries[0]))
    except (OSError, zipfile.BadZipFile) as error:
        raise _broken(wheel) from error
    name, version = message.get("Name"), message.get("Version")
    if not name or not version:
        raise _broken(wheel)
    return Metadata(
        str(canonicalize_name(str(name))),
        str(version),
        tuple(" ".join(str(one).split()) for one in message.get_all("Requires-Dist", ())),
        tuple(str(one) for one in message.get_all("Provides-Extra", ())),
    )


def static_metadata(entries: Iterable[Metadata]) -> str:
    """A configuration for uv, so that it need not ask the packages themselves."""
    blocks = []
    for entry in entries:
        lines = ["[[dependency-metadata]]", f"name = {_quoted(entry.name)}"]
        if entry.version is not None:
            lines.append(f"version = {_quoted(entry.version)}")
        lines.append(f"requires-dist = [{', '.join(_quoted(one) for one in entry.requires)}]")
        if entry.extras:
            lines.append(f"provides-extra = [{', '.join(_quoted(one) for one in entry.extras)}]")
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _quoted(text: str) -> str:
    printable = "".join(letter for letter in text if letter.isprintable())
    return '"' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _broken(wheel: Path) -> LockRefused:
    return LockRefused(
        "wheel_unreadable",
        f"The wheel {wheel.name} cannot be read.",
        "Require another version of the package.",
    )
