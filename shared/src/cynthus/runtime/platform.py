"""What every service is given: the opened adapters of the shared ports."""

from dataclasses import dataclass, field

from cynthus.blobs.ports import Blobs
from cynthus.bus.ports import EventBus
from cynthus.runtime.peers import Peers
from cynthus.secrets.ports import Secrets
from cynthus.store.catch_up import Rhythm
from cynthus.store.database import Database
from cynthus.web.tokens import WorkerTokens


@dataclass(frozen=True, slots=True)
class Platform:
    """Opened once per process; in the embedded home all services share one."""

    database: Database
    bus: EventBus
    blobs: Blobs
    secrets: Secrets
    worker_tokens: WorkerTokens
    internal_token: str
    peers: Peers = field(default_factory=Peers)
    catch_up: Rhythm = field(default_factory=Rhythm)
    bus_shares_database: bool = False
    """Messages are acknowledged where their effects are written, so a crash undoes both or neither."""
