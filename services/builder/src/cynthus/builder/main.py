"""The builder's web application: questions about images, and whatever else it is given; work comes by bus."""

from fastapi import APIRouter, FastAPI

from cynthus.builder.ports import DocumentMissing, ImageAmbiguous, ImageMissing
from cynthus.store.ports import StoreUnavailable
from cynthus.web.problems import Answer, install

ANSWERS: dict[type[Exception], Answer] = {
    DocumentMissing: Answer(404, "document_missing", "The image's page shows what is known of it."),
    ImageAmbiguous: Answer(409, "image_ambiguous", "Give more digits of its digest."),
    ImageMissing: Answer(404, "image_missing", "`cynthus image ls` lists your images."),
    StoreUnavailable: Answer(503, "store_unavailable", "Try again in a moment."),
}


def create_app(*routers: APIRouter) -> FastAPI:
    """An application with these routes."""
    app = FastAPI(title="Cynthus builder", openapi_url=None)
    install(app, ANSWERS)
    for router in routers:
        app.include_router(router)
    return app
