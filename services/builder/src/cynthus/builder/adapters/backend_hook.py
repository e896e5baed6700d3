"""Calls one hook of a build backend (PEP 517), inside the sandbox. Runs by itself: standard library only.

Arguments: a JSON file with backend, path, hook, arguments, memory and file_size (bytes); one for the answer.
"""

import importlib
import json
import resource
import sys
from pathlib import Path
from typing import Any

_NOFILE = 4096


def main() -> None:
    """Ask and write the answer."""
    question, place = map(Path, sys.argv[1:])
    ask = json.loads(question.read_text(encoding="utf-8"))
    _limit(resource.RLIMIT_AS, ask["memory"])
    _limit(resource.RLIMIT_FSIZE, ask["file_size"])
    _limit(resource.RLIMIT_CORE, 0)
    sys.path[:1] = ask["path"]  # instead of this script's own folder
    answer = _call(ask["backend"], ask["hook"], ask["arguments"])
    place.write_text(json.dumps(answer), encoding="utf-8")


def _limit(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (allowed, allowed))


def _call(name: str, hook: str, arguments: list[Any]) -> Any:
    module, _, attributes = name.partition(":")
    backend: Any = importlib.import_module(module)
    for attribute in filter(None, attributes.split(".")):
        backend = getattr(backend, attribute)
    function = getattr(backend, hook, None)
    if function is None and hook == "get_requires_for_build_wheel":
        return []
    if function is None:
        raise SystemExit(f"the build backend {name} has no {hook}")
    return function(*arguments)


if __name__ == "__main__":
    main()
