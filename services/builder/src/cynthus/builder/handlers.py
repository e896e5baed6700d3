"""Requests for images: load, decide, append."""

from collections.abc import Callable

from cynthus.builder.domain import build
from cynthus.builder.domain.build import Build, Built, Failed
from cynthus.builder.ports import Builds
from cynthus.bus.ports import Delivery
from cynthus.events import Envelope, RunCancelled, RunFailed, RunRequested, RunSucceeded
from cynthus.store.ports import ConcurrentAppend, EventStore, Recorded, Why

SERVICE = "builder"
ACTOR = f"service:{SERVICE}"


class BuildHandler:
    """The only writer of the builder's history. `started` is called when there is work to do."""

    def __init__(
        self, store: EventStore, builds: Builds, *, default_python: str, started: Callable[[], None]
    ) -> None:
        self._store = store
        self._builds = builds
        self._default_python = default_python
        self._started = started

    async def requested(self, delivery: Delivery) -> None:
        """A run needs its image."""
        message = delivery.envelope.event
        assert isinstance(message, RunRequested)
        key = build.key(message, self._default_python)
        cached = await self._builds.find(key)
        try:
            await self._answer(delivery, key, cached, [])
        except ConcurrentAppend:  # not the first word about this run after all
            await self._answer(delivery, key, cached, await self._store.read(_stream(message.run_id)))
        if cached is None:
            self._started()

    async def _answer(
        self, delivery: Delivery, key: str, cached: Built | None, history: list[Recorded]
    ) -> None:
        message = delivery.envelope.event
        assert isinstance(message, RunRequested)
        if events := build.request(_replay(history), message, key, cached):
            why = Why(actor=ACTOR, cause=delivery.envelope, consumer=SERVICE)
            stream = _stream(message.run_id)
            await self._store.append(stream, events, expected=len(history), why=why)

    async def ended(self, delivery: Delivery) -> None:
        """A run is over."""
        message = delivery.envelope.event
        assert isinstance(message, RunSucceeded | RunFailed | RunCancelled)
        while True:
            history = await self._store.read(_stream(message.run_id))
            events = build.end(_replay(history), message)
            if not events:
                return
            why = Why(actor=ACTOR, cause=delivery.envelope, consumer=SERVICE)
            try:
                await self._store.append(_stream(message.run_id), events, expected=len(history), why=why)
            except ConcurrentAppend:
                continue
            return

    async def finished(
        self, run_id: str, outcome: Built | Failed, seconds: float, *, cached: bool = False
    ) -> None:
        """Record the end of a build."""
        while True:
            history = await self._store.read(_stream(run_id))
            events = build.finish(_replay(history), run_id, outcome, seconds, cached=cached)
            if not events:
                return
            why = Why(actor=ACTOR, cause=_cause(history))
            try:
                await self._store.append(_stream(run_id), events, expected=len(history), why=why)
            except ConcurrentAppend:
                continue
            return


def _stream(run_id: str) -> str:
    return f"run-{run_id}"


def _replay(history: list[Recorded]) -> Build:
    state = Build()
    for recorded in history:
        state = build.evolve(state, recorded.envelope.event)
    return state


def _cause(history: list[Recorded]) -> Envelope | None:
    return history[0].envelope if history else None
