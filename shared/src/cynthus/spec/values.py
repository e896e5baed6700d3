"""The leaf types of a spec: checked in our own words, shown to editors as JSON Schema."""

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, WithJsonSchema

from cynthus.oci.reference import NotAReference, Reference
from cynthus.planning import CannotPlan
from cynthus.planning.indexes import BadIndex, check_url
from cynthus.planning.python_version import exact
from cynthus.spec import quantities
from cynthus.spec.problem import Wrong

KINDS = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "a table",
}
SOURCES = ("./", "../", "/", "hf://", "gs://", "s3://", "https://", "http://", "kaggle://")
CRON = re.compile(r"[\d*/,\-A-Za-z#L]+")
CRON_FIELDS = 5
PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(?:=[A-Za-z0-9][A-Za-z0-9.+:~-]*)?")
INDEX_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
OPEN_ENDED = r"^\d+(\.\d+)?(\+|\.\.\d+(\.\d+)?)?$"
SIZE_ENDED = r"^\d+(\.\d+)?\s*[KMGTkmgt]i?B?(\+|\.\.\d+(\.\d+)?\s*[KMGTkmgt]i?B?)?$"


def kind(value: Any) -> str:
    """What a TOML value is, in a word."""
    return KINDS.get(type(value), "a date or time")


def text(value: Any) -> str:
    """A string and nothing else."""
    if isinstance(value, str):
        return value
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    fix = (
        f'write it in quotation marks: "{shown}"'
        if not isinstance(value, list | dict)
        else "write one string"
    )
    raise Wrong(f"text is expected, not {kind(value)}", fix)


def checked(check: Callable[[str], object]) -> Callable[[Any], str]:
    """Text that a parser accepts, kept as it was written."""

    def validate(value: Any) -> str:
        if isinstance(value, int | float) and not isinstance(value, bool):
            check(str(value))
        given = text(value)
        check(given)
        return given

    return validate


def cpu(value: Any) -> str:
    """A range of cores; a bare number is taken too."""
    given = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else text(value)
    quantities.count_range(given)
    return given


def variable_value(value: Any) -> str:
    """Text; whole numbers are taken too, as they have one spelling."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else text(value)


def money(value: Any) -> float:
    """US dollars, not negative."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Wrong(f"an amount of dollars is expected, not {kind(value)}", "write for example 1.20")
    if not 0 <= value < 10**9:
        raise Wrong(f"{value} is not an amount of dollars", "write for example 1.20")
    return float(value)


def attempts(value: Any) -> int:
    """How many times a run may start: 1 to 100."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Wrong(f"a whole number is expected, not {kind(value)}", "write for example 3")
    if not 1 <= value <= 100:  # noqa: PLR2004 - the documented limit
        raise Wrong(f"{value} attempts are not possible", "write a number from 1 to 100")
    return value


def python(value: Any) -> str:
    """A Python version; TOML would read 3.10 without quotation marks as 3.1."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise Wrong(
            "a version is text: without quotation marks 3.10 is read as 3.1",
            'write it in quotation marks: "3.12"',
        )
    try:
        return exact(text(value), "python")
    except CannotPlan as error:
        raise Wrong(f'"{value}" cannot be used: {error.why}', error.fix) from error


def inside(value: Any) -> str:
    """A relative path that stays in the project."""
    given = text(value)
    path = PurePosixPath(given)
    if (
        not given.strip()
        or path.is_absolute()
        or ".." in path.parts
        or "\\" in given
        or given.startswith("~")
    ):
        raise Wrong(f'"{given}" is not a path inside the project', 'write a relative path such as "outputs"')
    return path.as_posix()


def source(value: Any) -> str:
    """Where data comes from."""
    given = text(value)
    if "://" in given and not given.startswith(SOURCES):
        raise Wrong(
            f'"{given}" is not a known kind of source', "use ./folder, hf://, kaggle://, gs:// or https://"
        )
    if not given.strip():
        raise Wrong("the source is empty", "use ./folder, hf://, kaggle://, gs:// or https://")
    if re.search(r"://[^/@\s]*:[^/@\s]*@", given):
        raise Wrong("the source holds a password", "take it out and keep it as a secret")
    return given


def schedule(value: Any) -> str:
    """Five cron fields."""
    given = text(value)
    fields = given.split()
    if len(fields) != CRON_FIELDS or not all(CRON.fullmatch(field) for field in fields):
        raise Wrong(f'"{given}" is not a cron schedule', 'write five fields, for example "0 6 * * 1"')
    return given


def command(value: Any) -> str | tuple[str, ...]:
    """A shell line, or a list of words."""
    if isinstance(value, list):
        if not value or not all(isinstance(word, str) for word in value):
            raise Wrong(
                "a command list holds at least one string and only strings", 'write ["python", "train.py"]'
            )
        return tuple(value)
    if not text(value).strip():
        raise Wrong("the command is empty", 'write "python train.py"')
    return text(value)


def words(item: Callable[[Any], str]) -> Callable[[Any], tuple[str, ...]]:
    """A list of strings that each pass a check."""

    def validate(value: Any) -> tuple[str, ...]:
        if isinstance(value, str):
            raise Wrong("a list is expected, not text", f'write ["{value}"]')
        if not isinstance(value, list | tuple):
            raise Wrong(f"a list is expected, not {kind(value)}", 'write ["one", "two"]')
        return tuple(item(one) for one in value)

    return validate


def one_of(*choices: str) -> Callable[[Any], str]:
    """One of a few words, with the nearest for a slip."""
    from cynthus.planning.names import nearest

    def validate(value: Any) -> str:
        given = text(value)
        if given not in choices:
            near = nearest(given, choices, 1)
            fix = f'did you mean "{near[0]}"?' if near else f"choose from {', '.join(choices)}"
            raise Wrong(f'"{given}" is not one of {", ".join(choices)}', fix)
        return given

    return validate


