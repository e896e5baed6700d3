"""A service's parked messages over HTTP, for the platform's own use."""

from typing import Any

from fastapi import APIRouter, FastAPI, Request

from cynthus.store.consumer import Consumer
from cynthus.store.inbox import Inbox
from cynthus.store.parked import NotParked, Parked
from cynthus.web.auth import require_internal
from cynthus.web.problems import Refused


def install(app: FastAPI, consumer: Consumer, inbox: Inbox, internal_token: str) -> None:
    """Add /internal/v1/parked to a service's application."""
    routes = APIRouter(prefix="/internal/v1/parked", include_in_schema=False)

    async def find(message_id: str) -> Parked:
        try:
            return await inbox.find(consumer.service, message_id)
        except NotParked as error:
            raise Refused(404, "not_found", f"no parked message {message_id}") from error

    @routes.get("")
    async def list_parked(request: Request) -> dict[str, list[dict[str, Any]]]:
        require_internal(request, internal_token)
        return {"parked": [_row(parked) for parked in await inbox.parked(consumer.service)]}

    @routes.get("/{message_id}")
    async def show_parked(request: Request, message_id: str) -> dict[str, Any]:
        require_internal(request, internal_token)
        parked = await find(message_id)
        return {**_row(parked), "message": parked.document}

    @routes.post("/{message_id}:replay")
    async def replay_parked(request: Request, message_id: str) -> dict[str, Any]:
        require_internal(request, internal_token)
        parked = await find(message_id)
        try:
            await consumer.replay(message_id)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            hint = "It stays parked; the service's log has the details."
            raise Refused(409, "replay_failed", reason, hint=hint) from error
        return {**_row(parked), "replayed": True}

    app.include_router(routes)


def _row(parked: Parked) -> dict[str, Any]:
    return {
        "service": parked.consumer,
        "id": parked.message_id,
        "type": parked.document.get("type"),
        "subject": parked.document.get("subject"),
        "reason": parked.reason,
        "attempts": parked.attempts,
        "parked_at": parked.parked_at,
    }
