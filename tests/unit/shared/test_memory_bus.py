import pytest

from cynthus.bus.backoff import Backoff
from cynthus.bus.memory import MemoryBus
from cynthus.bus.pace import Pace
from cynthus.bus.ports import EventBus
from cynthus.events import Event
from cynthus.events.codec import STRUCTURED
from tests.contracts.event_bus import EventBusContract


class MemoryBroker:
    def __init__(self) -> None:
        self._bus = MemoryBus(pace=Pace(grace_s=0.5, backoff=Backoff(first_s=0.005)))

    def bus(self) -> EventBus:
        return self._bus

    async def put(self, event: type[Event], data: bytes) -> None:
        self._bus.put(event.ce_type(), {"content-type": STRUCTURED}, data)


class TestMemoryBus(EventBusContract):
    @pytest.fixture
    def broker(self) -> MemoryBroker:
        return MemoryBroker()
