"""An event bus in PostgreSQL: durable, woken by NOTIFY, shared by SKIP LOCKED."""

from cynthus.bus.postgres.adapter import PostgresBus, open_postgres_bus

__all__ = ["PostgresBus", "open_postgres_bus"]
