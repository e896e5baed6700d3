"""The platform's refusals as errors of the command line."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from cynthus.cli import exits
from cynthus.cli.failure import Failure


class Refused(Failure):
    """The platform answered, and the answer was no. `status` is HTTP's."""

    status: int = 0


class Unreachable(Failure):
    """No answer, or only that none can be given now; trying again later is safe."""


def refusal(status: int, body: bytes) -> Failure:
    """The error for a problem document, or for whatever stands in its place."""
    document = _document(body)
    code = str(document.get("code") or _code(status))
    exit_code = exits.of_status(status, code)
    kind = Unreachable if exit_code == exits.UNREACHABLE else Refused
    failure = kind(
        code=code,
        what=str(document.get("detail") or document.get("title") or f"the platform answered {status}"),
        why=_errors(document),
        fix=document.get("hint") or _FIXES.get(exit_code),
        more=f"request {document['request_id']}" if document.get("request_id") else None,
        exit_code=exit_code,
        body=document or None,
    )
    if isinstance(failure, Refused):
        failure.status = status
    return failure


def unreachable(url: str, error: Exception) -> Unreachable:
    """Nobody answers at this address."""
    reason = str(error) or type(error).__name__
    return Unreachable(
        code="unreachable",
        what=f"the platform at {url} cannot be reached",
        why=reason,
        fix="cynthus doctor   (says what is wrong; `cynthus up` starts a platform on this machine)",
        exit_code=exits.UNREACHABLE,
    )


_FIXES = {
    exits.NOT_LOGGED_IN: "cynthus login --url URL --token-stdin   (or set CYNTHUS_URL and CYNTHUS_TOKEN)",
    exits.NOT_FOUND: "cynthus ps   (lists what there is)",
    exits.UNREACHABLE: "cynthus status   (says how the platform is); then try again",
    exits.LIMITED: "try again later, or ask for a higher limit",
}


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _code(status: int) -> str:
    try:
        return HTTPStatus(status).name.lower()
    except ValueError:
        return f"http_{status}"


def _errors(document: Mapping[str, Any]) -> str | None:
    errors = document.get("errors") or ()
    return "\n".join(f"{item.get('pointer')}: {item.get('detail')}" for item in errors) or None
