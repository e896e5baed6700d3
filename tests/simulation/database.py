"""A PostgreSQL server as its clients see it: round trips, transactions, lost replies, outages."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from cynthus.events import Event
from cynthus.store.appended import Readers
from cynthus.store.listening import Hint
from cynthus.store.memory import MemoryEventStore, Transaction
from cynthus.store.ports import START, Appended, Page, Position, Recorded, StoreUnavailable, Why
from cynthus.store.recording import Draft, draft
from tests.simulation.loop import PROCESS, Process
from tests.simulation.world import World

_T = TypeVar("_T")
_NOTICED_S = 0.05
_LATE_S = 20.0


class Database:
    """One server for all services. Statements that arrived are carried out, whoever asked and died."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.away = False
        self.locked = False
        """Histories can be read, and nothing be added: somebody holds their tables, or the disk is full."""
        self.generation = 0
        self.known: dict[str, None] = {}
        """Names of statements; of some each one fails now, and the answers of others are late."""
        self.refused = frozenset[str]()
        self.slow = frozenset[str]()

    def crash(self) -> None:
        """Sessions, and with them locks and open transactions, are gone."""
        self.away = True
        self.generation += 1

    async def ask(self, statement: Callable[[], _T], name: str = "") -> _T:
        """One round trip. Raises StoreUnavailable, also when the statement was carried out."""
        reply: asyncio.Future[_T] = self.world.loop.create_future()
        if name:
            self.known.setdefault(name)
        if name in self.refused:
            self.world.later(_NOTICED_S, _fail, reply)
        else:
            self.world.later(self.world.latency(), self._carry_out, statement, reply)
        value = await reply
        if name in self.slow:
            await asyncio.sleep(_LATE_S * self.world.faults.chance.random())
        return value

    async def transact(
        self,
        begin: Callable[[], Transaction],
        commit: Callable[[Transaction], _T],
        rollback: Callable[[Transaction], None],
    ) -> _T:
        """A transaction in one round trip; others may begin and end in its midst."""
        reply: asyncio.Future[_T] = self.world.loop.create_future()

        def arrive() -> None:
            if self.away or self.locked or self.world.faults.hit("store refuses"):
                self.world.later(_NOTICED_S, _fail, reply)
                return
            transaction, generation = begin(), self.generation
            delay = 0.0
            if self.world.faults.hit("late commit"):
                delay = self.world.chance.random()
            elif self.world.chance.random() < 0.3:
                delay = self.world.latency()
            if delay and self.world.faults.hit("connection lost"):
                self.world.later(_NOTICED_S, _fail, reply)
            if delay:
                self.world.later(delay, end, transaction, generation)
            else:
                end(transaction, generation)

        def end(transaction: Transaction, generation: int) -> None:
            if generation != self.generation:
                rollback(transaction)
                _fail(reply)
                return
            self._carry_out(lambda: commit(transaction), reply, arrived=True)

        self.world.later(self.world.latency(), arrive)
        return await reply

    def _carry_out(
        self, statement: Callable[[], Any], reply: asyncio.Future[Any], *, arrived: bool = False
    ) -> None:
        faults = self.world.faults
        if not arrived and (self.away or faults.hit("store refuses")):
            _fail(reply)
            return
        try:
            value = statement()
        except Exception as refusal:  # noqa: BLE001 - the answer is an error
            if not reply.done():
                reply.set_exception(refusal)
            return
        if faults.hit("reply lost"):
            self.world.later(_NOTICED_S, _fail, reply)
        elif faults.hit("reply late"):
            self.world.later(_LATE_S * faults.chance.random(), _answer, reply, value)
        elif not reply.done():
            reply.set_result(value)


def _answer(reply: asyncio.Future[Any], value: Any) -> None:
    if not reply.done():
        reply.set_result(value)


def _fail(reply: asyncio.Future[Any]) -> None:
    if not reply.done():
        reply.set_exception(StoreUnavailable("simulated"))


def instantly(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: _T = stop.value
        return value
    raise AssertionError("a model in memory waited")


class Remote:
    """An adapter in memory behind a round trip: each of its methods is one statement."""

    def __init__(self, database: Database, adapter: Any) -> None:
        self._database = database
        self._adapter = adapter

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._adapter, name)
        statement = f"{type(self._adapter).__name__}.{name}"

        async def ask(*arguments: Any, **named: Any) -> Any:
            return await self._database.ask(lambda: instantly(method(*arguments, **named)), statement)

        self.__dict__[name] = ask
        return ask


class History:
    """One service's schema, with everybody who listens to it."""

    def __init__(self, database: Database, store: MemoryEventStore) -> None:
        self.database = database
        self.store = store
        self.clients: list[StoreClient] = []
        self.lock: dict[str, tuple[Process | None, object, int]] = {}
        self.positions: dict[str, Position] = {}


