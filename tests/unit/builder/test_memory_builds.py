import pytest

from cynthus.builder.adapters.memory_builds import MemoryBuilds
from cynthus.store.memory import MemoryEventStore
from tests.contracts.builds import BuildsContract


class TestMemoryBuilds(BuildsContract):
    @pytest.fixture
    def builds(self) -> MemoryBuilds:
        return MemoryBuilds()

    @pytest.fixture
    def store(self, builds: MemoryBuilds) -> MemoryEventStore:
        return MemoryEventStore(source="builder", projections=[builds])
