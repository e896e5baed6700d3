"""Who is calling: bearer tokens."""

import hmac
from dataclasses import dataclass
from hashlib import sha256

from starlette.requests import Request

from cynthus.web.problems import Refused


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose objects a request may touch (`owner`), and who makes it (`actor`, such as `user:ann`)."""

    owner: str
    actor: str


def bearer(request: Request) -> str:
    """The request's bearer token. Raises Refused (401)."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthenticated("no bearer token was sent")
    return token.strip()


def unauthenticated(detail: str) -> Refused:
    """The answer to a request without a valid token."""
    return Refused(
        401,
        "unauthenticated",
        detail,
        hint="Send `Authorization: Bearer <token>`; `cynthus login` stores a token.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def same(given: str, expected: str) -> bool:
    """Compare secrets in a time that tells nothing about them."""
    return hmac.compare_digest(given.encode(), expected.encode())


def fingerprint(token: str) -> str:
    """What is stored of a token: its SHA-256 in hex."""
    return sha256(token.encode()).hexdigest()


def require_internal(request: Request, expected: str) -> None:
    """Let only the platform's own services pass. Raises Refused (401)."""
    if not same(bearer(request), expected):
        raise unauthenticated("this is for the platform's services only")
