"""Messages between the agent and its supervisor: JSON behind a length, descriptors beside it."""

import json
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

SANDBOX_CHANNEL = 3

_HEAD_BYTES = 4
_DESCRIPTORS = 4


class Command(NamedTuple):
    """A process to start: `program` is a path, `memory_bytes` a limit for each process."""

    program: str
    arguments: list[str]
    environment: dict[str, str]
    folder: str
    memory_bytes: int | None = None
    cgroups: Sequence[str] = ()
    """Folders that it joins."""
    sandbox: list[str] | None = None
    """The command line that runs it in a sandbox, whose first process speaks on SANDBOX_CHANNEL."""


class Exit(NamedTuple):
    """How the user's process ended; `swept` counts the processes it left behind, killed by now."""

    code: int | None
    signal: int | None
    cpu_seconds: float
    peak_memory_bytes: int
    swept: int


def send(channel: socket.socket, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Raises OSError when nobody listens any more."""
    body = json.dumps(message).encode()
    socket.send_fds(channel, [len(body).to_bytes(_HEAD_BYTES, "big")], list(descriptors))
    channel.sendall(body)


def receive(channel: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """A message and its descriptors; None when the other side is gone."""
    head, descriptors, _, _ = socket.recv_fds(channel, _HEAD_BYTES, _DESCRIPTORS)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - its only parameter
    missing = int.from_bytes(head, "big") if len(head) == _HEAD_BYTES else 0
    body = b""
    while missing > len(body):
        piece = channel.recv(missing - len(body))
        if not piece:
            return None, descriptors
        body += piece
    return (json.loads(body) if body else None), descriptors
