"""What the routes stand on, and who asks."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from cynthus.blobs.ports import Blobs
from cynthus.blobs.signing import UrlSigner
from cynthus.gateway.api.streams import EventStreams
from cynthus.gateway.handlers.reading import RunReader
from cynthus.gateway.handlers.runs import RunHandler
from cynthus.gateway.handlers.snapshots import SnapshotHandler
from cynthus.gateway.handlers.submit import SubmitHandler
from cynthus.gateway.handlers.uploads import UploadHandler
from cynthus.gateway.ports import Images, Leaks, ParkedMessages, Projects, RunHistory, Services, Tokens
from cynthus.web.auth import Caller, bearer, fingerprint, unauthenticated
from cynthus.web.tokens import TokenRefused, WorkerTokens

_JWT_DOTS = 2


@dataclass(frozen=True, slots=True)
class Parts:
    """Finished objects, put together in wiring."""

    tokens: Tokens
    worker_tokens: WorkerTokens
    blobs: Blobs
    projects: Projects
    snapshots: SnapshotHandler
    history: RunHistory
    reader: RunReader
    submit: SubmitHandler
    runs: RunHandler
    upload: UploadHandler
    parked: ParkedMessages
    leaks: Leaks
    images: Images
    services: Services
    streams: EventStreams
    digest_key: bytes
    signer: UrlSigner | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is allowed: by whom, and what answers it."""

    caller: Caller
    parts: Parts

    @property
    def owner(self) -> str:
        """Whose objects the request may touch."""
        return self.caller.owner


async def by_user(request: Request) -> Asked:
    """A user with his token. Raises Refused (401)."""
    parts: Parts = request.app.state.parts
    owner = await parts.tokens.owner_of(fingerprint(bearer(request)))
    if owner is None:
        raise unauthenticated("the token is not known here")
    return Asked(Caller(owner, f"user:{owner}"), parts)


async def by_user_or_worker(request: Request) -> Asked:
    """A user, or a worker with the token of its attempt. Raises Refused (401)."""
    token = bearer(request)
    if token.count(".") != _JWT_DOTS:
        return await by_user(request)
    parts: Parts = request.app.state.parts
    try:
        claims = parts.worker_tokens.verify_attempt(token)
    except TokenRefused as error:
        raise unauthenticated("the attempt's token is not accepted") from error
    return Asked(Caller(claims.owner, f"worker:{claims.machine}"), parts)


User = Annotated[Asked, Depends(by_user)]
UserOrWorker = Annotated[Asked, Depends(by_user_or_worker)]
