"""The faults; importing this package registers all of them."""

from tests.chaos.faults import (
    broker,
    clocks,
    crash_points,
    database,
    disks,
    network,
    provider,
    services,
    workers,
)
from tests.chaos.faults.registry import FAULTS, Fault, numbered

__all__ = ["FAULTS", "Fault", "numbered"]

_REGISTERED = (broker, clocks, crash_points, database, disks, network, provider, services, workers)
