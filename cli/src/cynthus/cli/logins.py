"""Platforms the user logged in to: their addresses and tokens, in a file only he can read."""

import json
import os
from pathlib import Path
from typing import Any

from cynthus.cli import exits, folders
from cynthus.cli.client.endpoint import Endpoint
from cynthus.cli.failure import Failure


def current() -> Endpoint | None:
    """The platform of the last login, if any."""
    known = _read()
    url = known.get("current")
    token = known.get("tokens", {}).get(url)
    return Endpoint(url, token, "login") if url and token else None


def token_of(url: str) -> str | None:
    """The token kept for an address."""
    token: str | None = _read().get("tokens", {}).get(url.rstrip("/"))
    return token


def remember(url: str, token: str) -> Path:
    """Keep a login and make it the current one; the file it went to."""
    known = _read()
    tokens = {**known.get("tokens", {}), url.rstrip("/"): token}
    return _write({"current": url.rstrip("/"), "tokens": tokens})


def forget() -> str | None:
    """Forget the current login; its address."""
    known = _read()
    url: str | None = known.get("current")
    if url is not None:
        known.get("tokens", {}).pop(url, None)
        _write({"current": None, "tokens": known.get("tokens", {})})
    return url


def _path() -> Path:
    return folders.config() / "login.json"


def _read() -> dict[str, Any]:
    try:
        known = json.loads(_path().read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Failure(
            code="login_unreadable",
            what=f"{_path()} cannot be read",
            why=str(error),
            fix=f"rm {_path()} && cynthus login --url URL --token-stdin",
            exit_code=exits.NOT_LOGGED_IN,
        ) from error
    return known if isinstance(known, dict) else {}


def _write(known: dict[str, object]) -> Path:
    path = _path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(known, file)
    partial.replace(path)
    return path
