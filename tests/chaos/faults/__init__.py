"""The faults; importing this package registers all of them."""

from tests.chaos.faults import broker, database, network, services, workers
from tests.chaos.faults.registry import FAULTS, Fault, numbered

__all__ = ["FAULTS", "Fault", "broker", "database", "network", "numbered", "services", "workers"]
