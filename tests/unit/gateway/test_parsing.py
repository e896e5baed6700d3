import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cynthus.gateway.api.paging import decode_token, encode_token
from cynthus.gateway.api.ranges import parse_range
from cynthus.gateway.handlers import manifest_check
from cynthus.gateway.handlers.manifest_check import ManifestCheck
from cynthus.snapshots import manifest
from cynthus.web.problems import Refused

PATHS = st.lists(st.text("abc/ü-.", min_size=1, max_size=8), max_size=30, unique=True)


@given(st.text(max_size=40), st.integers(min_value=0, max_value=1000))
def test_a_range_lies_within_the_blob(header: str, size: int) -> None:
    for text in (header, f"bytes={header}"):
        with contextlib.suppress(Refused):
            span = parse_range(text, size)
            assert span is None or 0 <= span[0] < span[1] <= size


@given(st.integers(0, 99), st.integers(0, 200))
def test_a_range_is_what_it_says(first: int, last: int) -> None:
    span = parse_range(f"bytes={first}-{last}", 100)
    assert span == (None if last < first else (first, min(100, last + 1)))


@given(st.text(max_size=50).filter(lambda text: "\0" not in text))
def test_page_tokens_come_back(position: str) -> None:
    try:
        token = encode_token(position)
    except UnicodeEncodeError:
        return
    assert decode_token(token) == position


@given(st.text(max_size=50))
def test_any_page_token_is_read_or_refused(token: str) -> None:
    with contextlib.suppress(Refused):
        decode_token(token)


def read(chunks: list[bytes]) -> None:
    check = ManifestCheck()
    for chunk in chunks:
        check.feed(chunk)
    check.finish()


def well_formed(path: str) -> bool:
    return not {"", ".", ".."}.intersection(path.split("/"))


@settings(max_examples=60)
@given(PATHS, st.integers(1, 50), st.integers(20, 300))
def test_a_manifest_is_checked_the_same_however_it_is_cut(paths: list[str], cut: int, batch: int) -> None:
    entries = [
        manifest.Entry(path, number, chunks=(f"{number:064x}",) if number else ())
        for number, path in enumerate(path for path in paths if well_formed(path))
    ]
    content = b"".join(manifest.encode(entries))
    named: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_check, "_BATCH_BYTES", batch)
        check = ManifestCheck()
        for start in range(0, len(content), cut):
            named += check.feed(content[start : start + cut])
        size = check.finish()
    named += check.take()
    assert (size.files, size.bytes) == (len(entries), sum(entry.size for entry in entries))
    assert sorted(named) == sorted(chunk for entry in entries for chunk in entry.chunks)


@settings(max_examples=60)
@given(PATHS.filter(lambda paths: sum(map(well_formed, paths)) > 1), st.integers(10, 100))
def test_entries_out_of_order_are_refused_also_across_batches(paths: list[str], batch: int) -> None:
    entries = [manifest.Entry(path) for path in paths if well_formed(path)]
    header, *lines = manifest.encode(entries)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_check, "_BATCH_BYTES", batch)
        with pytest.raises(manifest.ManifestInvalid):
            read([header, *reversed(lines)])


@given(st.binary(max_size=300))
def test_any_bytes_are_a_manifest_or_refused(content: bytes) -> None:
    header = b"".join(manifest.encode([]))
    for body in (content, header + content):
        check = ManifestCheck()
        with contextlib.suppress(manifest.ManifestInvalid):
            check.feed(body)
            check.finish()


def test_a_line_has_a_longest_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_check, "_BATCH_BYTES", 100)
    monkeypatch.setattr(manifest_check, "MAX_LINE_BYTES", 1000)
    with pytest.raises(manifest.ManifestInvalid, match="longer than 1000"):
        read([b"x" * 100] * 20)


@pytest.mark.parametrize(
    "chunk", ["0x" + "0" * 62, "A" * 64, "-" + "0" * 63, "\uff11" * 64, "0_" * 31 + "00", "0" * 63 + "\n"]
)
def test_what_only_looks_like_a_digest_is_refused(chunk: str) -> None:
    with pytest.raises(manifest.ManifestInvalid):
        read(list(manifest.encode([manifest.Entry("a", 1, chunks=(chunk,))])))


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(manifest.ManifestInvalid):
        read([*manifest.encode([]), b"[" * 100_000, b"\n"])
