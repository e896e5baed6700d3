"""Layers that a machine fetches while it has nothing better to do."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from cynthus.containers.errors import EngineUnavailable, PullRefused
from cynthus.worker.cache import Cache
from cynthus.worker.causes import AttemptFailed
from cynthus.worker.images import Asked, Images
from cynthus.worker.orders import RegistryAccess
from cynthus.worker.settings import say

_LOWEST = 19
_PROBLEMS = (AttemptFailed, EngineUnavailable, PullRefused, OSError, KeyError, TypeError, ValueError)


class Prepull:
    """A thread of low priority, one layer after another; `pause` lets the one at hand be finished."""

    def __init__(self, home: str, wanted: Sequence[Mapping[str, Any]]) -> None:
        self._home = home
        self._wanted = list(wanted)
        self._paused = threading.Event()
        self._thread: threading.Thread | None = None

    def go_on(self) -> None:
        """There is time."""
        self._paused.clear()
        if self._wanted and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._run, name="prepull", daemon=True)
            self._thread.start()

    def pause(self) -> None:
        """There is work."""
        self._paused.set()

    def _run(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)
        cache = Cache(f"{self._home}/cache")
        while self._wanted:
            wanted = self._wanted[0]
            if _tried(partial(self._fetch, wanted, cache)) is False:
                return
            _tried(partial(_pull, wanted))
            self._wanted.pop(0)

    def _fetch(self, wanted: Mapping[str, Any], cache: Cache) -> bool:
        """False when there was no time for all of it."""
        images = Images(_access(wanted), wanted["repository"], cache, Asked(_nobody_minds, self._wait))
        try:
            for layer in images.dependencies(wanted["digest"]):
                if self._paused.is_set():
                    return False
                images.unpack([layer])
        finally:
            images.release()
        return True

    def _wait(self, seconds: float) -> None:
        self._paused.wait(seconds)


def _tried(call: Callable[[], bool | None]) -> bool | None:
    """None when it failed: a machine does without."""
    try:
        return call()
    except _PROBLEMS as problem:
        say(f"not fetched beforehand: {type(problem).__name__} {problem}")
        return None


def _pull(wanted: Mapping[str, Any]) -> None:
    """Into the container engine too, where there is one."""
    from cynthus.worker.containers.presence import names

    if not names():
        return
    from cynthus.worker.containers import engines, images

    engine = engines.current()
    if engine is not None:
        images.prefetch(engine, _access(wanted), wanted["repository"], wanted["digest"])


def _access(wanted: Mapping[str, Any]) -> RegistryAccess:
    return RegistryAccess(wanted["url"], wanted.get("username") or "", wanted.get("password") or "")


def _nobody_minds() -> None:
    """Only whole layers are worth having."""
