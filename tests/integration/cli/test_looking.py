"""Commands that look at runs, fetch them, remove them, and speak about the platform."""

import json
import threading

import pytest

from tests.fixtures.fake_runs import Program


@pytest.fixture
def ran(cynthus, gateway):
    """A command line that has run one program to its end."""
    (cynthus.project / "train.py").write_text("print(1)\n")

    def run(program, *options):
        gateway.program = program
        return cynthus("run", "train.py", "--no-fetch", *options)

    return run


def test_ps_is_one_request_and_an_aligned_table_newest_first(cynthus, gateway, ran):
    ran(Program(), "--name", "older", "--label", "team=x")
    ran(Program(exit_code=1), "--name", "newer")
    gateway.requests.clear()
    listed = cynthus("ps")
    assert gateway.requests == [("GET", "/v1/runs")]
    head, first, second = listed.stdout.splitlines()
    assert (first.split()[0], second.split()[0]) == ("newer", "older")
    assert head.index("STATE") == first.index("FAILED") == second.index("SUCCEEDED")
    assert "user_exit" in first
    assert cynthus("ps", "--state", "failed", "-o", "quiet").stdout == gateway.runs[1].resource["id"] + "\n"
    assert "older" in cynthus("ps", "--label", "team=x").stdout
    assert "newer" not in cynthus("ps", "--label", "team=x").stdout
    assert [
        json.loads(line)["name"] for line in cynthus("ps", "-o", "json", "-n", "1").stdout.splitlines()
    ] == ["newer"]


def test_ps_of_nothing_says_what_to_do(cynthus):
    assert "cynthus run" in cynthus("ps").stdout


def test_show_has_state_timeline_attempts_cause_and_fix(cynthus, ran):
    ran(Program(exit_code=3), "--name", "three")
    shown = cynthus("show", "three").stdout
    for part in (
        "FAILED",
        "build",
        "500 ms",
        "ATTEMPT",
        "user_exit",
        "exit code 3",
        "boom",
        "fix",
        "cynthus logs",
    ):
        assert part in shown
    assert cynthus("show", "three", "-o", "quiet").stdout == "FAILED\n"


def test_show_as_json_is_the_resource_unchanged(cynthus, gateway, ran):
    ran(Program(), "--name", "one")
    assert json.loads(cynthus("show", "one", "-o", "json").stdout) == gateway.runs[0].resource


def test_a_run_can_be_named_by_the_beginning_of_its_id(cynthus, gateway, ran):
    ran(Program())
    assert cynthus("show", gateway.runs[0].resource["id"][:30], "-o", "quiet").stdout == "SUCCEEDED\n"


LOG = [("stdout", b"1\n2\n"), ("stderr", b"oops\n"), ("stdout", b"3\n"), ("stdout", b"4")]


def test_logs_are_byte_exact_on_both_streams(cynthus, ran):
    ran(Program(LOG), "--name", "one")
    shown = cynthus("logs", "one")
    assert (shown.stdout, shown.stderr) == ("1\n2\n3\n4", "oops\n")
    assert cynthus("logs", "one", "--source", "stderr").stdout == ""


@pytest.mark.parametrize(
    ("lines", "shown"), [(0, ""), (1, "4"), (2, "3\n4"), (3, "2\n3\n4"), (9, "1\n2\n3\n4")]
)
def test_the_tail_of_a_log(cynthus, ran, lines, shown):
    ran(Program([part for part in LOG if part[0] == "stdout"]), "--name", "one")
    assert cynthus("logs", "one", "-n", lines).stdout == shown


def test_logs_of_more_than_one_page(cynthus, ran):
    ran(Program([("stdout", b"%d\n" % number) for number in range(450)]), "--name", "one")
    assert cynthus("logs", "one").stdout.splitlines() == [str(number) for number in range(450)]


def test_logs_with_times_and_since(cynthus, ran):
    ran(Program([("stdout", b"a\nb"), ("stdout", b"c\n")]), "--name", "one")
    first, second = cynthus("logs", "one", "--timestamps").stdout.splitlines()
    assert first.endswith("Z a")
    assert second.endswith("Z bc")
    assert cynthus("logs", "one", "--since", "2100-01-01T00:00:00Z").stdout == ""


