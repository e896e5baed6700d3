"""What is asked of a run after it was accepted, and that history has taken it over."""

from cynthus.bus.ports import Delivery
from cynthus.events import RunQueued, RunRequested
from cynthus.gateway.domain.problems import RunIsNotOver, RunMissing, SecretsGone
from cynthus.gateway.domain.resources import FINAL_STATES
from cynthus.gateway.domain.submission import CancelRun, Submission, decide, evolve
from cynthus.gateway.handlers.acknowledgements import Acknowledgements
from cynthus.gateway.ports import Json
from cynthus.secrets.ports import Secrets
from cynthus.store.ports import AlreadyHandled, ConcurrentAppend, EventStore, Recorded, Why

SERVICE = "gateway"


class RunHandler:
    """Cancels runs, gives their inputs again, and notes that history has taken them over."""

    def __init__(self, store: EventStore, secrets: Secrets, acknowledgements: Acknowledgements) -> None:
        self._store = store
        self._secrets = secrets
        self._acknowledgements = acknowledgements

    async def cancel(self, owner: str, run_id: str, *, actor: str) -> None:
        """Ask for a stop, once. Raises RunMissing."""
        stream = f"run-{run_id}"
        while True:
            history = await self._store.read(stream)
            state = _replay(history)
            if state.requested is None or state.requested.owner != owner:
                raise RunMissing("there is no such run")
            try:
                await self._store.append(
                    stream, decide(state, CancelRun(run_id)), expected=len(history), why=Why(actor)
                )
            except ConcurrentAppend:
                continue
            return

    async def inputs(self, owner: str, run_id: str) -> tuple[RunRequested, dict[str, str]]:
        """What a run was asked with, and its secret values. Raises RunMissing or SecretsGone."""
        requested = _replay(await self._store.read(f"run-{run_id}", limit=1)).requested
        if requested is None or requested.owner != owner:
            raise RunMissing("there is no such run")
        values = await self._secrets.get(run_id) if requested.spec.secrets else {}
        if missing := set(requested.spec.secrets) - set(values):
            raise SecretsGone(f"the values of {', '.join(sorted(missing))} are no longer kept")
        return requested, values

    async def forget(self, run: Json) -> None:
        """Drop the secret values of a run that is over. Raises RunIsNotOver."""
        if run["state"] not in FINAL_STATES:
            raise RunIsNotOver(f"the run is {run['state']}")
        await self._secrets.delete(run["id"])

    async def queued(self, delivery: Delivery) -> None:
        """Take over that the orchestrator knows the run."""
        cause = delivery.envelope
        assert isinstance(cause.event, RunQueued)
        stream, why = f"run-{cause.event.run_id}", Why(cause.actor, cause=cause, consumer=SERVICE)
        try:
            # Nearly always only RunRequested came before: no need to read.
            await self._store.append(stream, [cause.event], expected=1, why=why)
        except ConcurrentAppend:
            await self._queued_late(stream, cause.event, why)
        except AlreadyHandled:
            pass
        self._acknowledgements.arrived(cause.event.run_id)

    async def _queued_late(self, stream: str, queued: RunQueued, why: Why) -> None:
        while True:
            history = await self._store.read(stream)
            events = decide(_replay(history), queued)
            try:
                await self._store.append(stream, events, expected=len(history), why=why)
            except ConcurrentAppend:
                continue
            return


def _replay(history: list[Recorded]) -> Submission:
    state = Submission()
    for recorded in history:
        state = evolve(state, recorded.envelope.event)
    return state
