"""Calls between processes: requests and replies are lost, late, or cut off by a partition."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from cynthus.events import Event
from cynthus.store.feed import Fact, FeedUnavailable, StoreFeed
from cynthus.store.ports import Page, Position, StoreUnavailable
from tests.simulation.loop import Process
from tests.simulation.world import World, inside

_T = TypeVar("_T")
_LATE_S = 60.0
"""What hung in a buffer arrives after its sender has given up, and after its epoch was fenced."""


class Unreachable(Exception):
    """No answer: whether the call took effect is unknown."""


class Server:
    """An address: the process behind it comes and goes. `served` is what it offers while it is up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.service = name.partition("+")[0]
        self.process: Process | None = None
        self.served: Any = None
        self.store: Any = None
        self.calls: list[asyncio.Future[Any]] = []

    @property
    def up(self) -> bool:
        """Somebody listens."""
        return self.process is not None and not self.process.dead and self.store is not None

    def reset(self) -> None:
        """The process died: open calls are cut."""
        for call in list(self.calls):
            if not call.done():
                call.set_exception(Unreachable("reset"))


class Network:
    """Links are named after the two ends; a cut link carries nothing, one way or both."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.cut: set[tuple[str, str]] = set()

    async def ask(
        self, caller: str, server: Server, method: Callable[[Any], Awaitable[_T]], *, timeout_s: float
    ) -> _T:
        """The same of what the server serves."""

        async def serve(there: Server) -> _T:
            if there.served is None:
                raise Unreachable("refused: it goes")
            return await method(there.served)

        return await self.call(caller, server, serve, timeout_s=timeout_s)

    async def call(
        self, caller: str, server: Server, method: Callable[[Server], Awaitable[_T]], *, timeout_s: float
    ) -> _T:
        """What the method gives on the other side. Raises Unreachable, and whatever it raises."""
        reply: asyncio.Future[_T] = self.world.loop.create_future()
        server.calls.append(reply)
        timer = self.world.loop.call_later(timeout_s, _time_out, reply)
        try:
            faults = self.world.faults
            if not (self._is_cut(caller, server.name) or faults.hit("request lost")):
                delay = self.world.latency()
                if faults.hit("request late"):
                    delay = _LATE_S * faults.chance.random()
                self.world.later(delay, self._arrive, caller, server, method, reply)
                if faults.hit("request duplicated"):
                    self.world.later(self.world.latency(), self._arrive, caller, server, method, None)
            return await reply
        finally:
            timer.cancel()
            server.calls.remove(reply)

    def _arrive(
        self,
        caller: str,
        server: Server,
        method: Callable[[Server], Awaitable[Any]],
        reply: asyncio.Future[Any] | None,
    ) -> None:
        process = server.process
        if not server.up or process is None:
            self.world.later(self.world.latency(), _fail, reply, Unreachable("refused"))
            return
        self.world.loop.create_task(self._serve(caller, server, method, reply), context=inside(process))

    async def _serve(
        self,
        caller: str,
        server: Server,
        method: Callable[[Server], Awaitable[Any]],
        reply: asyncio.Future[Any] | None,
    ) -> None:
        error: Exception | None = None
        value = None
        try:
            value = await method(server)
        except Exception as refusal:  # noqa: BLE001 - it is the answer
            error = refusal
        if reply is None or self._is_cut(server.name, caller) or self.world.faults.hit("response lost"):
            return
        self.world.later(self.world.latency(), _answer, reply, value, error)

    def _is_cut(self, one: str, other: str) -> bool:
        return (one, other) in self.cut or (one, "*") in self.cut or ("*", other) in self.cut


class RemoteFeed:
    """The feed of a peer, asked over the network."""

    def __init__(
        self, network: Network, caller: str, server: Callable[[], Server], types: Sequence[type[Event]]
    ) -> None:
        self._network = network
        self._caller = caller
        self._server = server
        self._types = types

    async def beginning(self) -> Position:
        return await self._ask(lambda feed: feed.beginning())

    async def page(self, after: Position) -> Page:
        return await self._ask(lambda feed: feed.page(after))

    async def facts(self, after: Position, ids: Sequence[str]) -> list[Fact]:
        return await self._ask(lambda feed: feed.facts(after, ids))

    async def _ask(self, question: Callable[[StoreFeed], Awaitable[_T]]) -> _T:
        try:
            return await self._network.call(
                self._caller,
                self._server(),
                lambda there: question(StoreFeed(there.store, self._types, limit=20)),
                timeout_s=5.0,
            )
        except (Unreachable, StoreUnavailable) as away:
            raise FeedUnavailable(str(away)) from away


def _answer(reply: asyncio.Future[Any], value: Any, error: Exception | None) -> None:
    if reply.done():
        return
    if error is not None:
        reply.set_exception(error)
    else:
        reply.set_result(value)


def _fail(reply: asyncio.Future[Any] | None, error: Exception) -> None:
    if reply is not None and not reply.done():
        reply.set_exception(error)


def _time_out(reply: asyncio.Future[Any]) -> None:
    if not reply.done():
        reply.set_exception(Unreachable("timed out"))
