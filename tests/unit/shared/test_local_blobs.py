import asyncio
import hashlib
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cynthus.blobs import durability, layout
from cynthus.blobs.local import LocalBlobs
from cynthus.blobs.ports import BlobExists
from cynthus.blobs.signing import SignatureRefused, UrlSigner
from tests.contracts.blobs import BIG, BlobsContract, chunked, collect

FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from cynthus.blobs.local import LocalBlobs
from cynthus.blobs.ports import StorageFull

async def body():
    for _ in range(4):
        yield bytes(1024 * 1024)

async def main():
    blobs = LocalBlobs(Path(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    for attempt in (blobs.put("k", body()), blobs.put_many({"k": bytes(200_000), "small": b"x"})):
        try:
            await attempt
        except StorageFull as error:
            print("full:", error)

asyncio.run(main())
"""


class TestLocalBlobs(BlobsContract):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> LocalBlobs:
        return LocalBlobs(tmp_path / "blobs", UrlSigner("k" * 32, "http://127.0.0.1:1/v1/objects"))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stdout.count("full: the disk with the platform's blobs is full") == 2, done.stderr
    assert files(tmp_path / "objects") == []
    assert files(tmp_path / "unfinished") == []


async def test_a_second_process_sees_what_the_first_stored(tmp_path: Path) -> None:
    await LocalBlobs(tmp_path).put("k", chunked(BIG))
    assert await collect(LocalBlobs(tmp_path).get("k")) == BIG


async def test_nothing_is_left_behind_by_writers_that_lose_or_are_cancelled(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    await blobs.put("k", chunked(b"one"), if_generation=0)
    with pytest.raises(BlobExists):
        await blobs.put("k", chunked(BIG), if_generation=0)
    reached = asyncio.Event()

    async def endless():
        yield BIG
        reached.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(blobs.put("l", endless()))
    await reached.wait()
    assert len(files(tmp_path / "unfinished")) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files(tmp_path / "unfinished") == []


def test_unfinished_writes_of_a_crash_are_removed_after_a_day(tmp_path: Path) -> None:
    LocalBlobs(tmp_path)
    old, young = tmp_path / "unfinished/w_old", tmp_path / "unfinished/w_young"
    old.write_bytes(b"x")
    young.write_bytes(b"x")
    os.utime(old, (1, 1))
    LocalBlobs(tmp_path)
    assert files(tmp_path / "unfinished") == ["w_young"]


async def test_files_are_synchronised_one_by_one_where_there_is_no_syncfs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "_libc", lambda: None)
    blobs = LocalBlobs(tmp_path)
    items = {f"a/{n}/b": b"x" for n in range(20)}
    await blobs.put_many(items)
    assert await blobs.get_many(list(items)) == items


@pytest.mark.parametrize("key", ["", "/", "a//b", "a/", "/etc/passwd", "a/" + "x" * 300])
async def test_what_is_no_key_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        await LocalBlobs(tmp_path).put(key, chunked(b"x"))


@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=4).map("/".join))
def test_no_key_leads_out_of_the_folder(key: str) -> None:
    root = Path("/root/of/blobs")
    try:
        path = layout.path_of(root, key)
    except (ValueError, UnicodeEncodeError):
        return
    assert Path(os.path.normpath(path)).is_relative_to(root)
    assert layout.key_of(root, path) == key


async def test_a_signed_url_holds_for_its_object_and_method_only(tmp_path: Path) -> None:
    signer = UrlSigner("k" * 32, "http://127.0.0.1:1/v1/objects/")
    signed = await LocalBlobs(tmp_path, signer).sign("a/b", method="GET", ttl=timedelta(minutes=1))
    url = urlsplit(signed.url)
    assert url.path == "/v1/objects/a/b"
    signer.verify("a/b", method="GET", query=url.query)
    for key, method, query in [
        ("a/c", "GET", url.query),
        ("a/b", "PUT", url.query),
        ("a/b", "GET", url.query[:-1] + ("0" if url.query[-1] != "0" else "1")),
        ("a/b", "GET", url.query.replace("expires=", "expires=9")),
        ("a/b", "GET", "expires=²&signature=é"),
        ("a/b", "GET", ""),
    ]:
        with pytest.raises(SignatureRefused):
            signer.verify(key, method=method, query=query)
    with pytest.raises(SignatureRefused):
        UrlSigner("j" * 32, "http://h").verify("a/b", method="GET", query=url.query)


async def test_an_expired_signature_is_refused(tmp_path: Path) -> None:
    signer = UrlSigner("k" * 32, "http://h")
    query = urlsplit(signer.sign("a", method="GET", ttl_s=-5)).query
    with pytest.raises(SignatureRefused, match="expired"):
        signer.verify("a", method="GET", query=query)


async def test_digests_are_checked_over_pieces(tmp_path: Path) -> None:
    digest = hashlib.sha256(BIG).hexdigest()
    await LocalBlobs(tmp_path).put("k", chunked(BIG), sha256=digest)
