"""Package indexes and what opens them, as uv and HTTP want it."""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from cynthus.builder.domain.lock import LockRefused
from cynthus.planning.document import Index

_TOKEN_USER = "__token__"  # noqa: S105 - the user name that stands for a token


def credentials(index: Index, secrets: Mapping[str, str]) -> tuple[str, str] | None:
    """User and password; a secret without a colon is a token."""
    if index.secret is None:
        return None
    value = secrets.get(index.secret, "").strip()
    if not value:
        raise LockRefused(
            "secret_missing",
            f"The package index {index.name} is opened by the secret {index.secret}, which is not set.",
            f"Set it: cynthus secret set {index.secret}",
        )
    user, colon, password = value.partition(":")
    return (user, password) if colon else (_TOKEN_USER, value)


def variables(
    indexes: Sequence[Index], secrets: Mapping[str, str], extra: Sequence[str] = ()
) -> dict[str, str]:
    """For uv's environment: where to look, in order, and with what."""
    found = {}
    for index in indexes:
        login = credentials(index, secrets)
        if login is not None:
            stem = f"UV_INDEX_{re.sub(r'[^A-Z0-9]', '_', index.name.upper())}"
            found[f"{stem}_USERNAME"], found[f"{stem}_PASSWORD"] = login
    if listed := index_urls(indexes, extra):
        found["UV_INDEX"] = " ".join(listed)
    return found


def index_urls(indexes: Sequence[Index], extra: Sequence[str] = ()) -> list[str]:
    """As uv writes them, first wins: name=url."""
    return [*(f"{index.name}={index.url}" for index in indexes), *extra]


def login_for(
    url: str, name: str | None, indexes: Sequence[Index], secrets: Mapping[str, str]
) -> tuple[str, str] | None:
    """What opens a file of the index `name`, and only on the index's own host."""
    index = next((one for one in indexes if one.name == name), None)
    if index is None or _origin(url) != _origin(index.url):
        return None
    return credentials(index, secrets)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, parts.hostname, port
