"""What every object store promises."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from cynthus.blobs.ports import BlobExists, BlobMissing, Blobs, DigestMismatch


async def chunked(data: bytes, size: int = 70_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def cut(data: bytes) -> AsyncIterator[bytes]:
    yield data
    raise ConnectionResetError("the client went away")


async def collect(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


BIG = bytes(range(256)) * 14_000


class BlobsContract:
    @pytest.mark.parametrize("data", [b"", b"x", BIG], ids=["empty", "small", "large"])
    async def test_what_is_put_is_got(self, blobs: Blobs, data: bytes) -> None:
        stat = await blobs.put("owners/ann/blobs/a", chunked(data))
        assert stat.size == len(data)
        assert await blobs.stat("owners/ann/blobs/a") == stat
        assert await collect(blobs.get("owners/ann/blobs/a")) == data

    @pytest.mark.parametrize(
        ("start", "end"), [(0, 10), (5, None), (100_000, 2_100_000), (3_583_999, 9_999_999), (10, 10)]
    )
    async def test_a_range_is_a_slice(self, blobs: Blobs, start: int, end: int | None) -> None:
        await blobs.put("k", chunked(BIG))
        assert await collect(blobs.get("k", start=start, end=end)) == BIG[start:end]

    async def test_a_missing_blob_is_missing_everywhere(self, blobs: Blobs) -> None:
        with pytest.raises(BlobMissing):
            await collect(blobs.get("absent/one"))
        assert await blobs.stat("absent/one") is None
        assert await blobs.stat_many(["absent/one"]) == {}
        assert await blobs.get_many(["absent/one"]) == {}
        await blobs.delete("absent/one")

    async def test_wrong_bytes_are_refused_and_leave_nothing(self, blobs: Blobs) -> None:
        with pytest.raises(DigestMismatch):
            await blobs.put("k", chunked(b"other"), sha256=hashlib.sha256(b"right").hexdigest())
        assert await blobs.stat("k") is None
        await blobs.put("k", chunked(b"right"), sha256=hashlib.sha256(b"right").hexdigest())
        assert await collect(blobs.get("k")) == b"right"

    @pytest.mark.parametrize("data", [b"half", BIG], ids=["small", "large"])
    async def test_a_cut_upload_leaves_nothing(self, blobs: Blobs, data: bytes) -> None:
        with pytest.raises(ConnectionResetError):
            await blobs.put("k", cut(data))
        assert await blobs.stat("k") is None
        assert [stat async for stat in blobs.list("")] == []

    async def test_a_put_replaces_what_was_there(self, blobs: Blobs) -> None:
        first = await blobs.put("k", chunked(b"one"))
        second = await blobs.put("k", chunked(b"two"))
        assert first.generation != second.generation
        assert await collect(blobs.get("k")) == b"two"

    async def test_only_if_absent_keeps_the_first(self, blobs: Blobs) -> None:
        await blobs.put("k", chunked(b"one"), if_generation=0)
        with pytest.raises(BlobExists):
            await blobs.put("k", chunked(b"two"), if_generation=0)
        assert await collect(blobs.get("k")) == b"one"

    async def test_only_if_unchanged_notices_a_change(self, blobs: Blobs) -> None:
        first = await blobs.put("k", chunked(b"one"))
        second = await blobs.put("k", chunked(b"two"), if_generation=first.generation)
        with pytest.raises(BlobExists):
            await blobs.put("k", chunked(b"three"), if_generation=first.generation)
        assert await blobs.stat("k") == second

    async def test_a_precondition_on_an_absent_blob_does_not_hold(self, blobs: Blobs) -> None:
        with pytest.raises(BlobExists):
            await blobs.put("k", chunked(b"one"), if_generation=7)
        assert await blobs.stat("k") is None

    async def test_one_of_many_racing_writers_wins(self, blobs: Blobs) -> None:
        async def attempt(number: int) -> int | None:
            try:
                await blobs.put("k", chunked(str(number).encode()), if_generation=0)
            except BlobExists:
                return None
            return number

        winners = [winner for winner in await asyncio.gather(*map(attempt, range(20))) if winner is not None]
        assert len(winners) == 1
        assert await collect(blobs.get("k")) == str(winners[0]).encode()

    async def test_many_are_stored_together(self, blobs: Blobs) -> None:
        items = {f"owners/ann/blobs/{n:03d}/{n}": str(n).encode() for n in range(300)}
        await blobs.put_many(items)
        assert await blobs.get_many([*items, "absent"]) == items
        stats = await blobs.stat_many([*items, "absent"])
        assert {key: stat.size for key, stat in stats.items()} == {k: len(v) for k, v in items.items()}
        await blobs.put_many({})

    async def test_a_listing_is_in_key_order(self, blobs: Blobs) -> None:
        keys = ["a-b", "a/b", "a/c/d", "a0", "b", "a/c-d", "ä/ö", "A"]
        for key in keys:
            await blobs.put(key, chunked(key.encode()))
        assert [stat.key async for stat in blobs.list("")] == sorted(keys)
        assert [stat.key async for stat in blobs.list("a/c")] == ["a/c-d", "a/c/d"]
        assert [stat.key async for stat in blobs.list("a/")] == ["a/b", "a/c-d", "a/c/d"]
        assert [stat.key async for stat in blobs.list("x/y")] == []

    async def test_a_deleted_blob_is_gone(self, blobs: Blobs) -> None:
        await blobs.put("k", chunked(b"one"))
        await blobs.delete("k")
        assert await blobs.stat("k") is None

    async def test_a_signed_url_names_its_object(self, blobs: Blobs) -> None:
        signed = await blobs.sign("owners/ann/blobs/a", method="GET", ttl=timedelta(minutes=5))
        assert "owners/ann/blobs/a" in signed.url
