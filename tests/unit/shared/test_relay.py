from collections.abc import Callable

import pytest

from cynthus.store.checkpoint import MemoryCheckpoint
from cynthus.store.memory import MemoryEventStore
from tests.contracts.relay import RelayContract


class TestRelayOfAMemoryStore(RelayContract):
    @pytest.fixture
    def store(self) -> MemoryEventStore:
        return MemoryEventStore(source="here")

    @pytest.fixture
    def checkpoint(self) -> Callable[[], MemoryCheckpoint]:
        one = MemoryCheckpoint()
        return lambda: one
