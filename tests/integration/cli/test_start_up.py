"""What every command costs before it does anything, and that every command explains itself."""

import subprocess
import sys

import pytest

from cynthus.cli import exits
from cynthus.cli.index import ALIASES, COMMANDS, GROUPS, NAMES

HEAVY = {"pydantic", "httpx", "httpx2", "fastapi", "asyncio", "rich", "sqlalchemy", "asyncpg", "uvicorn"}


def imported(command_line, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "cynthus.cli.main", *arguments],
        cwd=command_line.project,
        env=command_line.environment(**environment),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = (line for line in done.stderr.splitlines() if line.startswith("import time:"))
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("help",)])
def test_help_and_version_import_almost_nothing(command_line, arguments):
    modules = imported(command_line, *arguments)
    assert not modules & HEAVY
    assert not modules & {"click", "json", "http.client", "dataclasses", "argparse", "inspect"}


@pytest.mark.parametrize("command", [("ps",), ("leaks",), ("why", "one"), ("show", "one", "--as-of", "5m")])
def test_looking_imports_nothing_heavy(cynthus, command):
    modules = imported(cynthus, *command)
    assert "http.client" in modules
    assert not {module.partition(".")[0] for module in modules} & HEAVY
    assert not [
        module
        for module in modules
        if module.startswith(("cynthus.planning", "cynthus.spec", "cynthus.events"))
    ]


def test_running_without_a_spec_imports_nothing_heavy(cynthus):
    (cynthus.project / "main.py").write_text("print(1)\n")
    modules = imported(cynthus, "run")
    assert "cynthus.planning.planner" in modules
    assert not {module.partition(".")[0] for module in modules} & (HEAVY | {"pathspec"})


def test_one_commands_module_is_imported_and_no_other(cynthus):
    modules = {module for module in imported(cynthus, "whoami") if module.startswith("cynthus.cli.commands.")}
    assert modules <= {"cynthus.cli.commands.whoami"}


def test_the_help_lists_every_command(command_line):
    shown = command_line("--help").stdout
    assert command_line("-h").stdout == command_line("help").stdout == command_line().stdout == shown
    assert {group for _, group, _ in COMMANDS} == set(GROUPS)
    for name, _, summary in COMMANDS:
        assert f"  {name} " in shown
        assert summary in shown
    for alias in ALIASES:
        assert f"  {alias} " not in shown
    assert max(map(len, shown.splitlines())) <= 100


@pytest.mark.parametrize("name", [*NAMES, *ALIASES])
def test_every_command_has_help(name):
    from click.testing import CliRunner

    from cynthus.cli.app import root

    shown = CliRunner().invoke(root, [name, "--help"])
    assert shown.exit_code == 0
    assert f"Usage: cynthus {name}" in shown.output
    assert len(shown.output.splitlines()) > 3


FLAGS = {
    "run": "--data --task --name --env --env-file --secret-file --label --cpu --memory --gpu --runtime "
    "--timeout --retries "
    "-d --detach --no-fetch --dry-run -y --yes --wait-for -o --output --idempotency-key "
    "--propagate-exit --module",
    "plan": "--data --task --env -o",
    "ps": "-a --all -n --state --label --project -o",
    "logs": "-f --follow --since --tail -n --source --attempt --timestamps -o",
    "events": "-f --follow -o",
    "pull": "--to --include -o",
    "destroy": "--all --include-results -y -o",
    "rerun": "-d --detach --no-fetch --propagate-exit -o",
    "login": "--url --token-stdin -o",
    "up": "-o",
    "down": "-o",
    "status": "-o",
    "show": "--as-of -o",
    "why": "-o",
    "leaks": "-o",
    "cancel": "-o",
    "whoami": "-o",
    "doctor": "-o",
    "image": "",
}


@pytest.mark.parametrize("name", FLAGS)
def test_every_documented_option_exists(name):
    import click

    from cynthus.cli.app import root

    command = root.get_command(click.Context(root), name)
    known = {option for parameter in command.params for option in parameter.opts}
    assert set(FLAGS[name].split()) <= known
    for parameter in command.params:
        assert parameter.param_type_name == "argument" or parameter.help


def test_the_topics_of_help(command_line):
    codes = command_line("help", "exit-codes").stdout
    for code, meaning in exits.MEANINGS:
        assert f"{code:>3}  {meaning}" in codes
    for variable in ("CYNTHUS_URL", "CYNTHUS_HOME", "NO_COLOR", "CYNTHUS_RUN_ID"):
        assert variable in command_line("help", "environment").stdout
    assert "JSON Lines" in command_line("help", "output").stdout
    assert "Usage: cynthus ps" in command_line("help", "ps").stdout


def test_the_version_is_told_two_ways(command_line):
    short = command_line("--version").stdout
    assert short.startswith("cynthus ")
    assert short == command_line("-V").stdout
    assert command_line("version").stdout.startswith(short.strip())