def _shown(**schema: Any) -> WithJsonSchema:
    return WithJsonSchema(schema)


def _list(**item: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "array", "items": {"type": "string", **item}})


def flag(value: Any) -> bool:
    """True or false, without quotation marks."""
    if not isinstance(value, bool):
        raise Wrong(f"true or false is expected, not {kind(value)}", "write true or false")
    return value


def package(value: Any) -> str:
    """A Debian package by name, or name=version."""
    given = text(value)
    if PACKAGE.fullmatch(given) is None:
        near = given.lower().removeprefix("apt install").strip()
        fix = f'write "{near}"' if PACKAGE.fullmatch(near) else 'write for example "libgl1"'
        raise Wrong(f'"{given}" is not the name of a Debian package', fix)
    return given


def dockerfile(value: Any) -> str | bool:
    """A path in the project, or false."""
    if value is True:
        raise Wrong("a path is expected, or false", 'write "Dockerfile"; one in the root is found by itself')
    return False if value is False else inside(value)


def image_name(value: Any) -> str:
    """An image as people write it."""
    given = text(value)
    try:
        Reference.parse(given)
    except NotAReference as error:
        raise Wrong(f'"{given}" does not name an image', 'write for example "python:3.12-slim"') from error
    return given


def index_url(value: Any) -> str:
    """An address without credentials; a wrong one is not repeated."""
    given = text(value)
    try:
        check_url(given)
    except BadIndex as error:
        raise Wrong(f"this address cannot be used: {error.why}", error.fix) from error
    return given


def index_name(value: Any) -> str:
    """Letters, digits, dots, dashes and underscores."""
    given = text(value)
    if INDEX_NAME.fullmatch(given) is None:
        raise Wrong(f'"{given}" is not a name for an index', 'write letters, digits and dashes: "internal"')
    return given


CAUSES = ("preemption", "no_capacity", "infra", "failure")
SPOT = ("never", "prefer", "only")
RUNTIMES = ("process", "container")

Text = Annotated[str, BeforeValidator(text), _shown(type="string")]
Name = Annotated[
    str, BeforeValidator(checked(quantities.name)), _shown(type="string", pattern="^[a-z][a-z0-9-]{0,62}$")
]
Duration = Annotated[
    str, BeforeValidator(checked(quantities.duration)), _shown(type="string", pattern=r"^(\d+[smhdw])+$")
]
CPU = Annotated[
    str,
    BeforeValidator(cpu),
    _shown(anyOf=[{"type": "string", "pattern": OPEN_ENDED}, {"type": "number", "exclusiveMinimum": 0}]),
]
Size = Annotated[
    str, BeforeValidator(checked(quantities.size_range)), _shown(type="string", pattern=SIZE_ENDED)
]
GPU = Annotated[str, BeforeValidator(checked(quantities.gpu)), _shown(type="string")]
Money = Annotated[float, BeforeValidator(money), _shown(type="number", minimum=0)]
Attempts = Annotated[int, BeforeValidator(attempts), _shown(type="integer", minimum=1, maximum=100)]
PythonVersion = Annotated[str, BeforeValidator(python), _shown(type="string", pattern=r"^3\.\d+(\.\d+)?$")]
Inside = Annotated[str, BeforeValidator(inside), _shown(type="string")]
Source = Annotated[str, BeforeValidator(source), _shown(type="string")]
Schedule = Annotated[str, BeforeValidator(schedule), _shown(type="string")]
Command = Annotated[
    str | tuple[str, ...],
    BeforeValidator(command),
    _shown(anyOf=[{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]),
]
Variable = Annotated[
    str,
    BeforeValidator(checked(quantities.variable)),
    _shown(type="string", pattern="^[A-Za-z_][A-Za-z0-9_]*$"),
]
VariableValue = Annotated[str, BeforeValidator(variable_value), _shown(type=["string", "integer"])]
Flag = Annotated[bool, BeforeValidator(flag), _shown(type="boolean")]
Dockerfile = Annotated[
    str | Literal[False] | None,
    BeforeValidator(dockerfile),
    _shown(anyOf=[{"type": "string"}, {"const": False}]),
]
ImageName = Annotated[str, BeforeValidator(image_name), _shown(type="string")]
IndexURL = Annotated[str, BeforeValidator(index_url), _shown(type="string", pattern="^https?://")]
IndexName = Annotated[
    str, BeforeValidator(index_name), _shown(type="string", pattern=f"^{INDEX_NAME.pattern}$")
]
Runtime = Annotated[
    Literal["process", "container"],
    BeforeValidator(one_of(*RUNTIMES)),
    _shown(type="string", enum=list(RUNTIMES)),
]
Packages = Annotated[tuple[str, ...], BeforeValidator(words(package)), _list(pattern=f"^{PACKAGE.pattern}$")]
Words = Annotated[tuple[str, ...], BeforeValidator(words(text)), _list()]
Paths = Annotated[tuple[str, ...], BeforeValidator(words(inside)), _list()]
Variables = Annotated[tuple[str, ...], BeforeValidator(words(checked(quantities.variable))), _list()]
Names = Annotated[tuple[str, ...], BeforeValidator(words(checked(quantities.name))), _list()]
Causes = Annotated[tuple[str, ...], BeforeValidator(words(one_of(*CAUSES))), _list(enum=list(CAUSES))]
Spot = Annotated[str, BeforeValidator(one_of(*SPOT)), _shown(type="string", enum=list(SPOT))]
