"""Imports modules one after another in the environment that is tried: any Python from 3.8 on, no package.

`python -c THIS CHANNEL MODULE...` writes JSON lines to the descriptor CHANNEL, one for each module: its name
as "done", and of a failure the class names as "error" (own first), the "missing" module's name, last "lines".
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback

_LINES = 12


def main(channel: int, modules: list[str]) -> None:
    """Import them all, whatever they do."""
    os.set_inheritable(channel, False)  # noqa: FBT003 - its only parameter
    for module in modules:
        told: dict[str, object] = {"done": module}
        try:
            importlib.import_module(module)
        except BaseException as error:  # noqa: BLE001 - whatever a module does
            told.update(_failure(error))
        os.write(channel, json.dumps(told).encode() + b"\n")


def _failure(error: BaseException) -> dict[str, object]:
    kinds = [kind.__name__ for kind in type(error).__mro__]
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    text = "".join(lines).rstrip().splitlines()
    return {"error": kinds, "missing": getattr(error, "name", None), "lines": text[-_LINES:]}


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
    os._exit(0)
