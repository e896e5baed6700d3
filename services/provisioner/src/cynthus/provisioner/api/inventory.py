"""Which machines there are, and which should not be: asked by the gateway."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request

from cynthus.provisioner.reconciler.audit import Audit
from cynthus.web.auth import require_internal


def router(audit: Audit, token: str) -> APIRouter:
    """Routes under /internal/v1; `token` is the platform's internal one."""
    routes = APIRouter(prefix="/internal/v1")

    @routes.get("/leaks")
    async def list_leaks(request: Request) -> dict[str, Any]:
        require_internal(request, token)
        report = await audit.leaks()
        return {
            "leaks": [{**asdict(leak), "since": leak.since.isoformat()} for leak in report.leaks],
            "checked_at": report.checked_at.isoformat(),
            "machines": report.machines,
        }

    @routes.get("/machines")
    async def list_machines(request: Request) -> dict[str, Any]:
        require_internal(request, token)
        snapshot = await audit.snapshot()
        return {
            "machines": [
                {
                    "machine": row.name,
                    "zone": row.zone,
                    "stage": row.stage,
                    "age_s": (snapshot.now - row.since).total_seconds(),
                    "run": row.run_id,
                    "epoch": row.epoch,
                    "calls": row.attempts,
                    "needless_since": row.needless_since and row.needless_since.isoformat(),
                    "absent_since": row.absent_since and row.absent_since.isoformat(),
                    "why": row.why or None,
                }
                for row in sorted(snapshot.rows, key=lambda row: row.since)
            ],
            "waiting": snapshot.waiting,
        }

    return routes
