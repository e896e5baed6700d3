import io
import json
import logging
import sys

import pytest
import structlog

from cynthus.runtime import logging as process_log
from cynthus.runtime.redaction import HIDDEN, redact


@pytest.fixture
def lines():
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    process_log.configure("gateway", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize(
    "name",
    ["authorization", "Authorization", "worker_token", "secret", "secrets_key", "password", "api-key", "KEY"],
)
def test_values_of_secret_names_are_hidden(name: str) -> None:
    assert redact({"outer": [{name: "canary"}]}) == {"outer": [{name: HIDDEN}]}


@pytest.mark.parametrize("name", ["keyboard", "monkey", "name", "run_id"])
def test_other_values_are_kept(name: str) -> None:
    assert redact({name: "value"}) == {name: "value"}


@pytest.mark.parametrize(
    "text",
    [
        "GET /v1/objects/a?method=GET&expires=1&signature=canary",
        "https://storage.example/b?X-Goog-Signature=canary&x=1",
        "sent Authorization: Bearer canary.canary.canary",
        "postgresql://cynthus:canary@db.example/x is away",
    ],
)
def test_secrets_inside_text_are_hidden(text: str) -> None:
    assert "canary" not in redact(text)


def test_a_line_is_one_json_object(lines) -> None:
    log = structlog.get_logger("cynthus.test")
    log.info("run accepted", run_id="run_1", token="canary", text="two\nlines")
    (line,) = lines()
    assert (line["event"], line["level"], line["service"], line["run_id"]) == (
        "run accepted",
        "info",
        "gateway",
        "run_1",
    )
    assert line["token"] == HIDDEN
    assert line["timestamp"].endswith("Z")


def test_libraries_and_tracebacks_are_redacted_too(lines) -> None:
    logging.getLogger("library").warning("connecting to %s", "postgresql://u:canary@h/d")
    try:
        int("Bearer canary-canary")
    except ValueError:
        structlog.get_logger("x").exception("failed")
    first, second = lines()
    assert "canary" not in json.dumps([first, second])
    assert "ValueError" in second["exception"]


def test_nothing_is_written_to_stdout(lines, capsys: pytest.CaptureFixture[str]) -> None:
    structlog.get_logger("x").info("hello")
    assert capsys.readouterr().out == ""
    assert sys.stdout is not None
