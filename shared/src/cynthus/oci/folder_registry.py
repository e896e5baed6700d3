"""A registry in a folder: one OCI image layout for each repository."""

import hashlib
import os
import stat as modes
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from cynthus.oci import durable
from cynthus.oci.descriptor import Descriptor, MediaType, NotAnImage, is_digest
from cynthus.oci.documents import read_object
from cynthus.oci.image_layout import SUBJECT, Layout, find, tag_of, tagged
from cynthus.oci.index import INDEXES, decode_index
from cynthus.oci.manifest import Manifest, digest_of
from cynthus.oci.ports import BlobsUnknown, ContentDamaged, ContentUnknown, Document
from cynthus.oci.reference import checked_digest, checked_repository, checked_tag
from cynthus.oci.referring import described, of_type, subject_of
from cynthus.oci.verification import PIECE_BYTES, check, exactly, verified

_DAY_S = 24 * 3600.0


class FolderRegistry:
    """Images below `root`, as `root/<repository>`; several threads and processes may share it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._tidied: dict[str, float] = {}

    def stat(self, repository: str, digest: str) -> int | None:
        """Bytes of a blob, or None when the repository has not got it."""
        path = self._layout(repository).blob(checked_digest(digest))
        with durable.told():
            try:
                found = path.stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return found.st_size if modes.S_ISREG(found.st_mode) else None

    def read(self, repository: str, digest: str, *, offset: int = 0) -> Iterator[bytes]:
        """A blob's bytes. Raises ContentUnknown, ContentDamaged."""
        pieces = _pieces(self._layout(repository).blob(checked_digest(digest)), digest, offset)
        return verified(pieces, digest) if offset == 0 else pieces

    def write(self, repository: str, digest: str, size: int, source: Callable[[], BinaryIO]) -> None:
        """Store a blob, if it is not there. Raises ContentDamaged, StorageFull."""
        layout = self._layout(repository)
        path = layout.blob(checked_digest(digest))
        with durable.told():
            if self.stat(repository, digest) == size and layout.touch(digest):
                return
            self._prepare(repository, layout)
        with source() as stream:
            _store(path, stream, size, digest)

    def mount(self, repository: str, digest: str, source_repository: str) -> bool:
        """Link a blob of another repository into this one, or copy it where links are impossible."""
        layout, source = self._layout(repository), self._layout(source_repository)
        path = source.blob(checked_digest(digest))
        with durable.told():
            if layout.touch(digest):
                return True
            if not path.is_file():
                return False
            self._prepare(repository, layout)
            try:
                os.link(path, layout.blob(digest))
            except FileExistsError:
                return True
            except FileNotFoundError:
                return False
            except OSError:
                self.write(repository, digest, path.stat().st_size, lambda: path.open("rb"))
            durable.sync_names(layout.blobs)
            layout.touch(digest)
        return True

    def manifest(self, repository: str, reference: str) -> Document:
        """A manifest or index by digest or tag, verified. Raises ContentUnknown, ContentDamaged."""
        layout = self._layout(repository)
        is_tag = not is_digest(reference)
        if is_tag:
            checked_tag(reference)
        with durable.told():
            found = find(layout, layout.listed(), reference, is_tag=is_tag)
            if found is None:
                raise ContentUnknown(f"{repository} has no manifest {reference}")
            body = layout.read_blob(found.digest)
        check(body, found.digest)
        return Document(body, found.media_type, found.digest)

    def write_manifest(self, repository: str, body: bytes, media_type: str, *, tag: str | None = None) -> str:
        """Store a manifest and give its digest. Raises BlobsUnknown, NotAnImage, StorageFull."""
        layout, digest = self._layout(repository), digest_of(body)
        if tag is not None:
            checked_tag(tag)
        entry = _entry(body, media_type)
        needed = _needed(body, media_type)
        with durable.told():
            self._prepare(repository, layout)
            with layout.changing() as listed:
                missing = [blob for blob in needed if not layout.touch(blob)]
                if missing:
                    raise BlobsUnknown(tuple(dict.fromkeys(missing)))
                if not layout.touch(digest):
                    durable.write(layout.blob(digest), [body])
                listed[:] = tagged(listed, entry, tag)
        return digest

    def referrers(
        self, repository: str, digest: str, artifact_type: str | None = None
    ) -> Sequence[Descriptor]:
        """Manifests whose subject is this one."""
        layout = self._layout(repository)
        checked_digest(digest)
        with durable.told():
            named = [one for one in layout.listed() if one.annotations.get(SUBJECT) == digest]
            found = []
            for one in named:
                with suppress(ContentUnknown, NotAnImage):
                    found.append(described(layout.read_blob(one.digest), one.media_type))
        return of_type(found, artifact_type)

    def tags(self, repository: str) -> Sequence[str]:
        """Every tag, sorted; none for an unknown repository."""
        with durable.told():
            listed = self._layout(repository).listed()
        return sorted({tag for one in listed if (tag := tag_of(one)) is not None})

    def remove_manifest(self, repository: str, digest: str) -> None:
        """Forget a manifest and its tags; what is not there is fine. Its blobs stay until `collect`."""
        layout = self._layout(repository)
        checked_digest(digest)
        with durable.told():
            if not layout.is_there:
                return
            with layout.changing() as listed:
                listed[:] = [one for one in listed if one.digest != digest]

    def collect(self, repository: str, *, older_than_s: float = _DAY_S) -> int:
        """Remove blobs that no manifest names and nobody touched for so long; gives the bytes freed here."""
        layout, freed = self._layout(repository), 0
        with durable.told():
            if not layout.is_there:
                return 0
            with layout.changing() as listed:
                kept = _reachable(layout, listed)
                for path in layout.blobs.iterdir():
                    found = path.stat()
                    old = time.time() - max(found.st_mtime, found.st_ctime) >= older_than_s
                    if old and is_digest(f"sha256:{path.name}") and f"sha256:{path.name}" not in kept:
                        path.unlink(missing_ok=True)
                        freed += found.st_size if found.st_nlink == 1 else 0
        return freed

    def sweep(self, *, older_than_s: float = _DAY_S) -> int:
        """`collect` in every repository; gives the bytes freed."""
        markers = sorted(self._root.rglob("oci-layout"))
        places = (marker.parent.relative_to(self._root).as_posix() for marker in markers)
        return sum(self.collect(place, older_than_s=older_than_s) for place in places)

    def _layout(self, repository: str) -> Layout:
        return Layout(self._root / checked_repository(repository))

    def _prepare(self, repository: str, layout: Layout) -> None:
        layout.create()
        if time.monotonic() - self._tidied.get(repository, -_DAY_S) >= _DAY_S:
            self._tidied[repository] = time.monotonic()
            durable.remove_forgotten(layout.blobs)
            durable.remove_forgotten(layout.folder)


