"""Any OCI registry, over HTTP."""

import re
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import BinaryIO

from cynthus.oci.authentication import Credentials
from cynthus.oci.connections import ConnectionLost, Request, Response
from cynthus.oci.descriptor import Descriptor, NotAnImage
from cynthus.oci.documents import read_object
from cynthus.oci.http_answers import Interrupted, refusal, whole
from cynthus.oci.http_client import HttpClient, next_pages
from cynthus.oci.http_manifests import HttpManifests
from cynthus.oci.http_referrers import HttpReferrers
from cynthus.oci.http_uploads import HttpUploads
from cynthus.oci.manifest import digest_of
from cynthus.oci.ports import (
    ContentDamaged,
    ContentUnknown,
    Document,
    RegistryUnavailable,
)
from cynthus.oci.reference import checked_digest, checked_repository
from cynthus.oci.referring import described, subject_of
from cynthus.oci.verification import verified

__all__ = ["Credentials", "HttpRegistry"]

_NUMBER = re.compile(r"[0-9]{1,18}")
_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/(?:[0-9]{1,18}|\*)")


class HttpRegistry:
    """The registry at `url`; a path in it goes before every repository. Safe from many threads.

    `write` asks nothing first: a small blob is two requests (POST, PUT); ask `stat` where it may be there.
    Blobs of more than `chunk_bytes` go in chunks and are resumed, where the registry takes chunks.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials | None = None,
        *,
        timeout_s: float = 30.0,
        attempts: int = 5,
        chunk_bytes: int = 16 << 20,
        pause: Callable[[float], None] = time.sleep,
        idle_connections: int = 16,
    ) -> None:
        self._client = HttpClient(
            url,
            credentials,
            timeout_s=timeout_s,
            attempts=attempts,
            pause=pause,
            idle=idle_connections,
        )
        weakref.finalize(self, self._client.connections.close)
        self._uploads = HttpUploads(self._client, chunk_bytes)
        self._manifests = HttpManifests(self._client, self._is_there)
        self._referrers = HttpReferrers(self._client, self._manifests.read, self._manifests.write_index)

    def close(self) -> None:
        """End the idle connections; the registry can still be used."""
        self._client.connections.close()

    def stat(self, repository: str, digest: str) -> int | None:
        """Bytes of a blob, or None when the repository has not got it."""
        address = self._blob(repository, digest)
        response = self._client.ask("HEAD", address, self._client.scope(repository))
        response.discard()
        if response.status == HTTPStatus.NOT_FOUND:
            return None
        if response.status != HTTPStatus.OK:
            raise refusal(response, "HEAD", b"")
        size = response.headers.get("Content-Length", "")
        if not _NUMBER.fullmatch(size):
            raise RegistryUnavailable(f"the registry does not say how large {digest} is")
        return int(size)

    def read(self, repository: str, digest: str, *, offset: int = 0) -> Iterator[bytes]:
        """A blob's bytes, resumed where a connection was cut. Raises ContentUnknown, ContentDamaged."""
        pieces = self._pieces(repository, digest, offset)
        return verified(pieces, digest) if offset == 0 else pieces

    def write(self, repository: str, digest: str, size: int, source: Callable[[], BinaryIO]) -> None:
        """Store a blob. Raises ContentDamaged, StorageFull."""
        self._blob(repository, digest)
        self._uploads.write(repository, digest, size, source, lambda: self._is_there(repository, digest))

    def mount(self, repository: str, digest: str, source_repository: str) -> bool:
        """Make a blob of another repository one of this; False when that cannot be done."""
        self._blob(repository, digest)
        return self._uploads.mount(repository, digest, checked_repository(source_repository))

    def manifest(self, repository: str, reference: str) -> Document:
        """A manifest or index by digest or tag, verified. Raises ContentUnknown, ContentDamaged."""
        return self._manifests.read(repository, reference)

    def write_manifest(self, repository: str, body: bytes, media_type: str, *, tag: str | None = None) -> str:
        """Store a manifest and give its digest. Raises BlobsUnknown, NotAnImage."""
        digest = digest_of(body)
        subject = subject_of(body)
        response = self._manifests.write(repository, tag or digest, body, media_type)
        if subject is not None and response.headers.get("OCI-Subject") != subject:
            self._referrers.add(repository, subject, described(body, media_type))
        return digest

    def referrers(
        self, repository: str, digest: str, artifact_type: str | None = None
    ) -> Sequence[Descriptor]:
        """Manifests whose subject is this one."""
        checked_repository(repository)
        checked_digest(digest)
        return self._referrers.find(repository, digest, artifact_type)

    def tags(self, repository: str) -> Sequence[str]:
        """Every tag, sorted; none for an unknown repository."""
        address = self._client.url(checked_repository(repository), "tags", "list", n="1000")
        found: set[str] = set()
        for response in next_pages(self._client, address, self._client.scope(repository)):
            if response.status == HTTPStatus.NOT_FOUND:
                response.discard()
                break
            if response.status != HTTPStatus.OK:
                raise refusal(response, "GET")
            found.update(_tags(response))
        return sorted(found)

    def remove_manifest(self, repository: str, digest: str) -> None:
        """Forget a manifest and its tags; what is not there is fine. Raises RegistryDenied."""
        try:
            subject = subject_of(self.manifest(repository, checked_digest(digest)).body)
        except ContentUnknown:
            return
        except (ContentDamaged, NotAnImage):
            subject = None
        self._manifests.delete(repository, digest, self.tags)
        if subject is not None:
            self._referrers.remove(repository, subject, digest)

    def _is_there(self, repository: str, digest: str) -> bool:
        return self.stat(repository, digest) is not None

    def _blob(self, repository: str, digest: str) -> str:
        return self._client.url(checked_repository(repository), "blobs", checked_digest(digest))

    def _pieces(self, repository: str, digest: str, offset: int) -> Iterator[bytes]:
        address = self._blob(repository, digest)
        tries = self._client.tries(f"reading {digest} of {repository}")
        while True:
            try:
                for piece in self._opened(address, repository, offset):
                    offset += len(piece)
                    tries.succeeded()
                    yield piece
            except (Interrupted, ConnectionLost) as error:
                tries.again(error if isinstance(error, Interrupted) else Interrupted(str(error)))
            else:
                return

    def _opened(self, address: str, repository: str, offset: int) -> Iterator[bytes]:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        response = self._client.attempt(Request("GET", address, headers), self._client.scope(repository))
        if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and offset:
            response.discard()
            return
        if response.status == HTTPStatus.PARTIAL_CONTENT:
            found = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
            if found is None or int(found[1]) != offset:
                response.close()
                raise RegistryUnavailable("the registry answers another range than the one asked for")
            yield from response.pieces()
        elif response.status == HTTPStatus.OK:
            yield from _behind(offset, response.pieces())
        else:
            raise refusal(response, "GET")


def _behind(skip: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        if skip < len(piece):
            yield piece[skip:]
        skip = max(0, skip - len(piece))


def _tags(response: Response) -> list[str]:
    try:
        listed = read_object(whole(response)).get("tags") or []
    except (NotAnImage, Interrupted) as error:
        raise RegistryUnavailable(f"the registry's list of tags is not understood: {error}") from error
    return [tag for tag in listed if isinstance(tag, str)]
