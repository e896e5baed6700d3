"""Tokens of workers: a machine's, to be given work; an attempt's, to report on it and reach its content."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

AUDIENCE = "cynthus-worker"
_ALGORITHM = "HS256"
_LEEWAY_S = 30


class TokenRefused(Exception):
    """The token is not ours, is for something else, or has expired."""


@dataclass(frozen=True, slots=True)
class AttemptClaims:
    """Whom an attempt token speaks for."""

    run_id: str
    epoch: int
    owner: str
    machine: str


class WorkerTokens:
    """Issues and checks the tokens under one key (at least 32 characters)."""

    def __init__(self, key: str, *, seconds: Callable[[], float] = time.time) -> None:
        self._key = OctKey.import_key(key)
        self._seconds = seconds

    def machine(self, name: str, *, ttl_s: float) -> str:
        """A token for one machine."""
        return self._issue({"sub": f"machine:{name}"}, ttl_s)

    def attempt(self, claims: AttemptClaims, *, ttl_s: float) -> str:
        """A token for one attempt."""
        subject = f"attempt:{claims.run_id}:{claims.epoch}"
        return self._issue({"sub": subject, "owner": claims.owner, "machine": claims.machine}, ttl_s)

    def verify_machine(self, token: str) -> str:
        """The machine's name. Raises TokenRefused."""
        kind, _, name = self._claims(token)["sub"].partition(":")
        if kind != "machine":
            raise TokenRefused("not a machine's token")
        return name

    def verify_attempt(self, token: str) -> AttemptClaims:
        """The attempt. Raises TokenRefused."""
        claims = self._claims(token)
        kind, _, rest = claims["sub"].partition(":")
        if kind != "attempt":
            raise TokenRefused("not an attempt's token")
        run_id, _, epoch = rest.partition(":")
        return AttemptClaims(run_id, int(epoch), claims["owner"], claims["machine"])

    def _issue(self, claims: dict[str, str], ttl_s: float) -> str:
        # No `iat`: a token from a service whose clock is ahead would be refused by all others.
        payload = {
            **claims,
            "aud": AUDIENCE,
            "exp": int(self._seconds()) + int(ttl_s),
            "jti": secrets.token_hex(8),
        }
        return jwt.encode({"alg": _ALGORITHM}, payload, self._key)

    def _claims(self, token: str) -> dict[str, str]:
        now = int(self._seconds())
        registry = jwt.JWTClaimsRegistry(now, leeway=_LEEWAY_S, aud={"essential": True, "value": AUDIENCE})
        try:
            claims = jwt.decode(token, self._key, algorithms=[_ALGORITHM]).claims
            registry.validate(claims)
        except (JoseError, ValueError) as error:
            raise TokenRefused(type(error).__name__) from error
        return claims
