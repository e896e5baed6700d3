"""The help of `cynthus` itself, from the table alone."""

from cynthus.cli.index import COMMANDS, GROUPS

_HEAD = """\
Runs any folder of Python: packs it, builds its environment, runs it, brings the outputs back.

Usage: cynthus COMMAND [OPTIONS]

  cynthus run train.py --data ./data -- --epochs 3
"""

_TAIL = """
Options:
  -h, --help     This help; `cynthus COMMAND --help` for a command's.
  -V, --version  The version.

Topics: cynthus help exit-codes | environment | output
"""


def overview() -> str:
    """The text of `cynthus --help`."""
    width = max(len(name) for name, _, _ in COMMANDS)
    parts = [_HEAD]
    for group in GROUPS:
        parts.append(f"\n{group}:\n")
        parts.extend(
            f"  {name:{width}}  {line}\n" for name, its_group, line in COMMANDS if its_group == group
        )
    return "".join([*parts, _TAIL])