def _pieces(path: Path, digest: str, offset: int) -> Iterator[bytes]:
    with durable.told():
        try:
            stream = path.open("rb", buffering=0)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ContentUnknown(f"there is no {digest}") from error
    with stream:
        stream.seek(offset)
        while True:
            with durable.told():
                piece = stream.read(PIECE_BYTES)
            if not piece:
                return
            yield piece


def _store(path: Path, stream: BinaryIO, size: int, digest: str) -> None:
    hashed = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        for piece in exactly(stream, size):
            hashed.update(piece)
            yield piece
        if f"sha256:{hashed.hexdigest()}" != digest:
            raise ContentDamaged(f"the source of {digest} has sha256:{hashed.hexdigest()}")

    with durable.told():
        durable.write(path, pieces())


def _entry(body: bytes, media_type: str) -> Descriptor:
    subject = subject_of(body)
    notes = {} if subject is None else {SUBJECT: subject}
    return replace(described(body, media_type), annotations=notes)


def _needed(body: bytes, media_type: str) -> list[str]:
    if media_type in INDEXES or (
        media_type not in vars(MediaType).values() and "config" not in read_object(body)
    ):
        return [entry.descriptor.digest for entry in decode_index(body)]
    manifest = Manifest.decode(body)
    return [manifest.config.digest, *(layer.digest for layer in manifest.layers)]


def _reachable(layout: Layout, listed: list[Descriptor]) -> set[str]:
    kept: set[str] = set()
    waiting = list(listed)
    while waiting:
        one = waiting.pop()
        if one.digest in kept:
            continue
        kept.add(one.digest)
        with suppress(ContentUnknown, NotAnImage):
            body = layout.read_blob(one.digest)
            if one.media_type in INDEXES:
                waiting += [entry.descriptor for entry in decode_index(body)]
            else:
                kept.update(_needed(body, one.media_type))
    return kept
