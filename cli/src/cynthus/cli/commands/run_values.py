"""Values of `cynthus run`'s options."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cynthus.cli import units
from cynthus.cli.options import Parsed

if TYPE_CHECKING:
    from cynthus.cli.running.wish import Wish

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def wish(described: Mapping[str, Any], rest: Sequence[str], here: Path) -> "Wish":
    """What is asked for. Raises click.UsageError."""
    from cynthus.cli.running.wish import Wish

    files = pairs(line for name in described["env_file"] for line in _lines(here / name, "--env-file"))
    return Wish(
        target=described["entry"],
        module=described["module"],
        arguments=(*described["arguments"], *rest),
        task=described["task"],
        name=described["name"],
        data=described["data"],
        env={**files, **pairs((text if "=" in text else _own(text)) for text in described["env"])},
        secrets=dict(_secrets(described["secret_file"], here)),
        labels=pairs(described["label"], option="--label", pattern=None),
        cpu=described["cpu"],
        memory=described["memory"],
        gpu=described["gpu"],
        runtime=described["runtime"],
        timeout=described["timeout"],
        retries=described["retries"],
        key=described["idempotency_key"],
    )


def pairs(
    texts: Iterable[str], *, option: str = "--env", pattern: re.Pattern[str] | None = _NAME
) -> dict[str, str]:
    """NAME=VALUE each. Raises click.UsageError, which never repeats a value."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or (pattern is not None and not pattern.fullmatch(name)):
            raise click.UsageError(f"{option} {name}: write NAME=VALUE")
        found[name] = value
    return found


def _secrets(texts: Iterable[str], here: Path) -> Iterator[tuple[str, str]]:
    for text in texts:
        name, equals, path = text.partition("=")
        if equals and _NAME.fullmatch(name):
            yield name, _text(here / path, "--secret-file").removesuffix("\n")
        else:
            lines = _lines(here / text, "--secret-file")
            yield from pairs(lines, option=f"--secret-file {text}").items()


def _lines(path: Path, option: str) -> list[str]:
    lines = (line.strip().removeprefix("export ") for line in _text(path, option).splitlines())
    return [_unquoted(line) for line in lines if line and not line.startswith("#")]


def _unquoted(line: str) -> str:
    name, equals, value = line.partition("=")
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return f"{name.strip()}{equals}{value}"


def _text(path: Path, option: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise click.UsageError(f"{option}: {path} cannot be read: {reason}") from error


def _own(name: str) -> str:
    if name not in os.environ:
        raise click.UsageError(f"--env {name}: this variable is not set here; write {name}=VALUE")
    return f"{name}={os.environ[name]}"


def _memory(text: str) -> int:
    from cynthus.spec import size_range

    return int(size_range(text).low)


def _processors(text: str) -> float:
    from cynthus.spec import count_range

    return count_range(text).low


def _gpu(text: str) -> str:
    from cynthus.spec import gpu

    gpu(text)
    return text


COUNT = Parsed("count", _processors)
SIZE = Parsed("size", _memory)
GPU = Parsed("gpu", _gpu)
DURATION = Parsed("duration", units.parse_duration)
