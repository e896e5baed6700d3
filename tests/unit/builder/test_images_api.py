"""Questions about images, over any catalogue of them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from cynthus.builder.api import internal
from cynthus.builder.main import create_app
from tests.fixtures.images import MemoryCatalogue, entry

TOKEN = "i" * 32


@pytest.fixture
async def asked() -> AsyncIterator[httpx2.AsyncClient]:
    images = [entry(1), entry(2, "other"), entry(3), entry(4), entry(5)]
    twins = [entry(6), replace(entry(6), digest=entry(6).digest[:-1] + "f")]
    catalogue = MemoryCatalogue({"ann": images, "twins": twins})
    transport = httpx2.ASGITransport(create_app(internal.router(catalogue, TOKEN)))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://b", headers=headers) as client:
        yield client


async def pages(client: httpx2.AsyncClient, **query: Any) -> list[list[str]]:
    found, token = [], None
    while True:
        more = {"page_token": token} if token else {}
        answer = (await client.get("/internal/v1/images", params={"owner": "ann", **query, **more})).json()
        found.append([image["digest"] for image in answer["images"]])
        token = answer["next_page_token"]
        if token is None:
            return found


async def test_images_are_listed_newest_first_page_by_page(asked):
    digests = {number: entry(number).digest for number in range(1, 6)}
    assert await pages(asked, page_size=2) == [
        [digests[5], digests[4]],
        [digests[3], digests[2]],
        [digests[1]],
    ]
    assert await pages(asked, project="other") == [[digests[2]]]
    assert await pages(asked, owner="nobody") == [[]]


async def test_an_image_is_found_by_its_digest_or_the_beginning_of_it(asked):
    whole = entry(3).digest
    for named in (whole, whole.removeprefix("sha256:"), whole[:15], "00000003"):
        answer = await asked.get(f"/internal/v1/images/{named}", params={"owner": "ann"})
        assert answer.json()["digest"] == whole
    assert answer.json() == {
        "digest": whole,
        "reference": None,
        "repository": "cynthus/ann/digits",
        "project": "digits",
        "runtime": "process",
        "python": "3.12",
        "platform": "linux/amd64",
        "base": None,
        "size": 5,
        "packages": 1,
        "created_at": "2026-01-01T12:00:03.000500Z",
        "command": ["python", "main.py"],
        "layers": [
            {"digest": f"sha256:{3:064x}", "kind": "wheel", "size": 5, "package": "numpy==2.1.0"},
        ],
        "min_driver": None,
        "notes": [],
    }


@pytest.mark.parametrize("named", ["0000000", "sha256:", "00000009", "g" * 64, "0" * 65, "sha512:00000003"])
async def test_what_names_no_image_is_missing(asked, named):
    answer = await asked.get(f"/internal/v1/images/{named}", params={"owner": "ann"})
    assert (answer.status_code, answer.json()["code"]) == (404, "image_missing")


async def test_somebody_elses_image_looks_like_one_that_is_not_there(asked):
    there, absent = entry(3).digest, "sha256:" + "9" * 64
    for path in ("", "/sbom", "/provenance"):
        answers = []
        for digest in (there, absent):
            answer = await asked.get(f"/internal/v1/images/{digest}{path}", params={"owner": "bob"})
            answers.append((answer.status_code, answer.json() | {"request_id": None}))
        assert answers[0] == answers[1]


async def test_a_beginning_that_fits_several_images_is_refused(asked):
    answer = await asked.get("/internal/v1/images/00000006", params={"owner": "twins"})
    assert (answer.status_code, answer.json()["code"]) == (409, "image_ambiguous")


async def test_documents_are_given_as_they_are(asked):
    answer = await asked.get("/internal/v1/images/00000003/sbom", params={"owner": "ann"})
    assert answer.headers["content-type"] == "application/vnd.cyclonedx+json"
    assert answer.json() == {"of": entry(3).digest}
    answer = await asked.get("/internal/v1/images/00000003/provenance", params={"owner": "ann"})
    assert (answer.status_code, answer.json()["code"]) == (404, "document_missing")


@pytest.mark.parametrize("token", ["x", "MjAyNg==", "\u00fc", "MjAyNi0wMS0wMSAxMjM0NTY3OA=="])
async def test_a_page_token_that_is_none_is_refused(asked, token):
    answer = await asked.get("/internal/v1/images", params={"owner": "ann", "page_token": token})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_page_token")


@pytest.mark.parametrize("path", ["", "/00000003", "/00000003/sbom"])
async def test_only_the_platform_may_ask(asked, path):
    headers = {"Authorization": "Bearer somebody"}
    answer = await asked.get(f"/internal/v1/images{path}", params={"owner": "ann"}, headers=headers)
    assert answer.status_code == 401
