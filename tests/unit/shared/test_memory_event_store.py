import pytest

from cynthus.store.inbox import MemoryInbox
from cynthus.store.memory import MemoryEventStore
from tests.contracts.event_store import EventStoreContract


class TestMemoryEventStore(EventStoreContract):
    @pytest.fixture
    def inbox(self) -> MemoryInbox:
        return MemoryInbox()

    @pytest.fixture
    def store(self, inbox: MemoryInbox) -> MemoryEventStore:
        return MemoryEventStore(source="here", inbox=inbox)
