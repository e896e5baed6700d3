import pytest
from hypothesis import given
from hypothesis import strategies as st

from cynthus.containers.frames import FramesBroken, unmix

SAID = st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(max_size=50)), max_size=20)


def frame(source: str, data: bytes) -> bytes:
    return bytes([{"stdout": 1, "stderr": 2}[source], 0, 0, 0]) + len(data).to_bytes(4, "big") + data


def whole(frames: list[tuple[str, bytes]], source: str) -> bytes:
    return b"".join(data for name, data in frames if name == source)


@given(SAID, st.integers(min_value=1, max_value=30))
def test_what_was_mixed_comes_apart_however_it_is_cut(said: list[tuple[str, bytes]], cut: int) -> None:
    data = b"".join(frame(*one) for one in said)
    apart = list(unmix(data[start : start + cut] for start in range(0, len(data), cut)))

    for source in ("stdout", "stderr"):
        assert whole(apart, source) == whole(said, source)


@given(SAID, st.data())
def test_a_cut_stream_is_never_taken_for_a_whole_one(
    said: list[tuple[str, bytes]], data: st.DataObject
) -> None:
    said = [*said, ("stdout", b"the last words")]
    stream = b"".join(frame(*one) for one in said)
    cut = data.draw(st.integers(min_value=1, max_value=len("the last words") + 7))

    with pytest.raises(FramesBroken):
        list(unmix([stream[:-cut]]))


@given(st.binary(min_size=8))
def test_junk_is_refused_or_read_never_both(data: bytes) -> None:
    try:
        read = sum(len(piece) for _, piece in unmix([data]))
    except FramesBroken:
        return
    assert read <= len(data) - 8
