"""Containers that workers of this host started, as the engine tells."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from cynthus.containers.discovery import discover
from cynthus.containers.engine import Engine
from cynthus.containers.errors import EngineRefused, EngineUnavailable
from cynthus.containers.labels import HOME, MACHINE

_PATIENCE_S = 3.0
_LOOK_AGAIN_S = 5.0


class LeftContainers:
    """Blocking calls. An engine that does not answer has not removed anything: what was there still is."""

    def __init__(self, home: Path, environment: Mapping[str, str] = os.environ) -> None:
        self._home = str(home)
        self._look: Callable[[], Engine | None] = lambda: discover(environment, timeout_s=_PATIENCE_S)
        self._engine: Engine | None = None
        self._looked = -_LOOK_AGAIN_S
        self._known: frozenset[str] = frozenset()

    def machines(self) -> frozenset[str]:
        """Names of the machines that have a container."""
        engine = self._present()
        if engine is None:
            return self._known
        try:
            found = engine.containers({HOME: self._home})
        except (EngineUnavailable, EngineRefused):
            self._engine = None
            return self._known
        self._known = frozenset(container.labels.get(MACHINE, "") for container in found) - {""}
        return self._known

    def remove(self, machine: str) -> None:
        """Kill and remove a machine's containers; it has to be asked again while the engine is away."""
        engine = self._present()
        if engine is None:
            return
        try:
            for container in engine.containers({HOME: self._home, MACHINE: machine}):
                engine.remove(container.id)
        except (EngineUnavailable, EngineRefused):
            self._engine = None

    def _present(self) -> Engine | None:
        now = time.monotonic()
        if self._engine is None and now - self._looked > _LOOK_AGAIN_S:
            self._looked = now
            self._engine = self._look()
        return self._engine
