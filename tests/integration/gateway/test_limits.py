import json

import httpx2
import pytest

from tests.integration.gateway.conftest import Ready

PROBLEM = "application/problem+json"

WRONG = {
    "an unknown field": {"owner": "bob"},
    "a state": {"state": "SUCCEEDED"},
    "no digest": {"snapshot": "latest"},
    "an upper-case digest": {"snapshot": "sha256:" + "A" * 64},
    "a name like an id": {"name": "run_1"},
    "a name with a slash": {"name": "a/b"},
    "a long name": {"name": "a" * 64},
    "a way out": {"entry": "../main.py"},
    "an absolute entry": {"entry": "/main.py"},
    "NUL in an argument": {"arguments": ["a\0b"]},
    "too many arguments": {"arguments": ["a"] * 1001},
    "a long argument": {"arguments": ["a" * 40_000]},
    "a variable with an equals sign": {"env": {"A=B": "1"}},
    "a variable with a line end": {"env": {"A\n": "1"}},
    "a reserved variable": {"env": {"CYNTHUS_RUN_ID": "x"}},
    "a reserved secret": {"secrets": {"cynthus_token": "x"}},
    "NUL in a variable": {"env": {"A": "\0"}},
    "a number as a variable": {"env": {"A": 1}},
    "too many variables": {"env": {f"A{n}": "1" for n in range(257)}},
    "env and secret": {"env": {"A": "1"}, "secrets": {"A": "2"}},
    "a mount outside": {"data": [{"source": "x", "snapshot": "sha256:" + "0" * 64, "mount": "../x"}]},
    "the root as a mount": {"data": [{"source": "x", "snapshot": "sha256:" + "0" * 64, "mount": "."}]},
    "two equal mounts": {"data": [{"source": "x", "snapshot": "sha256:" + "0" * 64, "mount": "d"}] * 2},
    "data without a snapshot": {"data": [{"source": "./x", "mount": "d"}]},
    "no time": {"timeout_s": 0},
    "negative retries": {"retries": -1},
    "retries as a truth value": {"retries": True},
    "retries as text": {"retries": "1"},
    "an unknown kind of cause": {"retry_on": ["sunspots"]},
    "a permanent cause tried again": {"retry_on": ["permanent"]},
    "a negative wait": {"retry_backoff_s": -1},
    "no processor": {"resources": {"cpu": 0}},
    "a little memory": {"resources": {"memory_bytes": 1}},
    "endless memory": {"resources": {"memory_bytes": 2**70}},
    "a label key with a colon": {"labels": {"a:b": "c"}},
    "an empty label key": {"labels": {"": "c"}},
    "NUL in a label": {"labels": {"a": "\0"}},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
async def test_what_is_wrong_with_a_submission_is_told(ready: Ready, change: dict[str, object]) -> None:
    answer = await ready.submit(**change)
    told = answer.json()
    assert (answer.status_code, told["code"]) == (422, "invalid_request"), told
    assert answer.headers["content-type"] == PROBLEM
    assert told["errors"]
    assert told["hint"]
    assert all(error["detail"] for error in told["errors"])


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"[]", 422),
        (b"null", 422),
        (b'{"snapshot": NaN}', 422),
        (b'{"timeout_s": Infinity}', 422),
        (b'{"snapshot": "\\ud800"}', 422),
        (b"\xff\xfe", 422),
        (b"[" * 100_000, 400),
        (b'{"name": "' + b"a" * 2_000_000 + b'"}', 413),
    ],
    ids=range(10),
)
async def test_bodies_that_are_no_submission(ready: Ready, content: bytes, status: int) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await ready.client.post("/v1/projects/demo/runs", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM


async def test_json_has_to_be_sent_as_json(ready: Ready) -> None:
    content = json.dumps({"snapshot": ready.snapshot}).encode()
    for headers in ({}, {"Content-Type": "text/plain"}):
        answer = await ready.client.post("/v1/projects/demo/runs", content=content, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
        assert "application/json" in answer.json()["hint"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/runs?page_size=0",
        "/v1/runs?page_size=10001",
        "/v1/runs?label=x",
        "/v1/runs?label=%00:x",
        "/v1/runs?project=%00",
        "/v1/runs?state=%27",
        "/v1/projects?page_token=%25%25",
        "/v1/projects?page_token=AA==",
        "/v1/runs/{id}/events?after=-1",
        "/v1/runs/{id}/events?after=99999999999999999999",
        "/v1/runs/{id}/events?wait=nan",
        "/v1/runs/{id}/events?wait=-1",
        "/v1/runs/{id}/logs?after=%00",
        "/v1/runs/{id}/logs?source=stdin",
        "/v1/runs/{id}/logs?limit=100000",
        "/v1/events?after=x",
    ],
)
async def test_queries_have_limits(ready: Ready, path: str) -> None:
    run = await ready.run()
    answer = await ready.client.get(path.format(id=run["id"]))
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == PROBLEM


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "a\tb"])
async def test_an_idempotency_key_has_limits(ready: Ready, key: str) -> None:
    headers = {"Idempotency-Key": key}
    body = {"snapshot": ready.snapshot}
    answer = await ready.client.post("/v1/projects/demo/runs", json=body, headers=headers)
    assert answer.status_code == 422


async def test_a_long_list_of_digests_is_refused(ann: httpx2.AsyncClient) -> None:
    for path, most in (("/v1/blobs:missing", 10_000), ("/v1/blobs:get", 1_000)):
        answer = await ann.post(path, json={"digests": ["0" * 64] * (most + 1)})
        assert answer.status_code == 422
        assert (await ann.post(path, json={"digests": ["x"]})).status_code == 422
    answer = await ann.post("/v1/blobs:missing", json={"digests": ["0" * 64] * 10_000})
    assert answer.json() == {"missing": ["0" * 64]}


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a" * 64, "a b", "ä", "a\n"])
async def test_project_names_have_limits(ann: httpx2.AsyncClient, name: str) -> None:
    assert (await ann.post("/v1/projects", json={"name": name})).status_code == 422


async def test_projects_are_made_once_and_paged(ann: httpx2.AsyncClient) -> None:
    for name in ("b", "a", "c", "a"):
        await ann.post("/v1/projects", json={"name": name})
    first = (await ann.get("/v1/projects?page_size=2")).json()
    assert [project["name"] for project in first["projects"]] == ["a", "b"]
    rest = (await ann.get("/v1/projects", params={"page_token": first["next_page_token"]})).json()
    assert [project["name"] for project in rest["projects"]] == ["c"]
    assert rest["next_page_token"] is None


async def test_unknown_paths_and_methods_are_problems(ann: httpx2.AsyncClient) -> None:
    for method, path, status in [("GET", "/v1/nothing", 404), ("PATCH", "/v1/runs", 405), ("GET", "/", 404)]:
        answer = await ann.request(method, path)
        assert answer.status_code == status
        assert answer.headers["content-type"] == PROBLEM
        assert answer.json()["code"]
