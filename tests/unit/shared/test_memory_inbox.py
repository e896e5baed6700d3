import pytest

from cynthus.store.inbox import MemoryInbox
from tests.contracts.inbox import InboxContract


class TestMemoryInbox(InboxContract):
    @pytest.fixture
    def inbox(self) -> MemoryInbox:
        return MemoryInbox()
