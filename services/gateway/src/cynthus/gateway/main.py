"""The gateway's web application."""

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from cynthus.blobs.ports import BlobMissing, DigestMismatch, StorageFull
from cynthus.blobs.signing import SignatureRefused
from cynthus.gateway.api import (
    account,
    admin,
    content,
    history,
    images,
    objects,
    openapi,
    projects,
    runs,
    snapshots,
)
from cynthus.gateway.api.failures import blobs_absent, history_refused, history_unavailable
from cynthus.gateway.api.parts import Parts
from cynthus.gateway.domain import problems
from cynthus.gateway.ports import PageTokenInvalid
from cynthus.runtime.health import installed_version
from cynthus.snapshots.frames import FramesInvalid
from cynthus.snapshots.manifest import ManifestInvalid
from cynthus.store.ports import StoreUnavailable
from cynthus.web.problems import Answer, install
from cynthus.web.too_large import TooLargeAsProblem

_UPLOAD = "Upload it: `PUT /v1/snapshots/{digest}`."

ANSWERS: dict[type[Exception], Answer] = {
    BlobMissing: Answer(404, "blob_missing", "Send it first: `PUT /v1/blobs/{digest}`."),
    ClientDisconnect: Answer(400, "client_disconnected"),
    PageTokenInvalid: Answer(422, "invalid_page_token", "Begin without one."),
    DigestMismatch: Answer(422, "digest_mismatch", "Read the file again and send its own digest."),
    FramesInvalid: Answer(422, "frames_invalid", "Send whole frames: digest, length, bytes."),
    ManifestInvalid: Answer(422, "manifest_invalid", "Write the manifest as docs/protocols.md says."),
    SignatureRefused: Answer(403, "signature_refused", "Ask for a new URL."),
    StorageFull: Answer(507, "storage_full", "Free some space where the platform keeps its blobs."),
    problems.DocumentMissing: Answer(
        404, "document_missing", "`cynthus image show` tells what is known of it."
    ),
    problems.ImageAmbiguous: Answer(409, "image_ambiguous", "Give more digits of its digest."),
    problems.ImageMissing: Answer(404, "image_missing", "`cynthus image ls` lists your images."),
    problems.KeyReused: Answer(422, "idempotency_key_reused", "Use a fresh key for another request."),
    problems.ProjectMissing: Answer(404, "project_missing", "Create it: `POST /v1/projects`."),
    problems.RunAmbiguous: Answer(409, "run_ambiguous", "Give the whole id."),
    problems.RunIsNotOver: Answer(409, "run_is_not_over", "Cancel it first, or wait for its end."),
    problems.RunIsOver: Answer(409, "run_is_over", "Start it again with `cynthus rerun`."),
    problems.RunMissing: Answer(404, "run_missing", "`cynthus ps` lists your runs."),
    problems.SecretsGone: Answer(409, "secrets_gone", "Submit the run again with its secrets."),
    problems.SnapshotMissing: Answer(404, "snapshot_missing", _UPLOAD),
    problems.SnapshotUnknown: Answer(422, "snapshot_missing", _UPLOAD),
    problems.TimeToCome: Answer(422, "time_to_come", "Leave the time out for the present state."),
    problems.TooManyStreams: Answer(429, "too_many_streams", "Close a stream, or use `?wait=`."),
}

_AWAY = (
    problems.HistoryUnavailable,
    problems.ImagesUnavailable,
    problems.MachinesUnavailable,
    StoreUnavailable,
)


def create_app(parts: Parts) -> FastAPI:
    """Routes over finished objects."""
    app = FastAPI(
        title="Cynthus",
        version=installed_version("gateway"),
        openapi_url="/schema",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    app.state.parts = parts
    install(app, ANSWERS)
    app.add_middleware(TooLargeAsProblem)
    app.add_exception_handler(problems.BlobsAbsent, blobs_absent)
    app.add_exception_handler(problems.HistoryRefused, history_refused)
    for away in _AWAY:
        app.add_exception_handler(away, history_unavailable)
    for routes in (account, admin, projects, runs, history, images, content, snapshots, objects):
        app.include_router(routes.router)
    openapi.install(app)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
