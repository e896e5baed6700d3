"""From a worker that was killed to the one that takes its place: what it knew, in no file and no argument."""

import json
import os
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple, NoReturn

from cynthus.worker.keeper import Holding, Revive

_VARIABLE = "CYNTHUS_WORKER_HANDOVER"
_MOST_REVIVALS = 5


class Held(NamedTuple):
    """A program that outlived its worker: its order, what the runtime noted of it, and open descriptors."""

    order: dict[str, Any]
    facts: dict[str, Any]
    descriptors: tuple[int, ...]
    """The first is the lock of the workspace."""

    @property
    def holding(self) -> Holding:
        """What the next keeper has to hold."""
        return {"order": self.order, "facts": self.facts}, self.descriptors

    @property
    def lock(self) -> int:
        """The workspace's lock, never let go of."""
        return self.descriptors[0]


class Handover(NamedTuple):
    """What a worker is told by the one that it replaces; `revivals` counts those."""

    token: str = ""
    held: Held | None = None
    revivals: int = 0


def revival(token: str, revivals: int) -> Revive:
    """What turns the keeper into the next worker."""

    def revive(facts: Mapping[str, Any] | None, descriptors: Sequence[int]) -> NoReturn:
        if revivals >= _MOST_REVIVALS:
            os._exit(1)
        told = {"token": token, "held": facts, "descriptors": list(descriptors), "revivals": revivals + 1}
        memory = os.memfd_create("handover", 0)
        os.write(memory, json.dumps(told).encode())
        for descriptor in (memory, *descriptors):
            os.set_inheritable(descriptor, True)  # noqa: FBT003 - its only parameter
        environment = {**os.environ, _VARIABLE: str(memory)}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606 - no shell

    return revive


def receive(environment: MutableMapping[str, str]) -> Handover:
    """The machine's token and what is to be taken over; nothing for a worker that was started afresh."""
    number = environment.pop(_VARIABLE, "")
    if not number:
        return Handover()
    with os.fdopen(int(number), "rb") as file:
        file.seek(0)
        told = json.load(file)
    for descriptor in told["descriptors"]:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - its only parameter
    found = told["held"]
    held = found and Held(found["order"], found["facts"], tuple(told["descriptors"]))
    return Handover(told["token"], held, told["revivals"])
