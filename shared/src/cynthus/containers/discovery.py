"""Finds a container engine on this machine."""

import os
from collections.abc import Iterator, Mapping

from cynthus.containers.engine import Engine
from cynthus.containers.errors import EngineUnavailable
from cynthus.containers.transport import Transport

_PATIENCE_S = 3.0
_UNIX = "unix://"


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


def sockets(environment: Mapping[str, str]) -> Iterator[str]:
    """Where an engine might listen, best first; an explicit DOCKER_HOST rules the others out."""
    explicit = environment.get("DOCKER_HOST", "")
    if explicit:
        if explicit.startswith(_UNIX):
            yield explicit.removeprefix(_UNIX)
        return
    private = environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    yield "/var/run/docker.sock"
    yield f"{private}/docker.sock"
    yield "/run/podman/podman.sock"
    yield f"{private}/podman/podman.sock"


def _is_podman(path: str) -> bool:
    """Podman's own part of its API answers; Docker has no such path."""
    answer = Transport(path, _PATIENCE_S).ask("GET", "/version")
    parts = answer.body.get("Components") if isinstance(answer.body, dict) else None
    return any("podman" in str(part.get("Name", "")).lower() for part in parts or ())