class StoreClient:
    """The event store as one process sees it, with the promises of the adapter on PostgreSQL."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.source = history.store.source
        self.process = PROCESS.get()
        self._database = history.database
        self._store = history.store
        self._readers = Readers()
        self._hints: list[Hint] = []
        history.clients.append(self)

    async def append(
        self, stream: str, events: Sequence[Event], *, expected: int, why: Why
    ) -> list[Recorded]:
        drafts = draft(events, why, self.source)
        if not drafts and not (why.cause and why.consumer):
            return []
        try:
            recorded = await self._database.transact(
                lambda: self._store.begin(len(drafts)),
                lambda transaction: self._commit(transaction, stream, drafts, expected, why),
                self._store.rollback,
            )
        except StoreUnavailable:
            recorded = await self._read_back(drafts)
        self._readers.add(recorded)
        self._wake()
        return recorded

    async def read(self, stream: str, *, after: int = 0, limit: int | None = None) -> list[Recorded]:
        return await self._database.ask(lambda: instantly(self._store.read(stream, after=after, limit=limit)))

    async def tail(self, *, after: Position = START, limit: int = 500) -> list[Recorded]:
        settled = await self._database.ask(lambda: instantly(self._store.tail(after=after, limit=limit)))
        self._readers.unsettled = not self._store.settled
        return settled

    async def decided(self, *, after: Position, types: Any, limit: int) -> Page:
        return await self._database.ask(
            lambda: instantly(self._store.decided(after=after, types=types, limit=limit))
        )

    async def look_up(self, ids: Sequence[str]) -> list[Recorded]:
        return await self._database.ask(lambda: instantly(self._store.look_up(ids)))

    async def position_before(self, age: Any) -> Position:
        return await self._database.ask(lambda: instantly(self._store.position_before(age)))

    def appended(self) -> AbstractAsyncContextManager[Appended]:
        return self._appended()

    @asynccontextmanager
    async def _appended(self) -> Any:
        hint = Hint()
        self._hints.append(hint)
        try:
            with self._readers.reading(hint) as reader:
                yield reader
        finally:
            self._hints.remove(hint)

    def _commit(
        self, transaction: Transaction, stream: str, drafts: Sequence[Draft], expected: int, why: Why
    ) -> list[Recorded]:
        recorded = self._store.commit(transaction, stream, drafts, expected=expected, why=why)
        world = self._database.world
        for fact in recorded:
            world.trace("fact", self.source, stream, fact.envelope.sequence, fact.envelope.type)
        self.history.clients = [client for client in self.history.clients if not _dead(client.process)]
        for client in self.history.clients:
            if client is not self and not world.faults.hit("notify lost"):
                world.later(world.latency(), client._wake)
        return recorded

    def _wake(self) -> None:
        for hint in self._hints:
            hint.set()

    async def _read_back(self, drafts: Sequence[Draft]) -> list[Recorded]:
        found = await self._database.ask(lambda: self._store.find([fact.id for fact in drafts]))
        if not drafts or len(found) < len(drafts):
            raise StoreUnavailable("the reply to an append was lost, and the facts are not there")
        return found


class CheckpointClient:
    """A relay's place and turn; the turn hangs on a session."""

    def __init__(self, history: History, name: str = "relay") -> None:
        self._history = history
        self._name = name
        self._had = False

    async def mine(self) -> bool:
        """Whether this relay has the lock; once no, when it lost it."""
        database = self._history.database
        if database.away:
            self._had = False
            await asyncio.sleep(_NOTICED_S)
            return False
        holder = self._history.lock.get(self._name)
        alive = holder is not None and holder[2] == database.generation and not _dead(holder[0])
        if self._had:
            self._had = alive and holder is not None and holder[1] is self
        elif not alive:
            await asyncio.sleep(database.world.latency())
            current = self._history.lock.get(self._name)
            if (current is None or current is holder) and not database.away:
                self._history.lock[self._name] = (PROCESS.get(), self, database.generation)
                self._had = True
        return self._had

    async def load(self) -> Position:
        return await self._history.database.ask(lambda: self._history.positions.get(self._name, START))

    async def save(self, position: Position) -> None:
        await self._history.database.ask(lambda: self._save(position))

    async def release(self) -> None:
        holder = self._history.lock.get(self._name)
        if holder is not None and holder[1] is self:
            del self._history.lock[self._name]

    def _save(self, position: Position) -> None:
        self._history.positions[self._name] = position


def _dead(process: Process | None) -> bool:
    return process is not None and process.dead
