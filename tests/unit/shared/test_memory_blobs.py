import pytest
from tests.contracts.blobs import BlobsContract

from cynthus.blobs.memory import MemoryBlobs


class TestMemoryBlobs(BlobsContract):
    @pytest.fixture
    def blobs(self) -> MemoryBlobs:
        return MemoryBlobs()
