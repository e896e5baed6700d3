"""Images through the gateway, the status of the platform, and what a submission asks of its machine."""

from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from cynthus.gateway.adapters.http_images import HttpImages
from cynthus.gateway.adapters.http_services import HttpServices
from cynthus.gateway.domain.problems import ImagesUnavailable
from cynthus.provisioner.adapters.memory_machines import MemoryMachines
from cynthus.provisioner.api import internal
from cynthus.provisioner.domain.host import Gpu, Host
from cynthus.provisioner.main import create_app
from cynthus.web.asgi_calls import AsgiCalls
from cynthus.web.calls import Reply, ServiceSilent
from tests.fixtures.images import entry
from tests.integration.gateway.conftest import Gateway, Ready

INTERNAL = "i" * 32


async def test_images_are_listed_and_shown_as_the_builder_has_them(
    gateway: Gateway, ann: httpx2.AsyncClient
) -> None:
    gateway.images["ann"] = [entry(1), entry(2, "other"), entry(3)]
    first = (await ann.get("/v1/images?page_size=2")).json()
    assert [image["project"] for image in first["images"]] == ["digits", "other"]
    second = (await ann.get(f"/v1/images?page_size=2&page_token={first['next_page_token']}")).json()
    assert ([image["digest"] for image in second["images"]], second["next_page_token"]) == (
        [entry(1).digest],
        None,
    )
    (other,) = (await ann.get("/v1/images?project=other")).json()["images"]
    assert other == (await ann.get(f"/v1/images/{other['digest'][:15]}")).json()
    for named in (entry(3).digest, entry(3).digest.removeprefix("sha256:")):
        answer = await ann.get(f"/v1/images/{named}/sbom")
        assert answer.headers["content-type"] == "application/vnd.cyclonedx+json"
        assert answer.json() == {"of": entry(3).digest}


async def test_somebody_elses_image_is_one_that_is_not_there(
    gateway: Gateway, bob: httpx2.AsyncClient
) -> None:
    gateway.images["ann"] = [entry(3)]
    for path in ("", "/sbom", "/provenance"):
        answers = []
        for digest in (entry(3).digest, "sha256:" + "9" * 64, "never"):
            answer = await bob.get(f"/v1/images/{digest}{path}")
            answers.append((answer.status_code, answer.json() | {"request_id": ""}))
        assert answers[0] == answers[1] == answers[2]
        assert (answers[0][0], answers[0][1]["code"]) == (404, "image_missing")
    assert (await bob.get("/v1/images")).json() == {"images": [], "next_page_token": None}


async def test_what_the_builder_refuses_is_passed_on(gateway: Gateway, ann: httpx2.AsyncClient) -> None:
    gateway.images["ann"] = [entry(3), entry(3, "other")]
    answer = await ann.get("/v1/images/00000003")
    assert (answer.status_code, answer.json()["code"]) == (409, "image_ambiguous")
    gateway.images["ann"] = [entry(3)]
    answer = await ann.get("/v1/images/00000003/provenance")
    assert (answer.status_code, answer.json()["code"]) == (404, "document_missing")
    answer = await ann.get("/v1/images?page_token=bm9uZQ==")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_page_token")
    for query in ("page_size=0", "page_size=1001", "project=%00"):
        assert (await ann.get(f"/v1/images?{query}")).status_code == 422


async def test_a_builder_that_is_away_is_told_as_503(gateway: Gateway, ann: httpx2.AsyncClient) -> None:
    def broken(status: int) -> AsgiCalls:
        app = FastAPI()

        @app.get("/{path:path}")
        async def answer(path: str) -> JSONResponse:
            return JSONResponse({"detail": "Not Found"}, status)

        return AsgiCalls(app)

    for builder in (None, Silent(), broken(500), broken(404), broken(401)):
        with pytest.raises(ImagesUnavailable):
            await HttpImages(builder, INTERNAL).find("ann", entry(1).digest)
    gateway.service.app.state.parts = with_parts(gateway, images=HttpImages(None, INTERNAL))
    answer = await ann.get("/v1/images")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def with_parts(gateway: Gateway, **changed: Any) -> Any:
    parts = gateway.service.app.state.parts
    return type(parts)(**{name: getattr(parts, name) for name in parts.__dataclass_fields__} | changed)


class Silent:
    """A service that does not answer."""

    async def ask(self, *_: object, **__: object) -> Reply:
        raise ServiceSilent("no answer")


def elsewhere(status: int) -> AsgiCalls:
    """A service in another process, ready or not."""
    app = FastAPI()

    @app.get("/health/ready")
    async def ready() -> JSONResponse:
        return JSONResponse({}, status)

    @app.get("/version")
    async def version() -> dict[str, str]:
        return {"service": "x", "version": "9.9"}

    return AsgiCalls(app)


async def test_the_status_names_every_service_and_what_machines_can_do(
    gateway: Gateway, ann: httpx2.AsyncClient
) -> None:
    host = Host(8, 10**10, frozenset({"process", "container"}), (Gpu("NVIDIA L4", 24),), "580.65.06")
    provisioner = create_app(internal.router(MemoryMachines(host), INTERNAL))
    services = {
        "orchestrator": elsewhere(200),
        "builder": elsewhere(503),
        "provisioner": AsgiCalls(provisioner),
        "datasets": Silent(),
    }
    states = HttpServices(services, {"provisioner"}, INTERNAL)
    gateway.service.app.state.parts = with_parts(gateway, services=states)
    told = (await ann.get("/v1/status")).json()
    assert {name: one["state"] for name, one in told["services"].items()} == {
        "gateway": "ok",
        "orchestrator": "ok",
        "builder": "failing",
        "provisioner": "ok",
        "datasets": "silent",
    }
    assert told["services"]["orchestrator"]["version"] == "9.9"
    assert told["services"]["provisioner"]["version"]
    assert told["machine"] == {
        "runtimes": ["container", "process"],
        "gpus": [{"name": "NVIDIA L4", "memory_bytes": 24}],
        "driver": "580.65.06",
    }
    for nobody in (HttpServices({}, (), INTERNAL), HttpServices(services, (), "other" * 8)):
        assert await nobody.machine() is None


@pytest.mark.parametrize("gpu", ["L4", "L4:2", "24GB+", "16GB..40GB"])
async def test_a_submission_may_ask_for_a_gpu_and_a_runtime(ready: Ready, gpu: str) -> None:
    run = await ready.run(resources={"gpu": gpu, "cpu": 2.0}, runtime="container")
    assert run["spec"]["resources"] == {"cpu": 2.0, "memory_bytes": None, "gpu": gpu}
    assert run["spec"]["runtime"] == "container"
    again = (await ready.client.post(f"/v1/runs/{run['id']}:rerun")).json()
    assert again["spec"] == run["spec"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"resources": {"gpu": "no gpu"}}, "/resources/gpu"),
        ({"resources": {"gpu": "L4:0"}}, "/resources/gpu"),
        ({"resources": {"gpu": "24"}}, "/resources/gpu"),
        ({"resources": {"gpu": "x" * 65}}, "/resources/gpu"),
        ({"runtime": "vm"}, "/runtime"),
    ],
)
async def test_what_no_machine_could_be_is_refused_with_its_place(
    ready: Ready, body: dict[str, Any], where: str
) -> None:
    answer = await ready.submit(**body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == where


async def test_a_refused_gpu_says_what_to_write(ready: Ready) -> None:
    answer = await ready.submit(resources={"gpu": "no gpu"})
    assert 'write "L4", "L4:2"' in answer.json()["detail"]
