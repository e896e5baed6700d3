"""Who am I, and how is the platform."""

import asyncio

from fastapi import APIRouter
from fastapi.responses import Response

from cynthus.gateway.api.answers import json_response
from cynthus.gateway.api.parts import User
from cynthus.gateway.api.resources import Me, PlatformStatus
from cynthus.runtime.health import installed_version

router = APIRouter(prefix="/v1", tags=["account"])


@router.get("/me")
async def whoami(asked: User) -> Me:
    """The owner of the token."""
    return Me(owner=asked.owner, via="token")


@router.get("/status", response_model=PlatformStatus)
async def show_status(asked: User) -> Response:
    """Services, machines, and the caller's runs by state."""
    services = asked.parts.services
    told, states, machine = await asyncio.gather(
        asked.parts.history.status(asked.owner), services.states(), services.machine()
    )
    ours = {
        "gateway": {"state": "ok", "version": installed_version("gateway")},
        "orchestrator": {"state": "ok"},
    }
    return json_response({**told, "services": {**ours, **states}, "machine": machine})
