"""What every registry promises."""

import hashlib
import io
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO
from uuid import uuid4

import pytest

from cynthus.oci.descriptor import Descriptor, MediaType, NotAnImage
from cynthus.oci.manifest import Config, Manifest, digest_of
from cynthus.oci.ports import BlobsUnknown, ContentDamaged, ContentUnknown, Registry
from cynthus.oci.reference import NotAReference

BIG = bytes(range(251)) * 12_000
ABSENT = digest_of(b"nobody ever wrote this")


def new_repository(name: str = "it") -> str:
    return f"contract/{uuid4().hex}/{name}"


def reading(data: bytes) -> Callable[[], BinaryIO]:
    return lambda: io.BytesIO(data)


def put(registry: Registry, repository: str, data: bytes, media_type: str = MediaType.LAYER) -> Descriptor:
    digest = digest_of(data)
    registry.write(repository, digest, len(data), reading(data))
    return Descriptor(media_type, digest, len(data))


def image(registry: Registry, repository: str, *layers: bytes, note: str = "") -> Manifest:
    config = Config("amd64", "linux", tuple(digest_of(layer) for layer in layers)).encode()
    return Manifest(
        put(registry, repository, config, MediaType.CONFIG),
        tuple(put(registry, repository, layer) for layer in layers),
        {"note": note} if note else {},
    )


def index_of(*manifests: Descriptor) -> bytes:
    body = {
        "schemaVersion": 2,
        "mediaType": MediaType.INDEX,
        "manifests": [
            {**one.encode(), "platform": {"os": "linux", "architecture": architecture}}
            for one, architecture in zip(manifests, ("arm64", "amd64"), strict=True)
        ],
    }
    return json.dumps(body, indent=3).encode()


def as_descriptor(manifest: Manifest) -> Descriptor:
    body = manifest.encode()
    return Descriptor(manifest.media_type, digest_of(body), len(body))


def referrer(registry: Registry, repository: str, subject: Manifest, kind: str, text: bytes) -> Manifest:
    return Manifest(
        put(registry, repository, b"{}", MediaType.EMPTY),
        (put(registry, repository, text, "text/plain"),),
        {"about": kind},
        subject=as_descriptor(subject),
        artifact_type=kind,
    )


