import pytest

from cynthus.blobs.memory import MemoryBlobs
from tests.contracts.blobs import BlobsContract


class TestMemoryBlobs(BlobsContract):
    @pytest.fixture
    def blobs(self) -> MemoryBlobs:
        return MemoryBlobs()
