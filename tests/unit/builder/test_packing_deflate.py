"""Our deflate streams, read back by zlib."""

import zlib

from hypothesis import example, given
from hypothesis import strategies as st

from cynthus.builder.packing import tar
from cynthus.builder.packing.deflate import STORED_BLOCK, compact, stored

_piece = st.one_of(
    st.binary(max_size=40).map(lambda data: bytes(byte & 127 for byte in data)),
    st.integers(1, 3000).map(bytes),
    st.integers(1, 600).map(lambda count: b"0" * count),
    st.sampled_from([tar.file("a/b/c", 7, 0o644), tar.file("a/b/d", 0, 0o755), tar.folder("a/b")]),
)
_records = st.lists(st.lists(_piece, min_size=1, max_size=4).map(b"".join), max_size=8)


def _inflated(stream: bytes) -> bytes:
    inflater = zlib.decompressobj(-15)
    plain = inflater.decompress(stream)
    assert inflater.eof
    assert inflater.unused_data == b""
    return plain


@given(_records)
def test_records_come_back_as_they_were(records):
    assert _inflated(compact(records)) == b"".join(records)


def test_runs_and_repetitions_of_every_length_come_back():
    for count in [*range(1, 1100), 32_767, 32_768, 32_769, 70_000]:
        assert _inflated(compact([bytes(count)])) == bytes(count)
        letters = (b"abcdefghijk" * (count // 11 + 1))[:count]
        assert _inflated(compact([letters, letters, letters + b"!"])) == letters * 3 + b"!"


def test_a_header_takes_a_quarter_of_its_block():
    assert (
        len(compact([tar.file("opt/venv/lib/python3.11/site-packages/pkg/module.py", 12_345, 0o644)])) < 128
    )


@given(st.lists(st.binary(max_size=300), max_size=5), st.lists(st.integers(1, 200_000), max_size=3))
@example([], [])
@example([bytes(STORED_BLOCK)], [])
@example([bytes(STORED_BLOCK + 1), bytes(STORED_BLOCK * 3)], [])
def test_stored_streams_come_back_and_do_not_depend_on_the_cut(chunks, sizes):
    content = b"".join(chunks) + b"".join(bytes(size) for size in sizes)
    at_once = b"".join(stored([content]))
    assert _inflated(at_once) == content
    assert b"".join(stored([*chunks, *(bytes(size) for size in sizes)])) == at_once
