import pytest

from cynthus.store.database import Database
from cynthus.store.postgres import PostgresEventStore
from cynthus.store.postgres_inbox import PostgresInbox
from tests.contracts.event_store import EventStoreContract
from tests.fixtures.store import SCHEMA, store_database

__all__ = ["store_database"]


@pytest.fixture
def store(store_database: Database) -> PostgresEventStore:
    return PostgresEventStore(store_database, schema=SCHEMA, source="here")


@pytest.fixture
def inbox(store_database: Database) -> PostgresInbox:
    return PostgresInbox(store_database, schema=SCHEMA)


class TestPostgresEventStore(EventStoreContract):
    pass
