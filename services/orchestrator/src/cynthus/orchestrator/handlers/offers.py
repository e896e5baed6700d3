"""A run that its request did not bring here, as the gateway offers it long afterwards."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from cynthus.events import RunRequested, RunSpec
from cynthus.orchestrator.domain.messages import Message, RefuseRun
from cynthus.orchestrator.handlers.runs import ACTOR, RunHandler
from cynthus.store.ports import Why


class Offer(BaseModel):
    """Whose run it is, and what was asked for: whatever another version made of that."""

    owner: str
    project: str
    name: str
    request: Any = None


@dataclass(frozen=True, slots=True)
class Offers:
    """Takes a run over, or ends it when what was asked for cannot be read; one that is known goes on."""

    handler: RunHandler

    async def take(self, run_id: str, offer: Offer) -> None:
        """Once the answer is given, the run is in history."""
        await self.handler.tell(run_id, _message(run_id, offer), Why(ACTOR))


def _message(run_id: str, offer: Offer) -> Message:
    try:
        requested = RunRequested.model_validate(offer.request)
    except ValidationError as error:
        complaints = error.errors(include_url=False, include_input=False, include_context=False)
        reason = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in complaints)
    else:
        if requested.run_id == run_id:
            return requested
        reason = "the request is another run's"
    unread = RunRequested(
        run_id=run_id,
        owner=offer.owner,
        project=offer.project,
        name=offer.name,
        spec=RunSpec(snapshot=""),
    )
    return RefuseRun(unread, reason)
