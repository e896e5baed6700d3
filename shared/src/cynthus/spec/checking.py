"""From a parsed table to a Spec, or to every problem in it with its line."""

from typing import Any

from pydantic import ValidationError

from cynthus.planning.names import nearest
from cynthus.spec.lines import Path, line_of
from cynthus.spec.models import Data, Image, Index, Outputs, Resources, Retry, Spec, Table, Task
from cynthus.spec.problem import Problem, SpecInvalid, Wrong
from cynthus.spec.values import kind

TABLES: dict[str, type[Table]] = {"image": Image, "resources": Resources, "retry": Retry, "outputs": Outputs}
HOMES: tuple[tuple[str, type[Table]], ...] = (
    ("[task.main]", Task),
    ("[image]", Image),
    ("[[image.index]]", Index),
    ("[resources]", Resources),
    ("[[data]]", Data),
    ("retry = { … } of a task", Retry),
    ("outputs = { … } of a task", Outputs),
    ("the top of the file", Spec),
)


def check(table: dict[str, Any], file: str, text: str, prefix: tuple[str, ...] = ()) -> Spec:
    """The typed spec; SpecInvalid names every mistake."""
    try:
        spec = Spec.model_validate(table)
    except ValidationError as invalid:
        raise SpecInvalid(
            [_problem(dict(error), file, text, prefix) for error in invalid.errors(include_url=False)]
        ) from invalid
    problems = [
        Problem(file, line_of(text, (*prefix, *path)), _dotted(path), what, fix)
        for path, what, fix in _together(spec)
    ]
    if problems:
        raise SpecInvalid(problems)
    return spec


def _problem(error: dict[str, Any], file: str, text: str, prefix: tuple[str, ...]) -> Problem:
    path: Path = tuple(part for part in error["loc"] if part != "[key]")
    what, fix = _words(error, path)
    return Problem(file, line_of(text, (*prefix, *path)), _dotted(path), what, fix)


def _words(error: dict[str, Any], path: Path) -> tuple[str, str]:
    key = _dotted(path)
    match error["type"]:
        case "extra_forbidden":
            return _unknown_key(path)
        case "missing":
            return f"{_dotted(path[:-1])} has no {path[-1]}", f"add a line: {path[-1]} = …"
        case "value_error" if isinstance(wrong := error["ctx"]["error"], Wrong):
            return f"{key}: {wrong.what}", wrong.fix
        case "model_type" | "dict_type" | "model_attributes_type":
            return f"{key} is a table, not {kind(error['input'])}", f"write [{key}] and its keys below it"
        case "tuple_type" | "list_type":
            return (
                f"{key} is a list of tables, not {kind(error['input'])}",
                f"write [[{key}]] and its keys below it",
            )
        case _:
            return f"{key}: {error['msg']}", "correct the value"


def _unknown_key(path: Path) -> tuple[str, str]:
    key = str(path[-1])
    table = _table_at(path[:-1])
    what = f"unknown key {key}" + (f" in {_dotted(path[:-1])}" if len(path) > 1 else "")
    near = nearest(key, table.model_fields, 1)
    if near:
        return what, f"did you mean {near[0]}?"
    for home, model in HOMES:
        if model is not table and (near := nearest(key, model.model_fields, 1)):
            return what, f"{key} belongs under {home}" if near[
                0
            ] == key else f"did you mean {near[0]}, under {home}?"
    return what, f"remove it; the keys here are {', '.join(table.model_fields)}"


def _table_at(path: Path) -> type[Table]:
    if not path:
        return Spec
    if path[:2] == ("image", "index"):
        return Index
    last = path[-1]
    if isinstance(last, str) and last in TABLES and (len(path) == 1 or path[0] == "task"):
        return TABLES[last]
    return Data if path[0] == "data" else Task


def _dotted(path: Path) -> str:
    shown = ""
    for part in path:
        shown += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if shown else part
    return shown


def _together(spec: Spec) -> list[tuple[Path, str, str]]:
    """Mistakes that only show when keys are seen side by side."""
    found: list[tuple[Path, str, str]] = []
    if spec.image.dockerfile and spec.image.base:
        found.append((("image", "base"), "image has both dockerfile and base", "keep one of the two"))
    names = [index.name for index in spec.image.index]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        found.append((("image", "index"), f"two indexes are named {repeated}", "give each a name of its own"))
    for name, task in spec.task.items():
        for other in task.after:
            if other not in spec.task or other == name:
                near = nearest(other, set(spec.task) - {name}, 1)
                fix = f"did you mean {near[0]}?" if near else f"add [task.{other}] or remove it"
                found.append(
                    (("task", name, "after"), f"task.{name} comes after {other}, which is no other task", fix)
                )
        for secret in task.secrets:
            if secret in spec.env or secret in task.env:
                what = f"task.{name} takes {secret} as a secret, and [env] sets it too"
                found.append((("task", name, "secrets"), what, f"remove {secret} from [env]"))
    if not found and (ring := _ring(spec)):
        found.append(
            (
                ("task", ring[0], "after"),
                f"tasks wait for each other: {' -> '.join(ring)}",
                "remove one `after`",
            )
        )
    return found


def _ring(spec: Spec) -> list[str]:
    """Tasks that wait for each other in a circle, if any."""
    done: set[str] = set()
    while True:
        ready = {name for name, task in spec.task.items() if name not in done and done.issuperset(task.after)}
        if not ready:
            break
        done |= ready
    left = sorted(set(spec.task) - done)
    if not left:
        return []
    ring = [left[0]]
    while ring.count(ring[-1]) == 1:
        ring.append(next(other for other in spec.task[ring[-1]].after if other in left))
    return ring[ring.index(ring[-1]) :]
