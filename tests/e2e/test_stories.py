"""What a person does, in every home the platform can have."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.homes import workers_of

pytestmark = pytest.mark.timeout(240)

TRAIN = """
import csv, json, os, sys
rows = list(csv.reader(open("data/numbers.csv")))
total = sum(int(cell) for row in rows for cell in row)
print("total", total)
print("to stderr", file=sys.stderr)
os.makedirs("outputs/deep", exist_ok=True)
json.dump({"total": total, "args": sys.argv[1:], "attempt": os.environ["CYNTHUS_ATTEMPT"]},
          open("outputs/deep/result.json", "w"))
print("no newline at the end", end="")
"""


KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def write(project, **files):
    for name, content in files.items():
        path = project / name.replace("__", "/").replace("_py", ".py").replace("_csv", ".csv")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def names(project):
    return sorted(path.name for path in (project / "outputs").iterdir())


def test_code_and_data_go_in_and_results_come_out(home, project):
    write(project, train_py=TRAIN, data__numbers_csv="1,2\n3,4\n")
    done = home.cynthus(
        "run", "train.py", "--data", "./data", "--name", "first", "--", "--x", "1", cwd=project
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "total 10\nno newline at the end"
    assert "to stderr" in done.stderr
    result = json.loads((project / "outputs" / "first" / "deep" / "result.json").read_text())
    assert result == {"total": 10, "args": ["--x", "1"], "attempt": "1"}
    run = home.run_of("first")
    assert run["state"] == "SUCCEEDED"
    assert run["attempts"][0]["exit_code"] == 0


def test_the_second_run_uploads_and_resolves_nothing(home, project):
    write(project, train_py=TRAIN, data__numbers_csv="5\n")
    first = home.cynthus("run", "train.py", "--data", "data", cwd=project)
    assert first.returncode == 0, first.stderr
    again = home.cynthus("run", "train.py", "--data", "data", "--name", "again", cwd=project)
    assert again.returncode == 0, again.stderr
    assert "nothing to upload" in again.stderr
    events = home.get(f"/v1/runs/{home.run_of('again')['id']}/events")["events"]
    built = next(event for event in events if event["kind"] == "image.built")
    assert built["data"]["cached"]
    assert "build.started" not in {event["kind"] for event in events}


def test_a_script_that_exits_3_fails_its_run_and_says_so(home, project):
    write(project, main_py="import sys; print('before'); sys.exit(3)")
    done = home.cynthus("run", "--name", "three", cwd=project)
    assert done.returncode == 100, done.stderr
    assert done.stdout == "before\n"
    run = home.run_of("three")
    assert run["state"] == "FAILED"
    assert run["cause"]["code"] == "user_exit"
    assert run["cause"]["exit_code"] == 3
    shown = home.cynthus("show", "three", cwd=project)
    assert "exit code 3" in shown.stdout


def test_a_traceback_is_the_evidence(home, project):
    write(project, main_py="def f():\n    raise ValueError('bad number')\nf()\n")
    done = home.cynthus("run", "--name", "trace", cwd=project)
    assert done.returncode == 100
    shown = home.cynthus("show", "trace", cwd=project)
    assert "ValueError: bad number" in shown.stdout


def test_a_script_killed_by_a_signal_names_the_signal(home, project):
    write(project, main_py="import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    done = home.cynthus("run", "--name", "segv", cwd=project)
    assert done.returncode == 100
    cause = home.run_of("segv")["cause"]
    assert cause["signal"] == signal.SIGSEGV


def test_user_failures_are_retried_as_often_as_asked(home, project):
    write(project, main_py="import os, sys; sys.exit(0 if os.environ['CYNTHUS_ATTEMPT'] == '2' else 1)")
    done = home.cynthus("run", "--retries", "1", "--name", "twice", cwd=project)
    assert done.returncode == 0, done.stderr
    assert [attempt["exit_code"] for attempt in home.run_of("twice")["attempts"]] == [1, 0]


def test_a_syntax_error_is_refused_before_anything_is_sent(home, project):
    write(project, main_py="print('a'\n")
    done = home.cynthus("run", cwd=project)
    assert done.returncode == 3
    assert "main.py:1" in done.stderr


def test_an_import_that_no_package_provides_is_refused_with_what_to_write_where(home, project):
    write(project, main_py="import surely_no_such_module_xyz\n")
    done = home.cynthus("run", cwd=project)
    assert done.returncode == 3
    assert "requirements.txt" in done.stderr


def test_a_dependency_that_does_not_exist_fails_the_build_with_its_name(home, project):
    write(project, main_py="print(1)\n")
    (project / "requirements.txt").write_text("no-such-dist-xyz-123\n")
    done = home.cynthus("run", "--name", "nodist", cwd=project)
    assert done.returncode != 0
    assert "no-such-dist-xyz-123" in done.stderr
    run = home.run_of("nodist")
    assert (run["state"], run["cause"]["code"]) == ("FAILED", "dependency_not_found")


def test_an_imported_package_is_found_locked_and_installed(home, project):
    write(project, main_py="import iniconfig; print(iniconfig.__name__)\n")
    done = home.cynthus("run", "--name", "inferred", cwd=project)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "iniconfig\n"
    assert home.run_of("inferred")["image"]["lock"].startswith("sha256:")


def test_a_missing_data_folder_and_an_empty_project_are_clear_errors(home, project):
    empty = home.cynthus("run", cwd=project)
    assert empty.returncode == 3
    write(project, main_py="print(1)")
    missing = home.cynthus("run", "--data", "./nowhere", cwd=project)
    assert missing.returncode in {2, 3}
    assert "nowhere" in missing.stderr
    assert "fix" in missing.stderr


def test_logs_arrive_while_the_program_runs_and_cancel_stops_it(home, project):
    write(project, main_py="print('ready', flush=True)\nimport time\ntime.sleep(600)\n")
    following = home.start_cynthus("run", "--name", "endless", cwd=project)
    assert following.stdout.readline() == "ready\n"
    assert home.run_of("endless")["state"] == "RUNNING"
    cancelled = home.cynthus("cancel", "endless", cwd=project)
    assert cancelled.returncode == 0, cancelled.stderr
    following.communicate(timeout=60)
    assert following.returncode == 103
    assert home.run_of("endless")["state"] == "CANCELLED"


def test_a_timeout_ends_a_run_by_name(home, project):
    write(project, main_py="print('on', flush=True)\nimport time\ntime.sleep(600)\n")
    done = home.cynthus("run", "--timeout", "1s", "--name", "late", cwd=project)
    assert done.returncode == 102, done.stderr
    assert home.run_of("late")["cause"]["code"] == "timeout"


def test_ctrl_c_detaches_and_the_run_goes_on(home, project):
    write(project, main_py="print('ready', flush=True)\nimport time\ntime.sleep(3)\nprint('done')\n")
    following = home.start_cynthus("run", "--name", "left", cwd=project)
    assert following.stdout.readline() == "ready\n"
    os.killpg(following.pid, signal.SIGINT)
    _, errors = following.communicate(timeout=30)
    assert "cynthus logs" in errors
    assert home.wait_for("left", "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
    assert home.cynthus("logs", "left", cwd=project).stdout == "ready\ndone\n"


def test_submitting_twice_with_one_key_makes_one_run(home, project):
    write(project, main_py="print(1)")
    options = ("run", "-d", "--idempotency-key", "once", "--name", "keyed")
    first, second = (home.cynthus(*options, cwd=project) for _ in range(2))
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert first.stdout == second.stdout
    home.wait_for("keyed", "SUCCEEDED")


def test_the_history_tells_who_caused_what(home, project):
    write(project, main_py="print(1)")
    assert home.cynthus("run", "--name", "told", cwd=project).returncode == 0
    events = home.get(f"/v1/runs/{home.run_of('told')['id']}/events")["events"]
    assert [event["version"] for event in events] == list(range(1, len(events) + 1))
    kinds = [event["kind"] for event in events]
    for kind in (
        "run.requested",
        "run.queued",
        "image.built",
        "vm.ready",
        "attempt.started",
        "logs.sealed",
        "run.succeeded",
    ):
        assert kinds.count(kind) == 1
    by_kind = {event["kind"]: event for event in events}
    assert by_kind["run.requested"]["actor"].startswith("user:")
    assert by_kind["attempt.started"]["actor"].startswith("worker:")
    printed = home.cynthus("events", "told", cwd=project)
    assert "run.succeeded" in printed.stdout


def test_rerun_repeats_the_same_inputs(home, project):
    write(project, main_py="import sys; print(sys.argv[1:])")
    assert home.cynthus("run", "main.py", "--name", "origin", "--", "a", "b", cwd=project).returncode == 0
    again = home.cynthus("rerun", "origin", cwd=project)
    assert again.returncode == 0, again.stderr
    assert again.stdout == "['a', 'b']\n"


def test_secrets_reach_the_program_and_nothing_else(home, project):
    write(project, main_py="import os; print(len(os.environ['API_KEY']))")
    secret = "canary-7f3a9c1e-secret"
    (project.parent / "key").write_text(secret)
    options = ("run", "--secret-file", f"API_KEY={project.parent / 'key'}", "--name", "secretive")
    done = home.cynthus(*options, cwd=project)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{len(secret)}\n"
    run = home.run_of("secretive")
    events = home.get(f"/v1/runs/{run['id']}/events")
    assert secret not in json.dumps([run, events]) + done.stderr
    found = subprocess.run(
        ["grep", "-rl", secret, str(home.folder)], capture_output=True, text=True, check=False
    )
    assert found.stdout == ""


def test_a_killed_worker_costs_an_attempt_but_not_the_run(home, project):
    write(
        project,
        main_py="import os, time\nprint('attempt', os.environ['CYNTHUS_ATTEMPT'], flush=True)\n"
        "time.sleep(600 if os.environ['CYNTHUS_ATTEMPT'] == '1' else 0)\n",
    )
    following = home.start_cynthus("run", "--name", "survivor", cwd=project)
    assert following.stdout.readline() == "attempt 1\n"
    machine = home.run_of("survivor")["attempts"][0]["machine"]
    for pid in workers_of(home.folder):
        if machine in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGKILL)
    output, errors = following.communicate(timeout=150)
    assert following.returncode == 0, errors
    assert "attempt 2\n" in output
    run = home.run_of("survivor")
    assert run["state"] == "SUCCEEDED"
    assert run["attempts"][0]["cause"]["code"] == "worker_failed"


def test_two_clients_cannot_see_each_other(home):
    with pytest.raises(Exception, match="401"):
        type(home)(home.folder, home.url, "not-the-token", {}).get("/v1/runs")


def test_a_notebook_runs(home, project):
    cells = [
        {
            "cell_type": "code",
            "source": ["x = 20 + 1\n", "print(2 * x)"],
            "metadata": {},
            "outputs": [],
            "id": "a",
            "execution_count": None,
        }
    ]
    (project / "work.ipynb").write_text(
        json.dumps({"cells": cells, "nbformat": 4, "nbformat_minor": 5, "metadata": KERNEL})
    )
    done = home.cynthus("run", "work.ipynb", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "42\n" in done.stdout


def test_ps_lists_newest_first(home, project):
    write(project, main_py="print(1)")
    for name in ("older", "newer"):
        assert home.cynthus("run", "-d", "--name", name, cwd=project).returncode == 0
    listed = home.cynthus("ps", "-a", cwd=project).stdout
    assert listed.index("newer") < listed.index("older")
    home.wait_for("newer", "SUCCEEDED")
    assert sys.executable
