"""Requests to one registry: who asks, what is tried again, where answers lead to."""

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from cynthus.oci.authentication import Authenticator, Credentials
from cynthus.oci.connections import ConnectionLost, Connections, Origin, Request, Response
from cynthus.oci.http_answers import Interrupted, described, elsewhere, welcome, whole
from cynthus.oci.ports import RegistryDenied, RegistryUnavailable

_LEADS_ELSEWHERE = {301, 302, 303, 307, 308}
_REDIRECTS = 5
_FIRST_DELAY_S = 0.2
_MOST_DELAY_S = 10.0


class Tries:
    """Counts tries that failed in a row and waits between them."""

    def __init__(self, attempts: int, pause: Callable[[float], None], what: str) -> None:
        self._attempts = attempts
        self._pause = pause
        self._what = what
        self.failed = 0

    def again(self, error: Interrupted) -> None:
        """Wait for another try. Raises RegistryUnavailable when there have been enough."""
        self.failed += 1
        if error.lasting or self.failed >= self._attempts:
            tries = "" if error.lasting else f" after {self.failed} tries"
            raise RegistryUnavailable(f"{self._what}: {error}{tries}") from error
        delay = min(_FIRST_DELAY_S * 2 ** (self.failed - 1), _MOST_DELAY_S)
        jittered = random.uniform(delay / 2, delay)  # noqa: S311 - jitter
        self._pause(jittered if error.wait_s is None else error.wait_s + jittered)

    def succeeded(self) -> None:
        """What comes next is tried as often as ever."""
        self.failed = 0


class HttpClient:
    """Speaks to the registry at `url` in the name of `credentials`."""

    def __init__(
        self,
        url: str,
        credentials: Credentials | None,
        *,
        timeout_s: float,
        attempts: int,
        pause: Callable[[float], None],
        idle: int,
    ) -> None:
        parts = urlsplit(url)
        self._home = Origin.of(parts)
        if "@" in parts.netloc:
            raise ValueError("a registry's address holds no password: give credentials")
        self._root = f"{parts.scheme}://{parts.netloc}/v2/"
        self._prefix = parts.path.strip("/")
        self._attempts = attempts
        self._pause = pause
        self.connections = Connections(timeout_s, idle)
        self._authenticator = Authenticator(self._root, credentials, self._token)

    def name(self, repository: str) -> str:
        """The repository's path at the registry."""
        return f"{self._prefix}/{repository}" if self._prefix else repository

    def url(self, repository: str, *path: str, **query: str) -> str:
        """The address of something in a repository."""
        place = "/".join(quote(part, safe=":") for part in path)
        return f"{self._root}{self.name(repository)}/{place}{'?' if query else ''}{urlencode(query)}"

    def scope(self, repository: str, actions: str = "pull") -> str:
        """What a token must allow."""
        return f"repository:{self.name(repository)}:{actions}"

    def tries(self, what: str) -> Tries:
        """For something that is tried as a whole."""
        return Tries(self._attempts, self._pause, what)

    def rest(self, seconds: float) -> None:
        """Wait up to so long, each caller a little differently."""
        self._pause(random.uniform(seconds / 3, seconds))  # noqa: S311 - jitter

    def ask(self, method: str, url: str, *scopes: str, **more: Any) -> Response:
        """The answer, also an unwelcome one; what may pass is tried again. Raises RegistryUnavailable."""
        request = Request(method, url, **more)
        tries = self.tries(described(method, url))
        while True:
            try:
                return self.attempt(request, *scopes)
            except Interrupted as error:
                tries.again(error)

    def attempt(self, request: Request, *scopes: str) -> Response:
        """One try. Raises Interrupted, RegistryDenied, StorageFull."""
        for _ in range(3):
            header = self._authorization(request.url, scopes)
            response = self._follow(request, header)
            if response.status != HTTPStatus.UNAUTHORIZED or not self._is_home(response.url):
                return welcome(response)
            challenges = [str(value) for value in response.headers.get_all("WWW-Authenticate", [])]
            if not self._authenticator.learn(challenges, scopes, header):
                return response
            response.discard()
        raise RegistryDenied(f"{described(request.method, request.url)}: the registry takes no token it gave")

    def _authorization(self, url: str, scopes: tuple[str, ...]) -> str | None:
        return self._authenticator.header(scopes) if self._is_home(url) else None

    def _is_home(self, url: str) -> bool:
        return Origin.of(url) == self._home

    def _follow(self, request: Request, header: str | None) -> Response:
        """Follows reads to other hosts, which never see our credentials."""
        for _ in range(_REDIRECTS):
            response = self._send(request, header if self._is_home(request.url) else None)
            location = response.headers.get("Location")
            reading = request.method in {"GET", "HEAD"}
            if not (reading and response.status in _LEADS_ELSEWHERE and location):
                return response
            response.discard()
            request = replace(request, url=elsewhere(request.url, location))
        raise Interrupted("the registry leads in circles", lasting=True)

    def _send(self, request: Request, header: str | None) -> Response:
        ours = {"User-Agent": "cynthus", **request.headers}
        if header is not None:
            ours["Authorization"] = header
        try:
            return self.connections.send(replace(request, headers=ours))
        except ConnectionLost as error:
            raise Interrupted(str(error), lasting=error.lasting) from error

    def _token(self, url: str, headers: Mapping[str, str]) -> bytes:
        request = Request("GET", url, headers)
        tries = self.tries(described("GET", url))
        while True:
            try:
                response = welcome(self._send(request, None))
                body = whole(response)
            except Interrupted as error:
                tries.again(error)
                continue
            if response.status == HTTPStatus.OK:
                return body
            if response.status in {400, 401, 403}:
                raise RegistryDenied(f"{urlsplit(url).netloc} gives no token for these credentials")
            raise RegistryUnavailable(f"{described('GET', url)} answers {response.status}")


def next_pages(client: HttpClient, url: str, *scopes: str) -> Iterator[Response]:
    """Answers to GET, page after page as the Link header says."""
    seen: set[str] = set()
    while url and url not in seen:
        seen.add(url)
        response = client.ask("GET", url, *scopes)
        following = re.search(r'<([^>]*)>\s*;[^,]*rel="?next', response.headers.get("Link", ""))
        url = urljoin(url, following[1]) if following else ""
        yield response
