"""Which packages an image holds, as its own files say: for images that somebody else's steps have made."""

import re
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from posixpath import basename, dirname, normpath
from typing import BinaryIO

from cynthus.builder.domain.bill_of_materials import Component
from cynthus.builder.domain.debian import stanzas

_PYTHON = re.compile(r".+\.dist-info/METADATA")
_DEBIAN = re.compile(r"var/lib/dpkg/status(?:\.d/[^/]+)?")
_MOST_BYTES = 32 * 1024 * 1024
_GONE = ".wh."
_OPAQUE = ".wh..wh..opq"


@dataclass(slots=True)
class LayerContents:
    """Of one layer: packages by the file that tells of them, and what it removes from those below."""

    packages: dict[str, frozenset[Component]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    emptied: set[str] = field(default_factory=set)


def contents_of(layer: BinaryIO) -> LayerContents:
    """Read an uncompressed layer from its beginning; from where it is no tar on, nothing is said of it."""
    found = LayerContents()
    try:
        with tarfile.open(fileobj=layer, mode="r:") as tar:
            for member in tar:
                tar.members = []  # type: ignore[attr-defined]  # else it remembers each of a hundred thousand
                _take(tar, member, found)
    except (tarfile.TarError, ValueError, OverflowError):
        pass
    return found


def components_of(layers: Iterable[LayerContents]) -> tuple[Component, ...]:
    """What is there when each layer lies upon those before it."""
    packages: dict[str, frozenset[Component]] = {}
    for layer in layers:
        packages = {
            path: those
            for path, those in packages.items()
            if not (_below(path, layer.gone) or _below(dirname(path), layer.emptied))
        } | layer.packages
    every = frozenset[Component]().union(*packages.values())
    return tuple(sorted(every, key=lambda one: (one.kind, one.name, one.version)))


def _take(tar: tarfile.TarFile, member: tarfile.TarInfo, found: LayerContents) -> None:
    path = normpath(member.name).lstrip("/")
    name, folder = basename(path), dirname(path)
    if name == _OPAQUE:
        found.emptied.add(folder)
    elif name.startswith(_GONE):
        found.gone.add(f"{folder}/{name.removeprefix(_GONE)}".lstrip("/"))
    elif (
        member.isreg() and member.size <= _MOST_BYTES and (_PYTHON.fullmatch(path) or _DEBIAN.fullmatch(path))
    ):
        source = tar.extractfile(member)
        text = source.read().decode("utf-8", "replace") if source is not None else ""
        found.packages[path] = frozenset(_python(text) if _PYTHON.fullmatch(path) else _debian(text))


def _python(text: str) -> Iterable[Component]:
    fields = next(stanzas(text), {})
    if fields.get("Name") and fields.get("Version"):
        yield Component("pypi", re.sub(r"[-_.]+", "-", fields["Name"]).lower(), fields["Version"])


def _debian(text: str) -> Iterable[Component]:
    for fields in stanzas(text):
        state = fields.get("Status", "ok installed").split()[-1:]
        if state == ["installed"] and fields.get("Package") and fields.get("Version"):
            yield Component("deb", fields["Package"], fields["Version"])


def _below(path: str, folders: set[str]) -> bool:
    while path:
        if path in folders:
            return True
        path = dirname(path)
    return "" in folders
