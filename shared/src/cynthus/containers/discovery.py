"""Finds a container engine on this machine."""

import os
from collections.abc import Mapping

from cynthus.containers.engine import Engine
from cynthus.containers.errors import EngineUnavailable
from cynthus.containers.sockets import sockets
from cynthus.containers.transport import Transport

__all__ = ["connect", "discover", "sockets"]

_PATIENCE_S = 3.0


def discover(environment: Mapping[str, str], *, timeout_s: float = 30.0) -> Engine | None:
    """The first engine that answers: DOCKER_HOST, Docker, rootless Docker, Podman, rootless Podman."""
    for path in sockets(environment):
        if os.path.exists(path):  # noqa: PTH110 - pathlib would be a large part of a start
            try:
                return connect(path, timeout_s=timeout_s)
            except EngineUnavailable:
                continue
    return None


def connect(path: str, *, timeout_s: float = 30.0) -> Engine:
    """The engine at a socket. Raises EngineUnavailable."""
    answer = Transport(path, _PATIENCE_S).ask("GET", "/info")
    facts = answer.body
    if not isinstance(facts, dict) or "ServerVersion" not in facts:
        raise EngineUnavailable(f"{path}: {answer.message or answer.status}")
    podman = "BuildahVersion" in facts or "podman" in str(facts.get("DefaultRuntime", "")) or _is_podman(path)
    return Engine(Transport(path, timeout_s), "podman" if podman else "docker", facts)


def _is_podman(path: str) -> bool:
    """Podman's own part of its API answers; Docker has no such path."""
    answer = Transport(path, _PATIENCE_S).ask("GET", "/version")
    parts = answer.body.get("Components") if isinstance(answer.body, dict) else None
    return any("podman" in str(part.get("Name", "")).lower() for part in parts or ())
