"""What a registry's answers mean: what may pass, what is refused, where they lead to."""

import json
import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

from cynthus.oci.connections import ConnectionLost, Origin, Response
from cynthus.oci.ports import ContentUnknown, RegistryDenied, RegistryUnavailable, StorageFull

_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_MOST_ASKED_DELAY_S = 120.0
_NUMBER = re.compile(r"[0-9]{1,18}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Interrupted(Exception):
    """A try failed in a way that may pass; `wait_s` when the registry said how long."""

    def __init__(self, reason: str, *, wait_s: float | None = None, lasting: bool = False) -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        self.lasting = lasting


@dataclass(frozen=True, slots=True)
class Problem:
    """One error of a registry's answer."""

    code: str
    message: str
    digests: tuple[str, ...] = ()


def whole(response: Response, limit: int = 8 << 20) -> bytes:
    """The body, cut off behind `limit`. Raises Interrupted."""
    try:
        return response.body(limit)
    except ConnectionLost as error:
        raise Interrupted(str(error)) from error


def explanation(response: Response) -> bytes:
    """The body of a refusal; nothing when it is cut."""
    try:
        return response.body(64 << 10)
    except ConnectionLost:
        return b""


def elsewhere(url: str, location: str) -> str:
    """Where an answer leads to. Raises Interrupted where no request may go."""
    there = urljoin(url, location)
    try:
        down = (Origin.of(url).scheme, Origin.of(there).scheme) == ("https", "http")
    except ValueError as error:
        raise Interrupted("the registry leads to what is no address", lasting=True) from error
    if down:
        raise Interrupted(f"the registry leads away from https, to {urlsplit(there).netloc}", lasting=True)
    return there


def described(method: str, url: str) -> str:
    """A request for people: without its query, where tokens and signatures are."""
    parts = urlsplit(url)
    return f"{method} {parts.scheme}://{parts.netloc}{parts.path}"


def problems(body: bytes) -> tuple[Problem, ...]:
    """The errors that a registry's answer names; none when it is something else."""
    try:
        listed = json.loads(body)["errors"]
        return tuple(
            Problem(
                str(item.get("code", "")),
                str(item.get("message", ""))[:200],
                tuple(dict.fromkeys(_DIGEST.findall(json.dumps(item.get("detail"))))),
            )
            for item in listed
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()


def refusal(response: Response, method: str, body: bytes | None = None) -> Exception:
    """The error for an answer that is of no use."""
    told = problems(explanation(response) if body is None else body)
    said = f"{described(method, response.url)} answers {response.status}"
    text = "; ".join([said, *(f"{problem.code} {problem.message}".strip() for problem in told)])
    if response.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return RegistryDenied(f"{text}: check the credentials and what they allow")
    if response.status == HTTPStatus.NOT_FOUND:
        return ContentUnknown(text)
    return RegistryUnavailable(text)


def welcome(response: Response) -> Response:
    """The same answer. Raises Interrupted where another try may help, StorageFull."""
    if response.status == HTTPStatus.INSUFFICIENT_STORAGE:
        response.discard()
        raise StorageFull(f"{urlsplit(response.url).netloc} has no room left")
    if response.status not in _AGAIN:
        return response
    wait_s = _asked_delay(response)
    body = whole(response, 64 << 10)
    if b"no space left" in body or b'"Err":28' in body:
        raise StorageFull(f"{urlsplit(response.url).netloc} has no room left")
    said = "; ".join(f"{problem.code} {problem.message}".strip() for problem in problems(body))
    raise Interrupted(f"answers {response.status} {said}".strip(), wait_s=wait_s)


def _asked_delay(response: Response) -> float | None:
    asked = response.headers.get("Retry-After", "").strip()
    if not asked:
        return None
    try:
        seconds = (
            float(asked)
            if _NUMBER.fullmatch(asked)
            else parsedate_to_datetime(asked).timestamp() - time.time()
        )
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), _MOST_ASKED_DELAY_S)
