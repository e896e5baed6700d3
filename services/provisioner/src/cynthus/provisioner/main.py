"""The provisioner's web application: machines and the gateway call it."""

from fastapi import APIRouter, FastAPI

from cynthus.provisioner.ports import ProviderAway, Throttled
from cynthus.store.ports import StoreUnavailable
from cynthus.web.problems import Answer, install

ANSWERS: dict[type[Exception], Answer] = {
    StoreUnavailable: Answer(503, "store_unavailable", "Try again in a moment."),
    ProviderAway: Answer(503, "provider_away", "The provider of machines does not answer; try again."),
    Throttled: Answer(503, "provider_busy", "The provider of machines was asked too often; try again."),
}


def create_app(*routers: APIRouter) -> FastAPI:
    """An application with these routes."""
    app = FastAPI(title="Cynthus provisioner", openapi_url=None)
    install(app, ANSWERS)
    for router in routers:
        app.include_router(router)
    return app
