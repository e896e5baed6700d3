"""The web application of the orchestrator: workers and the gateway call it."""

from fastapi import APIRouter, FastAPI

from cynthus.blobs.ports import StorageFull
from cynthus.orchestrator.domain.messages import Fenced
from cynthus.orchestrator.handlers.refusals import (
    LogGap,
    LogsIncomplete,
    MachineNotWanted,
    ManifestMissing,
    RunAmbiguous,
    RunIsNotOver,
    RunNotFound,
)
from cynthus.store.ports import StoreUnavailable
from cynthus.web.problems import Answer, install

ANSWERS: dict[type[Exception], Answer] = {
    Fenced: Answer(409, "fenced", "Stop: another attempt counts now, or none."),
    LogGap: Answer(422, "log_gap", "Send the chunk that is expected."),
    LogsIncomplete: Answer(422, "logs_incomplete", "Send what is missing, then report again."),
    MachineNotWanted: Answer(410, "machine_not_wanted", "Leave."),
    ManifestMissing: Answer(422, "manifest_missing", "Put the snapshot first, then report again."),
    RunAmbiguous: Answer(409, "run_ambiguous", "Give more characters of its id."),
    RunIsNotOver: Answer(409, "run_is_not_over", "Cancel it first: `cynthus cancel`."),
    RunNotFound: Answer(404, "run_not_found", "`cynthus ps` lists your runs."),
    StorageFull: Answer(507, "storage_full", "Free space where the platform keeps its objects."),
    StoreUnavailable: Answer(503, "store_unavailable", "Try again in a moment."),
}


def create_app(*routers: APIRouter) -> FastAPI:
    """An application with these routes."""
    app = FastAPI(title="Cynthus orchestrator", openapi_url=None)
    for router in routers:
        app.include_router(router)
    install(app, ANSWERS)
    return app