class RegistryContract:
    @pytest.mark.parametrize("data", [b"", b"x", BIG], ids=["empty", "small", "large"])
    def test_what_is_written_is_read(self, images: Registry, data: bytes) -> None:
        repository, digest = new_repository(), digest_of(data)
        assert images.stat(repository, digest) is None
        images.write(repository, digest, len(data), reading(data))
        assert images.stat(repository, digest) == len(data)
        pieces = list(images.read(repository, digest))
        assert b"".join(pieces) == data
        assert all(0 < len(piece) <= 1 << 20 for piece in pieces)

    @pytest.mark.parametrize("offset", [1, 1 << 20, len(BIG) - 1, len(BIG)])
    def test_a_read_can_begin_anywhere(self, images: Registry, offset: int) -> None:
        repository = new_repository()
        blob = put(images, repository, BIG)
        assert b"".join(images.read(repository, blob.digest, offset=offset)) == BIG[offset:]

    def test_what_is_written_twice_is_there_once(self, images: Registry) -> None:
        repository = new_repository()
        first, second = put(images, repository, b"same"), put(images, repository, b"same")
        assert first == second
        assert b"".join(images.read(repository, first.digest)) == b"same"

    def test_an_absent_blob_is_unknown(self, images: Registry) -> None:
        repository = new_repository()
        put(images, repository, b"another")
        for place in (repository, new_repository()):
            assert images.stat(place, ABSENT) is None
            with pytest.raises(ContentUnknown):
                list(images.read(place, ABSENT))

    @pytest.mark.parametrize("data", [b"other bytes", BIG], ids=["small", "large"])
    def test_wrong_bytes_are_refused_and_leave_nothing(self, images: Registry, data: bytes) -> None:
        repository = new_repository()
        with pytest.raises(ContentDamaged):
            images.write(repository, ABSENT, len(data), reading(data))
        assert images.stat(repository, ABSENT) is None

    @pytest.mark.parametrize("wrong", [-1, 1, 2_000_000])
    def test_a_wrong_size_is_refused_and_leaves_nothing(self, images: Registry, wrong: int) -> None:
        repository, digest = new_repository(), digest_of(BIG)
        with pytest.raises(ContentDamaged):
            images.write(repository, digest, len(BIG) + wrong, reading(BIG))
        assert images.stat(repository, digest) is None

    def test_a_mounted_blob_belongs_to_both(self, images: Registry) -> None:
        source, target = new_repository("from"), new_repository("to")
        blob = put(images, source, BIG)
        assert images.mount(target, blob.digest, source)
        assert images.mount(target, blob.digest, source)
        assert b"".join(images.read(target, blob.digest)) == BIG
        assert images.stat(source, blob.digest) == len(BIG)

    def test_what_is_not_there_cannot_be_mounted(self, images: Registry) -> None:
        source, target = new_repository("from"), new_repository("to")
        put(images, source, b"another")
        assert not images.mount(target, ABSENT, source)
        assert not images.mount(target, ABSENT, new_repository())
        assert images.stat(target, ABSENT) is None

    def test_a_manifest_is_found_by_digest_and_by_tag(self, images: Registry) -> None:
        repository = new_repository()
        body = image(images, repository, b"layer").encode()
        digest = images.write_manifest(repository, body, MediaType.MANIFEST, tag="latest")
        assert digest == digest_of(body)
        for reference in (digest, "latest"):
            document = images.manifest(repository, reference)
            assert (document.body, document.media_type, document.digest) == (body, MediaType.MANIFEST, digest)

    def test_a_manifest_needs_no_tag(self, images: Registry) -> None:
        repository = new_repository()
        body = image(images, repository, b"layer").encode()
        digest = images.write_manifest(repository, body, MediaType.MANIFEST)
        assert images.manifest(repository, digest).body == body
        assert list(images.tags(repository)) == []

    def test_an_index_keeps_its_bytes(self, images: Registry) -> None:
        repository = new_repository()
        one, two = (image(images, repository, layer) for layer in (b"one", b"two"))
        for manifest in (one, two):
            images.write_manifest(repository, manifest.encode(), MediaType.MANIFEST)
        body = index_of(as_descriptor(one), as_descriptor(two))
        digest = images.write_manifest(repository, body, MediaType.INDEX, tag="both")
        assert images.manifest(repository, "both").body == body
        assert images.manifest(repository, digest).media_type == MediaType.INDEX

    def test_a_manifest_of_docker_keeps_its_type(self, images: Registry) -> None:
        repository = new_repository()
        ours = image(images, repository, b"layer")
        docker = Manifest(
            Descriptor(MediaType.DOCKER_CONFIG, ours.config.digest, ours.config.size),
            tuple(Descriptor(MediaType.DOCKER_LAYER, one.digest, one.size) for one in ours.layers),
            media_type=MediaType.DOCKER_MANIFEST,
        )
        images.write_manifest(repository, docker.encode(), MediaType.DOCKER_MANIFEST, tag="d")
        assert images.manifest(repository, "d").media_type == MediaType.DOCKER_MANIFEST

    def test_an_absent_manifest_is_unknown(self, images: Registry) -> None:
        repository = new_repository()
        put(images, repository, b"only a blob")
        for place in (repository, new_repository()):
            for reference in ("latest", ABSENT):
                with pytest.raises(ContentUnknown):
                    images.manifest(place, reference)

    def test_a_manifest_without_its_blobs_is_refused(self, images: Registry) -> None:
        repository = new_repository()
        manifest = image(images, repository, b"layer")
        missing = Descriptor(MediaType.LAYER, ABSENT, 22)
        body = Manifest(manifest.config, (*manifest.layers, missing)).encode()
        with pytest.raises(BlobsUnknown) as refused:
            images.write_manifest(repository, body, MediaType.MANIFEST, tag="latest")
        assert refused.value.digests == (ABSENT,)
        with pytest.raises(ContentUnknown):
            images.manifest(repository, "latest")

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000], ids=lambda b: repr(b[:3]))
    def test_what_is_no_manifest_is_refused(self, images: Registry, body: bytes) -> None:
        with pytest.raises(NotAnImage):
            images.write_manifest(new_repository(), body, MediaType.MANIFEST)

    def test_a_tag_moves(self, images: Registry) -> None:
        repository = new_repository()
        first, second = (image(images, repository, b"layer", note=note).encode() for note in "ab")
        images.write_manifest(repository, first, MediaType.MANIFEST, tag="latest")
        images.write_manifest(repository, first, MediaType.MANIFEST, tag="old")
        images.write_manifest(repository, second, MediaType.MANIFEST, tag="latest")
        assert images.manifest(repository, "latest").body == second
        assert images.manifest(repository, "old").body == first
        assert images.manifest(repository, digest_of(first)).body == first
        assert list(images.tags(repository)) == ["latest", "old"]

    def test_tags_are_sorted_and_an_unknown_repository_has_none(self, images: Registry) -> None:
        repository = new_repository()
        body = image(images, repository, b"layer").encode()
        for tag in ("v2", "a_b", "V1", "10", "9"):
            images.write_manifest(repository, body, MediaType.MANIFEST, tag=tag)
        assert list(images.tags(repository)) == sorted(["v2", "a_b", "V1", "10", "9"])
        assert list(images.tags(new_repository())) == []

    def test_referrers_are_found_by_their_subject(self, images: Registry) -> None:
        repository = new_repository()
        subject = image(images, repository, b"layer")
        digest = images.write_manifest(repository, subject.encode(), MediaType.MANIFEST, tag="latest")
        assert list(images.referrers(repository, digest)) == []
        kinds = ("application/vnd.test.sbom", "application/vnd.test.provenance")
        about = [referrer(images, repository, subject, kind, kind.encode()) for kind in kinds]
        for one in (*about, about[0]):
            images.write_manifest(repository, one.encode(), MediaType.MANIFEST)
        found = images.referrers(repository, digest)
        assert {one.digest for one in found} == {as_descriptor(one).digest for one in about}
        assert len(found) == 2
        only = images.referrers(repository, digest, kinds[0])
        assert [(one.digest, one.artifact_type, dict(one.annotations)) for one in only] == [
            (as_descriptor(about[0]).digest, kinds[0], {"about": kinds[0]})
        ]
        assert list(images.referrers(new_repository(), digest)) == []

    def test_referrers_of_concurrent_writers_are_all_kept(self, images: Registry) -> None:
        repository = new_repository()
        subject = image(images, repository, b"layer")
        digest = images.write_manifest(repository, subject.encode(), MediaType.MANIFEST)
        about = [referrer(images, repository, subject, f"text/t{n}", str(n).encode()) for n in range(8)]
        with ThreadPoolExecutor(8) as threads:
            list(
                threads.map(
                    lambda one: images.write_manifest(repository, one.encode(), MediaType.MANIFEST), about
                )
            )
        assert {one.digest for one in images.referrers(repository, digest)} == {
            as_descriptor(one).digest for one in about
        }

    def test_a_removed_manifest_is_gone_with_its_tags(self, images: Registry) -> None:
        repository = new_repository()
        one, two = (image(images, repository, b"layer", note=note).encode() for note in "ab")
        for tag in ("latest", "v1"):
            images.write_manifest(repository, one, MediaType.MANIFEST, tag=tag)
        images.write_manifest(repository, two, MediaType.MANIFEST, tag="v2")
        images.remove_manifest(repository, digest_of(one))
        images.remove_manifest(repository, digest_of(one))
        images.remove_manifest(new_repository(), digest_of(one))
        assert list(images.tags(repository)) == ["v2"]
        for reference in (digest_of(one), "latest", "v1"):
            with pytest.raises(ContentUnknown):
                images.manifest(repository, reference)
        assert images.manifest(repository, "v2").body == two

    def test_a_removed_referrer_refers_no_more(self, images: Registry) -> None:
        repository = new_repository()
        subject = image(images, repository, b"layer")
        digest = images.write_manifest(repository, subject.encode(), MediaType.MANIFEST)
        one, two = (referrer(images, repository, subject, "text/plain", text) for text in (b"1", b"2"))
        for about in (one, two):
            images.write_manifest(repository, about.encode(), MediaType.MANIFEST)
        images.remove_manifest(repository, as_descriptor(one).digest)
        assert [found.digest for found in images.referrers(repository, digest)] == [as_descriptor(two).digest]

    @pytest.mark.parametrize(
        "name",
        ["", "..", "../up", "a/../b", "/a", "a/", "a//b", "A", "a b", ".a", "a/.lock", "a\n", "a" * 300],
    )
    def test_what_is_no_repository_is_refused(self, images: Registry, name: str) -> None:
        calls: list[Callable[[], object]] = [
            lambda: images.stat(name, ABSENT),
            lambda: list(images.read(name, ABSENT)),
            lambda: images.write(name, ABSENT, 0, reading(b"")),
            lambda: images.mount(name, ABSENT, "fine"),
            lambda: images.mount("fine", ABSENT, name),
            lambda: images.manifest(name, "latest"),
            lambda: images.write_manifest(name, b"{}", MediaType.MANIFEST),
            lambda: images.tags(name),
            lambda: images.referrers(name, ABSENT),
            lambda: images.remove_manifest(name, ABSENT),
        ]
        for call in calls:
            with pytest.raises(NotAReference):
                call()

    @pytest.mark.parametrize(
        "digest", ["", "latest", "sha256:", "sha256:../../../etc/passwd", "md5:" + "0" * 32]
    )
    def test_what_is_no_digest_is_refused(self, images: Registry, digest: str) -> None:
        calls: list[Callable[[], object]] = [
            lambda: images.stat("fine", digest),
            lambda: list(images.read("fine", digest)),
            lambda: images.write("fine", digest, 0, reading(b"")),
            lambda: images.mount("fine", digest, "from"),
            lambda: images.referrers("fine", digest),
            lambda: images.remove_manifest("fine", digest),
        ]
        for call in calls:
            with pytest.raises(NotAReference):
                call()

    def test_many_threads_share_one_registry(self, images: Registry) -> None:
        repository = new_repository()
        ready = threading.Barrier(8)

        def work(number: int) -> str:
            ready.wait(timeout=20)
            for round_ in range(5):
                data = f"{number % 4} {round_}".encode() * 10_000
                blob = put(images, repository, data)
                assert b"".join(images.read(repository, blob.digest)) == data
            body = image(images, repository, b"layer", note=str(number)).encode()
            return images.write_manifest(repository, body, MediaType.MANIFEST, tag=f"t{number}")

        with ThreadPoolExecutor(8) as threads:
            digests = list(threads.map(work, range(8)))
        assert list(images.tags(repository)) == [f"t{number}" for number in range(8)]
        found = [hashlib.sha256(images.manifest(repository, f"t{n}").body).hexdigest() for n in range(8)]
        assert [f"sha256:{one}" for one in found] == digests
