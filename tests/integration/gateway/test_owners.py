"""Every operation of the OpenAPI document, as its owner, as another owner, and as nobody."""

import json
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest

from cynthus.snapshots import frames
from tests.fixtures.images import entry
from tests.integration.gateway.conftest import LOCAL_TOKEN, Gateway, Ready, digest_of, manifest_of, prepare

ABSENT = {
    "run": "run_00000000000000000000000000",
    "project": "absent",
    "digest": "0" * 64,
}
MALFORMED = {"run": "run_%00%ff..", "project": "A%00b..", "digest": "%2e%2e"}
METHODS = {"get", "put", "post", "delete", "head"}
OWN_BLOB = b"print('hello')\n"


@dataclass(frozen=True)
class Operation:
    name: str
    method: str
    path: str

    @property
    def parameter(self) -> str | None:
        return next((name for name in ABSENT if "{" + name + "}" in self.path), None)


OPERATORS = ("/v1/admin/", "/v1/leaks")


async def operations(client: httpx2.AsyncClient) -> list[Operation]:
    document = (await client.get("/schema")).json()
    return [
        Operation(operation["operationId"], method, path)
        for path, item in document["paths"].items()
        if not path.startswith(OPERATORS)
        for method, operation in item.items()
        if method in METHODS
    ]


def body(operation: Operation, snapshot: str) -> dict[str, Any]:
    bodies: dict[str, dict[str, Any]] = {
        "create_project": {"json": {"name": "demo"}},
        "upload_source": {"json": {"snapshot": snapshot}},
        "submit_run": {"json": {"snapshot": snapshot}},
        "find_missing_blobs": {"json": {"digests": [digest_of(OWN_BLOB)]}},
        "get_blobs": {"json": {"digests": [digest_of(OWN_BLOB)]}},
        "put_blob": {"content": OWN_BLOB},
        "put_blobs": {
            "content": b"".join(frames.pack([OWN_BLOB])),
            "headers": {"Content-Type": frames.MEDIA_TYPE},
        },
        "put_snapshot": {"content": manifest_of({"main.py": OWN_BLOB})},
    }
    return bodies.get(operation.name, {})


async def call(client: httpx2.AsyncClient, operation: Operation, value: str | None, snapshot: str) -> Any:
    path = operation.path
    if operation.parameter is not None and value is not None:
        is_snapshot = operation.parameter == "digest" and "snapshots" in path and not value.startswith("sha")
        path = path.replace("{" + operation.parameter + "}", f"sha256:{value}" if is_snapshot else value)
    answer = await client.request(operation.method, path, **body(operation, snapshot))
    content: Any = answer.content
    if answer.headers.get("content-type", "").endswith("json") and content:
        content = json.loads(content)
        if isinstance(content, dict):
            content.pop("request_id", None)
    return answer.status_code, content


def own_value(operation: Operation, run_id: str, snapshot: str) -> str | None:
    digest = snapshot if "snapshots" in operation.path else digest_of(OWN_BLOB)
    return {"run": run_id, "project": "demo", "digest": digest, None: None}[operation.parameter]


async def test_operation_ids_are_unique_names(ann: httpx2.AsyncClient) -> None:
    names = [operation.name for operation in await operations(ann)]
    assert len(names) == len(set(names)) >= 20
    assert all(name.isidentifier() for name in names)


async def test_every_error_of_the_document_is_a_problem(ann: httpx2.AsyncClient) -> None:
    document = (await ann.get("/schema")).json()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for status, answer in operation["responses"].items():
                if status >= "400":
                    assert list(answer["content"]) == ["application/problem+json"], (method, path, status)


async def test_no_operation_works_without_a_token(gateway: Gateway, ready: Ready) -> None:
    run = await ready.run()
    for token in (None, "wrong", "a.b.c", LOCAL_TOKEN[:-1], "é"):
        async with gateway.client(token if token != "é" else None) as nobody:
            if token == "é":
                nobody.headers.raw.append((b"authorization", "Bearer é".encode()))
            for operation in await operations(nobody):
                value = own_value(operation, run["id"], ready.snapshot)
                status, content = await call(nobody, operation, value, ready.snapshot)
                assert status == 401, operation
                if operation.method != "head":
                    assert content["code"] == "unauthenticated"


async def test_health_and_schema_need_no_token(gateway: Gateway) -> None:
    async with gateway.client(None) as nobody:
        assert (await nobody.get("/schema")).status_code == 200


