"""What the gateway asks: what the machines here can do."""

from typing import Any

from fastapi import APIRouter, Request

from cynthus.provisioner.ports import Machines
from cynthus.web.auth import require_internal


def router(machines: Machines, token: str) -> APIRouter:
    """Routes under /internal/v1; `token` is the platform's internal one."""
    routes = APIRouter(prefix="/internal/v1")

    @routes.get("/machine")
    async def show_machine(request: Request) -> dict[str, Any]:
        require_internal(request, token)
        host = machines.host
        return {
            "runtimes": sorted(host.runtimes),
            "gpus": [{"name": gpu.name, "memory_bytes": gpu.memory_bytes} for gpu in host.gpus],
            "driver": host.driver,
        }

    return routes
