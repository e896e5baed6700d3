"""For those who run the platform: machines left behind, messages that were given up on."""

from fastapi import APIRouter
from fastapi.responses import Response

from cynthus.gateway.api.answers import json_response, passed_on
from cynthus.gateway.api.parts import Asked, Parts, User
from cynthus.gateway.api.resources import LeakReport
from cynthus.gateway.ports import ParkedElsewhere
from cynthus.web.problems import Refused

router = APIRouter(prefix="/v1", tags=["admin"])

_OPERATOR = "local"


@router.get("/leaks", response_model=LeakReport)
async def list_leaks(asked: User) -> Response:
    """Machines that outlived their need, by the provider's own listing."""
    return passed_on(await _operators(asked).leaks.now())


@router.get("/admin/parked")
async def list_parked(asked: User) -> Response:
    """Parked messages of all services, oldest first."""
    return json_response(await _operators(asked).parked.all())


@router.get("/admin/parked/{service}/{message_id}")
async def show_parked(asked: User, service: str, message_id: str) -> Response:
    """One parked message, whole, with its reason."""
    try:
        return json_response(await _operators(asked).parked.one(service, message_id))
    except ParkedElsewhere as refusal:
        raise Refused(refusal.status, refusal.code, refusal.detail) from refusal


@router.post("/admin/parked/{service}/{message_id}:replay")
async def replay_parked(asked: User, service: str, message_id: str) -> Response:
    """Have a parked message handled again."""
    try:
        return json_response(await _operators(asked).parked.replay(service, message_id))
    except ParkedElsewhere as refusal:
        raise Refused(refusal.status, refusal.code, refusal.detail) from refusal


def _operators(asked: Asked) -> Parts:
    """Machines and messages may be any owner's, so only the platform's own owner sees that they exist."""
    if asked.owner != _OPERATOR:
        raise Refused(404, "not_found", "Not Found")
    return asked.parts
