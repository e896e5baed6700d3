"""Every command in one table: its help is shown, and its name completed, without importing it."""

GROUPS = ("Run", "Look", "Get", "Project", "Platform", "Account", "More")

COMMANDS = (
    ("run", "Run", "Pack, build, start, follow and fetch a script or a project."),
    ("plan", "Run", "Say what `run` would do, and upload and start nothing."),
    ("rerun", "Run", "Start a run again with the same inputs."),
    ("cancel", "Run", "Stop runs."),
    ("ps", "Look", "List runs, newest first."),
    ("show", "Look", "One run: state, timeline, attempts, cause and fix."),
    ("why", "Look", "What led to a run's state, as a story, and what to do."),
    ("logs", "Look", "What a run's program wrote."),
    ("events", "Look", "A run's history: what happened, who did it, because of what."),
    ("image", "Look", "Images: list them, look into one, its bill of materials."),
    ("pull", "Get", "Fetch a run's outputs; resumes, checks hashes, deletes nothing."),
    ("destroy", "Get", "Remove a run's record; results stay unless asked."),
    ("init", "Project", "Write a commented cynthus.toml and .cynthusignore."),
    ("doctor", "Project", "Check this machine, with a fix for each thing that is wrong."),
    ("schema", "Project", "The JSON Schema of cynthus.toml."),
    ("up", "Platform", "Start the platform on this machine, in the background."),
    ("down", "Platform", "Stop everything that `up` started."),
    ("status", "Platform", "Where the platform is, and how it is."),
    ("leaks", "Platform", "Machines that are there and needed by nobody."),
    ("admin", "Platform", "Messages that were given up on: look at them, replay them."),
    ("login", "Account", "Keep a platform's address and token."),
    ("logout", "Account", "Forget a platform's token."),
    ("whoami", "Account", "Who you are to the platform."),
    ("completion", "More", "A completion script for bash, zsh or fish."),
    ("version", "More", "Versions of the command and of the platform."),
    ("help", "More", "Help topics: exit-codes, environment, output."),
)

ALIASES = ("signup", "prepare", "update-src", "update-data", "update")
"""The original product's commands: hidden; each does its job and prints the new form."""

NAMES = tuple(name for name, _, _ in COMMANDS)

_IN_ALIASES = "aliases"


def module_of(name: str) -> str | None:
    """The module that holds a command, or None when there is no such command."""
    if name in ALIASES:
        return f"cynthus.cli.commands.{_IN_ALIASES}"
    return f"cynthus.cli.commands.{name}" if name in NAMES else None


def summary_of(name: str) -> str:
    """A command's line of help."""
    return next((line for command, _, line in COMMANDS if command == name), "")
