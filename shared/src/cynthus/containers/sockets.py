"""Where a container engine might listen."""

import os
from collections.abc import Iterator, Mapping

_UNIX = "unix://"


def sockets(environment: Mapping[str, str]) -> Iterator[str]:
    """Paths, best first; an explicit DOCKER_HOST rules the others out."""
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
