import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cynthus.spec import GPU, Range, Wrong, count_range, duration, gpu, name, size, size_range, variable


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("6h", 21600), ("1h30m", 5400), ("2d", 172800), ("1w", 604800)]
)
def test_a_duration_is_seconds(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "6", "h", "6 h", "-1h", "1.5h", "0s", "6hours", "9999999w", "six hours"]
)
def test_other_text_is_no_duration(text):
    with pytest.raises(Wrong):
        duration(text)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("16GB", 16 * 10**9), ("512MiB", 2**29), ("1.5 GB", 1_500_000_000), ("2t", 2 * 10**12)],
)
def test_a_size_is_bytes(text, amount):
    assert size(text) == amount


@pytest.mark.parametrize("text", ["", "16", "GB", "-1GB", "1PB", "1e3GB"])
def test_other_text_is_no_size(text):
    with pytest.raises(Wrong):
        size(text)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("4", 4, 4), ("4+", 4, None), ("4..8", 4, 8), ("0.5", 0.5, 0.5), ("4 .. 8", 4, 8)],
)
def test_a_range_of_numbers(text, low, high):
    assert count_range(text) == Range(low, high)


@pytest.mark.parametrize("text", ["", "+", "4-8", "8..4", "4..", "..8", "four", "4++"])
def test_other_text_is_no_range(text):
    with pytest.raises(Wrong):
        count_range(text)


def test_a_range_holds_what_lies_between():
    assert 5 in count_range("4..8")
    assert 9 not in count_range("4..8")
    assert 9 in count_range("4+")
    assert size_range("16GB..64GB") == Range(16 * 10**9, 64 * 10**9)


def test_a_gpu_is_a_name_with_a_count_or_a_memory():
    assert gpu("L4") == GPU("L4", 1)
    assert gpu("A100-80GB:8") == GPU("A100-80GB", 8)
    assert gpu("24GB+") == GPU(memory=Range(24 * 10**9, None))
    for text in ("L4:0", "L4:", ":2", "24", ""):
        with pytest.raises(Wrong):
            gpu(text)


@settings(deadline=None)
@given(st.text(max_size=70))
def test_the_fix_for_a_bad_name_is_a_good_name(text):
    try:
        assert name(text) == text
    except Wrong as wrong:
        suggested = wrong.fix.removeprefix('write "').removesuffix('"')
        assert name(suggested) == suggested


def test_a_variable_is_a_plain_word_outside_our_prefix():
    assert variable("WANDB_API_KEY") == "WANDB_API_KEY"
    for text in ("1A", "A-B", "", "CYNTHUS_X", "Ä"):
        with pytest.raises(Wrong):
            variable(text)
