"""Wheels fetched from a server that fails in every way it can."""

import asyncio
import errno
import hashlib
from pathlib import Path

import pytest

from cynthus.builder.adapters.downloads import Downloads
from cynthus.builder.adapters.wheelhouse import Wheelhouse
from cynthus.builder.domain.lock import LockedPackage, LockRefused, Target
from cynthus.builder.ports import ResolverUnavailable
from cynthus.planning.document import Index
from tests.integration.builder.package_index import CANARY, USER, serving

TARGET = Target()
NAME = "one-1-py3-none-any.whl"
BODY = b"0123456789abcdef" * 200_000


async def at_once(_seconds):
    await asyncio.sleep(0)


def house(folder, tries=5):
    return Wheelhouse(folder, downloads=Downloads(tries=tries, sleep=at_once))


def locked(where, name=NAME, **changes):
    values = {"sha256": where.sha256(name), "size": len(where.files[name]), **changes}
    return LockedPackage("one", "1", name, where.file_url(name), **values)


async def fetch(folder, package, indexes=(), secrets=None, tries=5):
    found = await house(folder, tries).fetch([package], TARGET, indexes, secrets or {})
    return found[package.sha256]


async def test_a_wheel_is_fetched_once_and_lies_under_its_hash(tmp_path):
    with serving(files={NAME: BODY}) as index:
        package = locked(index)
        seen = []
        one = house(tmp_path)
        first = await one.fetch([package], TARGET, (), {}, progress=lambda which, size: seen.append(size))
        again = await fetch(tmp_path, package)
    path = first[package.sha256]
    assert path == again == tmp_path / package.sha256[:2] / package.sha256 / NAME
    assert path.read_bytes() == BODY
    assert sum(seen) == len(BODY)
    assert len(index.requests) == 1


async def test_many_at_once_and_the_same_twice_come_once_each(tmp_path):
    files = {f"p{number}-1-py3-none-any.whl": f"{number}".encode() * 1000 for number in range(30)}
    with serving(files=files) as index:
        packages = [locked(index, name) for name in files]
        one = house(tmp_path)
        await asyncio.gather(*(one.fetch(packages, TARGET, (), {}) for _ in range(3)))
        assert len(index.requests) == 30
    assert not list(tmp_path.rglob("*.part"))


async def test_a_cut_connection_goes_on_where_it_was_cut(tmp_path):
    with serving(files={NAME: BODY}, faults=[("cut", 2_000_000), 503, 429, ("cut", 500_000)]) as index:
        path = await fetch(tmp_path, locked(index))
    assert path.read_bytes() == BODY
    assert len(index.ranges) >= 2
    assert all(asked != "bytes=0-" for asked in index.ranges)


async def test_a_server_that_stays_silent_can_be_tried_again(tmp_path):
    with serving(files={NAME: BODY}, faults=[503] * 9) as index:
        with pytest.raises(ResolverUnavailable):
            await fetch(tmp_path, locked(index), tries=3)
        assert len(index.requests) == 3
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"size": len(BODY) + 1}, {"size": 10}])
async def test_another_file_than_the_locked_one_is_refused(tmp_path, change):
    either = pytest.raises((LockRefused, ResolverUnavailable))
    with serving(files={NAME: BODY}) as index, either as refused:
        await fetch(tmp_path, locked(index, **change), tries=2)
    if isinstance(refused.value, LockRefused):
        assert refused.value.code == "hash_mismatch"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_a_file_that_is_gone_is_named(tmp_path):
    with serving(files={NAME: BODY}) as index:
        package = locked(index)
        index.files.clear()
        with pytest.raises(LockRefused) as refused:
            await fetch(tmp_path, package)
    assert refused.value.code == "artifact_gone"
    assert NAME in refused.value.message


async def test_a_password_goes_to_the_indexs_own_host_and_nowhere_else(tmp_path):
    with serving(files={NAME: BODY}, password=CANARY) as index, serving(files={NAME: BODY}) as other:
        corp = Index(name="corp", url=index.url, secret="CORP")
        secrets = {"CORP": f"{USER}:{CANARY}"}
        assert await fetch(tmp_path / "a", locked(index, index="corp"), [corp], secrets)
        assert await fetch(tmp_path / "b", locked(other, index="corp"), [corp], secrets)
        with pytest.raises(LockRefused) as refused:
            await fetch(tmp_path / "c", locked(index), [corp], secrets)
        assert [header for _, header in other.requests] == [None]
    assert refused.value.code == "index_unauthorized"


async def test_a_wheel_of_this_disk_is_taken_and_verified(tmp_path):
    source = tmp_path / NAME
    source.write_bytes(BODY)
    digest = hashlib.sha256(BODY).hexdigest()
    package = LockedPackage("one", "1", NAME, source.as_uri(), digest)
    assert (await fetch(tmp_path / "house", package)).read_bytes() == BODY
    wrong = LockedPackage("one", "1", NAME, source.as_uri(), "1" * 64)
    with pytest.raises(LockRefused) as refused:
        await fetch(tmp_path / "house", wrong)
    assert refused.value.code == "hash_mismatch"


class FullDisk(Downloads):
    async def fetch(self, package, place: Path, login, tell):
        raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_full_disk_is_named(tmp_path):
    package = LockedPackage("one", "1", NAME, "https://x.invalid/" + NAME, "2" * 64, 1)
    with pytest.raises(LockRefused) as refused:
        await Wheelhouse(tmp_path, downloads=FullDisk()).fetch([package], TARGET, (), {})
    assert refused.value.code == "storage_full"


async def test_a_source_without_a_builder_is_refused_by_name(tmp_path):
    with serving(files={"one-1.tar.gz": b"x"}) as index, pytest.raises(LockRefused) as refused:
        await fetch(tmp_path, locked(index, "one-1.tar.gz"))
    assert refused.value.code == "source_build_off"
