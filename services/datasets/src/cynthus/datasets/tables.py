"""The tables of the datasets service."""

from sqlalchemy import BigInteger, Column, DateTime, MetaData, Table, Text, text

from cynthus.store.tables import add_store_tables

SCHEMA = "datasets"
metadata = MetaData(schema=SCHEMA)
add_store_tables(metadata)

pins = Table(
    "pins",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("snapshot", Text, primary_key=True),
    Column("files", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("pinned_at", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
)
