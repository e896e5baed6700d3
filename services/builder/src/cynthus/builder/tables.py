"""The builder's tables."""

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, MetaData, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from cynthus.store.tables import add_store_tables

SCHEMA = "builder"
metadata = MetaData(schema=SCHEMA)
add_store_tables(metadata)

_now = text("clock_timestamp()")

builds = Table(
    "builds",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("key", Text, nullable=False),
    Column("message", JSONB, nullable=False),
    Column("order", BigInteger, nullable=False),
    Column("leased_until", DateTime(timezone=True)),
    Index("builds_order", "order"),
)
"""Builds that were started and have no end yet."""

images = Table(
    "images",
    metadata,
    Column("key", Text, primary_key=True),
    Column("image", JSONB, nullable=False),
    Column("packages", Integer, nullable=False),
    Column("notes", JSONB, nullable=False),
    Column("built_at", DateTime(timezone=True), nullable=False, server_default=_now),
)

locks = Table(
    "locks",
    metadata,
    Column("key", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("packages", Integer, nullable=False),
    Column("resolved_at", DateTime(timezone=True), nullable=False, server_default=_now),
)
