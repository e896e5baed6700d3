"""Containers whose worker is gone and which nobody will take over."""

import fcntl
import os

from cynthus.containers.errors import EngineRefused, EngineUnavailable
from cynthus.containers.labels import EPOCH, HOME, RUN
from cynthus.worker.cache import try_lock
from cynthus.worker.containers import engines
from cynthus.worker.settings import say


def remove(home: str) -> None:
    """Remove them. Where a worker or its keeper lives, the workspace is locked."""
    engine = engines.current()
    if engine is None:
        return
    try:
        for container in engine.containers({HOME: home}):
            run, epoch = container.labels.get(RUN, ""), container.labels.get(EPOCH, "")
            if not _in_use(f"{home}/runs/{run}/{epoch}/lock"):
                say(f"the container {container.name} has no worker any more: it is removed")
                engine.remove(container.id)
    except (EngineUnavailable, EngineRefused) as error:
        say(f"containers could not be looked through: {error}")


def _in_use(lock: str) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)
