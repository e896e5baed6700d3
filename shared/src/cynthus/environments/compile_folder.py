"""Compiles what lies in an environment: `python -I -S compile_folder.py ENVIRONMENT MARK`.

Ends when its standard input does, for then whoever wanted it is gone.
"""

import contextlib
import importlib.util
import os
import py_compile
import sys
import threading

_LOWEST = 19
_FOLDERS = 0o755


def main(environment: str, mark: str) -> None:
    """Write `__pycache__` folders, then the mark."""
    os.nice(_LOWEST)
    threading.Thread(target=_leave_with_the_caller, daemon=True).start()
    total = sum(_compile_folder(folder, names) for folder, _, names in os.walk(f"{environment}/lib"))
    with open(f"{environment}/{mark}.fresh", "w", encoding="ascii") as file:
        file.write(str(total))
    os.replace(f"{environment}/{mark}.fresh", f"{environment}/{mark}")


def _compile_folder(folder: str, names: list[str]) -> int:
    total = 0
    for name in names:
        path = f"{folder}/{name}"
        if name.endswith(".py") and not os.path.islink(path):
            with contextlib.suppress(
                Exception
            ):  # a file for another Python, or none at all: Python itself will say
                total += _compile(path)
    return total


def _compile(path: str) -> int:
    target = importlib.util.cache_from_source(path)
    if not os.path.exists(target):
        py_compile.compile(
            path, target, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
        )
    return os.stat(target).st_size


def _leave_with_the_caller() -> None:
    with contextlib.suppress(OSError):
        os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
