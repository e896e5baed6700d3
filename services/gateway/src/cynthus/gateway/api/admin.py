"""For those who run the platform: messages that were given up on."""

from fastapi import APIRouter
from fastapi.responses import Response

from cynthus.gateway.api.answers import json_response
from cynthus.gateway.api.parts import Asked, User
from cynthus.gateway.ports import ParkedElsewhere, ParkedMessages
from cynthus.web.problems import Refused

router = APIRouter(prefix="/v1/admin", tags=["admin"])

_OPERATOR = "local"


@router.get("/parked")
async def list_parked(asked: User) -> Response:
    """Parked messages of all services, oldest first."""
    return json_response(await _messages(asked).all())


@router.get("/parked/{service}/{message_id}")
async def show_parked(asked: User, service: str, message_id: str) -> Response:
    """One parked message, whole, with its reason."""
    try:
        return json_response(await _messages(asked).one(service, message_id))
    except ParkedElsewhere as refusal:
        raise Refused(refusal.status, refusal.code, refusal.detail) from refusal


@router.post("/parked/{service}/{message_id}:replay")
async def replay_parked(asked: User, service: str, message_id: str) -> Response:
    """Have a parked message handled again."""
    try:
        return json_response(await _messages(asked).replay(service, message_id))
    except ParkedElsewhere as refusal:
        raise Refused(refusal.status, refusal.code, refusal.detail) from refusal


def _messages(asked: Asked) -> ParkedMessages:
    """Messages may be any owner's, so only the platform's own owner sees that they exist."""
    if asked.owner != _OPERATOR:
        raise Refused(404, "not_found", "Not Found")
    return asked.parts.parked
