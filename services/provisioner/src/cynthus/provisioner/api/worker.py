"""What machines say to the provisioner."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import APIRouter, Header
from pydantic import BaseModel

from cynthus.provisioner.domain.prepull import Prepull
from cynthus.web.problems import Refused
from cynthus.web.tokens import TokenRefused, WorkerTokens


class Hello(BaseModel):
    """A worker that came up, and what it found on its machine."""

    machine: str
    pid: int
    cpu: float
    memory_bytes: int
    version: str
    runtimes: list[str]
    boot: str | None = None
    """The same for a worker and those that take its work over; another one means that it started anew."""


class WantedImage(BaseModel):
    """An image to fetch before anybody asks; without a password it is there for everybody."""

    url: str
    username: str | None
    password: str | None
    repository: str
    digest: str


class Welcome(BaseModel):
    """Where to fetch work, how long to wait for it (seconds), and what to fetch while there is none."""

    orders_url: str
    poll_s: float
    prepull: list[WantedImage] = []


@dataclass(frozen=True, slots=True)
class Invitation:
    """What every machine is told; the platform's own registry, `registry_url`, takes machines' tokens."""

    orders_url: str
    images: Sequence[Prepull] = ()
    username: str = "machine"
    password: str | None = field(default=None, repr=False)
    registry_url: str | None = None

    def welcome(self, token: str) -> Welcome:
        """For the machine of this token."""
        wanted = [self._wanted(image, token) for image in self.images]
        return Welcome(orders_url=self.orders_url, poll_s=15.0, prepull=wanted)

    def _wanted(self, image: Prepull, token: str) -> WantedImage:
        ours = self.registry_url is not None and image.url == self.registry_url.rstrip("/")
        password = self.password or (token if ours else None)
        return WantedImage(
            url=image.url,
            username=self.username if password is not None else None,
            password=password,
            repository=image.repository,
            digest=image.digest,
        )


def router(
    greet: Callable[[str, str | None], Awaitable[bool]], tokens: WorkerTokens, invitation: Invitation
) -> APIRouter:
    """Routes under /worker/v1."""
    routes = APIRouter(prefix="/worker/v1")

    @routes.post("/hello")
    async def hello(body: Hello, authorization: Annotated[str, Header()] = "") -> Welcome:
        token = authorization.removeprefix("Bearer ")
        try:
            machine = tokens.verify_machine(token)
        except TokenRefused as refusal:
            raise Refused(401, "token_refused", str(refusal)) from refusal
        if machine != body.machine:
            raise Refused(403, "forbidden", "the token is another machine's")
        if not await greet(machine, body.boot):
            raise Refused(410, "not_wanted", "this machine is not wanted any more", hint="Stop.")
        return invitation.welcome(token)

    return routes
