"""Applications below path prefixes of another one."""

import json
from typing import Any

import pytest
from fastapi import FastAPI, Request

from cynthus.embedded.prefixes import ByPrefix
from cynthus.web.asgi_calls import AsgiCalls


def telling(name: str) -> FastAPI:
    app = FastAPI()

    @app.get("/{path:path}")
    async def tell(path: str, request: Request) -> Any:
        return [name, path, request.scope["root_path"]]

    return app


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/services/one/a/b", ["one", "a/b", "/services/one"]),
        ("/v2/ann/digits/blobs/x", ["three", "v2/ann/digits/blobs/x", ""]),
        ("/v2/", ["three", "v2/", ""]),
        ("/v2", ["outer", "v2", ""]),
        ("/v2x/a", ["outer", "v2x/a", ""]),
        ("/services/one/", ["one", "", "/services/one"]),
        ("/services/two/services/one/a", ["two", "services/one/a", "/services/two"]),
        ("/services/one", ["outer", "services/one", ""]),
        ("/services/oneself/a", ["outer", "services/oneself/a", ""]),
        ("/a", ["outer", "a", ""]),
    ],
)
async def test_the_prefix_decides_who_is_asked(path: str, told: list[str]) -> None:
    outer = telling("outer")
    inner = {"/services/one": telling("one"), "/services/two": telling("two")}
    outer.add_middleware(ByPrefix, applications=inner, whole={"/v2": telling("three")})
    reply = await AsgiCalls(outer).ask("GET", path, {}, {}, timeout_s=10)
    assert json.loads(reply.body) == told
