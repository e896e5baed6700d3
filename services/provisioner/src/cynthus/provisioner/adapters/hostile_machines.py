"""Machines of the hostile provider, over HTTP. What it says is believed only when it makes sense."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx2

from cynthus.provisioner.adapters.hostile_answers import (
    Page,
    Step,
    document_of,
    raise_for_operation,
    reason_of,
)
from cynthus.provisioner.adapters.this_host import ThisHost
from cynthus.provisioner.domain.host import Host
from cynthus.provisioner.ports import (
    Listed,
    MachineRefused,
    MachineSpec,
    ProviderAway,
    QuotaReached,
    Throttled,
)

_LABELS = {"managed-by": "cynthus"}
_FILTER = "managed-by=cynthus"
_POLL_S = 2.0
_PAUSE_S = 0.1
_LOOK_AGAIN_S = 0.25
_NOT_READY_S = 1.0
_CAUTIOUS_LAG_S = 60.0
_FIRST_GUESS = ("zone-a",)
_ALREADY, _MISSING = 409, 404


class HostileMachines:
    """The Machines port. Zones and lag are the provider's own words, and follow it."""

    def __init__(self, client: httpx2.AsyncClient, *, settle_s: float = 30.0) -> None:
        """`client` has the provider's base URL; creations that are not done after `settle_s` are unknown."""
        self._client = client
        self._settle_s = settle_s
        self._zones: tuple[str, ...] = ()
        self._lag_s = _CAUTIOUS_LAG_S
        self._here = ThisHost()

    @property
    def host(self) -> Host:
        """This machine: the provider's machines are processes on it."""
        return self._here.look()

    @property
    def zones(self) -> tuple[str, ...]:
        """As the provider is configured."""
        return self._zones or _FIRST_GUESS

    @property
    def lag_s(self) -> float:
        """As the provider is configured; very long until it has been asked."""
        return self._lag_s

    async def learn(self) -> None:
        """Ask for zones and lag. Raises ProviderAway, Throttled."""
        self._follow(Page.read({"items": [], **await self._look("/zones")}))

    async def create(self, spec: MachineSpec) -> None:
        """Ask for it, and wait until it is there or refused."""
        body = {
            "name": spec.name,
            "labels": _LABELS,
            "metadata": {"worker_url": spec.worker_url, "worker_token": spec.worker_token},
        }
        query = {"requestId": spec.request_id} if spec.request_id else {}
        answer = await self._send("POST", f"/zones/{spec.zone}/instances", query, body)
        if answer.status_code == _ALREADY and reason_of(answer) == "alreadyExists":
            return
        step = Step.read(document_of(answer))
        deadline = asyncio.get_running_loop().time() + self._settle_s
        while not step.done:
            step = await self._poll(step, deadline)
        raise_for_operation(step)

    async def list(self) -> tuple[Listed, ...]:
        """Every page of every zone; if one cannot be had, there is no listing."""
        if not self._zones:
            await self.learn()
        zones = self._zones
        found = await asyncio.gather(*map(self._of_zone, zones), return_exceptions=True)
        machines: list[Listed] = []
        for listed in found:
            if isinstance(listed, BaseException):
                raise listed
            machines += listed
        if not set(self._zones) <= set(zones):
            raise ProviderAway("there are zones that were not listed")
        return tuple(machines)

    async def delete(self, name: str, zone: str = "here") -> None:
        """Its operation is not waited for. One that is still being created is Throttled: ask later."""
        answer = await self._send("DELETE", f"/zones/{zone}/instances/{name}")
        if answer.status_code == _MISSING:
            return
        if answer.status_code == _ALREADY:
            raise Throttled(f"{name} is not ready to be deleted", _NOT_READY_S)
        Step.read(document_of(answer))

    async def _poll(self, step: Step, deadline: float) -> Step:
        """The operation's next standing; trouble on the way is waited out until the deadline."""
        left_s = deadline - asyncio.get_running_loop().time()
        if left_s <= 0:
            raise ProviderAway(f"{step.name} is not done after {self._settle_s:g} s")
        query = {"wait_s": f"{min(_POLL_S, left_s):.2f}"}
        try:
            return Step.read(await self._look(f"/operations/{step.name}", query))
        except Throttled as busy:
            await asyncio.sleep(min(busy.retry_after_s or _PAUSE_S, left_s))
        except ProviderAway:
            await asyncio.sleep(min(_PAUSE_S, left_s))
        return step

    async def _of_zone(self, zone: str) -> tuple[Listed, ...]:
        machines: dict[str, Listed] = {}
        query = {"label": _FILTER}
        while True:
            page = Page.read(await self._look(f"/zones/{zone}/instances", query))
            self._follow(page)
            machines.update({machine.name: machine for machine in page.machines})
            if page.next is None:
                return tuple(machines.values())
            query = {"label": _FILTER, "pageToken": page.next}

    def _follow(self, page: Page) -> None:
        self._zones, self._lag_s = page.zones, page.lag_s

    async def _look(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """A question, asked again when it fails quickly. That it is refused tells nothing about machines."""
        patience = asyncio.get_running_loop().time() + _LOOK_AGAIN_S
        while True:
            try:
                return document_of(await self._send("GET", path, query))
            except (MachineRefused, QuotaReached) as error:
                raise ProviderAway(str(error)) from error
            except ProviderAway:
                if asyncio.get_running_loop().time() >= patience:
                    raise
                await asyncio.sleep(_PAUSE_S)

    async def _send(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: object = None
    ) -> httpx2.Response:
        try:
            return await self._client.request(method, path, params=query or {}, json=body)
        except httpx2.HTTPError as error:
            raise ProviderAway(f"no answer: {type(error).__name__}") from error


@asynccontextmanager
async def open_hostile_machines(url: str, *, timeout_s: float = 10.0) -> AsyncIterator[HostileMachines]:
    """Machines of the provider at `url`. One that is away now is asked again at the next listing."""
    timeout = httpx2.Timeout(timeout_s, connect=2.0)
    async with httpx2.AsyncClient(base_url=url, timeout=timeout, trust_env=False) as client:
        machines = HostileMachines(client)
        with suppress(ProviderAway):
            await machines.learn()
        yield machines
