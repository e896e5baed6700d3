"""What workers call: docs/protocols.md, "Worker protocol"."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from cynthus.events import AttemptExited, Cause
from cynthus.orchestrator.api.auth import Authorization, attempt_of, machine_of
from cynthus.orchestrator.handlers.attempts import Attempts
from cynthus.orchestrator.handlers.logs import Logs
from cynthus.orchestrator.handlers.orders import Orders
from cynthus.orchestrator.ports import LogChunk, LogTotals
from cynthus.web.problems import Refused
from cynthus.web.tokens import AttemptClaims, WorkerTokens

_CHUNK_BYTES = 1024 * 1024
_LONGEST_WAIT_S = 60.0
_DIGEST = r"^sha256:[0-9a-f]{64}$"


class NextOrder(BaseModel):
    """A machine that asks for work."""

    machine: str
    wait_s: float = Field(default=20.0, ge=0)


class Started(BaseModel):
    """The user's process runs."""

    pid: int
    phases_ms: dict[str, float] = {}


class Usage(BaseModel):
    """What the attempt has used and uses."""

    cpu_seconds: float = 0.0
    memory_bytes: int = 0


class Exit(BaseModel):
    """How the user's process ended."""

    exit_code: int | None = None
    signal: int | None = None
    cause: Cause | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0

    def fact(self, claims: AttemptClaims) -> AttemptExited:
        """The fact of this report."""
        own = {name: getattr(self, name) for name in Exit.model_fields}
        return AttemptExited(run_id=claims.run_id, epoch=claims.epoch, **own)


class Checkpoint(BaseModel):
    """A snapshot of the program's folder for checkpoints; its size is counted here."""

    manifest: str = Field(pattern=_DIGEST)
    files: int = Field(default=0, ge=0)
    bytes: int = Field(default=0, ge=0)


class SentLogs(BaseModel):
    """How much log the worker has sent."""

    chunks: int = Field(default=0, ge=0)
    bytes: dict[str, int] = {}


class Finished(Exit):
    """Everything is delivered."""

    logs: SentLogs = SentLogs()
    outputs: str | None = Field(default=None, pattern=_DIGEST)


class ChunkPlace(BaseModel):
    """Where a chunk belongs."""

    seq: int = Field(ge=0, lt=2**31)
    source: Literal["stdout", "stderr"]
    offset: int = Field(ge=0, lt=2**63)


def router(attempts: Attempts, orders: Orders, logs: Logs, tokens: WorkerTokens) -> APIRouter:
    """Routes under /worker/v1."""
    routes = APIRouter(prefix="/worker/v1")
    caller = attempt_of(tokens)
    attempt = "/attempts/{run_id}/{epoch}"

    @routes.post("/orders:next")
    async def next_order(body: NextOrder, authorization: Authorization = "") -> Response:
        if machine_of(tokens, authorization) != body.machine:
            raise Refused(403, "other_machine", "the token is for another machine")
        order = await orders.next(body.machine, min(body.wait_s, _LONGEST_WAIT_S))
        if order is None:
            return Response(status_code=204)
        return Response(order.model_dump_json(), media_type="application/json")

    @routes.post(f"{attempt}/started")
    async def started(body: Started, claims: Annotated[AttemptClaims, Depends(caller)]) -> dict[str, Any]:
        return asdict(await attempts.started(claims, body.pid, body.phases_ms))

    @routes.post(f"{attempt}/heartbeat")
    async def heartbeat(body: Usage, claims: Annotated[AttemptClaims, Depends(caller)]) -> dict[str, Any]:
        return asdict(await attempts.heartbeat(claims, body.cpu_seconds, body.memory_bytes))

    @routes.post(f"{attempt}/logs")
    async def take_logs(
        request: Request,
        place: Annotated[ChunkPlace, Query()],
        claims: Annotated[AttemptClaims, Depends(caller)],
    ) -> dict[str, int]:
        data = await _body(request)
        chunk = LogChunk(claims.run_id, claims.epoch, place.seq, place.source, place.offset, len(data))
        return {"next_seq": await logs.accept(claims.owner, chunk, data)}

    @routes.post(f"{attempt}/checkpoint")
    async def checkpoint(
        body: Checkpoint, claims: Annotated[AttemptClaims, Depends(caller)]
    ) -> dict[str, Any]:
        await attempts.checkpoint(claims, body.manifest)
        return {}

    @routes.post(f"{attempt}/exited")
    async def exited(body: Exit, claims: Annotated[AttemptClaims, Depends(caller)]) -> dict[str, Any]:
        await attempts.exited(claims, body.fact(claims))
        return {}

    @routes.post(f"{attempt}/finished")
    async def finished(body: Finished, claims: Annotated[AttemptClaims, Depends(caller)]) -> dict[str, Any]:
        sent = LogTotals(body.logs.chunks, body.logs.bytes)
        await attempts.finished(claims, body.fact(claims), sent, body.outputs)
        return {}

    return routes


async def _body(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > _CHUNK_BYTES:
            raise Refused(413, "chunk_too_large", f"a chunk has at most {_CHUNK_BYTES} bytes")
        parts.append(part)
    if not size:
        raise Refused(422, "chunk_empty", "a chunk has at least one byte")
    return b"".join(parts)
