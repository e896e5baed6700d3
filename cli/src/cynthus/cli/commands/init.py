"""`cynthus init`."""

from pathlib import Path

import click

from cynthus.cli import exits, options
from cynthus.cli.failure import Failure
from cynthus.cli.session import Session

_SPEC = """\
# What cynthus should know of this project. Every line is optional; `cynthus schema` has all keys.

name = "{name}"

# Files that are not sent, on top of .gitignore and .cynthusignore.
# ignore = ["*.ipynb"]

[task.main]
command = "python {script}"
# timeout = "6h"
# secrets = ["WANDB_API_KEY"]        # names; values come with --secret-file
# retry = {{ attempts = 3 }}

# [image]
# python = "3.13"                    # else .python-version, requires-python, or this machine's
# requirements = ["requirements.txt"]  # else found by itself
# apt = ["libgl1"]                   # Debian packages; the run is then in a container

# [resources]
# cpu = "4+"
# memory = "16GB+"
# gpu = "L4:1"                       # or "24GB+": any with that much memory

# [env]
# EPOCHS = "5"

# [[data]]
# source = "./data"
# mount = "data"
"""

_IGNORE = """\
# Files that cynthus does not send, in the language of .gitignore; what .gitignore names is left out already.
# A line such as !data/small.csv sends a file that .gitignore leaves out.
*.log
"""


@click.command()
@click.argument("name", required=False)
@options.output
def init(session: Session, *, name: str | None) -> None:
    """Write a commented cynthus.toml and .cynthusignore into this folder; overwrites nothing."""
    from cynthus.cli.running.place import project_name

    here = Path.cwd()
    name = _checked(name) if name else project_name(here)
    content = _SPEC.format(name=name, script=_script(here))
    written = [
        str(path)
        for path, text in ((Path("cynthus.toml"), content), (Path(".cynthusignore"), _IGNORE))
        if _write(here / path, text)
    ]
    if session.json:
        session.print_json({"name": name, "written": written})
    elif written:
        session.print(f"wrote {' and '.join(written)}; next: cynthus plan · cynthus run")
    else:
        session.print("cynthus.toml and .cynthusignore are here already; nothing was changed")


def _script(here: Path) -> str:
    scripts = sorted(path.name for path in here.glob("*.py"))
    return "main.py" if "main.py" in scripts or not scripts else scripts[0]


def _write(path: Path, text: str) -> bool:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    except OSError as error:
        raise Failure(
            code="unwritable",
            what=f"{path} cannot be written",
            why=error.strerror,
            fix="go to a folder of yours",
            exit_code=exits.USAGE,
        ) from error
    return True


def _checked(name: str) -> str:
    from cynthus.spec import Wrong
    from cynthus.spec import name as checked

    try:
        return checked(name)
    except Wrong as wrong:
        raise click.UsageError(f"{wrong.what}: {wrong.fix}") from wrong
