"""The one error of planning: what, why and how to fix it."""


class CannotPlan(Exception):
    """The folder gives no plan: `code` is stable, the rest is for people."""

    def __init__(
        self,
        code: str,
        *,
        what: str,
        why: str,
        fix: str,
        where: str | None = None,
        candidates: tuple[str, ...] = (),
    ) -> None:
        super().__init__(code, what, why, fix)
        self.code = code
        self.what = what
        self.why = why
        self.fix = fix
        self.where = where
        self.candidates = candidates

    def __str__(self) -> str:
        return f"{self.what}: {self.why}. Fix: {self.fix}"
