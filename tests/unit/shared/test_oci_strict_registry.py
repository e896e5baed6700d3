"""The client against a registry that offers everything, and forgives nothing."""

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import pytest

from cynthus.oci.descriptor import MediaType
from cynthus.oci.http_registry import Credentials, HttpRegistry
from cynthus.oci.manifest import digest_of
from cynthus.oci.ports import ContentUnknown, RegistryDenied, RegistryUnavailable
from tests.contracts.registry import BIG, RegistryContract, image, put, reading
from tests.fixtures.strict_registry import StrictRegistry, strict_registry

PASSWORD = "a password of ada"
ADA = Credentials("ada", PASSWORD)


@dataclass
class Client:
    """A registry's client and the waits it made."""

    url: str
    credentials: Credentials | None = None
    pauses: list[float] = field(default_factory=list)

    def open(self, **more: int) -> closing[HttpRegistry]:
        return closing(HttpRegistry(self.url, self.credentials, pause=self.pauses.append, **more))


@pytest.fixture
def guarded() -> Iterator[StrictRegistry]:
    with strict_registry(password=PASSWORD) as strict:
        yield strict


@pytest.fixture
def open_to_all() -> Iterator[StrictRegistry]:
    with strict_registry() as strict:
        yield strict


class TestHttpRegistryWithTokens(RegistryContract):
    @pytest.fixture
    def images(self, guarded: StrictRegistry) -> Iterator[HttpRegistry]:
        with Client(guarded.home, ADA).open(chunk_bytes=1 << 20) as images:
            yield images


class TestHttpRegistryWithBlobsElsewhere(RegistryContract):
    @pytest.fixture
    def images(self, guarded: StrictRegistry) -> Iterator[HttpRegistry]:
        guarded.blobs_elsewhere = guarded.uploads_elsewhere = True
        with Client(f"{guarded.home}/pre/fix", ADA).open() as images:
            yield images
        assert guarded.leaks == []
        assert all(name.startswith("pre/fix/") for name in guarded.blobs)


def test_a_small_blob_is_two_requests_and_a_known_image_one_more(open_to_all: StrictRegistry) -> None:
    with Client(open_to_all.home).open() as images:
        put(images, "ada/digits", b"layer")
        assert [line.split()[0] for line in open_to_all.asked] == ["POST", "PUT"]
        body = image(images, "ada/digits", b"layer").encode()
        open_to_all.asked.clear()
        images.write_manifest("ada/digits", body, MediaType.MANIFEST, tag="latest")
        assert [line.split()[0] for line in open_to_all.asked] == ["PUT"]


def test_a_token_is_fetched_once_for_each_scope(guarded: StrictRegistry) -> None:
    with Client(guarded.home, ADA).open() as images:
        for text in (b"one", b"two", b"three"):
            put(images, "ada/digits", text)
        assert guarded.count("^GET token") == 1
        images.stat("ada/digits", digest_of(b"one"))
        images.stat("ada/digits", digest_of(b"two"))
        assert guarded.asked.count("GET token repository:ada/digits:pull") == 1
        assert images.mount("ada/other", digest_of(b"one"), "ada/digits")
        asked = [line for line in guarded.asked if "token" in line]
        assert asked[-1] == "GET token repository:ada/other:pull,push repository:ada/digits:pull"
        assert guarded.count("POST home .*mount") == 1


def test_a_token_that_was_revoked_is_replaced(guarded: StrictRegistry) -> None:
    with Client(guarded.home, ADA).open() as images:
        put(images, "ada/digits", b"one")
        guarded.tokens.clear()
        put(images, "ada/digits", b"two")
        assert guarded.count("^GET token") == 2


@pytest.mark.parametrize("credentials", [None, Credentials("ada", "wrong"), Credentials("eve", PASSWORD)])
def test_wrong_credentials_are_denied_and_not_tried_again(
    guarded: StrictRegistry, credentials: Credentials | None
) -> None:
    client = Client(guarded.home, credentials)
    with client.open() as images:
        for call in (
            lambda: images.stat("ada/digits", digest_of(b"")),
            lambda: put(images, "ada/digits", b"one"),
            lambda: images.manifest("ada/digits", "latest"),
        ):
            with pytest.raises(RegistryDenied):
                call()
        assert not images.mount("ada/digits", digest_of(b""), "ada/other")
    assert client.pauses == []


def test_a_realm_without_tls_on_another_host_gets_no_password(guarded: StrictRegistry) -> None:
    guarded.realm = "http://realm.example"
    client = Client(guarded.home, ADA)
    with client.open() as images, pytest.raises(RegistryDenied, match=r"realm\.example, which is not https"):
        images.stat("ada/digits", digest_of(b""))


def test_credentials_are_never_shown() -> None:
    assert PASSWORD not in repr(ADA)
    assert PASSWORD not in str(ADA)
    with pytest.raises(ValueError, match="give credentials") as refused:
        HttpRegistry("https://ada:secret@registry.example")
    assert "secret" not in str(refused.value)


