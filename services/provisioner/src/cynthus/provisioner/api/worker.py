"""What machines say to the provisioner."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Header
from pydantic import BaseModel

from cynthus.provisioner.ports import Ledger
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


class Welcome(BaseModel):
    """Where to fetch work, and how long to wait for it, in seconds."""

    orders_url: str
    poll_s: float


def router(ledger: Ledger, tokens: WorkerTokens, orders_url: str, greeted: Callable[[], None]) -> APIRouter:
    """Routes under /worker/v1."""
    routes = APIRouter(prefix="/worker/v1")

    @routes.post("/hello")
    async def hello(body: Hello, authorization: Annotated[str, Header()] = "") -> Welcome:
        try:
            machine = tokens.verify_machine(authorization.removeprefix("Bearer "))
        except TokenRefused as refusal:
            raise Refused(401, "token_refused", str(refusal)) from refusal
        if machine != body.machine:
            raise Refused(403, "forbidden", "the token is another machine's")
        if not await ledger.hello(machine):
            raise Refused(410, "not_wanted", "this machine is not wanted any more", hint="Stop.")
        greeted()
        return Welcome(orders_url=orders_url, poll_s=25.0)

    return routes