def test_following_a_log_ends_with_the_run(cynthus, gateway, ran):
    release = threading.Event()
    (cynthus.project / "train.py").write_text("print(1)\n")
    gateway.program = Program([("stdout", b"first\n")], hold=release)
    cynthus("run", "-d", "--name", "one", "train.py")
    process = cynthus.start("logs", "-f", "one")
    assert process.stdout.readline() == "first\n"
    gateway.runs[0].write("stdout", b"second\n")
    assert process.stdout.readline() == "second\n"
    release.set()
    assert process.communicate(timeout=20)[0] == ""
    assert process.returncode == 0


def test_a_closed_pipe_is_no_crash(cynthus, ran):
    ran(Program([("stdout", b"x" * 100_000 + b"\n")] * 20), "--name", "one")
    process = cynthus.start("logs", "one")
    process.stdout.read(10)
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(timeout=20) == 141
    assert "Traceback" not in errors
    process.stderr.close()


def test_events_say_who_and_because_of_what(cynthus, ran):
    ran(Program(exit_code=3), "--name", "one")
    shown = cynthus("events", "one").stdout
    assert "run.requested" in shown
    assert "user:tester" in shown
    assert "(because of 1)" in shown
    assert "user_exit: The program ended with exit code 3." in shown
    lines = [json.loads(line) for line in cynthus("events", "one", "-o", "json").stdout.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))


def test_pull_fetches_again_only_what_is_not_there(cynthus, ran):
    ran(Program(outputs={"a.txt": b"a", "b.bin": b"b"}), "--name", "one")
    assert "1 file ->" in cynthus("pull", "one", "--to", "out", "--include", "*.txt").stderr
    again = cynthus("pull", "one", "--to", "out")
    assert "1 were there already" in again.stderr
    assert sorted(path.name for path in (cynthus.project / "out").iterdir()) == ["a.txt", "b.bin"]


def test_pull_of_nothing_says_so(cynthus, ran):
    ran(Program(), "--name", "one")
    assert "no outputs" in cynthus("pull", "one").stderr


def test_cancel_stops_a_run_and_refuses_one_that_is_over(cynthus, gateway, ran):
    gateway.program = Program(hold=threading.Event())
    cynthus("run", "-d", "--name", "one", "train.py")
    assert "cancelling one" in cynthus("cancel", "one").stdout
    assert cynthus("logs", "-f", "one").returncode == 0
    refused = cynthus("cancel", "one")
    assert (refused.returncode, "run_is_over" in refused.stderr) == (6, True)


def test_rerun_starts_the_same_inputs(cynthus, gateway, ran):
    ran(Program(), "--name", "one")
    gateway.program = Program([("stdout", b"again\n")])
    assert cynthus("rerun", "one").stdout == "again\n"
    assert gateway.runs[1].submission["snapshot"] == gateway.runs[0].submission["snapshot"]


def test_destroy_says_what_goes_and_what_stays_and_asks(cynthus, gateway, ran):
    ran(Program(), "--name", "one")
    refused = cynthus("destroy", "one")
    assert refused.returncode == 2
    assert "outputs on the platform" in refused.stderr.split("stays")[1]
    assert "--yes" in refused.stderr
    assert len(gateway.runs) == 1
    assert cynthus("destroy", "one", "-y").returncode == 0
    assert gateway.runs == []
    assert cynthus("destroy", "--all", "-y").returncode == 0


def test_destroy_asks_a_person(cynthus, gateway, ran):
    ran(Program(), "--name", "one")
    code, shown = cynthus.on_a_terminal("destroy", "one", typed="n\n")
    assert (code, "remove 1 run? [y/N]" in shown, len(gateway.runs)) == (2, True, 1)
    assert cynthus.on_a_terminal("destroy", "one", typed="y\n")[0] == 0
    assert gateway.runs == []


def test_a_run_that_goes_on_is_not_destroyed(cynthus, gateway, ran):
    gateway.program = Program(hold=threading.Event())
    cynthus("run", "-d", "--name", "one", "train.py")
    refused = cynthus("destroy", "one", "-y")
    assert (refused.returncode, "cynthus cancel one" in refused.stderr) == (6, True)


def test_parked_messages_are_listed_shown_and_replayed(cynthus, gateway):
    message = {
        "service": "builder",
        "id": "evt_1",
        "type": "run.requested",
        "attempts": 5,
        "reason": "a\nValueError: x",
    }
    gateway.parked = [{**message, "parked_at": "2026-11-23T12:00:00Z"}]
    assert "ValueError: x" in cynthus("admin", "parked", "ls").stdout
    assert "evt_1" in cynthus("admin", "parked", "show", "builder", "evt_1").stdout
    assert cynthus("admin", "parked", "replay", "builder", "evt_1").returncode == 0
    assert cynthus("admin", "parked", "ls").stdout == "no parked messages\n"
    assert cynthus("admin", "parked", "show", "builder", "evt_1").returncode == 5


