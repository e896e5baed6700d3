from cynthus.embedded.postgres.binaries import Binaries, locate
from cynthus.embedded.postgres.embedded import EmbeddedPostgres
from cynthus.embedded.postgres.server import PostgresServer
from cynthus.embedded.postgres.unavailable import PostgresUnavailable

__all__ = ["Binaries", "EmbeddedPostgres", "PostgresServer", "PostgresUnavailable", "locate"]
