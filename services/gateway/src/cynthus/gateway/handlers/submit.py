"""Accepting runs: under one idempotency key, one run."""

from collections.abc import Callable

from cynthus.events import new_id
from cynthus.gateway.domain.names import Words, numbered
from cynthus.gateway.domain.problems import KeyReused
from cynthus.gateway.domain.submission import SubmitRun
from cynthus.gateway.handlers.acknowledgements import Acknowledgements
from cynthus.gateway.ports import Accepted, KeyTaken, Submissions
from cynthus.runtime.crash_points import reach
from cynthus.secrets.ports import Secrets
from cynthus.store.ports import EventStore, Why


class SubmitHandler:
    """Accepts runs; under one idempotency key, one run."""

    def __init__(
        self,
        store: EventStore,
        submissions: Submissions,
        secrets: Secrets,
        words: Words,
        random: Callable[[], int],
        *,
        acknowledgements: Acknowledgements,
    ) -> None:
        self._store = store
        self._submissions = submissions
        self._secrets = secrets
        self._words = words
        self._random = random
        self._acknowledgements = acknowledgements

    async def __call__(self, command: SubmitRun, *, actor: str) -> tuple[Accepted, bool]:
        """The accepted run, and whether it is an earlier answer. Raises KeyReused."""
        run_id = new_id("run")
        if command.secrets:
            await self._secrets.put(run_id, command.secrets)
        reach("submit.before_append")
        self._acknowledgements.submit(command.owner, run_id)
        stem, number = self._words.stem(self._random()), 1
        while True:
            requested = command.requested(run_id, command.name or numbered(stem, number))
            try:
                (fact,) = await self._store.append(f"run-{run_id}", [requested], expected=0, why=Why(actor))
                reach("submit.accepted")
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
