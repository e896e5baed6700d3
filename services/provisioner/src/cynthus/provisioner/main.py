"""The provisioner's web application."""

from collections.abc import Callable

from fastapi import FastAPI

from cynthus.provisioner.api import worker
from cynthus.provisioner.ports import Ledger
from cynthus.store.ports import StoreUnavailable
from cynthus.web.problems import Answer, install
from cynthus.web.tokens import WorkerTokens

ANSWERS: dict[type[Exception], Answer] = {
    StoreUnavailable: Answer(503, "store_unavailable", "Try again in a moment."),
}


def create_app(ledger: Ledger, tokens: WorkerTokens, orders_url: str, greeted: Callable[[], None]) -> FastAPI:
    """Routes over finished objects."""
    app = FastAPI(title="Cynthus provisioner", openapi_url=None)
    install(app, ANSWERS)
    app.include_router(worker.router(ledger, tokens, orders_url, greeted))
    return app