def test_a_cut_upload_goes_on_where_it_ended(open_to_all: StrictRegistry) -> None:
    open_to_all.cut_after = [1 << 20, 300_000, 5]
    client = Client(open_to_all.home)
    with client.open(chunk_bytes=1 << 20) as images:
        images.write("ada/digits", digest_of(BIG), len(BIG), reading(BIG))
        assert b"".join(images.read("ada/digits", digest_of(BIG))) == BIG
    assert open_to_all.count("^POST") == 1
    assert open_to_all.count("^GET home .*uploads") == 3
    assert len(client.pauses) == 3
    assert open_to_all.uploads == {}


def test_a_cut_upload_as_one_begins_again_and_leaves_no_session(open_to_all: StrictRegistry) -> None:
    open_to_all.cut_after = [1 << 20, 5]
    with Client(open_to_all.home).open() as images:
        images.write("ada/digits", digest_of(BIG), len(BIG), reading(BIG))
    assert open_to_all.count("^POST") == 3
    assert open_to_all.count("^DELETE") == 2
    assert open_to_all.uploads == {}


def test_an_upload_that_is_cut_again_and_again_is_given_up(open_to_all: StrictRegistry) -> None:
    open_to_all.cut_after = [5] * 100
    client = Client(open_to_all.home)
    with client.open(attempts=4) as images, pytest.raises(RegistryUnavailable, match="after 4 tries"):
        images.write("ada/digits", digest_of(BIG), len(BIG), reading(BIG))
    assert len(client.pauses) == 3
    assert open_to_all.uploads == {}
    assert open_to_all.blobs == {}


def test_a_registry_that_refuses_chunks_gets_blobs_as_one(open_to_all: StrictRegistry) -> None:
    open_to_all.takes_chunks = False
    client = Client(open_to_all.home)
    with client.open(chunk_bytes=1 << 20) as images:
        images.write("ada/digits", digest_of(BIG), len(BIG), reading(BIG))
        images.write("ada/other", digest_of(BIG), len(BIG), reading(BIG))
        assert images.stat("ada/other", digest_of(BIG)) == len(BIG)
    assert open_to_all.count("^PATCH") == 1
    assert (open_to_all.uploads, client.pauses) == ({}, [])


def test_chunks_are_as_large_as_the_registry_wants(open_to_all: StrictRegistry) -> None:
    open_to_all.smallest_chunk = 2 << 20
    with Client(open_to_all.home).open(chunk_bytes=1 << 20) as images:
        images.write("ada/digits", digest_of(BIG), len(BIG), reading(BIG))
    assert open_to_all.count("^PATCH") == 2


def test_a_mount_that_is_none_leaves_no_session(open_to_all: StrictRegistry) -> None:
    with Client(open_to_all.home).open() as images:
        assert not images.mount("ada/digits", digest_of(b""), "ada/other")
    assert open_to_all.count("^DELETE") == 1
    assert open_to_all.uploads == {}


def test_a_registry_that_forbids_deletion_says_so(open_to_all: StrictRegistry) -> None:
    open_to_all.can_delete = False
    with Client(open_to_all.home).open() as images:
        body = image(images, "ada/digits", b"layer").encode()
        digest = images.write_manifest("ada/digits", body, MediaType.MANIFEST, tag="latest")
        with pytest.raises(RegistryDenied, match="enable deletion"):
            images.remove_manifest("ada/digits", digest)
        images.remove_manifest("ada/digits", digest_of(b"absent"))
        assert images.manifest("ada/digits", "latest").body == body


def test_tags_are_deleted_before_their_manifest_where_the_registry_wants_it(
    open_to_all: StrictRegistry,
) -> None:
    open_to_all.keeps_tagged = True
    with Client(open_to_all.home).open() as images:
        one, two = (image(images, "ada/digits", b"layer", note=note).encode() for note in "ab")
        for tag in ("latest", "v1", "v2"):
            images.write_manifest("ada/digits", one, MediaType.MANIFEST, tag=tag)
        images.write_manifest("ada/digits", two, MediaType.MANIFEST, tag="v2")
        images.remove_manifest("ada/digits", digest_of(one))
        assert list(images.tags("ada/digits")) == ["v2"]
        with pytest.raises(ContentUnknown):
            images.manifest("ada/digits", digest_of(one))
        assert images.manifest("ada/digits", "v2").body == two


def test_errors_say_what_was_asked_and_no_more(guarded: StrictRegistry) -> None:
    guarded.blobs_elsewhere = True
    with Client(guarded.home, ADA).open() as images, pytest.raises(ContentUnknown) as unknown:
        list(images.read("ada/digits", digest_of(b"")))
    assert re.search(
        r"GET http://127.0.0.1:\d+/v2/ada/digits/blobs/sha256:\w+ answers 404", str(unknown.value)
    )
    assert not re.search(r"token|signature|Bearer", str(unknown.value))
