"""What packing gives: the file of one image layer and its names."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cynthus.oci.descriptor import Descriptor, MediaType
from cynthus.oci.manifest import Note

CONVERTER = 1
"""Of whatever decides a layer's bytes; part of every key. A change here packs everything anew."""

Kind = Literal["venv", "packages", "wheel", "source", "system"]


class WheelRefused(Exception):
    """A wheel that is broken, hostile or made for something else."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name
        self.why = why


class SourceRefused(Exception):
    """A snapshot whose entries contradict each other or whose content is not what they say."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """A layer's file on disk; `size` in bytes. `package` is name==version of a wheel."""

    path: Path
    digest: str
    size: int
    diff_id: str
    media_type: str = MediaType.LAYER_GZIP
    kind: Kind = "wheel"
    package: str | None = None

    def descriptor(self) -> Descriptor:
        """As a manifest names it."""
        annotations = {Note.LAYER: self.kind, Note.DIFF_ID: self.diff_id}
        if self.package is not None:
            annotations[Note.PACKAGE] = self.package
        return Descriptor(self.media_type, self.digest, self.size, annotations)
