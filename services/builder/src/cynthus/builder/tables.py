"""The builder's tables."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, Integer, MetaData, Table, Text, text
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
    Column("attempts", Integer, nullable=False, server_default=text("0")),
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
    Column("document", JSONB),
    Column("resolved_at", DateTime(timezone=True), nullable=False, server_default=_now),
)

layers = Table(
    "layers",
    metadata,
    Column("key", Text, primary_key=True),
    Column("layer", JSONB, nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False, server_default=_now),
)
"""What was packed before: what it was made from, and the layer in the registry."""

placements = Table(
    "placements",
    metadata,
    Column("repository", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
)
"""Blobs and manifests that a repository is known to have, so that it need not be asked."""

known = Table(
    "known",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("document", JSONB, nullable=False),
    Column("noted_at", DateTime(timezone=True), nullable=False, server_default=_now),
)
"""Answers that do not change: pinned bases, systems, results of import checks."""

catalogue = Table(
    "catalogue",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("repository", Text, nullable=False),
    Column("environment", Text),
    Column("entry", JSONB, nullable=False),
    Column("attached", Boolean, nullable=False, server_default=text("false")),
    Column("built_at", DateTime(timezone=True), nullable=False, server_default=_now),
    Column("used_at", DateTime(timezone=True), nullable=False, server_default=_now),
    Index("catalogue_used", "used_at"),
)
"""Images that are in the registry."""

uses = Table(
    "uses",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Index("uses_image", "owner", "digest"),
)
"""Images of runs that are not over: these are never removed."""
