"""SQLAlchemy Core expressions as SQL for asyncpg, compiled once."""

from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement

_DIALECT = dialect()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Prepared:
    """SQL with $1, $2, ... and the names that fill them: `connection.fetch(p.sql, *p.arguments(a=1))`."""

    sql: str
    names: tuple[str, ...]
    fixed: dict[str, Any]

    def arguments(self, **values: Any) -> list[Any]:
        """The values in the order of the SQL. Raises KeyError for a name that has none."""
        values = {**self.fixed, **values}
        return [values[name] for name in self.names]


def prepare(clause: ClauseElement) -> Prepared:
    """Compile once, at import: use `bindparam("name")` for values given later, literals for fixed ones."""
    compiled = cast(
        "SQLCompiler", clause.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    )
    names = tuple(compiled.positiontup or ())
    fixed = {name: bind.effective_value for name, bind in compiled.binds.items() if not bind.required}
    return Prepared(str(compiled), names, fixed)
