"""A run ends even when the message that asked for it cannot be handled."""

from dataclasses import dataclass

from cynthus.events import RunRequested
from cynthus.events.codec import EnvelopeInvalid, UnknownEvent
from cynthus.orchestrator.domain.messages import RefuseRun
from cynthus.orchestrator.handlers.runs import ACTOR, RunHandler
from cynthus.store.parked import Parked
from cynthus.store.ports import Why


@dataclass(frozen=True, slots=True)
class ParkedRequests:
    """Fails runs whose request was given up on; a run that is known has deadlines, whatever else is lost."""

    handler: RunHandler

    async def __call__(self, parked: Parked) -> None:
        """Told of each message that was put aside, perhaps twice."""
        try:
            envelope = parked.envelope()
        except (EnvelopeInvalid, UnknownEvent):
            return
        if isinstance(envelope.event, RunRequested):
            refusal = RefuseRun(envelope.event, parked.reason)
            await self.handler.tell(envelope.event.run_id, refusal, Why(ACTOR, cause=envelope))
