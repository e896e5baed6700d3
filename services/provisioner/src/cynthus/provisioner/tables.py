"""The provisioner's tables."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, Integer, MetaData, Table, Text, text

from cynthus.store.tables import add_store_tables

SCHEMA = "provisioner"
metadata = MetaData(schema=SCHEMA)
add_store_tables(metadata)

machines = Table(
    "machines",
    metadata,
    Column("name", Text, primary_key=True),
    Column("stage", Text, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    Column("zone", Text, nullable=False, server_default=text("'here'")),
    Column("request_id", Text, nullable=False, server_default=text("''")),
    Column("boot", Text),
    Column("run_id", Text),
    Column("epoch", Integer),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_try", DateTime(timezone=True)),
    Column("asked_at", DateTime(timezone=True)),
    Column("intended_at", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    Column("created_at", DateTime(timezone=True)),
    Column("absent_since", DateTime(timezone=True)),
    Column("last_seen", DateTime(timezone=True)),
    Column("needless_since", DateTime(timezone=True)),
    Column("leaving", Boolean, nullable=False, server_default=text("false")),
    Column("deleting_at", DateTime(timezone=True)),
    Column("gone_at", DateTime(timezone=True)),
    Column("refusal", Text),
    Column("reason", Text, nullable=False, server_default=text("''")),
    Column("why", Text, nullable=False, server_default=text("''")),
    Index("machines_alive", "stage", "since", postgresql_where=text("stage <> 'gone'")),
    Index("machines_refused", "asked_at", postgresql_where=text("refusal IS NOT NULL")),
)

requests = Table(
    "requests",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("stage", Text, nullable=False),
    Column("machine", Text),
    Column("delayed", Boolean, nullable=False, server_default=text("false")),
    Column("order", BigInteger, nullable=False),
    Index("requests_waiting", "order", postgresql_where=text("stage = 'waiting'")),
)

turns = Table(
    "turns",
    metadata,
    Column("name", Text, primary_key=True),
    Column("taken_at", DateTime(timezone=True), nullable=False),
)
