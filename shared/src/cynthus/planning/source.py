"""What one piece of Python imports, read from its syntax tree."""

import ast
import re
import sys
import warnings
from dataclasses import dataclass

from cynthus.planning.conditions import truth

CATCHES = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
EXITS = {"exit", "_exit", "quit", "abort"}
LATER = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.Lambda,
    ast.ExceptHandler,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.Match,
)
IMPORT_LINE = re.compile(
    r"^[ \t]*(?:from[ \t]+(\.*)([\w.]*)[ \t]+import[ \t]+\(?[ \t]*(\w+)|import[ \t]+([\w.]+))", re.MULTILINE
)


class BadSyntax(Exception):
    """This is not Python: where, and the line itself."""

    def __init__(self, message: str, line: int, column: int, text: str) -> None:
        super().__init__(message, line)
        self.message = message
        self.line = line
        self.column = column
        self.text = text


@dataclass(frozen=True, slots=True, order=True)
class Import:
    """One import statement or literal import call; `names` are what `from … import` took."""

    line: int
    module: str
    names: tuple[str, ...] = ()
    level: int = 0
    optional: bool = False
    lazy: bool = False  # only a call or a condition gets to it


def imports_of(source: bytes, python: tuple[int, int]) -> tuple[Import, ...]:
    """Every import that Linux and this Python could reach, in line order."""
    return _walk(_parse(source, python), python)


def loose_imports(source: bytes) -> tuple[Import, ...]:
    """Imports by line pattern, for syntax newer than the Python that reads it."""
    text = source.decode("utf-8", "replace")
    found = []
    for match in IMPORT_LINE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        dots, module, name, plain = match.groups()
        lazy = match.group()[0] in " \t"
        if plain:
            found.append(Import(line, plain.strip("."), lazy=lazy))
        else:
            found.append(Import(line, module.strip("."), (name,), len(dots), lazy=lazy))
    return tuple(found)


def _parse(source: bytes, python: tuple[int, int]) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source, feature_version=min(python, sys.version_info[:2]))
        except SyntaxError as error:
            message, line, column = error.msg, error.lineno or 1, error.offset or 1
        except (RecursionError, MemoryError):
            message, line, column = "nested too deeply to be read", 1, 1
        except (ValueError, LookupError, OverflowError, SystemError) as error:
            message, line, column = str(error), 1, 1
    lines = source.decode("utf-8", "replace").split("\n")
    text = lines[line - 1] if 0 < line <= len(lines) else ""
    raise BadSyntax(message, line, column, text.rstrip("\r"))


def _walk(tree: ast.Module, python: tuple[int, int]) -> tuple[Import, ...]:
    found: list[Import] = []
    todo: list[tuple[ast.AST, bool, bool]] = [(tree, False, False)]
    while todo:
        node, optional, lazy = todo.pop()
        found.extend(_imported(node, optional=optional, lazy=lazy))
        match node:
            case ast.Import() | ast.ImportFrom():
                pass
            case ast.If():
                unsure = lazy or truth(node.test, python) is None
                todo.extend((child, optional, unsure) for child in _branches(node, python))
                todo.append((node.test, optional, lazy))
            case ast.Try() | ast.TryStar() if guarded := _guarded(node):
                todo.extend((*inside, lazy) for inside in _inside_guarded(node, guarded, optional=optional))
            case ast.With() if any(_suppresses(item.context_expr) for item in node.items):
                todo.extend((child, True, lazy) for child in node.body)
            case _:
                later = lazy or isinstance(node, LATER)
                todo.extend((child, optional, later) for child in ast.iter_child_nodes(node))
    return tuple(sorted(set(found)))


def _imported(node: ast.AST, *, optional: bool, lazy: bool) -> list[Import]:
    """What this one node imports."""
    match node:
        case ast.Import():
            return [Import(node.lineno, one.name, optional=optional, lazy=lazy) for one in node.names]
        case ast.ImportFrom():
            names = tuple(alias.name for alias in node.names)
            return [Import(node.lineno, node.module or "", names, node.level, optional, lazy)]
        case ast.Call() if (name := _called_import(node)) is not None:
            return [Import(node.lineno, name, optional=optional, lazy=lazy)]
        case _:
            return []


def _branches(node: ast.If, python: tuple[int, int]) -> list[ast.stmt]:
    value = truth(node.test, python)
    if value is None:
        return [*node.body, *node.orelse]
    return node.body if value else node.orelse


def _guarded(node: ast.Try | ast.TryStar) -> list[ast.ExceptHandler]:
    """Handlers that let the program live on without the import."""
    return [handler for handler in node.handlers if _catches(handler) and not _gives_up(handler)]


def _inside_guarded(
    node: ast.Try | ast.TryStar, guarded: list[ast.ExceptHandler], *, optional: bool
) -> list[tuple[ast.AST, bool]]:
    """What is tried and what replaces it is optional, unless both need the same package."""
    both = _tops(node.body) & {top for handler in guarded for top in _tops(handler.body)}
    inside: list[tuple[ast.AST, bool]] = [(statement, optional) for statement in node.finalbody]
    guarded_code = (*node.body, *node.orelse, *(line for one in node.handlers for line in one.body))
    inside.extend((statement, optional or not _tops([statement]) & both) for statement in guarded_code)
    return inside


def _tops(statements: list[ast.stmt]) -> set[str]:
    tops: set[str] = set()
    for statement in statements:
        if isinstance(statement, ast.Import):
            tops.update(alias.name.partition(".")[0] for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom) and not statement.level:
            tops.add((statement.module or "").partition(".")[0])
    return tops


def _catches(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(_last_name(kind) in CATCHES for kind in kinds)


def _gives_up(handler: ast.ExceptHandler) -> bool:
    return any(
        isinstance(statement, ast.Raise)
        or (
            isinstance(statement, ast.Expr)
            and isinstance(statement.value, ast.Call)
            and _last_name(statement.value.func) in EXITS
        )
        for statement in handler.body
    )


def _suppresses(expression: ast.expr) -> bool:
    return (
        isinstance(expression, ast.Call)
        and _last_name(expression.func) == "suppress"
        and any(_last_name(argument) in CATCHES for argument in expression.args)
    )


def _called_import(call: ast.Call) -> str | None:
    if _last_name(call.func) not in {"import_module", "__import__"} or not call.args:
        return None
    first = call.args[0]
    if not isinstance(first, ast.Constant) or not isinstance(first.value, str):
        return None
    return first.value if re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", first.value) else None


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""
