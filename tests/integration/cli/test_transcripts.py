"""What people and machines see, whole: on a terminal, in CI, as JSON, without colours."""

import json
import re

import pytest

from tests.fixtures.fake_runs import Program

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
TOOK = re.compile(r" +\d+\.\d s|\b\d+\.\ds\b")
ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
MOVING = re.compile(r"\r\x1b\[2K[^\r\n✔]*(?=\r\x1b\[2K)")


def settled(text, url):
    """Without what differs from run to run."""
    text = TIME.sub("DATE", text.replace("\r\n", "\n").replace(url, "URL"))
    return TOOK.sub("0.0s", text)


@pytest.fixture
def program(cynthus, gateway):
    (cynthus.project / "train.py").write_text("import sklearn\n")
    (cynthus.project / "data").mkdir()
    (cynthus.project / "data" / "a.csv").write_text("1,2\n")
    gateway.program = Program([("stdout", b"epoch 1\n")], outputs={"model.bin": b"m"})
    return cynthus


PLAIN = """\
DATE entry train.py · Python 3.11 (default)
DATE packages guessed from imports (1)
DATE packages scikit-learn  import sklearn at train.py:1; scikit-learn brings it
DATE runtime process: nothing needs a container
DATE data ./data 1 file 4 B -> ./data (read-only)
DATE place the platform at URL
DATE packed 15 B, 1 file (.gitignore + .cynthusignore honoured) 0.0s
DATE uploaded 19 B in 2 blobs 0.0s
DATE built sha256:9f2c9f2c9f2c…  2 packages 0.0s
DATE started brave-otter-1  run_00000000000000000000000001
DATE succeeded in 0.0s · 1 file -> ./outputs/brave-otter-1
DATE next: cynthus show brave-otter-1 · cynthus rerun brave-otter-1
"""


def test_in_ci_every_line_is_plain_and_dated(program, gateway):
    done = program("run", "train.py", "--data", "./data", CI="true")
    assert done.stdout == "epoch 1\n"
    assert settled(done.stderr, gateway.url) == re.sub(r"Python 3\.\d+", _python(done.stderr), PLAIN)


def _python(shown):
    return re.search(r"Python 3\.\d+", shown)[0]


TERMINAL = """\
  entry     train.py · Python 3.11 (default)
  packages  guessed from imports (1)
            scikit-learn  import sklearn at train.py:1; scikit-learn brings it
  runtime   process: nothing needs a container
  data      ./data 1 file 4 B -> ./data (read-only)
  place     the platform at URL
✔ packed    15 B, 1 file (.gitignore + .cynthusignore honoured) 0.0s
✔ uploaded  19 B in 2 blobs 0.0s
✔ built     sha256:9f2c9f2c9f2c…  2 packages 0.0s
✔ started   brave-otter-1  run_00000000000000000000000001
epoch 1
✔ succeeded in 0.0s · 1 file -> ./outputs/brave-otter-1
  next: cynthus show brave-otter-1 · cynthus rerun brave-otter-1
"""


def without_moving(text):
    return ESCAPE.sub("", MOVING.sub("", text)).replace("\r", "")


def squeezed(text):
    return re.sub(r"(?<=\S) {2,}(?=0\.0s)", " ", text)


def test_on_a_terminal_there_are_signs_and_columns(program, gateway):
    code, shown = program.on_a_terminal("run", "train.py", "--data", "./data")
    assert code == 0
    assert "\x1b[32m✔\x1b[0m" in shown
    expected = re.sub(r"Python 3\.\d+", _python(shown), TERMINAL)
    assert squeezed(settled(without_moving(shown), gateway.url)) == expected


def test_without_colours_there_are_none(program, gateway):
    _, shown = program.on_a_terminal(
        "run", "train.py", "--data", "./data", NO_COLOR="1", CYNTHUS_NO_PROGRESS="1"
    )
    assert "\x1b" not in shown
    expected = re.sub(r"Python 3\.\d+", _python(shown), TERMINAL)
    assert squeezed(settled(shown, gateway.url)) == expected


def test_colours_can_be_forced(program):
    assert "\x1b[1;31merror[run_not_found]:\x1b[0m" in program("show", "nope", CLICOLOR_FORCE="1").stderr


def test_quiet_says_nothing_but_what_the_program_says(program):
    done = program("run", "-o", "quiet", "train.py")
    assert (done.stdout, done.stderr) == ("epoch 1\n", "")


ERRORS = [
    (["show", "nope"], 5, "run_not_found"),
    (["run", "--dat", "x"], 2, "unknown_option"),
    (["rn"], 2, "usage"),
    (["run", "--data", "nowhere"], 2, "data_not_found"),
    (["run", "nosuch.py"], 3, "entry_not_found"),
    (["run", "--timeout", "soon"], 2, "usage"),
    (["login"], 2, "usage"),
    (["help", "nosuch"], 2, "usage"),
]


@pytest.mark.parametrize(("arguments", "code", "name"), ERRORS)
def test_every_error_has_its_code_and_a_fix(program, arguments, code, name):
    done = program(*arguments)
    assert done.returncode == code
    head, *rest = done.stderr.splitlines()[-len(done.stderr.splitlines()) :]
    lines = [line for line in [head, *rest] if not TIME.match(line)]
    assert lines[0].startswith(f"error[{name}]: ")
    assert any(line.startswith("  fix   ") for line in lines)
    assert all(re.match(r"  (why|fix|more|   )  ", line) or line.startswith("     ") for line in lines[1:])


@pytest.mark.parametrize(("arguments", "code", "name"), ERRORS)
def test_as_json_every_error_is_a_problem_document(program, arguments, code, name):
    done = program(
        *arguments, *([] if arguments[0] in {"rn", "help"} else ["-o", "json"]), CYNTHUS_OUTPUT="json"
    )
    assert done.returncode == code
    assert done.stdout == ""
    if arguments[0] not in {"rn", "help"}:
        body = json.loads(done.stderr.splitlines()[-1])
        assert body["code"] == name
        assert {"type", "title", "status", "detail"} <= set(body)


def test_misspelt_commands_and_options_are_guessed(program):
    assert "did you mean cynthus run" in program("rnu").stderr
    assert "did you mean --detach" in program("run", "--detahc").stderr
    assert "cynthus run train.py" in program("train.py").stderr
