"""Whether a container engine is here: nothing is asked and hardly anything loaded, for a worker starts."""

import os
import socket

from cynthus.containers.sockets import sockets

_CONNECT_S = 0.5


def names() -> list[str]:
    """`docker` or `podman`, by the socket on which somebody listens."""
    for path in sockets(os.environ):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_CONNECT_S)
            try:
                probe.connect(path)
            except OSError:
                continue
            return ["podman" if "podman" in path else "docker"]
    return []
