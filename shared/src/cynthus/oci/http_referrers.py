"""Referrers in registries with the API for them, and in those without: an index tagged by the subject."""

import threading
from collections.abc import Callable
from http import HTTPStatus

from cynthus.oci.descriptor import Descriptor, MediaType
from cynthus.oci.http_answers import Interrupted, refusal, whole
from cynthus.oci.http_client import HttpClient, next_pages
from cynthus.oci.index import decode_index, encode_index
from cynthus.oci.ports import ContentUnknown, Document, RegistryUnavailable
from cynthus.oci.referring import of_type

_TRIES = 60
_TURN_S = 0.15


class HttpReferrers:
    """`read` and `write` get and put a manifest by its tag."""

    def __init__(
        self,
        client: HttpClient,
        read: Callable[[str, str], Document],
        write: Callable[[str, str, bytes], None],
    ) -> None:
        self._client = client
        self._read = read
        self._write = write
        self._lock = threading.Lock()

    def find(self, repository: str, digest: str, artifact_type: str | None) -> tuple[Descriptor, ...]:
        """Every manifest whose subject this is; a registry without the API answers 404 for the whole path."""
        wanted = {"artifactType": artifact_type} if artifact_type else {}
        address = self._client.url(repository, "referrers", digest, **wanted)
        found: list[Descriptor] = []
        for response in next_pages(self._client, address, self._client.scope(repository)):
            if response.status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
                response.discard()
                return of_type(self._listed(repository, digest), artifact_type)
            if response.status != HTTPStatus.OK:
                raise refusal(response, "GET")
            try:
                found += [entry.descriptor for entry in decode_index(whole(response))]
            except Interrupted as error:
                raise RegistryUnavailable(str(error)) from error
        return of_type(found, artifact_type)

    def add(self, repository: str, subject: str, referrer: Descriptor) -> None:
        """Keep it in the index under the subject's tag, also beside other writers."""
        self._change(
            repository,
            subject,
            lambda listed: [*listed, referrer],
            lambda digests: referrer.digest in digests,
        )

    def remove(self, repository: str, subject: str, digest: str) -> None:
        """Take one out of that index."""
        self._change(
            repository,
            subject,
            lambda listed: [one for one in listed if one.digest != digest],
            lambda digests: digest not in digests,
        )

    def _change(
        self,
        repository: str,
        subject: str,
        change: Callable[[list[Descriptor]], list[Descriptor]],
        is_done: Callable[[set[str]], bool],
    ) -> None:
        """Registries compare nothing before they write, so look again when others have had their turn."""
        seen = False
        with self._lock:
            for _ in range(_TRIES):
                listed = self._listed(repository, subject)
                if not is_done({one.digest for one in listed}):
                    self._write(repository, _tag(subject), encode_index(change(listed)))
                    seen = False
                elif seen:
                    return
                else:
                    seen = True
                    self._client.rest(_TURN_S)
        raise RegistryUnavailable(f"others keep changing the referrers of {subject}")

    def _listed(self, repository: str, subject: str) -> list[Descriptor]:
        try:
            document = self._read(repository, _tag(subject))
        except ContentUnknown:
            return []
        if document.media_type != MediaType.INDEX:
            return []
        return [entry.descriptor for entry in decode_index(document.body)]


def _tag(digest: str) -> str:
    return digest.replace(":", "-", 1)
