import asyncio
import hashlib
import resource
from datetime import timedelta

import httpx2
import pytest

from cynthus.snapshots import frames, manifest
from tests.integration.gateway.conftest import Gateway, digest_of, manifest_of, upload

FILES = {"a.txt": b"alpha", "b/c.bin": bytes(range(256)) * 40, "empty": b""}
JSONL = {"Content-Type": "application/jsonl"}


async def missing(client: httpx2.AsyncClient, digests: list[str]) -> list[str]:
    answer = await client.post("/v1/blobs:missing", json={"digests": digests})
    assert answer.status_code == 200, answer.text
    return answer.json()["missing"]


async def put_frames(client: httpx2.AsyncClient, body: bytes) -> httpx2.Response:
    return await client.post("/v1/blobs:put", content=body, headers={"Content-Type": frames.MEDIA_TYPE})


async def test_only_what_is_missing_is_asked_for_also_after_a_cut(ann: httpx2.AsyncClient) -> None:
    blobs = [f"blob {n}".encode() for n in range(10)]
    digests = [digest_of(blob) for blob in blobs]
    assert await missing(ann, digests) == digests
    cut = b"".join(frames.pack(blobs))[:-3]
    assert (await put_frames(ann, cut)).json()["code"] == "frames_invalid"
    assert (await put_frames(ann, b"".join(frames.pack(blobs[:6])))).json() == {"stored": 6}
    assert await missing(ann, digests) == digests[6:]
    await put_frames(ann, b"".join(frames.pack(blobs[6:])))
    assert await missing(ann, digests) == []


async def test_a_blob_is_stored_once_and_read_back(ann: httpx2.AsyncClient) -> None:
    data = bytes(range(256)) * 20_000
    path = f"/v1/blobs/{digest_of(data)}"
    assert [(await ann.put(path, content=data)).status_code for _ in range(2)] == [201, 200]
    answer = await ann.get(path)
    assert (answer.content, answer.headers["etag"]) == (data, f'"{digest_of(data)}"')
    head = await ann.head(path)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(data)), b"")


@pytest.mark.parametrize(
    ("span", "status", "expected"),
    [
        ("bytes=0-3", 206, b"0123"),
        ("bytes=8-", 206, b"89"),
        ("bytes=-3", 206, b"789"),
        ("bytes=5-100", 206, b"56789"),
        ("bytes=10-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=3-1", 200, b"0123456789"),
        ("bytes=1-2,4-5", 200, b"0123456789"),
        ("items=1-2", 200, b"0123456789"),
        ("bytes=99999999999999999999-", 200, b"0123456789"),
    ],
)
async def test_ranges(ann: httpx2.AsyncClient, span: str, status: int, expected: bytes | None) -> None:
    path = f"/v1/blobs/{digest_of(b'0123456789')}"
    await ann.put(path, content=b"0123456789")
    answer = await ann.get(path, headers={"Range": span})
    assert answer.status_code == status
    if expected is not None:
        assert answer.content == expected
    if status == 206:
        begin = 10 - len(expected) if span.startswith("bytes=-") else int(span[6:].split("-", maxsplit=1)[0])
        assert answer.headers["content-range"] == f"bytes {begin}-{begin + len(expected) - 1}/10"


async def test_other_bytes_than_announced_are_refused(ann: httpx2.AsyncClient) -> None:
    path = f"/v1/blobs/{digest_of(b'right')}"
    answer = await ann.put(path, content=b"wrong")
    assert (answer.status_code, answer.json()["code"]) == (422, "digest_mismatch")
    assert (await ann.head(path)).status_code == 404


async def test_a_blob_has_a_largest_size(ann: httpx2.AsyncClient) -> None:
    async def endless():
        while True:
            yield bytes(1024 * 1024)

    answer = await ann.put(f"/v1/blobs/{'0' * 64}", content=endless())
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    big = {"Content-Length": str(64 * 1024 * 1024 + 1)}
    assert (await ann.put(f"/v1/blobs/{'0' * 64}", content=b"x", headers=big)).status_code == 413


async def test_frames_come_back_in_the_order_asked(ann: httpx2.AsyncClient) -> None:
    blobs = [bytes([n]) * (n * 20_000) for n in range(1, 50)]
    for start in range(0, len(blobs), 10):
        await put_frames(ann, b"".join(frames.pack(blobs[start : start + 10])))
    order = [digest_of(blob) for blob in reversed(blobs)]
    answer = await ann.post("/v1/blobs:get", json={"digests": [*order, order[0]]})
    assert answer.headers["content-type"] == frames.MEDIA_TYPE
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert [digest for digest, _ in frames.unpack(answer.content)] == [*order, order[0]]


async def test_getting_names_the_first_missing_blob(ann: httpx2.AsyncClient) -> None:
    await put_frames(ann, b"".join(frames.pack([b"x"])))
    digests = [digest_of(b"x"), digest_of(b"y"), digest_of(b"z")]
    answer = await ann.post("/v1/blobs:get", json={"digests": digests})
    assert (answer.status_code, answer.json()["code"]) == (404, "blob_missing")
    assert digests[1] in answer.json()["detail"]


async def test_large_blobs_travel_alone(ann: httpx2.AsyncClient) -> None:
    large = bytes(frames.MAX_BLOB_BYTES + 1)
    answer = await put_frames(ann, b"".join(frames.pack([large])))
    assert (answer.status_code, answer.json()["code"]) == (422, "blob_too_large")
    await ann.put(f"/v1/blobs/{digest_of(large)}", content=large)
    answer = await ann.post("/v1/blobs:get", json={"digests": [digest_of(large)]})
    assert (answer.status_code, answer.json()["code"]) == (422, "blob_too_large")
    answer = await put_frames(ann, bytes(frames.MAX_BODY_BYTES + 1))
    assert answer.status_code == 413


