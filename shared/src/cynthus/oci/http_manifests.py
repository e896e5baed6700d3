"""Manifests in a registry: read and verified, written, deleted."""

from collections.abc import Callable, Sequence
from http import HTTPStatus

from cynthus.oci.connections import Body, Request, Response
from cynthus.oci.descriptor import MediaType, is_digest
from cynthus.oci.documents import NotAnImage, read_object
from cynthus.oci.http_answers import Interrupted, explanation, problems, refusal, whole
from cynthus.oci.http_client import HttpClient
from cynthus.oci.manifest import digest_of
from cynthus.oci.ports import (
    BlobsUnknown,
    ContentDamaged,
    ContentUnknown,
    Document,
    RegistryDenied,
    RegistryUnavailable,
)
from cynthus.oci.reference import checked_repository, checked_tag
from cynthus.oci.verification import check

_TYPES = (
    MediaType.INDEX, MediaType.MANIFEST, MediaType.DOCKER_INDEX, MediaType.DOCKER_MANIFEST,
)  # fmt: skip
_LONGEST = 8 << 20
_UNKNOWN = {"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"}
_STILL_TAGGED = "GOOGLE_MANIFEST_DANGLING_TAG"
_TRIES_WITH_ALL_BLOBS = 3


class HttpManifests:
    """`is_there` tells whether a repository has a blob."""

    def __init__(self, client: HttpClient, is_there: Callable[[str, str], bool]) -> None:
        self._client = client
        self._is_there = is_there

    def read(self, repository: str, reference: str) -> Document:
        """By digest or tag, verified. Raises ContentUnknown, ContentDamaged."""
        response, body = self._get(repository, reference)
        if response.status != HTTPStatus.OK:
            raise refusal(response, "GET", body)
        return _document(response, body, reference)

    def write_index(self, repository: str, tag: str, body: bytes) -> None:
        """Store an index under a tag."""
        self._put(repository, tag, body, MediaType.INDEX)

    def write(self, repository: str, reference: str, body: bytes, media_type: str) -> Response:
        """Store one and give the answer. Raises BlobsUnknown, NotAnImage."""
        tries = self._client.tries(f"writing {reference} of {repository}")
        while True:
            try:
                return self._put(repository, reference, body, media_type)
            except BlobsUnknown as error:
                # a registry says so for a moment, too, while somebody else writes the same blob again
                there = [self._is_there(repository, digest) for digest in error.digests]
                if not there or not all(there) or tries.failed + 1 >= _TRIES_WITH_ALL_BLOBS:
                    raise
                tries.again(Interrupted(str(error)))

    def delete(self, repository: str, digest: str, tags: Callable[[str], Sequence[str]]) -> None:
        """What is not there is fine. Raises RegistryDenied.

        Some registries want the `tags` of a manifest deleted before it.
        """
        body = self._delete(repository, digest)
        if any(problem.code == _STILL_TAGGED for problem in problems(body)):
            for tag in tags(repository):
                if self._named(repository, tag) == digest:
                    self._delete(repository, tag)
            body = self._delete(repository, digest)
        if body:
            raise RegistryUnavailable(f"{repository} keeps {digest}: {body[:200]!r}")

    def _delete(self, repository: str, reference: str) -> bytes:
        """Nothing when it is gone, else why it is still tagged."""
        scope = self._client.scope(repository, "pull,delete")
        response = self._client.ask("DELETE", self._url(repository, reference), scope)
        body = explanation(response)
        if response.status == HTTPStatus.METHOD_NOT_ALLOWED:
            raise RegistryDenied("the registry forbids to delete manifests: enable deletion in its settings")
        if response.status in {HTTPStatus.ACCEPTED, HTTPStatus.OK, HTTPStatus.NO_CONTENT, 404}:
            return b""
        if any(problem.code == _STILL_TAGGED for problem in problems(body)):
            return body
        raise refusal(response, "DELETE", body)

    def _named(self, repository: str, tag: str) -> str | None:
        try:
            return self.read(repository, tag).digest
        except (ContentUnknown, ContentDamaged):
            return None

    def _url(self, repository: str, reference: str) -> str:
        checked = reference if is_digest(reference) else checked_tag(reference)
        return self._client.url(checked_repository(repository), "manifests", checked)

    def _get(self, repository: str, reference: str) -> tuple[Response, bytes]:
        headers = {"Accept": ", ".join(_TYPES)}
        request = Request("GET", self._url(repository, reference), headers)
        tries = self._client.tries(f"reading {reference} of {repository}")
        while True:
            try:
                response = self._client.attempt(request, self._client.scope(repository))
                return response, whole(response, _LONGEST)
            except Interrupted as error:
                tries.again(error)

    def _put(self, repository: str, reference: str, body: bytes, media_type: str) -> Response:
        response = self._client.ask(
            "PUT",
            self._url(repository, reference),
            self._client.scope(repository, "pull,push"),
            headers={"Content-Type": media_type},
            body=Body.of(body),
        )
        if response.status in {HTTPStatus.CREATED, HTTPStatus.OK, HTTPStatus.ACCEPTED}:
            response.discard()
            return response
        raise _refusal(response)


def _document(response: Response, body: bytes, reference: str) -> Document:
    if len(body) > _LONGEST:
        raise ContentDamaged(f"{reference} is no manifest: more than {_LONGEST} bytes")
    digest = digest_of(body)
    said = reference if is_digest(reference) else response.headers.get("Docker-Content-Digest", "")
    if is_digest(said):
        check(body, said)
    elif not _is_whole(body):
        raise ContentDamaged(f"{reference} arrived cut or is no manifest")
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
    if media_type not in _TYPES:
        media_type = _inner_type(body) or media_type
    return Document(body, media_type, digest)


def _is_whole(body: bytes) -> bool:
    try:
        read_object(body)
    except NotAnImage:
        return False
    return True


def _inner_type(body: bytes) -> str | None:
    try:
        said = read_object(body).get("mediaType")
    except NotAnImage:
        return None
    return said if isinstance(said, str) else None


def _refusal(response: Response) -> Exception:
    body = explanation(response)
    told = problems(body)
    unknown = [problem for problem in told if problem.code in _UNKNOWN]
    if unknown and response.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND}:
        return BlobsUnknown(tuple(dict.fromkeys(digest for one in unknown for digest in one.digests)))
    if any(problem.code == "MANIFEST_INVALID" for problem in told):
        return NotAnImage(f"the registry takes no such manifest: {told[0].message}")
    return refusal(response, "PUT", body)
