"""The tables of the PostgreSQL bus, in a schema of their own."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateSchema, CreateTable
from sqlalchemy.sql.ddl import DDLElement

from cynthus.bus.postgres import functions

SCHEMA = "bus"

metadata = MetaData(schema=SCHEMA)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("type", Text, primary_key=True),
    Column("subscriber", Text, primary_key=True),
)

# Claims write `leased_until` and `attempts` alone. Neither is in an index, so with room left in each page
# (fillfactor) a claim is a heap-only update: the queue's indexes grow by publishing and nothing else.
messages = Table(
    "messages",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("subscriber", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("visible_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("leased_until", DateTime(timezone=True)),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("data", LargeBinary, nullable=False),
    postgresql_with={
        "fillfactor": 60,
        "autovacuum_vacuum_scale_factor": 0,
        "autovacuum_vacuum_threshold": 2000,
        "autovacuum_vacuum_insert_threshold": -1,
        "autovacuum_vacuum_cost_delay": 0,
    },
)
Index("messages_waiting", messages.c.subscriber, messages.c.visible_at, messages.c.id)


def ddl() -> list[str]:
    """Statements that make tables and functions, each harmless when they exist."""
    clauses: list[DDLElement] = [
        CreateSchema(SCHEMA, if_not_exists=True),
        *(CreateTable(table, if_not_exists=True) for table in metadata.sorted_tables),
        *(CreateIndex(index, if_not_exists=True) for index in sorted(messages.indexes, key=str)),
    ]
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return [
        *(str(clause.compile(dialect=dialect)) for clause in clauses),
        f"ALTER TABLE {SCHEMA}.messages ALTER COLUMN data SET STORAGE EXTERNAL",
        *functions.DDL,
    ]
