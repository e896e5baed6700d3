"""Who calls: a machine, an attempt, or the platform itself."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Header

from cynthus.web.problems import Refused
from cynthus.web.tokens import AttemptClaims, TokenRefused, WorkerTokens

Authorization = Annotated[str, Header()]


def _bearer(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused(401, "token_missing", "this call needs a bearer token")
    return token


def machine_of(tokens: WorkerTokens, authorization: str) -> str:
    """The machine that calls. Raises Refused."""
    try:
        return tokens.verify_machine(_bearer(authorization))
    except TokenRefused as error:
        raise Refused(401, "token_refused", f"the token is not accepted: {error}") from error


def attempt_of(tokens: WorkerTokens) -> Callable[[str, int, str], Awaitable[AttemptClaims]]:
    """A dependency: the attempt that calls, which must be the one in the path."""

    async def claims(run_id: str, epoch: int, authorization: Authorization = "") -> AttemptClaims:
        try:
            verified = tokens.verify_attempt(_bearer(authorization))
        except TokenRefused as error:
            raise Refused(401, "token_refused", f"the token is not accepted: {error}") from error
        if (verified.run_id, verified.epoch) != (run_id, epoch):
            raise Refused(403, "other_attempt", "the token is for another attempt")
        return verified

    return claims


def internal(token: str) -> Callable[[str], Awaitable[None]]:
    """A dependency: only another service of this platform may call."""

    async def check(authorization: Authorization = "") -> None:
        if not hmac.compare_digest(_bearer(authorization).encode(), token.encode()):
            raise Refused(401, "token_refused", "the platform's internal token is needed")

    return check
