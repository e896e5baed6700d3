"""The platform on this machine, as the command starts and finds it; a stand-in plays `cynthus.embedded`."""

import json
import os
import signal
import textwrap

import pytest

STAND_IN = """
import json, os, pathlib, signal, sys, time
home = pathlib.Path(os.environ["CYNTHUS_HOME"])
if "--down" in sys.argv:
    try:
        os.kill(json.loads((home / "platform.json").read_text())["pid"], signal.SIGTERM)
        print("stopped: platform")
    except (FileNotFoundError, ProcessLookupError):
        print("nothing was running")
    sys.exit()
if os.environ.get("FAILS"):
    print("something harmless", file=sys.stderr)
    print("cannot start: port 7600 is taken; set CYNTHUS_PORT to another one", file=sys.stderr)
    sys.exit(3)
sys.path.insert(0, os.environ["REPOSITORY"])
from tests.fixtures.fake_gateway import FakeGateway, TOKEN
with FakeGateway() as gateway:
    (home / "token").write_text(TOKEN + "\\n")
    facts = {"url": gateway.url, "pid": os.getpid(), "started": time.time(), "version": "0.1.0"}
    (home / "platform.json").write_text(json.dumps(facts))
    signal.pause()
"""


@pytest.fixture
def here(command_line, tmp_path, request):
    package = tmp_path / "stand-in" / "cynthus" / "embedded"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(textwrap.dedent(STAND_IN))
    repository = str(request.config.rootpath)
    command_line.extra = {"PYTHONPATH": str(tmp_path / "stand-in"), "REPOSITORY": repository}
    command_line.state = command_line.home / "state" / "cynthus"
    yield command_line
    command_line("down")


def described(command_line):
    return json.loads((command_line.state / "platform.json").read_text())


def test_run_starts_the_platform_and_says_so(here):
    (here.project / "main.py").write_text("print(1)\n")
    done = here("run")
    assert done.returncode == 0, done.stderr
    assert "started the platform on this machine" in done.stderr
    assert "this machine" in done.stderr.split("place")[1]
    again = here("run")
    assert "started the platform" not in again.stderr


def test_a_second_up_finds_the_first(here):
    first = here("up")
    assert (first.returncode, "is up" in first.stdout) == (0, True)
    pid = described(here)["pid"]
    second = here("up")
    assert "was up already" in second.stdout
    assert described(here)["pid"] == pid
    assert os.getsid(pid) == pid


def test_down_stops_it_and_a_second_down_is_no_error(here):
    here("up")
    assert here("down").returncode == 0
    assert here("down").returncode == 0
    gone = here("status")
    assert (gone.returncode, "error[no_platform]" in gone.stderr) == (8, True)


def test_a_platform_that_was_killed_is_started_again(here):
    here("up")
    os.kill(described(here)["pid"], signal.SIGKILL)
    listed = here("ps")
    assert listed.returncode == 0, listed.stderr
    assert "started the platform" in listed.stderr


def test_looking_does_not_start_what_never_ran(here):
    refused = here("ps")
    assert (refused.returncode, "cynthus up" in refused.stderr) == (8, True)
    assert not here.state.exists()


def test_a_platform_that_does_not_start_says_its_last_words(here):
    refused = here("up", FAILS="1")
    assert refused.returncode == 8
    assert "port 7600 is taken" in refused.stderr
    assert "CYNTHUS_PORT" in refused.stderr
    assert "harmless" not in refused.stderr


def test_a_state_folder_that_cannot_be_is_told_with_the_fix(here, tmp_path):
    (tmp_path / "file").write_text("")
    refused = here("up", CYNTHUS_HOME=str(tmp_path / "file" / "state"))
    assert refused.returncode == 8
    assert "export CYNTHUS_HOME" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_another_platform_on_the_port_of_one_that_is_gone_is_not_taken_for_it(here, gateway):
    here("up")
    facts = described(here)
    here("down")
    (here.state / "platform.json").write_text(json.dumps({**facts, "url": gateway.url}))
    assert here("ps").returncode == 0
    assert described(here)["url"] != gateway.url


def test_up_and_down_as_json(here):
    up = json.loads(here("up", "-o", "json").stdout)
    assert up["started"] is True
    assert up["url"] == described(here)["url"]
    assert json.loads(here("down", "-o", "json").stdout)["stopped"] is True