def test_a_login_is_checked_kept_private_used_and_forgotten(command_line, gateway):
    refused = command_line("login", "--url", gateway.url, "--token-stdin", stdin="wrong\n")
    assert refused.returncode == 4
    done = command_line("login", "--url", gateway.url, "--token-stdin", stdin="t0ken\n")
    assert done.returncode == 0, done.stderr
    kept = command_line.home / "config" / "cynthus" / "login.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "t0ken" not in done.stdout + done.stderr
    assert "tester" in command_line("whoami").stdout
    assert command_line("whoami", CYNTHUS_URL=gateway.url).returncode == 0
    assert command_line("logout").returncode == 0
    assert command_line("whoami").returncode == 8


def test_an_address_without_a_token_is_not_logged_in(command_line, gateway):
    refused = command_line("ps", CYNTHUS_URL=gateway.url)
    assert (refused.returncode, "error[not_logged_in]" in refused.stderr) == (4, True)


def test_a_wrong_token_is_told_with_the_command_to_fix_it(cynthus):
    refused = cynthus("ps", CYNTHUS_TOKEN="stale")
    assert (refused.returncode, "cynthus login" in refused.stderr) == (4, True)


def test_init_writes_files_that_are_valid_and_overwrites_nothing(cynthus):
    (cynthus.project / "train.py").write_text("print(1)\n")
    assert cynthus("init").returncode == 0
    spec = (cynthus.project / "cynthus.toml").read_text()
    assert 'name = "weather"' in spec
    assert "python train.py" in spec
    assert cynthus("plan").returncode == 0
    (cynthus.project / "cynthus.toml").write_text("# mine\n")
    assert "nothing was changed" in cynthus("init").stdout
    assert (cynthus.project / "cynthus.toml").read_text() == "# mine\n"


def test_every_line_of_the_spec_that_init_writes_is_valid(cynthus):
    (cynthus.project / "main.py").write_text("print(1)\n")
    (cynthus.project / "data").mkdir()
    (cynthus.project / "data" / "a").write_text("1")
    (cynthus.project / "requirements.txt").write_text("")
    cynthus("init")
    path = cynthus.project / "cynthus.toml"
    lines = [
        line.removeprefix("# ") if line.startswith("# ") and ("=" in line or line.startswith("# [")) else line
        for line in path.read_text().splitlines()
    ]
    path.write_text("\n".join(lines))
    planned = cynthus("plan", WANDB_API_KEY="x")
    assert planned.returncode == 0, planned.stderr


def test_doctor_names_what_is_wrong_with_a_fix(cynthus, command_line, tmp_path):
    well = cynthus("doctor", "-o", "json")
    checks = {check["name"]: check for check in json.loads(well.stdout)["checks"]}
    needed = {name for name, check in checks.items() if not check["optional"]}
    assert needed == {"python", "uv", "postgres", "state", "disk", "platform"}
    assert set(checks) - needed == {"container", "bwrap", "apt", "gpu"}
    assert checks["platform"]["well"]
    (tmp_path / "file").write_text("")
    ill = cynthus("doctor", CYNTHUS_HOME=str(tmp_path / "file" / "x"), CYNTHUS_URL="http://127.0.0.1:1")
    assert ill.returncode == 1
    assert "CYNTHUS_HOME" in ill.stdout
    assert "fix" in ill.stdout


def test_the_schema_is_printed(cynthus):
    assert json.loads(cynthus("schema").stdout)["title"] == "cynthus.toml"


@pytest.mark.parametrize(
    ("shell", "needle"), [("bash", "complete -o nosort"), ("zsh", "#compdef"), ("fish", "--command cynthus")]
)
def test_completion_scripts(cynthus, shell, needle):
    assert needle in cynthus("completion", shell).stdout


def test_commands_and_options_are_completed(cynthus):
    words = {"COMP_WORDS": "cynthus re", "COMP_CWORD": "1", "_CYNTHUS_COMPLETE": "bash_complete"}
    assert "plain,rerun" in cynthus(**words).stdout
    words = {"COMP_WORDS": "cynthus run --da", "COMP_CWORD": "2", "_CYNTHUS_COMPLETE": "bash_complete"}
    assert "plain,--data" in cynthus(**words).stdout
