"""Work orders: what a machine must start, given out again until it says that it did."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from cynthus.events import Image, Resources
from cynthus.orchestrator.domain.rhythm import Rhythm
from cynthus.orchestrator.domain.run import Run
from cynthus.orchestrator.handlers.refusals import MachineNotWanted
from cynthus.orchestrator.ports import Bell, Leases, Renewal, Runs
from cynthus.secrets.ports import Secrets
from cynthus.web.tokens import AttemptClaims, WorkerTokens

_LOOK_AGAIN_S = 5.0


class RegistryLogin(BaseModel):
    """Where a worker pulls its image, and what it shows there."""

    url: str
    username: str
    password: str


class WorkOrder(BaseModel):
    """Everything a worker needs to execute one attempt."""

    run_id: str
    epoch: int
    project: str
    token: str
    attempts_url: str
    blobs_url: str
    image: Image
    registry: RegistryLogin | None
    data: list[dict[str, str]]
    env: dict[str, str]
    secrets: dict[str, str]
    resources: Resources
    timeout_s: float | None
    grace_s: float
    next_beat_s: float
    lease_s: float
    checkpoint: str | None = None
    """The snapshot that the program's folder for checkpoints begins with."""
    checkpoint_every_s: float = 60.0
    """How often that folder is saved; 0: only at the end."""


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """A registry of images; without a password of its own each attempt shows its token."""

    url: str
    username: str
    password: str | None = field(default=None, repr=False)

    def login(self, token: str) -> RegistryLogin:
        """For the attempt of this token."""
        return RegistryLogin(url=self.url, username=self.username, password=self.password or token)


@dataclass(frozen=True, slots=True)
class Terms:
    """What all orders have in common."""

    attempts_url: str
    blobs_url: str
    grace_s: float
    token_ttl_s: float
    machine_idle_s: float
    checkpoint_every_s: float = 60.0
    registry: RegistryAccess | None = None


@dataclass(frozen=True, slots=True)
class Orders:
    """Hands orders to the machines they are for."""

    runs: Runs
    leases: Leases
    bell: Bell
    secrets: Secrets
    tokens: WorkerTokens
    rhythm: Rhythm
    terms: Terms
    monotonic: Callable[[], float] = time.monotonic
    _idle_since: dict[str, float] = field(default_factory=dict)

    async def next(self, machine: str, wait_s: float) -> WorkOrder | None:
        """The order for a machine, as soon as there is one. Raises MachineNotWanted."""
        until = self.monotonic() + wait_s
        with self.bell.listen(f"machine:{machine}") as wakeup:
            while True:
                work = await self.runs.work_of(machine)
                if work.run is not None:
                    self._idle_since.pop(machine, None)
                    if await self._granted(work.run):
                        return await self._order(work.run, machine)
                else:
                    self._check_wanted(machine, gone=work.gone)
                left = until - self.monotonic()
                if left <= 0 or wakeup.closed:
                    return None
                await wakeup.wait(min(left, _LOOK_AGAIN_S))

    async def _granted(self, run: Run) -> bool:
        """A worker begins with a whole lease before it, or not at all: its epoch may be fenced any moment."""
        renewal = Renewal(run.id, run.epoch)
        return bool(await self.leases.renew([renewal], self.rhythm.lease_s))

    def _check_wanted(self, machine: str, *, gone: bool) -> None:
        since = self._idle_since.setdefault(machine, self.monotonic())
        if gone or self.monotonic() - since > self.terms.machine_idle_s:
            self._idle_since.pop(machine, None)
            raise MachineNotWanted(f"nothing is planned for {machine}")

    async def _order(self, run: Run, machine: str) -> WorkOrder:
        assert run.image is not None
        claims = AttemptClaims(run.id, run.epoch, run.owner, machine)
        token = self.tokens.attempt(claims, ttl_s=self.terms.token_ttl_s)
        values = await self.secrets.get(run.id) if run.spec.secrets else {}
        registry = self.terms.registry
        return WorkOrder(
            run_id=run.id,
            epoch=run.epoch,
            project=run.project,
            token=token,
            attempts_url=self.terms.attempts_url,
            blobs_url=self.terms.blobs_url,
            image=run.image,
            registry=None if registry is None else registry.login(token),
            data=_data(run),
            env=run.spec.env,
            secrets=values,
            resources=run.spec.resources,
            timeout_s=run.spec.timeout_s,
            grace_s=self.terms.grace_s,
            next_beat_s=self.rhythm.next_beat_s,
            lease_s=self.rhythm.lease_s,
            checkpoint=None if run.checkpoint is None else run.checkpoint.manifest,
            checkpoint_every_s=self.terms.checkpoint_every_s,
        )


def _data(run: Run) -> list[dict[str, Any]]:
    return [{"mount": item.mount, "manifest": item.manifest} for item in run.datasets or ()]
