"""Who am I, and how is the platform."""

from typing import Any

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
    """Services, versions, and the caller's runs by state."""
    told = await asked.parts.history.status(asked.owner)
    services: dict[str, Any] = told.get("services", {"orchestrator": {"state": "ok"}})
    ours = {"gateway": {"state": "ok", "version": installed_version("gateway")}}
    return json_response({**told, "services": {**ours, **services}})
