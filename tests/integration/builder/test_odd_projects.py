"""Projects that cannot be built, or only just: each ends in a named cause or in an image."""

import gzip
import io
import json
import tarfile
from contextlib import asynccontextmanager
from hashlib import sha256

import pytest

from cynthus.builder.domain.build import Built, Failed
from cynthus.snapshots import manifest
from cynthus.snapshots.manifest import CHUNK_BYTES, Entry
from tests.fixtures.image_works import image_works
from tests.fixtures.wheels import make_wheel

pytestmark = pytest.mark.timeout(120)
PLAIN = {"main.py": "print('hello')\n"}


@pytest.fixture
async def bench(database_url, tmp_path):
    async with image_works(database_url, tmp_path) as bench:
        yield bench


@asynccontextmanager
async def with_wheels(database_url, tmp_path, *wheels):
    folder = tmp_path / "links"
    folder.mkdir()
    for values in wheels:
        make_wheel(folder, **values)
    async with image_works(database_url, tmp_path, find_links=(str(folder),)) as bench:
        yield bench


def needing(*requirements, main="print('hello')\n"):
    return {"main.py": main, "requirements.txt": "".join(f"{one}\n" for one in requirements)}


async def put(bench, entries, blobs=()):
    """A snapshot of any entries, as a client could upload it."""
    lines = [manifest._HEADER, *(entry.encode() for entry in entries)]
    body = b"".join(lines)
    name = sha256(body).hexdigest()
    stored = {f"owners/ada/manifests/{name}": body}
    for data in blobs:
        digest = sha256(data).hexdigest()
        stored[f"owners/ada/blobs/{digest[:2]}/{digest}"] = data
    await bench.platform.blobs.put_many(stored)
    return f"sha256:{name}"


def file(path, data):
    return Entry(path, len(data), False, (sha256(data).hexdigest(),) if data else ())


async def built_from(bench, snapshot, entry="main.py"):
    job = await bench.job(PLAIN, entry)
    spec = job.message.spec.model_copy(update={"snapshot": snapshot})
    job = type(job)(job.run_id, snapshot, job.message.model_copy(update={"spec": spec}))
    return await bench.works.recipe.make(job)


def layer_of(bench, built, kind):
    """The members of a layer of an image."""
    registry, repository = bench.works.registry, built.image.repository
    listed = json.loads(registry.manifest(repository, built.image.digest).body)["layers"]
    digest = next(one["digest"] for one in listed if one["annotations"]["dev.cynthus.layer"] == kind)
    plain = gzip.decompress(b"".join(registry.read(repository, digest)))
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        return {member.name: member for member in archive}


async def test_a_package_that_does_not_exist_is_named(bench):
    failure = await bench.refuse(needing("cynthus-no-such-package-anywhere"))
    assert failure.cause.code == "dependency_not_found"
    assert "cynthus-no-such-package-anywhere" in failure.cause.message
    assert not failure.transient


async def test_a_conflict_brings_the_resolvers_explanation(database_url, tmp_path):
    wheels = (
        {"files": {"one.py": b""}, "name": "one"},
        {
            "files": {"two.py": b""},
            "name": "two",
            "information": {
                "METADATA": b"Metadata-Version: 2.1\nName: two\nVersion: 1.0\nRequires-Dist: one>2\n"
            },
        },
    )
    async with with_wheels(database_url, tmp_path, *wheels) as bench:
        failure = await bench.refuse(needing("one==1.0", "two==1.0"))
    assert failure.cause.code == "dependency_conflict"
    assert any("two==1.0" in line for line in failure.cause.evidence)


async def test_a_wheel_for_another_platform_only_is_named(database_url, tmp_path):
    wheel = {"files": {"cynthuswin.py": b""}, "name": "cynthuswin", "tag": "cp311-cp311-win_amd64"}
    async with with_wheels(database_url, tmp_path, wheel) as bench:
        failure = await bench.refuse(needing("cynthuswin==1.0"))
    assert failure.cause.code == "wheel_missing"
    assert any("cynthuswin" in line for line in [failure.cause.message, *failure.cause.evidence])


@pytest.mark.parametrize(
    "path", ["../../../etc/cron.d/owned", "/etc/passwd", "cynthusbad/../../../../bin/python", "a\\..\\b.py"]
)
async def test_a_wheel_that_writes_outside_its_place_is_refused_by_name(database_url, tmp_path, path):
    wheel = {"files": {"cynthusbad.py": b"", path: b"owned"}, "name": "cynthusbad"}
    async with with_wheels(database_url, tmp_path, wheel) as bench:
        failure = await bench.refuse(needing("cynthusbad==1.0"))
    assert failure.cause.code == "wheel_refused"
    assert "cynthusbad-1.0-py3-none-any.whl" in failure.cause.message
    assert not failure.transient
    assert not (tmp_path / "images" / "registry" / "deps" / "index.json").exists() or not [
        one for one in bench.works.registry.tags("deps") if "owned" in one
    ]


