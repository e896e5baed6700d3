"""Requests for data: look up, decide, append."""

from cynthus.bus.ports import Delivery
from cynthus.datasets.domain.demand import Demand, decide, evolve
from cynthus.datasets.ports import Pins
from cynthus.events import DataMount, Dataset, RunRequested
from cynthus.store.ports import EventStore, Why

SERVICE = "datasets"
ACTOR = f"service:{SERVICE}"


class DatasetHandler:
    """The only writer of the history of datasets."""

    def __init__(self, store: EventStore, pins: Pins) -> None:
        self._store = store
        self._pins = pins

    async def requested(self, delivery: Delivery) -> None:
        """Pin the data of a run."""
        message = delivery.envelope.event
        assert isinstance(message, RunRequested)
        if not message.spec.data:
            return
        found = [(mount, await self._pin(message.owner, mount)) for mount in message.spec.data]
        missing = next((mount.source for mount, pin in found if pin is None), None)
        pins = tuple(pin for _, pin in found if pin is not None)
        stream = f"run-{message.run_id}"
        history = await self._store.read(stream)
        demand = Demand()
        for recorded in history:
            demand = evolve(demand, recorded.envelope.event)
        if events := decide(demand, message, pins, missing):
            why = Why(actor=ACTOR, cause=delivery.envelope, consumer=SERVICE)
            await self._store.append(stream, events, expected=len(history), why=why)

    async def _pin(self, owner: str, mount: DataMount) -> Dataset | None:
        contents = await self._pins.contents(owner, mount.snapshot)
        if contents is None:
            return None
        return Dataset(
            source=mount.source,
            mount=mount.mount,
            manifest=mount.snapshot,
            files=contents.files,
            bytes=contents.bytes,
        )
