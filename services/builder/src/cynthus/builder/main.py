"""The builder's web application: health only, its work comes over the bus."""

from fastapi import FastAPI

from cynthus.store.ports import StoreUnavailable
from cynthus.web.problems import Answer, install


def create_app() -> FastAPI:
    """An application that answers health checks."""
    app = FastAPI(title="Cynthus builder", openapi_url=None)
    install(app, {StoreUnavailable: Answer(503, "store_unavailable", "Try again in a moment.")})
    return app
