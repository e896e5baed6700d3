"""A run's log and history as they come: two long-polls in threads, resumed where they were cut."""

import queue
import threading
from dataclasses import dataclass
from typing import Any

from cynthus.cli.client.api import Api
from cynthus.cli.client.connection import Patience
from cynthus.cli.client.resources import LogChunk
from cynthus.cli.failure import Failure
from cynthus.cli.running.happenings import kind_of

_WAIT_S = 20
_PATIENCE_S = 300.0
_LOST_AFTER = 6
_AHEAD = 256
_FIRST_OUTPUT_AFTER = "attempt.started"


@dataclass(frozen=True, slots=True)
class Output:
    """Bytes the program wrote."""

    chunk: LogChunk


@dataclass(frozen=True, slots=True)
class Happened:
    """One event of the run's history."""

    event: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Lost:
    """The platform does not answer; it is being asked again."""


@dataclass(frozen=True, slots=True)
class Over:
    """One of the two has come to its end, or cannot go on."""

    failure: Failure | None = None


Item = Output | Happened | Lost | Over


class Feed:
    """Iterate with `next`, which gives None when nothing came in `timeout_s`; ends with `over`."""

    def __init__(self, api: Api, run_id: str) -> None:
        self._api = api
        self._run_id = run_id
        self._items: queue.Queue[Item] = queue.Queue(_AHEAD)
        self._running = 2
        self._begun = threading.Event()
        for work in (self._logs, self._events):
            threading.Thread(target=self._guarded, args=(work,), daemon=True).start()

    @property
    def over(self) -> bool:
        """Everything was given out."""
        return self._running == 0

    def next(self, timeout_s: float) -> Item | None:
        """The next item. Raises Failure when the platform stays away or refuses."""
        try:
            item = self._items.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(item, Over):
            if item.failure is not None:
                raise item.failure
            self._running -= 1
        return item

    def _guarded(self, work: Any) -> None:
        try:
            work()
        except Failure as failure:
            self._items.put(Over(failure))
        except Exception as error:  # noqa: BLE001 (a thread's error must reach the one who waits)
            self._items.put(Over(Failure(code="unexpected", what=f"{type(error).__name__}: {error}")))
        else:
            self._items.put(Over())
        finally:
            self._begun.set()

    def _logs(self) -> None:
        self._begun.wait()  # nothing can have been written before, and progress is told in order
        cursor: str | None = None
        over = False
        while not over:
            page = self._api.logs(self._run_id, after=cursor, wait_s=_WAIT_S, patience=self._patience())
            for chunk in page["chunks"]:
                self._items.put(Output(chunk))
            cursor, over = page["cursor"] or cursor, page["over"]

    def _events(self) -> None:
        after, over = 0, False
        while not over:
            page = self._api.events(self._run_id, after=after, wait_s=_WAIT_S, patience=self._patience())
            for event in page["events"]:
                self._items.put(Happened(event))
                after = max(after, int(event["version"]))
                if kind_of(event) == _FIRST_OUTPUT_AFTER:
                    self._begun.set()
            over = page["over"]

    def _patience(self) -> Patience:
        tries = 0

        def lost() -> None:
            nonlocal tries
            tries += 1
            if tries == _LOST_AFTER:
                self._items.put(Lost())

        return Patience(_PATIENCE_S, lost=lost)
