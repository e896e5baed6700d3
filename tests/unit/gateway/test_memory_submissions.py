import pytest

from cynthus.gateway.adapters.memory_submissions import MemorySubmissions
from cynthus.store.memory import MemoryEventStore
from tests.contracts.submissions import SubmissionsContract


class TestMemorySubmissions(SubmissionsContract):
    @pytest.fixture
    def submissions(self) -> MemorySubmissions:
        return MemorySubmissions()

    @pytest.fixture
    def store(self, submissions: MemorySubmissions) -> MemoryEventStore:
        return MemoryEventStore(source="gateway", projections=[submissions])