async def test_what_belongs_to_another_is_as_if_it_were_not_there(
    gateway: Gateway, ready: Ready, bob: httpx2.AsyncClient
) -> None:
    run = await ready.run(name="mine")
    known = await ready.run()
    await gateway.history.tell("ann", known | {"state": "SUCCEEDED"})
    gateway.images["ann"] = [replace(entry(1), digest=f"sha256:{digest_of(OWN_BLOB)}")]
    checked = 0
    for operation in await operations(bob):
        if operation.parameter is None or operation.name in {"put_blob", "put_snapshot"}:
            continue
        absent = await call(bob, operation, ABSENT[operation.parameter], ready.snapshot)
        references = [run["id"], run["id"][:20], "mine", known["id"]]
        if operation.parameter != "run":
            references = [str(own_value(operation, run["id"], ready.snapshot))]
        for reference in [*references, MALFORMED[operation.parameter]]:
            theirs = await call(bob, operation, reference, ready.snapshot)
            assert absent[0] == theirs[0] == 404, (operation, reference, theirs)
            if operation.parameter != "digest":
                assert theirs == absent, (operation, reference)
            checked += 1
    assert checked >= 40


async def test_lists_show_only_ones_own(gateway: Gateway, ready: Ready, bob: httpx2.AsyncClient) -> None:
    run = await ready.run()
    await gateway.history.tell("ann", run | {"state": "RUNNING"})
    assert (await bob.get("/v1/runs")).json()["runs"] == []
    assert (await bob.get("/v1/projects")).json()["projects"] == []
    assert (await bob.get("/v1/status")).json()["runs"] == {}
    assert (await bob.get("/v1/events?after=0-0")).json()["events"] == []
    asked = {"digests": [digest_of(OWN_BLOB)]}
    assert (await bob.post("/v1/blobs:missing", json=asked)).json()["missing"] == asked["digests"]


async def test_the_same_names_of_two_owners_are_apart(ready: Ready, bob: httpx2.AsyncClient) -> None:
    theirs = await prepare(bob)
    mine, other = await ready.run(name="x"), await theirs.run(name="x")
    assert (await ready.client.get("/v1/runs/x")).json()["id"] == mine["id"]
    assert (await bob.get("/v1/runs/x")).json()["id"] == other["id"]


async def test_the_local_owners_token_comes_from_the_settings(gateway: Gateway) -> None:
    async with gateway.client(LOCAL_TOKEN) as local:
        assert (await local.get("/v1/me")).json() == {"owner": "local", "via": "token"}


async def test_a_revoked_token_is_refused(gateway: Gateway, ann: httpx2.AsyncClient) -> None:
    async with gateway.platform.database.connection() as connection:
        await connection.execute("UPDATE gateway.tokens SET revoked_at = now() WHERE owner = 'ann'")
    assert (await ann.get("/v1/me")).status_code == 401


@pytest.mark.parametrize("owner", ["ann"])
async def test_every_operation_works_for_its_owner(gateway: Gateway, ready: Ready, owner: str) -> None:
    run = await ready.run()
    await gateway.history.tell(owner, run | {"state": "RUNNING"})
    order = {"cancel_run": 1, "delete_run": 2}
    gateway.images[owner] = [replace(entry(1), digest=f"sha256:{digest_of(OWN_BLOB)}", reference="demo")]
    for operation in sorted(await operations(ready.client), key=lambda item: order.get(item.name, 0)):
        if operation.name == "delete_run":
            await gateway.history.tell(owner, run | {"state": "FAILED"})
        value = own_value(operation, run["id"], ready.snapshot)
        status, content = await call(ready.client, operation, value, ready.snapshot)
        assert 200 <= status < 300, (operation, status, content)


@pytest.mark.parametrize(("method", "path"), [
    ("GET", "/v1/admin/parked"),
    ("GET", "/v1/admin/parked/datasets/evt_1"),
    ("POST", "/v1/admin/parked/datasets/evt_1:replay"),
])  # fmt: skip
async def test_only_the_platforms_own_owner_learns_of_parked_messages(
    gateway: Gateway, ann: httpx2.AsyncClient, method: str, path: str
) -> None:
    absent = await ann.request(method, "/v1/absent")
    refused = await ann.request(method, path)
    assert (refused.status_code, refused.json()["detail"]) == (404, absent.json()["detail"])
    async with gateway.client(LOCAL_TOKEN) as local:
        seen = await local.request(method, path)
    assert seen.status_code == 200 or "there is no service" in seen.json()["detail"]
