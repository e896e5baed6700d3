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
    Column("intended_at", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    Column("run_id", Text),
    Column("epoch", Integer),
    Index("machines_stage", "stage", "since"),
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
