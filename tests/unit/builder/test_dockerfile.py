"""Dockerfiles understood without building them."""

import textwrap
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cynthus.builder.domain.dockerfile import parse, pinned
from cynthus.builder.domain.dockerfile_syntax import DockerfileRefused, expand, read

PIN = "docker.io/library/python@sha256:" + "a" * 64


def parsed(text: str):
    return parse(textwrap.dedent(text).lstrip())


def test_stages_bases_and_what_would_run():
    found = parsed(
        """
        # syntax=docker/dockerfile:1
        ARG VERSION=3.12
        FROM --platform=linux/amd64 python:${VERSION}-slim AS build
        WORKDIR /srv
        ENV HOME_OF=/home/${NAME:-ada} OTHER="two words"
        FROM build
        WORKDIR app
        USER 1000:1000
        COPY --from=build /x /y
        COPY --from=busybox:1 /bin/sh /sh
        ENTRYPOINT ["python"]
        CMD ["main.py"]
        """
    )
    assert [base.image for base in found.bases] == ["python:3.12-slim", "busybox:1"]
    final = found.final
    assert (final.workdir, final.user) == ("/srv/app", "1000:1000")
    assert (final.entrypoint, final.command) == (("python",), ("main.py",))
    assert final.env == {"HOME_OF": "/home/ada", "OTHER": "two words"}
    assert [remark.text for remark in found.only_buildkit] == ["# syntax"]


def test_continued_lines_comments_within_and_another_escape():
    found = read("# escape=`\nFROM a\nRUN one `\n  # why\n\n  two\nRUN three\n")
    assert [(one.name, one.line, one.end) for one in found.instructions] == [
        ("FROM", 2, 2),
        ("RUN", 3, 6),
        ("RUN", 7, 7),
    ]
    assert found.instructions[1].value.split() == ["one", "two"]


def test_a_here_document_is_one_instruction():
    found = parsed(
        """
        FROM a
        RUN <<EOF cat <<-"TWO"
        FROM not-a-stage
        EOF
        \tTWO-is-not-here
        \tTWO
        CMD x
        """
    )
    assert [one.name for one in found.instructions] == ["FROM", "RUN", "CMD"]
    assert len(found.instructions[1].heredocs) == 2
    assert found.only_buildkit[0].text == "here-document"


def test_shifts_in_a_shell_are_no_here_documents():
    assert parsed("FROM a\nRUN echo $((1<<b)) a<<b\nRUN x\n").instructions[1].heredocs == ()


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("", 1, "FROM"),
        ("# only words\n", 1, "FROM"),
        ("RUN x\nFROM a\n", 1, "FROM"),
        ("FROM a\nRUNN x\n", 2, "RUNN"),
        ("FROM a\nRUN\n", 2, "nothing"),
        ("ARG B\nFROM $B\n", 2, "names no image"),
        ("FROM a b c\n", 1, "not understood"),
        ("FROM a AS scratch\n", 1, "no name"),
        ("FROM --platform=linux/arm64 a\n", 1, "arm64"),
        ("FROM a\nRUN <<EOF\nx\n", 2, "no end"),
        ("FROM a\nENV A='x\n", 2, "quote"),
        ("# escape=x\nFROM a\n", 1, "escape"),
        ("FROM a\n\0", 1, "no Dockerfile"),
        ("FROM a\nENV A=" + "x" * 60000 + "\nENV B=$A$A\n", 3, "64 KiB"),
    ],
)
def test_what_cannot_be_built_is_refused_with_its_line(text: str, line: int, told: str):
    with pytest.raises(DockerfileRefused, match=told) as caught:
        parse(text)
    assert caught.value.line == line
    assert caught.value.fix


def test_secrets_downloads_and_moving_bases_are_remarked():
    told = "\n".join(
        str(one)
        for one in parsed(
            f"""
            FROM {PIN} AS first
            FROM ubuntu
            ARG GITHUB_TOKEN
            ENV API_KEY=abc TOKENIZERS=1 PATH=/x
            ADD https://example.org/x /x
            ADD --checksum=sha256:{"b" * 64} https://example.org/y /y
            ONBUILD RUN x
            RUN --mount=type=secret,id=x true
            """
        ).remarks
    )
    assert "line 3: GITHUB_TOKEN gets no value" in told
    assert "line 4: API_KEY looks like a secret" in told
    assert "line 5: what ADD downloads" in told
    assert "line 6" not in told
    assert "ONBUILD" in told
    assert "line 8: no secret is mounted" in told
    assert "ubuntu can move" in told
    assert "python" not in told


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A", "one"), ("${A}x", "onex"), ("$NO", ""), ("${NO:-two}", "two"), ("${EMPTY:-two}", "two"),
        ("${EMPTY-two}", ""), ("${A:+three}", "three"), ("${NO:+three}", ""),
        (r"\$A", "$A"), ("a$$A", "a$one"),
    ],
)  # fmt: skip
def test_variables_are_filled_in(text: str, expected: str):
    assert expand(text, {"A": "one", "EMPTY": ""}, 1) == expected


def test_pinning_keeps_every_line_where_it_was():
    text = (
        "ARG V=3.12\n"
        "FROM --platform=linux/amd64 \\\n"
        "  python:$V AS one\n"
        "RUN --mount=type=cache,target=/opt/cache --mount=type=bind,from=python:3.12,target=/b x\n"
        "FROM one\n"
        "COPY --from=python:3.12 /a /b\n"
        "COPY --from=one /a /b\n"
    )
    lines = pinned(text, parse(text), {"python:3.12": PIN}, "ada").split("\n")
    assert lines[1] == f"FROM --platform=linux/amd64 {PIN} AS one"
    assert lines[2] == ""
    assert "--mount=type=cache,target=/opt/cache,id=ada:/opt/cache" in lines[3]
    assert f"from={PIN},target=/b" in lines[3]
    assert lines[4] == "FROM one"
    assert lines[5] == f"COPY --from={PIN} /a /b"
    assert lines[6] == "COPY --from=one /a /b"
    assert len(lines) == len(text.split("\n"))


WORDS = st.sampled_from(
    ["FROM", "RUN", "COPY", "ARG", "ENV", "AS", "a", "b=$a", "${b", "}", "<<EOF", "EOF", "\\", "\n", " ",
     "\t", "--from=a", "#", "'", '"', "`", "$a", "[", "]", "scratch",
     "--mount=type=cache", "\r\n", "\x1b", "é"]
)  # fmt: skip


@given(st.lists(WORDS, max_size=40).map("".join) | st.text(max_size=200))
def test_any_text_is_understood_or_refused_with_a_line_of_it(text: str):
    try:
        found = parse(text)
    except DockerfileRefused as refusal:
        lines = range(1, text.count("\n") + 2)
        assert refusal.line in lines  # noqa: PT017 - either ending is right
        return
    assert found.stages
    written = pinned(text, found, {base.image: PIN for base in found.bases}, "scope")
    assert written.count("\n") == text.count("\n")


@given(
    st.lists(
        st.sampled_from(["RUN true", "# words", "", "RUN a \\\n b", "COPY . .", "RUN <<E\nx\nE"]), max_size=12
    )
)
def test_lines_of_instructions_cover_what_was_written_and_never_overlap(parts: list[str]):
    text = "\n".join(["FROM a", *parts])
    found = parse(text).instructions
    assert [one.name for one in found] == [
        "FROM",
        *(part.split()[0] for part in parts if part[:1] not in {"", "#"}),
    ]
    for before, after in pairwise(found):
        assert before.line <= before.end < after.line
