import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cynthus.oci.descriptor import Descriptor, MediaType, NotAnImage
from cynthus.oci.index import decode_index, encode_index
from cynthus.oci.manifest import Config, Manifest, digest_of
from cynthus.oci.reference import NotAReference, Reference, checked_repository, repository_name
from cynthus.oci.referring import described, subject_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NOTES = st.dictionaries(TEXT, TEXT, max_size=3)
DIGESTS = st.binary(min_size=1, max_size=8).map(digest_of)
DESCRIPTORS = st.builds(Descriptor, TEXT, DIGESTS, st.integers(0, (1 << 63) - 1), NOTES, st.none() | TEXT)
MANIFESTS = st.builds(
    Manifest,
    DESCRIPTORS,
    st.lists(DESCRIPTORS, max_size=3).map(tuple),
    NOTES,
    st.none() | DESCRIPTORS,
    st.none() | TEXT,
    st.sampled_from([MediaType.MANIFEST, MediaType.DOCKER_MANIFEST]),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([
    "mediaType", "config", "layers", "manifests", "annotations", "subject", "artifactType", "digest", "size",
    "rootfs", "diff_ids", "history", "architecture", "os", "variant", "platform", "Env", "schemaVersion",
])  # fmt: skip
LIKELY = st.recursive(
    JSON | DIGESTS | st.just("linux") | st.just(12),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=12,
)
READERS: list[Callable[[bytes], Any]] = [
    Manifest.decode,
    lambda body: Config.decode(body).env,
    lambda body: Config.decode(body).encode(),
    lambda body: Manifest.decode(body).encode(),
    lambda body: encode_index([entry.descriptor for entry in decode_index(body)]),
    subject_of,
    lambda body: described(body, MediaType.MANIFEST).encode(),
]


@given(DESCRIPTORS)
def test_a_descriptor_is_read_as_it_was_written(descriptor: Descriptor) -> None:
    assert Descriptor.decode(json.loads(json.dumps(descriptor.encode()))) == descriptor


@given(MANIFESTS)
def test_a_manifest_is_read_as_it_was_written_and_its_bytes_are_canonical(manifest: Manifest) -> None:
    body = manifest.encode()
    assert Manifest.decode(body) == manifest
    assert Manifest.decode(body).encode() == body
    assert Manifest.decode(json.dumps(json.loads(body), indent=2).encode()).encode() == body


@given(
    st.builds(
        Config, TEXT, TEXT, st.lists(DIGESTS, max_size=3).map(tuple),
        st.fixed_dictionaries({"Env": st.lists(TEXT, min_size=1, max_size=3), "User": TEXT}),
        st.lists(st.dictionaries(TEXT, TEXT, max_size=2), max_size=2).map(tuple), st.none() | TEXT,
    )
)  # fmt: skip
def test_a_configuration_is_read_as_it_was_written(config: Config) -> None:
    assert Config.decode(config.encode()) == config


@given(st.lists(DESCRIPTORS, max_size=4))
def test_an_index_is_read_as_it_was_written(manifests: list[Descriptor]) -> None:
    assert [entry.descriptor for entry in decode_index(encode_index(manifests))] == manifests


@given(st.dictionaries(NAMES, LIKELY, max_size=8).map(lambda read: json.dumps(read).encode()) | st.binary())
def test_a_hostile_document_is_no_image_and_nothing_worse(body: bytes) -> None:
    for read in READERS:
        try:
            read(body)
        except NotAnImage as error:
            assert len(str(error)) < 500  # noqa: PT017 - either is fine


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"1", b'"text"', b"{", b"\xff\xfe", b"\xef\xbb\xbf{}", b"[" * 100_000,
        b'{"a":' * 100_000, b'{"config": {}, "layers": "abc"}', b'{"config": NaN, "layers": []}',
        b'{"config": "abc", "layers": [1]}', b'{"manifests": {"a": 1}}', b'{"manifests": ["abc"]}',
        b'{"rootfs": [], "os": "linux", "architecture": "amd64"}', b"9" * 10_000,
        b'{"config": {}, "layers": [], "annotations": {"a": "\\ud800"}}',
        b'{"os": "linux", "architecture": "amd64", "config": {"Env": [5]}}',
    ],
    ids=lambda body: repr(body[:30]),
)  # fmt: skip
def test_each_of_these_is_refused_by_all_that_read_images(body: bytes) -> None:
    for read in (Manifest.decode, Config.decode, decode_index):
        with pytest.raises(NotAnImage):
            read(body)


@pytest.mark.parametrize("size", [-1, 1.5, "12", True, None, 1 << 63, 10**400])
def test_a_size_is_a_number_of_bytes(size: object) -> None:
    with pytest.raises(NotAnImage):
        Descriptor.decode({"mediaType": "a/b", "digest": digest_of(b""), "size": size})


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("python", "docker.io/library/python"),
        ("python:3.12-slim", "docker.io/library/python:3.12-slim"),
        ("ada/digits", "docker.io/ada/digits"),
        ("localhost/a", "localhost/a"),
        ("registry.example:5000/a/b:v1", "registry.example:5000/a/b:v1"),
        ("[::1]:5000/a", "[::1]:5000/a"),
        (f"a.b/c@{digest_of(b'')}", f"a.b/c@{digest_of(b'')}"),
        (f"a.b/c:t@{digest_of(b'')}", f"a.b/c:t@{digest_of(b'')}"),
    ],
)
def test_references_are_read_as_people_write_them(text: str, whole: str) -> None:
    assert str(Reference.parse(text)) == whole


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "@", "a:", "a@", "a@sha256:1", "A/b", "a b", " a", "a\n", "a.b/", "a.b/../c", "-a.b/c d",
        "a.b/c:t@md5:0", "a.b:99999999/c", "a.b/c:" + "t" * 129, "a//b", "http://a.b/c",
    ],
)  # fmt: skip
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(NotAReference):
        Reference.parse(text)


@given(st.text() | st.from_regex(r"[a-z.:@/_-]{0,30}"))
def test_any_text_is_a_reference_that_reads_back_or_is_refused(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except NotAReference:
        return
    assert Reference.parse(str(reference)) == reference


@given(st.lists(st.text(max_size=30), min_size=1, max_size=4))
def test_any_words_make_a_repository(words: list[str]) -> None:
    name = repository_name(*words)
    assert checked_repository(name) == name
    assert name.count("/") == len(words) - 1
