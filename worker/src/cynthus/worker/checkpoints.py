"""The checkpoint folder of a running program, saved as a snapshot from time to time and at a bad end."""

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from cynthus.worker.content import insist
from cynthus.worker.control import Control, Dropped
from cynthus.worker.found import FileChanged, Found
from cynthus.worker.link import Link, PlatformAway, Refused
from cynthus.worker.orders import WorkOrder
from cynthus.worker.outputs import Known, Outputs
from cynthus.worker.settings import say

_AGAIN_S = 5.0
_SETTLE_S = 0.02
"""Longer than the kernel's clock of file times stands still: what is written later has a later time."""
_GIVE_UP_S = 60.0
_CALL_S = 10.0
_INSIST_S = 10.0
_KEPT_OPEN = 256
_UNKNOWN = 404
_FENCED = frozenset({401, 403, 409, 410})


class Schedule:
    """When to save; `now` is of a clock that nobody sets. With `every_s` 0 never while the program runs."""

    def __init__(self, every_s: float, now: float) -> None:
        self._every_s = every_s
        self._due = now + every_s

    def wait_s(self, now: float) -> float | None:
        """Seconds until the next save, None for ever."""
        return max(0.0, self._due - now) if self._every_s > 0 else None

    def saved(self, now: float) -> None:
        """Or there was nothing new."""
        self._due = now + self._every_s

    def put_off(self, now: float) -> None:
        """The folder was being written, or the platform was away."""
        self._due = now + min(self._every_s, _AGAIN_S)


class _PutOff(Exception):
    """Not this time."""


class Checkpoints:
    """One attempt's. A save is of one moment: a folder that changed while it was read is not saved."""

    def __init__(
        self,
        link: Link,
        order: WorkOrder,
        control: Control,
        *,
        root: str,
        folder: str,
        new: bool,
        now: Callable[[], float] = monotonic,
    ) -> None:
        """What is in a `new` folder needs no saving: it is what was restored, or the project's own."""
        self._link = link
        self._url = f"{order.attempt_url}/checkpoint"
        self._token = order.token
        self._control = control
        self._root, self._folder = root, folder
        self._now = now
        self._schedule = Schedule(order.checkpoint_every_s, now())
        self._outputs = Outputs(link, order.blobs_url, order.token, control, _GIVE_UP_S, check=self._check)
        self._known = Known()
        self._ended = threading.Event()
        self._saving = threading.Lock()
        self._last = False
        self._unwanted = False
        self._state = self._look().state if new else None
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
        self.said: str | None = None
        """What became of the last save, in words."""

    def start(self) -> None:
        """The program runs."""
        self._thread.start()

    def stop(self) -> None:
        """It does not any more; a save that is under way is left."""
        self._ended.set()

    def finish(self) -> None:
        """Save what it left behind, unless that is saved already. Raises Dropped."""
        self.stop()
        with self._saving:
            self._last = True
            try:
                self._save(settle_s=0.0)
            except _PutOff as reason:
                self.said = f"the checkpoint could not be saved: {reason}"

    def _run(self) -> None:
        while not self._ended.wait(self._schedule.wait_s(self._now())):
            with self._saving:
                try:
                    self._save(settle_s=_SETTLE_S)
                except Dropped:
                    return
                except _PutOff as reason:
                    say(f"{self._url}: put off: {reason}")
                    self._schedule.put_off(self._now())
                else:
                    self._schedule.saved(self._now())

    def _save(self, *, settle_s: float) -> None:
        found = self._look(keep=_KEPT_OPEN)
        try:
            if self._unwanted or found.empty or found.state == self._state:
                return
            if settle_s:
                self._ended.wait(settle_s)
            made = self._outputs.hash(found, self._known)
            if self._look().state != found.state:
                raise _PutOff("the folder changed while it was read")
            self._outputs.upload(made)
            self._check()
            self._post({"manifest": made.digest, "files": len(found.files), "bytes": found.size})
            self._state = found.state
        except FileChanged as changed:
            raise _PutOff(f"{changed.filename}: {changed.strerror}") from changed
        except (OSError, Refused, PlatformAway, ValueError) as error:
            raise _PutOff(f"{type(error).__name__} {error}") from error
        finally:
            found.close()

    def _post(self, message: dict[str, Any]) -> None:
        try:
            self._insist(lambda: self._link.ask(self._url, self._token, message, _CALL_S))
        except Refused as refusal:
            if refusal.status in _FENCED:
                self._control.drop("fenced")
                raise Dropped("fenced") from refusal
            if refusal.status != _UNKNOWN:
                raise
            self._unwanted = True  # a platform from before checkpoints
        else:
            self.said = f"checkpoint saved: {message['files']} files, {message['bytes']} bytes"

    def _insist(self, call: Callable[[], object]) -> None:
        """While the program runs the next save is soon; the last one has to get through."""
        insist(self._control, call, _INSIST_S if self._last else 0.0, self._check)

    def _look(self, keep: int = 0) -> Found:
        return Found(self._root, self._folder, keep=keep)

    def _check(self) -> None:
        """While the program runs its save is worth something; after that only the last one is."""
        self._control.check_ours()
        if self._ended.is_set() and not self._last:
            raise _PutOff("the program ended meanwhile")
