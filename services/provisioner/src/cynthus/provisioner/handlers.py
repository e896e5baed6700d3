"""Requests for machines: load, decide, append."""

import asyncio
from collections.abc import Callable, Sequence

from cynthus.bus.ports import Delivery
from cynthus.events import AttemptLost, Event, MachineReleased, MachineRequested, VMDeleted
from cynthus.provisioner.domain import demand
from cynthus.provisioner.domain.demand import Assign, Delay, Demand, Fail, Lose, Offer
from cynthus.provisioner.ports import Ledger, Machines
from cynthus.store.ports import ConcurrentAppend, EventStore, Recorded, Why

SERVICE = "provisioner"
ACTOR = f"service:{SERVICE}"


class DemandHandler:
    """The only writer of the provisioner's history.

    `changed` is called whenever the pool has something to do: a request waits, a machine is free.
    """

    def __init__(
        self,
        store: EventStore,
        ledger: Ledger,
        machines: Machines,
        *,
        slots: int,
        changed: Callable[[], None],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._machines = machines
        self._slots = slots
        self._changed = changed
        self._turn = asyncio.Lock()

    async def requested(self, delivery: Delivery) -> None:
        """A run wants a machine: hold an idle one for it, or let it wait."""
        message = delivery.envelope.event
        assert isinstance(message, MachineRequested)
        async with self._turn:
            offer = await self._offer()
            try:
                await self._answer(delivery, offer, [])
            except ConcurrentAppend:  # not the first word about this run, or the machine was taken
                history = await self._store.read(_stream(message.run_id))
                await self._answer(delivery, await self._offer(), history)
        self._changed()

    async def _answer(self, delivery: Delivery, offer: Offer, history: list[Recorded]) -> None:
        message = delivery.envelope.event
        assert isinstance(message, MachineRequested)
        events = demand.request(_replay(history), message, offer, self._machines.host)
        why = Why(actor=ACTOR, cause=delivery.envelope, consumer=SERVICE)
        await self._append(message.run_id, events, history, why)

    async def released(self, delivery: Delivery) -> None:
        """A run gives its machine back."""
        message = delivery.envelope.event
        assert isinstance(message, MachineReleased)
        why = Why(actor=ACTOR, cause=delivery.envelope, consumer=SERVICE)
        history = await self._store.read(_stream(message.run_id))
        events = demand.release(_replay(history), message)
        await self._append(message.run_id, events, history, why)
        self._changed()

    async def fenced(self, delivery: Delivery) -> None:
        """An attempt is fenced: whatever still runs on its machine is to end, so the machine goes."""
        message = delivery.envelope.event
        assert isinstance(message, AttemptLost)
        why = Why(actor=ACTOR, cause=delivery.envelope, consumer=SERVICE)
        history = await self._store.read(_stream(message.run_id))
        await self._append(message.run_id, demand.fence(_replay(history), message), history, why)
        self._changed()

    async def serve_waiting(self) -> int:
        """Give idle machines to waiting requests, oldest first; how many were served."""
        served = 0
        async with self._turn:
            for waiting in await self._ledger.waiting():
                machine = await self._ledger.idle_machine()
                if machine is None or await self._ledger.held() >= self._slots:
                    break
                await self.settle(Assign(waiting.run_id, waiting.epoch, machine, reused=False))
                served += 1
        return served

    async def settle(self, command: Assign | Fail | Delay | Lose) -> None:
        """Answer a request that was taken in earlier."""
        history = await self._store.read(_stream(command.run_id))
        events = demand.settle(_replay(history), command)
        await self._append(command.run_id, events, history, Why(actor=ACTOR))

    async def report_deleted(self, run_id: str, machine: str) -> None:
        """Tell in the history of the run that used it last that a machine is gone; once."""
        while True:
            history = await self._store.read(_stream(run_id))
            deleted = VMDeleted(run_id=run_id, machine=machine)
            if any(recorded.envelope.event == deleted for recorded in history):
                return
            try:
                await self._append(run_id, [deleted], history, Why(actor=ACTOR))
            except ConcurrentAppend:
                continue
            return

    async def _offer(self) -> Offer:
        held = await self._ledger.held()
        if held >= self._slots:
            return Offer(delay=f"waiting for a free place: {held} of {self._slots} are taken")
        machine = await self._ledger.idle_machine()
        return Offer() if machine is None else Offer(machine=machine)

    async def _append(self, run_id: str, events: Sequence[Event], history: list[Recorded], why: Why) -> None:
        if events:
            await self._store.append(_stream(run_id), events, expected=len(history), why=why)


def _stream(run_id: str) -> str:
    return f"run-{run_id}"


def _replay(history: list[Recorded]) -> Demand:
    state = Demand()
    for recorded in history:
        state = demand.evolve(state, recorded.envelope.event)
    return state
