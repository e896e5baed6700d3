"""Load, decide, append: the gateway's three commands and the one fact it takes over."""

from collections.abc import Callable

from cynthus.bus.ports import Delivery
from cynthus.events import ProjectUploaded, RunQueued, RunRequested, new_id
from cynthus.gateway.domain.names import Words, numbered
from cynthus.gateway.domain.problems import KeyReused, RunMissing, SecretsGone
from cynthus.gateway.domain.submission import CancelRun, Submission, SubmitRun, decide, evolve
from cynthus.gateway.ports import Accepted, KeyTaken, Project, SnapshotSize, Submissions
from cynthus.secrets.ports import Secrets
from cynthus.store.ports import ConcurrentAppend, EventStore, Recorded, Why

SERVICE = "gateway"


class SubmitHandler:
    """Accepts runs; under one idempotency key, one run."""

    def __init__(
        self,
        store: EventStore,
        submissions: Submissions,
        secrets: Secrets,
        words: Words,
        random: Callable[[], int],
    ) -> None:
        self._store = store
        self._submissions = submissions
        self._secrets = secrets
        self._words = words
        self._random = random

    async def __call__(self, command: SubmitRun, *, actor: str) -> tuple[Accepted, bool]:
        """The accepted run, and whether it is an earlier answer. Raises KeyReused."""
        run_id = new_id("run")
        if command.secrets:
            await self._secrets.put(run_id, command.secrets)
        stem, number = self._words.stem(self._random()), 1
        while True:
            requested = command.requested(run_id, command.name or numbered(stem, number))
            try:
                (fact,) = await self._store.append(f"run-{run_id}", [requested], expected=0, why=Why(actor))
                return Accepted(requested, fact.envelope.time), False
            except KeyTaken:
                if earlier := await self._earlier(command):
                    await self._forget_secrets(command, run_id)
                    return self._same(command, earlier), True
                number = await self._submissions.next_number(command.owner, command.project, stem)

    async def _earlier(self, command: SubmitRun) -> Accepted | None:
        if command.idempotency_key is None:
            return None
        return await self._submissions.by_key(command.owner, command.idempotency_key)

    async def _forget_secrets(self, command: SubmitRun, run_id: str) -> None:
        if command.secrets:
            await self._secrets.delete(run_id)

    @staticmethod
    def _same(command: SubmitRun, earlier: Accepted) -> Accepted:
        if earlier.requested.request_digest != command.request_digest:
            raise KeyReused("this idempotency key was used for another request")
        return earlier


class RunHandler:
    """Cancels runs, gives their inputs again, and notes that history has taken them over."""

    def __init__(self, store: EventStore, secrets: Secrets) -> None:
        self._store = store
        self._secrets = secrets

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

    async def _queued_late(self, stream: str, queued: RunQueued, why: Why) -> None:
        while True:
            history = await self._store.read(stream)
            events = decide(_replay(history), queued)
            try:
                await self._store.append(stream, events, expected=len(history), why=why)
            except ConcurrentAppend:
                continue
            return


class UploadHandler:
    """Tells that a project has a new source."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def __call__(self, project: Project, snapshot: str, size: SnapshotSize, *, actor: str) -> bool:
        """Whether the source is new to the project: it is told once per digest."""
        uploaded = ProjectUploaded(
            owner=project.owner,
            project=project.name,
            snapshot=snapshot,
            files=size.files,
            bytes=size.bytes,
        )
        stream = f"project-{project.id}-{snapshot.removeprefix('sha256:')}"
        try:
            await self._store.append(stream, [uploaded], expected=0, why=Why(actor))
        except ConcurrentAppend:
            return False
        return True


def _replay(history: list[Recorded]) -> Submission:
    state = Submission()
    for recorded in history:
        state = evolve(state, recorded.envelope.event)
    return state
