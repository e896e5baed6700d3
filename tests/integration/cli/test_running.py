"""`cynthus run` from outside, against a real HTTP server."""

import base64
import hashlib
import json
import os
import signal
import threading

import pytest

from cynthus.snapshots.manifest import decode
from tests.fixtures.fake_runs import Program

SCRIPT = "print('hello')\n"


@pytest.fixture
def script(cynthus):
    (cynthus.project / "train.py").write_text(SCRIPT)
    return cynthus


def source_of(gateway):
    [project] = gateway.projects.values()
    return {entry.path: entry for entry in decode(gateway.snapshots[project[-1]].splitlines(keepends=True))}


def test_stdout_carries_the_programs_output_and_nothing_else(script, gateway):
    noise = bytes(range(256)) + b"\xf0\x9f\x8e"
    gateway.program = Program([("stdout", b"a\n"), ("stderr", b"warn\n"), ("stdout", noise)])
    done = script("run", "train.py", text=False)
    assert done.returncode == 0
    assert done.stdout == b"a\n" + noise
    assert b"warn\n" in done.stderr


def test_what_was_asked_for_is_what_is_submitted(script, gateway):
    (script.project / "data").mkdir()
    (script.project / "data" / "a.csv").write_text("1,2\n")
    (script.home / "key").write_text("hunter2\n")
    done = script(
        "run", "train.py", "--data", "./data", "--name", "first", "--env", "A=1", "--label", "team=x",
        "--cpu", "2+", "--memory", "4GB", "--timeout", "1h", "--retries", "2",
        "--secret-file", f"KEY={script.home / 'key'}", "--", "--epochs", "3", "--data", "x",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    asked = gateway.runs[0].submission
    [data] = asked.pop("data")
    assert (data["source"], data["mount"]) == ("./data", "data")
    assert asked.pop("snapshot") in gateway.snapshots
    assert asked == {
        "name": "first",
        "entry": "train.py",
        "arguments": ["--epochs", "3", "--data", "x"],
        "env": {"A": "1"},
        "secrets": {"KEY": "hunter2"},
        "labels": {"team": "x"},
        "resources": {"cpu": 2.0, "memory_bytes": 4 * 10**9},
        "timeout_s": 3600,
        "retries": 2,
    }
    assert set(source_of(gateway)) == {"train.py"}
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize(
    ("declared", "words", "asked"),
    [
        ('{ attempts = 3, backoff = "10s" }', [], {"retries": 2, "retry_backoff_s": 10}),
        ('{ on = ["preemption"] }', [], {"retries": 0, "retry_on": ["preemption"]}),
        ('{ on = ["infra"] }', ["--retries", "1"], {"retries": 1, "retry_on": ["infra", "failure"]}),
    ],
)
def test_what_a_task_says_about_retries_is_submitted(script, gateway, declared, words, asked):
    (script.project / "cynthus.toml").write_text(
        f'[task.main]\ncommand = "python train.py"\nretry = {declared}\n'
    )
    done = script("run", "--task", "main", *words)
    assert done.returncode == 0, done.stderr
    submission = gateway.runs[0].submission
    assert {name: submission[name] for name in submission if name.startswith("retr")} == asked


def test_a_second_run_sends_nothing_and_says_so(script, gateway):
    assert script("run", "train.py").returncode == 0
    gateway.requests.clear()
    gateway.program = Program(cached=True)
    again = script("run", "train.py")
    assert "nothing to upload" in again.stderr
    assert "nothing was uploaded, resolved or installed again" in again.stderr
    assert not [path for path in gateway.paths() if "/blobs" in path]
    assert gateway.paths("PUT") == []


def test_one_file_of_data_travels_with_the_source_even_when_ignored(script, gateway):
    (script.project / "big.csv").write_text("1\n")
    (script.project / ".gitignore").write_text("*.csv\n")
    assert script("run", "train.py", "--data", "big.csv").returncode == 0
    assert "big.csv" in source_of(gateway)


def test_a_folder_is_a_project(cynthus, gateway):
    (cynthus.project / "proj").mkdir()
    (cynthus.project / "proj" / "main.py").write_text(SCRIPT)
    done = cynthus("run", "./proj")
    assert done.returncode == 0, done.stderr
    assert list(gateway.projects) == ["proj"]
    assert "main.py" in done.stderr


def test_outputs_come_back_under_the_runs_name(script, gateway):
    large = os.urandom(3 * 1024 * 1024)
    gateway.program = Program(outputs={"m/model.bin": large, "empty": b"", "a.txt": b"x"})
    done = script("run", "train.py", "--name", "first")
    folder = script.project / "outputs" / "first"
    assert (folder / "m" / "model.bin").read_bytes() == large
    assert (folder / "empty").read_bytes() == b""
    assert "3 files -> ./outputs/first" in done.stderr


def test_outputs_stay_where_they_are_with_no_fetch(script, gateway):
    gateway.program = Program(outputs={"a.txt": b"x"})
    assert script("run", "train.py", "--no-fetch").returncode == 0
    assert not (script.project / "outputs").exists()


def test_outputs_are_not_sent_as_source(script, gateway):
    gateway.program = Program(outputs={"a.txt": b"x"})
    script("run", "train.py")
    script("run", "train.py")
    assert set(source_of(gateway)) == {"train.py"}


@pytest.mark.parametrize(
    ("program", "options", "code"),
    [
        (Program(exit_code=3), (), 100),
        (Program(exit_code=3), ("--propagate-exit",), 3),
        (Program(cause={"code": "timeout", "message": "too long", "signal": 15}), (), 102),
        (Program(cause={"code": "lost_machine", "message": "gone"}), (), 101),
        (Program(starts=False, cause={"code": "dependency_not_found", "message": "no x", "fix": "y"}), (), 3),
    ],
)
def test_the_exit_code_says_how_the_run_ended(script, gateway, program, options, code):
    gateway.program = program
    done = script("run", "train.py", *options)
    assert done.returncode == code
    assert "next: cynthus show" in done.stderr


def test_detached_prints_the_id_alone(script, gateway):
    gateway.program = Program(hold=threading.Event())
    done = script("run", "-d", "train.py")
    assert done.stdout == gateway.runs[0].resource["id"] + "\n"
    assert "cynthus logs -f" in done.stderr


def test_waiting_for_the_start_leaves_the_run_to_run(script, gateway):
    gateway.program = Program(hold=threading.Event())
    assert script("run", "--wait-for", "started", "train.py").returncode == 0
    assert gateway.runs[0].resource["state"] == "RUNNING"


def test_one_idempotency_key_is_one_run(script, gateway):
    first, second = (script("run", "-d", "train.py", "--idempotency-key", "k") for _ in range(2))
    assert first.stdout == second.stdout
    assert len(gateway.runs) == 1


def test_a_busy_platform_is_asked_again(script, gateway):
    gateway.faults = {"/v1/projects/weather/runs": [503, 503], "/v1/blobs": [503]}
    assert script("run", "train.py").returncode == 0
    assert len(gateway.runs) == 1


def test_json_lines_tell_everything(script, gateway):
    gateway.program = Program([("stdout", b"a\n"), ("stdout", b"\xff")])
    done = script("run", "-o", "json", "train.py")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert all("kind" in line and "seq" in line and "time" in line for line in lines)
    kinds = [line["kind"] for line in lines]
    assert kinds.count("log") == 2
    assert kinds[-1] == "run"
    assert lines[-1]["run"] == gateway.runs[0].resource
    texts = [
        base64.b64decode(one["base64"]) if "base64" in one else one["text"]
        for one in lines
        if one["kind"] == "log"
    ]
    assert texts == ["a\n", b"\xff"]


def test_a_dry_run_sends_nothing(script, gateway):
    done = script("run", "--dry-run", "-o", "json", "train.py")
    found = json.loads(done.stdout)
    assert found["plan"]["entry"]["target"] == "train.py"
    assert found["source"]["files"] == 1
    assert gateway.requests == [("GET", "/v1/status")]


def test_guesses_are_marked(script):
    (script.project / "train.py").write_text("import sklearn\n")
    done = script("plan", "train.py")
    assert "guessed from imports" in done.stderr
    assert "scikit-learn" in done.stderr


def wait_for(process, text):
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


def test_ctrl_c_leaves_the_run_and_says_how_to_come_back(script, gateway):
    gateway.program = Program(hold=threading.Event())
    process = script.start("run", "train.py", "--name", "left")
    wait_for(process, "started")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "cynthus logs -f left" in errors
    assert "cynthus cancel left" in errors
    assert not gateway.runs[0].over


def test_ctrl_c_twice_cancels(script, gateway):
    gateway.program = Program(hold=threading.Event())
    process = script.start("run", "train.py", "--name", "stopped")
    wait_for(process, "started")
    process.send_signal(signal.SIGINT)
    wait_for(process, "leaving")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 103
    assert gateway.runs[0].resource["state"] == "CANCELLED"


def test_ctrl_c_while_uploading_starts_nothing(script, gateway):
    gateway.faults = {"/v1/snapshots": [503] * 1000}
    process = script.start("run", "train.py")
    wait_for(process, "packed")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "nothing was started" in errors
    assert gateway.runs == []


@pytest.mark.parametrize(
    ("content", "options", "code", "needle"),
    [
        (None, (), 3, "no files"),
        ("print('a'\n", (), 3, "train.py:1"),
        ("import surely_no_such_module_xyz\n", (), 3, "requirements.txt"),
        (SCRIPT, ("--data", "./nowhere"), 2, "nowhere"),
        (SCRIPT, ("nosuch.py",), 3, "nosuch.py"),
        (SCRIPT, ("--data", "hf://x/y"), 2, "hf://"),
    ],
)
def test_bad_input_is_refused_before_anything_is_sent(cynthus, gateway, content, options, code, needle):
    if content is not None:
        (cynthus.project / "train.py").write_text(content)
    done = cynthus("run", *options)
    assert done.returncode == code, done.stderr
    assert needle in done.stderr
    assert "  fix   " in done.stderr
    assert "Traceback" not in done.stderr
    assert gateway.requests == []


def test_a_secret_that_the_task_needs_is_asked_for(cynthus, gateway):
    (cynthus.project / "main.py").write_text(SCRIPT)
    (cynthus.project / "cynthus.toml").write_text(
        '[task.main]\ncommand = "python main.py"\nsecrets = ["KEY"]\n'
    )
    refused = cynthus("run")
    assert (refused.returncode, "--secret-file KEY=" in refused.stderr) == (2, True)
    assert cynthus("run", KEY="from-the-environment").returncode == 0
    assert gateway.runs[0].submission["secrets"] == {"KEY": "from-the-environment"}


@pytest.mark.parametrize("alias", ["prepare", "update", "update-src", "update-data", "signup"])
def test_old_commands_do_their_job_and_print_the_new_form(script, gateway, alias):
    if alias == "signup":
        done = script(alias, "--url", gateway.url, "--token-stdin", stdin="t0ken\n")
    else:
        done = script(alias)
        assert hashlib.sha256(SCRIPT.encode()).hexdigest() in gateway.blobs
    assert done.returncode == 0, done.stderr
    assert f"this command is now: cynthus {'login' if alias == 'signup' else 'run'}" in done.stderr
    assert gateway.runs == []