async def test_a_link_in_a_wheel_is_refused_by_name(database_url, tmp_path):
    wheel = {"files": {"cynthusbad.py": b"/etc/passwd"}, "name": "cynthusbad", "modes": {}}
    async with with_wheels(database_url, tmp_path) as bench:
        path = make_wheel(tmp_path / "links", **wheel)
        data = path.read_bytes()
        regular, link = (0o100644 << 16).to_bytes(4, "little"), (0o120777 << 16).to_bytes(4, "little")
        path.write_bytes(data.replace(regular, link, 1))
        failure = await bench.refuse(needing("cynthusbad==1.0"))
    assert failure.cause.code == "wheel_refused"


async def test_a_file_that_is_no_wheel_at_all_is_refused(database_url, tmp_path):
    async with with_wheels(database_url, tmp_path) as bench:
        (tmp_path / "links" / "cynthusbad-1.0-py3-none-any.whl").write_bytes(b"no zip at all")
        failure = await bench.refuse(needing("cynthusbad==1.0"))
    assert failure.cause.code in {"wheel_refused", "dependency_refused"}


async def test_links_out_of_the_project_stay_out_of_the_image(bench):
    main = b"print('hello')\n"
    entries = [
        Entry("data/inside", link="../main.py"),
        Entry("data/outside", link="../../etc/passwd"),
        Entry("etc", link="/etc"),
        Entry("hop", link="data/../../secret"),
        Entry("loop", link="loop"),
        file("main.py", main),
    ]
    outcome = await built_from(bench, await put(bench, entries, [main]))
    assert isinstance(outcome, Built), outcome
    names = layer_of(bench, outcome, "source")
    assert "app/data/inside" in names
    assert not {"app/data/outside", "app/etc", "app/hop"} & names.keys()


async def test_odd_names_are_files_like_any_other(bench):
    main = b"print('hello')\n"
    names = ["a\nb.txt", " lead", "d" * 200 + "/" + "e" * 200 + "/" + "f" * 250 + "/" + "g" * 250 + "/h" * 50,
             "tab\t", "\u202eeman", "ünï.txt", "emoji-\U0001f600", "-rf", "quote'\"", "main.py"]  # fmt: skip
    entries = [file(name, main) for name in sorted(names, key=str.encode)]
    outcome = await built_from(bench, await put(bench, entries, [main]))
    assert isinstance(outcome, Built), outcome
    assert {f"app/{name}" for name in names} <= layer_of(bench, outcome, "source").keys()


@pytest.mark.parametrize(
    "line",
    [
        b'{"chunks":[],"path":"a\\udcff","size":0}\n',
        b'{"chunks":[],"path":"../a","size":0}\n',
        b'{"chunks":[],"path":"/a","size":0}\n',
        b"not json\n",
    ],
)
async def test_a_snapshot_that_is_none_is_refused_by_name(bench, line):
    body = manifest._HEADER + line
    name = sha256(body).hexdigest()
    await bench.platform.blobs.put_many({f"owners/ada/manifests/{name}": body})
    outcome = await built_from(bench, f"sha256:{name}")
    assert isinstance(outcome, Failed), outcome
    assert outcome.cause.code == "source_invalid"
    assert not outcome.transient


async def test_a_snapshot_whose_files_contradict_each_other_is_refused_by_name(bench):
    main = b"print('hello')\n"
    entries = [file("main.py", main), Entry("main.py/inner", 0)]
    outcome = await built_from(bench, await put(bench, entries, [main]))
    assert isinstance(outcome, Failed), outcome
    assert outcome.cause.code == "source_invalid"


async def test_a_file_whose_content_never_arrived_is_named(bench):
    main = b"print('hello')\n"
    entries = [file("gone.txt", b"nobody uploaded this"), file("main.py", main)]
    outcome = await built_from(bench, await put(bench, entries, [main]))
    assert isinstance(outcome, Failed), outcome
    assert outcome.cause.code == "source_missing"
    assert not outcome.transient


async def test_a_file_of_another_length_than_promised_is_refused(bench):
    main = b"print('hello')\n"
    entries = [file("main.py", main), Entry("z.txt", 3, False, (sha256(main).hexdigest(),))]
    outcome = await built_from(bench, await put(bench, entries, [main]))
    assert isinstance(outcome, Failed), outcome
    assert outcome.cause.code == "source_invalid"


async def test_twenty_thousand_small_files_are_an_image(bench):
    main, small = b"print('hello')\n", b"x"
    entries = [file("main.py", main), *(file(f"many/{number:05}", small) for number in range(20_000))]
    outcome = await built_from(bench, await put(bench, entries, [main, small]))
    assert isinstance(outcome, Built), outcome
    assert outcome.phases_ms["source"] < 30_000


async def test_a_large_file_stays_out_with_a_note(bench):
    main, large = b"print('hello')\n", bytes(51_000_000)
    assert len(large) <= CHUNK_BYTES
    entries = [file("main.py", main), file("model.bin", large)]
    outcome = await built_from(bench, await put(bench, entries, [main, large]))
    assert isinstance(outcome, Built), outcome
    assert any("model.bin" in note for note in outcome.notes)
    assert "app/model.bin" not in layer_of(bench, outcome, "source")


async def test_an_empty_project_is_refused_by_name(bench):
    outcome = await built_from(bench, await put(bench, []))
    assert isinstance(outcome, Failed), outcome
    assert outcome.cause.fix
