"""Unpacked layers by the digest of their content."""

from collections.abc import Callable, Iterator

from cynthus.environments.refusal import DEFAULT_LIMITS, LayerRefused, Limits
from cynthus.environments.shelf import Shelf
from cynthus.environments.unpack import unpack
from cynthus.oci.descriptor import Descriptor, MediaType, is_digest
from cynthus.oci.manifest import Note

_READABLE = frozenset({MediaType.LAYER, MediaType.LAYER_GZIP, MediaType.DOCKER_LAYER})


class LayerStore:
    """`FOLDER/<hex of the diff id>`: read-only files, unpacked once per machine and verified."""

    def __init__(self, folder: str, limits: Limits = DEFAULT_LIMITS) -> None:
        self.shelf = Shelf(folder)
        self._limits = limits

    def open(
        self, descriptor: Descriptor, read: Callable[[], Iterator[bytes]], check: Callable[[], None]
    ) -> str:
        """The folder of a layer, held until `release`; `read` is called only when it is not here yet.

        `check` is called between pieces and while another process unpacks; it may raise. Raises LayerRefused
        and what `read` raises.
        """
        diff_id = diff_id_of(descriptor)

        def make(folder: str) -> int:
            return unpack(_checked(read(), check), folder, limits=self._limits, diff_id=diff_id).bytes

        return self.shelf.open(name_of(diff_id), make, check)

    def has(self, descriptor: Descriptor) -> bool:
        """Whether it is here now."""
        return self.shelf.has(name_of(diff_id_of(descriptor)))

    def release(self) -> None:
        """Let others remove what was opened."""
        self.shelf.release()


def diff_id_of(descriptor: Descriptor) -> str:
    """What the layer unpacks to, as its annotation says. Raises LayerRefused."""
    diff_id = descriptor.annotations.get(Note.DIFF_ID, "")
    if not is_digest(diff_id):
        raise LayerRefused(f"layer {descriptor.digest} does not say what it unpacks to ({Note.DIFF_ID})")
    if descriptor.media_type not in _READABLE:
        raise LayerRefused(f"layer {descriptor.digest} is {descriptor.media_type}, which is not read here")
    return diff_id


def name_of(diff_id: str) -> str:
    """Its folder's name."""
    return diff_id.removeprefix("sha256:")


def _checked(pieces: Iterator[bytes], check: Callable[[], None]) -> Iterator[bytes]:
    for piece in pieces:
        check()
        yield piece
