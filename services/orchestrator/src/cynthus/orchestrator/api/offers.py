"""What the gateway brings itself: runs whose requests did not get here."""

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from cynthus.orchestrator.api.auth import internal
from cynthus.orchestrator.handlers.offers import Offer, Offers


def router(offers: Offers, token: str) -> APIRouter:
    """Routes under /internal/v1."""
    routes = APIRouter(prefix="/internal/v1", dependencies=[Depends(internal(token))])

    @routes.post("/runs/{run}/offer", status_code=204, response_class=Response)
    async def offer(run: str, offered: Offer) -> None:
        await offers.take(run, offered)

    return routes
