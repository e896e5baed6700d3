import pytest

from cynthus.store.database import Database
from cynthus.store.postgres_inbox import PostgresInbox
from tests.contracts.inbox import InboxContract
from tests.fixtures.store import SCHEMA, store_database

__all__ = ["store_database"]


class TestPostgresInbox(InboxContract):
    @pytest.fixture
    def inbox(self, store_database: Database) -> PostgresInbox:
        return PostgresInbox(store_database, schema=SCHEMA)
