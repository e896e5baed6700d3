"""The CloudEvents 1.0 envelope that carries a fact between services."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cynthus.events.event import Event


@dataclass(frozen=True, slots=True)
class Envelope:
    """A fact and where it came from.

    `correlation_id` is the run (or project) the fact belongs to, `causation_id` the id of the event that
    led to it, `actor` who did it (`user:...`, `worker:...`, `service:...`), `sequence` its version in
    `stream`, `source` the service whose store holds it.
    """

    id: str
    source: str
    time: datetime
    event: Event
    stream: str
    sequence: int
    actor: str
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None

    @property
    def type(self) -> str:
        """The CloudEvents type."""
        return self.event.ce_type()

    def data(self) -> dict[str, Any]:
        """The fact as JSON values."""
        return self.event.model_dump(mode="json")
