"""Tests that guard imports, decided for Linux and the plan's Python."""

import ast
import operator
from collections.abc import Callable
from typing import Any

FACTS: dict[str, Any] = {
    "TYPE_CHECKING": False,
    "PY2": False,
    "PY3": True,
    "sys.platform": "linux",
    "os.name": "posix",
    "platform.system()": "Linux",
}

COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def truth(test: ast.expr, python: tuple[int, int]) -> bool | None:
    """Whether the branch is taken; None when that is not known."""
    match test:
        case ast.Constant(value=bool() | int() as value):
            return bool(value)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = truth(operand, python)
            return None if inner is None else not inner
        case ast.BoolOp(op=joint, values=values):
            return _joined([truth(value, python) for value in values], every=isinstance(joint, ast.And))
        case ast.Compare(left=left, ops=[relation], comparators=[right]):
            return _compared(_value(left, python), relation, _value(right, python))
        case ast.Call(
            func=ast.Attribute(value=subject, attr="startswith"), args=[ast.Constant(value=str() as start)]
        ):
            value = _value(subject, python)
            return value.startswith(start) if isinstance(value, str) else None
        case ast.Name(id=name) | ast.Attribute(attr=name):
            fact = FACTS.get(name)
            return fact if isinstance(fact, bool) else None
        case _:
            return None


def _joined(values: list[bool | None], *, every: bool) -> bool | None:
    if (not every) in values:
        return not every
    return None if None in values else every


def _compared(left: Any, relation: ast.cmpop, right: Any) -> bool | None:
    compare = COMPARE.get(type(relation))
    if compare is None or left is None or right is None or type(left) is not type(right):
        return None
    return bool(compare(left, right))


def _value(node: ast.expr, python: tuple[int, int]) -> Any:
    match node:
        case ast.Constant(value=str() | int() as value):
            return value
        case ast.Tuple(elts=items):
            numbers = tuple(item.value for item in items if isinstance(item, ast.Constant))
            return numbers if len(numbers) == len(items) and all(type(n) is int for n in numbers) else None
        case ast.Subscript(value=base, slice=index) if (
            _short(base) and ast.unparse(base) == "sys.version_info"
        ):
            return _version_part(index, python)
        case ast.Name() | ast.Attribute() | ast.Call():
            return _named(node, python)
        case _:
            return None


def _named(node: ast.expr, python: tuple[int, int]) -> Any:
    if not _short(node):
        return None
    text = ast.unparse(node)
    versions = {
        "sys.version_info": (*python, 99),
        "sys.version_info.major": python[0],
        "sys.version_info.minor": python[1],
    }
    return versions.get(text, FACTS.get(text))


def _version_part(index: ast.expr, python: tuple[int, int]) -> Any:
    match index:
        case ast.Constant(value=0):
            return python[0]
        case ast.Constant(value=1):
            return python[1]
        case ast.Slice(lower=None, upper=ast.Constant(value=2), step=None):
            return python
        case ast.Slice(lower=None, upper=ast.Constant(value=1), step=None):
            return (python[0],)
        case _:
            return None


def _short(node: ast.AST, limit: int = 4) -> bool:
    """Guards against unparsing a hostile chain of ten thousand dots."""
    depth = 0
    while isinstance(node, ast.Attribute | ast.Call):
        node = node.value if isinstance(node, ast.Attribute) else node.func
        depth += 1
        if depth > limit:
            return False
    return isinstance(node, ast.Name)
