"""Which files a .dockerignore leaves out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cynthus.builder.domain.dockerignore import excluded


@pytest.mark.parametrize(
    ("rules", "path", "out"),
    [
        ("*.log", "x.log", True),
        ("*.log", "d/x.log", False),
        ("**/*.log", "d/e/x.log", True),
        ("**/*.log", "x.log", True),
        ("*.log\n!keep.log", "keep.log", False),
        ("!keep.log\n*.log", "keep.log", True),
        ("docs\n!docs/readme.md", "docs/readme.md", False),
        ("docs\n!docs/readme.md", "docs/other.md", True),
        ("/docs/", "docs/a/b", True),
        ("./docs", "docs/a", True),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b/c", True),
        ("a/**/b", "a/xb", False),
        ("a/**", "a/x", True),
        ("x?y", "x/y", False),
        ("[a-c].txt", "b.txt", True),
        ("[^a-c].txt", "b.txt", False),
        (r"\*.txt", "*.txt", True),
        (r"\*.txt", "a.txt", False),
        ("# words", "# words", False),
        ("*\n!main.py", "main.py", False),
        ("*\n!main.py", "data/x", True),
        ("a.b", "axb", False),
        ("", "a", False),
        (".", "a", False),
    ],
)
def test_rules_of_docker(rules: str, path: str, out: bool):
    assert excluded(rules)(path) is out


PIECES = st.sampled_from(
    ["*", "**", "**/", "/", "a", "b", "?", "[", "]", "^", "-", "\\", "!", ".", "..", " ", "\n"]
)
PATHS = st.lists(st.sampled_from(["a", "b", "ab", "a.b", "-", "["]), min_size=1, max_size=5).map("/".join)


@given(st.lists(PIECES, max_size=25).map("".join), PATHS)
def test_any_rule_is_taken_and_what_is_inside_what_is_out_is_out_too(rules: str, path: str):
    decide = excluded(rules)
    if decide(path) and "!" not in rules:
        assert decide(f"{path}/more")


def test_a_hostile_rule_takes_no_time():
    assert not excluded("*a" * 500 + "b")("a" * 1500)
    assert not excluded("**/" * 500 + "b")("a/" * 700 + "c")
