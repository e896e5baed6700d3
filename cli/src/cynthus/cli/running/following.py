"""Follow a run: its output to our output byte by byte, its progress to stderr."""

import base64
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum
from typing import Any

from cynthus.cli.client.api import Api
from cynthus.cli.client.problems import Refused
from cynthus.cli.client.resources import LogChunk, Run
from cynthus.cli.reporter import Reporter
from cynthus.cli.running import happenings
from cynthus.cli.running.feed import Feed, Happened, Item, Lost, Output
from cynthus.cli.running.interrupts import Interrupts

_POLL_S = 0.1
_STEPS = {
    "run.queued": "waiting",
    "build.started": "building the image",
    "machine.requested": "waiting for a machine",
    "vm.ready": "preparing the machine",
    "image.built": "preparing the machine",
    "attempt.started": "running",
    "attempt.exited": "collecting",
    "run.cancel-requested": "cancelling",
}


class Ended(Enum):
    """How the following ended, not the run."""

    OVER = "over"
    STARTED = "started"
    DETACHED = "detached"
    GIVEN_UP = "given up"


def bytes_of(chunk: LogChunk) -> bytes:
    """What the program wrote."""
    if "base64" in chunk:
        return base64.b64decode(chunk["base64"])
    return chunk.get("text", "").encode("utf-8", "surrogatepass")


class Follower:
    """`emit` gets JSON lines instead of the program's bytes, when it is given."""

    def __init__(
        self,
        api: Api,
        run: Run,
        reporter: Reporter,
        *,
        uploaded: bool = True,
        emit: Callable[[Any], None] | None = None,
    ) -> None:
        self._api = api
        self._run = run
        self._reporter = reporter
        self._uploaded = uploaded
        self._emit = emit
        self._step = "waiting"
        self._checkpoint: Mapping[str, Any] | None = None
        self._cancelled = False
        self._detaching = False
        self.started = False

    def follow(self, *, until_started: bool = False) -> Ended:
        """Until the run is over, or has started, or Ctrl-C. Raises Failure."""
        feed = Feed(self._api, self._run["id"])
        with Interrupts() as interrupts:
            while not feed.over:
                item = feed.next(_POLL_S)
                self._take(item)
                if until_started and self.started:
                    return Ended.STARTED
                if (ended := self._interrupted(interrupts)) is not None:
                    return ended
        self._reporter.clear()
        return Ended.OVER

    def _take(self, item: Item | None) -> None:
        match item:
            case Output(chunk):
                self._write(chunk)
            case Happened(event):
                self._tell(event)
            case Lost():
                self._reporter.warn("the platform does not answer; the run goes on, and I keep asking")
            case _:
                self._reporter.doing(self._step.split()[0], lambda: self._step.partition(" ")[2])

    def _write(self, chunk: LogChunk) -> None:
        if self._emit is not None:
            self._emit({"kind": "log", "seq": chunk["cursor"], **chunk})
            return
        content = bytes_of(chunk)
        stream = sys.stderr if chunk["source"] == "stderr" else sys.stdout
        self._reporter.clear()
        stream.flush()
        stream.buffer.write(content)
        stream.buffer.flush()
        if content and stream.isatty():
            self._reporter.mid_line = not content.endswith(b"\n")

    def _tell(self, event: dict[str, Any]) -> None:
        if self._emit is not None:
            self._emit({**event, "kind": happenings.kind_of(event), "seq": event["version"]})
        kind, data = happenings.kind_of(event), happenings.data_of(event)
        self._step = _STEPS.get(kind, self._step)
        if kind == "image.built":
            text, seconds = happenings.built(data)
            self._reporter.done("built", text, seconds)
            if data.get("cached") and not self._uploaded:
                self._reporter.note("nothing was uploaded, resolved or installed again")
        elif kind == "attempt.started":
            self.started = True
            self._reporter.done("started", f"{self._run['name']}  {self._run['id']}{self._again(data)}")
        elif kind == "checkpoint.saved":
            self._checkpoint = data
            self._reporter.done(
                "saved", f"checkpoint of attempt {data.get('epoch')}: {happenings.kept(data)}"
            )
        elif kind == "attempt.suspected":
            self._reporter.warn(happenings.suspected(data))
        elif kind == "machine.delayed":
            self._step = f"waiting for a machine: {data.get('reason')}"
        elif kind == "run.retry-scheduled":
            self._reporter.warn(happenings.retried(data))

    def _again(self, data: Mapping[str, Any]) -> str:
        """Of an attempt that is not the first: its number, and what it goes on from."""
        if int(data.get("epoch") or 1) == 1:
            return ""
        kept = self._checkpoint
        went_on = "" if kept is None else f", from the checkpoint of attempt {kept.get('epoch')}"
        return f"  attempt {data['epoch']}{went_on}"

    def _interrupted(self, interrupts: Interrupts) -> Ended | None:
        name = self._run["name"]
        if interrupts.count and not self._detaching:
            self._detaching = True
            self._reporter.note(
                f"leaving {name} to run   (Ctrl-C again within 2 s cancels it)\n"
                f"  come back: cynthus logs -f {name} · stop it: cynthus cancel {name}"
            )
        if interrupts.count > 1 and not self._cancelled:
            self._cancelled = True
            self._reporter.note(f"cancelling {name}")
            with suppress(Refused):  # it is over already: the end is on its way to us
                self._api.cancel(self._run["id"])
        if interrupts.count > 2:  # noqa: PLR2004 (the third: out, at once)
            return Ended.GIVEN_UP
        return Ended.DETACHED if interrupts.settled and not self._cancelled else None
