"""How a registry is told who asks: not at all, with a password, or with tokens it sends us to fetch."""

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode, urljoin, urlsplit

from cynthus.oci.connections import Origin
from cynthus.oci.ports import RegistryDenied, RegistryUnavailable

_BEARER = re.compile(r"(?:^|,)\s*bearer\s+(.*)", re.IGNORECASE | re.DOTALL)
_BASIC = re.compile(r"(?:^|,)\s*basic\b", re.IGNORECASE)
_PARAMETER = re.compile(r'([a-zA-Z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_LIFE_S = 60.0
_MARGIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """A name and a password, or a token in its place."""

    username: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The header's value."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a registry wants; `realm` is where tokens are got, None for Basic."""

    realm: str | None = None
    service: str | None = None
    scope: str | None = None

    @classmethod
    def parse(cls, headers: Sequence[str]) -> "Challenge | None":
        """The one of the WWW-Authenticate headers that we can meet."""
        for header in headers:
            if found := _BEARER.search(header):
                given = {
                    name.lower(): re.sub(r"\\(.)", r"\1", quoted) or bare
                    for name, quoted, bare in _PARAMETER.findall(found[1])
                }
                if "realm" in given:
                    return cls(given["realm"], given.get("service"), given.get("scope"))
        return cls() if any(_BASIC.search(header) for header in headers) else None


@dataclass(frozen=True, slots=True)
class _Token:
    header: str
    until: float


class Authenticator:
    """Knows what the registry at `home` wants, and keeps a token for each scope until it ends.

    `fetch(url, headers)` gives the body of a realm's answer.
    """

    def __init__(
        self,
        home: str,
        credentials: Credentials | None,
        fetch: Callable[[str, Mapping[str, str]], bytes],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home = home
        self._credentials = credentials
        self._fetch = fetch
        self._clock = clock
        self._challenge: Challenge | None = None
        self._tokens: dict[tuple[str, ...], _Token] = {}
        self._lock = threading.Lock()

    def header(self, scopes: tuple[str, ...]) -> str | None:
        """What to send, as far as it is known. Raises RegistryDenied, RegistryUnavailable."""
        with self._lock:
            if self._challenge is None:
                return None
            if self._challenge.realm is None:
                return self._credentials.basic if self._credentials else None
            token = self._tokens.get(scopes)
            if token is None or token.until <= self._clock():
                token = self._tokens[scopes] = self._new_token(self._challenge, scopes)
            return token.header

    def learn(self, challenges: Sequence[str], scopes: tuple[str, ...], sent: str | None) -> bool:
        """Whether another try can succeed after a 401 to a request with the header `sent`."""
        challenge = Challenge.parse(challenges)
        if challenge is None or (challenge.realm is None and (sent or self._credentials is None)):
            return False
        with self._lock:
            self._challenge = challenge
            token = self._tokens.get(scopes)
            if token is not None and token.header == sent:
                del self._tokens[scopes]
        return True

    def _new_token(self, challenge: Challenge, scopes: tuple[str, ...]) -> _Token:
        asked = self._clock()
        realm = urljoin(self._home, challenge.realm or "")
        headers = {"Authorization": self._credentials.basic} if self._credentials else {}
        if not self._is_trusted(realm):
            raise RegistryDenied(f"the registry asks to get a token at {_place(realm)}, which is not https")
        query = [("service", challenge.service)] if challenge.service else []
        wanted = dict.fromkeys((*scopes, *([challenge.scope] if challenge.scope and not scopes else [])))
        query += [("scope", scope) for scope in wanted]
        address = f"{realm}{'&' if urlsplit(realm).query else '?'}{urlencode(query)}"
        return self._decoded(self._fetch(address, headers), realm, asked)

    def _decoded(self, body: bytes, realm: str, asked: float) -> _Token:
        try:
            read = json.loads(body)
            token = read.get("token") or read.get("access_token")
            life = float(read.get("expires_in") or _LIFE_S)
        except (ValueError, TypeError, AttributeError) as error:
            raise RegistryUnavailable(f"{_place(realm)} answers no token") from error
        if not isinstance(token, str) or not token.isprintable():
            raise RegistryUnavailable(f"{_place(realm)} answers no token")
        return _Token(f"Bearer {token}", asked + life - min(_MARGIN_S, life / 4))

    def _is_trusted(self, realm: str) -> bool:
        """Credentials go to the registry itself, or over TLS, or from this machine to this machine."""
        try:
            there, home = Origin.of(realm), Origin.of(self._home)
        except ValueError:
            return False
        near = {there.host, home.host} <= _LOOPBACK
        return there.scheme == "https" or there == home or near


def _place(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