async def test_frames_need_their_media_type(ann: httpx2.AsyncClient) -> None:
    assert (await ann.post("/v1/blobs:put", content=b"")).status_code == 415


async def test_a_snapshot_is_stored_and_read_back(ann: httpx2.AsyncClient) -> None:
    snapshot = await upload(ann, FILES)
    answer = await ann.get(f"/v1/snapshots/{snapshot}")
    assert (answer.status_code, answer.content) == (200, manifest_of(FILES))
    assert answer.headers["content-type"] == "application/jsonl"
    assert (await ann.put(f"/v1/snapshots/{snapshot}", content=manifest_of(FILES))).status_code == 200


async def test_a_snapshot_waits_for_its_blobs(ann: httpx2.AsyncClient) -> None:
    content = manifest_of(FILES)
    path = f"/v1/snapshots/sha256:{digest_of(content)}"
    answer = await ann.put(path, content=content)
    assert (answer.status_code, answer.json()["code"]) == (409, "blobs_missing")
    assert answer.json()["missing"] == [digest_of(FILES["a.txt"]), digest_of(FILES["b/c.bin"])]
    assert (await ann.get(path)).status_code == 404
    await upload(ann, FILES)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a manifest\n",
        manifest_of({"a": b""})[:-1],
        manifest_of({"../a": b""}),
        manifest_of({"/a": b""}),
        manifest_of({"a": b""}) + b'{"chunks":[],"path":"a","size":0}\n',
        manifest_of({"a": b""}) + b"\n",
        manifest_of({"a": b""}) + b'{"chunks":["%s"],"path":"b","size":3}\n' % (b"../" + b"0" * 61),
    ],
)
async def test_what_is_no_manifest_is_refused(ann: httpx2.AsyncClient, content: bytes) -> None:
    answer = await ann.put(f"/v1/snapshots/sha256:{digest_of(content)}", content=content)
    assert (answer.status_code, answer.json()["code"]) == (422, "manifest_invalid")


async def test_a_manifest_under_another_digest_is_refused(ann: httpx2.AsyncClient) -> None:
    answer = await ann.put(f"/v1/snapshots/sha256:{'0' * 64}", content=manifest_of({"a": b""}))
    assert (answer.status_code, answer.json()["code"]) == (422, "digest_mismatch")


async def test_a_hundred_thousand_files_are_taken_in_bounded_memory(ann: httpx2.AsyncClient) -> None:
    blobs = [str(n).encode() for n in range(100)]
    await put_frames(ann, b"".join(frames.pack(blobs)))
    entries = (
        manifest.Entry(f"folder/{n:06d}/{'x' * 80}", len(blobs[n % 100]), chunks=(digest_of(blobs[n % 100]),))
        for n in range(100_000)
    )
    content = b"".join(manifest.encode(entries))

    async def pieces():
        for start in range(0, len(content), 65_536):
            yield content[start : start + 65_536]

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = await ann.put(f"/v1/snapshots/sha256:{digest_of(content)}", content=pieces())
    assert answer.status_code == 201
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60 * 1024
    missing_one = b"".join(
        [*manifest.encode([manifest.Entry("a", 1, chunks=("f" * 64,))]), *content.splitlines(True)[1:]]
    )
    answer = await ann.put(f"/v1/snapshots/sha256:{digest_of(missing_one)}", content=missing_one)
    assert answer.json()["missing"] == ["f" * 64]


async def test_a_worker_reaches_its_owners_content_and_nothing_else(
    gateway: Gateway, ann: httpx2.AsyncClient
) -> None:
    snapshot = await upload(ann, FILES)
    async with gateway.worker("ann") as worker:
        assert (await worker.get(f"/v1/snapshots/{snapshot}")).status_code == 200
        await upload(worker, {"result": b"42"})
        for path in ("/v1/runs", "/v1/me", "/v1/projects", "/v1/events"):
            assert (await worker.get(path)).status_code == 401
    assert await missing(ann, [digest_of(b"42")]) == []
    async with gateway.worker("bob") as worker:
        assert (await worker.get(f"/v1/snapshots/{snapshot}")).status_code == 404


async def test_many_puts_of_one_blob_at_once_are_all_right(ann: httpx2.AsyncClient) -> None:
    path = f"/v1/blobs/{hashlib.sha256(b'same').hexdigest()}"
    answers = await asyncio.gather(*(ann.put(path, content=b"same") for _ in range(20)))
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert sum(answer.status_code == 201 for answer in answers) == 1


async def test_a_signed_url_is_enough_for_its_object_and_method(gateway: Gateway) -> None:
    blobs, key = gateway.platform.blobs, "owners/ann/runs/run_1/1/x y"
    put = await blobs.sign(key, method="PUT", ttl=timedelta(minutes=1))
    get = await blobs.sign(key, method="GET", ttl=timedelta(minutes=1))
    async with gateway.client(None) as nobody:
        assert (await nobody.get(get.url)).status_code == 404
        assert (await nobody.put(put.url, content=b"0123456789")).status_code == 200
        assert (await nobody.get(get.url)).content == b"0123456789"
        part = await nobody.get(get.url, headers={"Range": "bytes=2-3"})
        assert (part.status_code, part.content) == (206, b"23")
        for method, url in [("PUT", get.url), ("GET", get.url.replace("/1/", "/2/")), ("GET", get.url[:-1])]:
            answer = await nobody.request(method, url, content=b"x" if method == "PUT" else None)
            assert (answer.status_code, answer.json()["code"]) == (403, "signature_refused")
