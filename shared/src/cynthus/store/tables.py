"""The tables every service has: its history, its inbox, what it parked, how far its relay is."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.types import UserDefinedType


class XID8(UserDefinedType[int]):
    """A transaction id that never wraps around."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """The name of the type in DDL."""
        return "xid8"


ischema_names["xid8"] = XID8


def add_store_tables(metadata: MetaData) -> None:
    """Add events, inbox, parked and checkpoints to a service's metadata."""
    _events(metadata)
    _inbox(metadata)
    _parked(metadata)
    _checkpoints(metadata)


def _events(metadata: MetaData) -> None:
    Table(
        "events",
        metadata,
        Column("transaction_id", XID8, nullable=False, server_default=text("pg_current_xact_id()")),
        Column("position", BigInteger, Identity(always=True), nullable=False),
        Column("stream", Text, nullable=False),
        Column("version", Integer, nullable=False),
        Column("id", Text, nullable=False),
        Column("type", Text, nullable=False),
        Column("source", Text, nullable=False),
        Column("actor", Text, nullable=False),
        Column("correlation_id", Text),
        Column("causation_id", Text),
        Column("traceparent", Text),
        Column("at", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
        Column("decided", Boolean, nullable=False),
        Column("data", JSONB, nullable=False),
        PrimaryKeyConstraint("transaction_id", "position", name="events_pkey"),
        UniqueConstraint("stream", "version", name="events_stream_version_key"),
        UniqueConstraint("id", name="events_id_key"),
    )


def _inbox(metadata: MetaData) -> None:
    Table(
        "inbox",
        metadata,
        Column("consumer", Text, nullable=False),
        Column("event_id", Text, nullable=False),
        Column("attempts", Integer, nullable=False, server_default=text("0")),
        Column("first_seen", DateTime(timezone=True), nullable=False, server_default=text("now()")),
        Column("handled_at", DateTime(timezone=True)),
        Column("last_error", Text),
        PrimaryKeyConstraint("consumer", "event_id", name="inbox_pkey"),
    )


def _parked(metadata: MetaData) -> None:
    Table(
        "parked",
        metadata,
        Column("consumer", Text, nullable=False),
        Column("event_id", Text, nullable=False),
        Column("envelope", JSONB, nullable=False),
        Column("reason", Text, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("parked_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
        PrimaryKeyConstraint("consumer", "event_id", name="parked_pkey"),
    )


def _checkpoints(metadata: MetaData) -> None:
    Table(
        "checkpoints",
        metadata,
        Column("name", Text, nullable=False),
        Column("transaction_id", XID8, nullable=False),
        Column("position", BigInteger, nullable=False),
        PrimaryKeyConstraint("name", name="checkpoints_pkey"),
    )
