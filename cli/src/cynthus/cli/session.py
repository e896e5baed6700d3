"""One command's surroundings: how to speak, and with whom."""

import json
import os
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from cynthus.cli import exits, logins, terminal
from cynthus.cli.client.endpoint import Endpoint
from cynthus.cli.failure import Failure
from cynthus.cli.reporter import Reporter

if TYPE_CHECKING:
    from cynthus.cli.client.api import Api

Output = Literal["auto", "human", "json", "quiet"]
Start = Literal["always", "if-known", "never"]
"""When no platform is configured, whether to start the one on this machine."""


class Session:
    """Made once per command. `output` is the -o option."""

    def __init__(self, output: Output = "auto") -> None:
        self.output = output
        self.json = output == "json"
        self.quiet = output == "quiet"

    @cached_property
    def screen(self) -> terminal.Terminal:
        """What stdout allows."""
        return terminal.of(sys.stdout)

    @cached_property
    def reporter(self) -> Reporter:
        """Progress on stderr."""
        return Reporter(terminal.of(sys.stderr), quiet=self.quiet)

    def api(self, start: Start = "if-known", *, patience_s: float = 3.0, timeout_s: float = 60.0) -> "Api":
        """The configured platform, or the one on this machine, started when allowed."""
        from cynthus.cli import embedded
        from cynthus.cli.client.api import Api
        from cynthus.cli.client.connection import Connection, Patience

        patience = Patience(patience_s)
        configured = _configured()
        if configured is not None:
            return Api(Connection(lambda: configured, timeout_s=timeout_s, patience=patience))
        if start == "always" or (start == "if-known" and embedded.known()):
            self._ensure_embedded()
        elif not embedded.listening():
            raise embedded.not_running()
        return Api(Connection(embedded.endpoint, timeout_s=timeout_s, patience=patience))

    def place(self) -> str:
        """Where runs go."""
        configured = _configured()
        return "this machine" if configured is None else f"the platform at {configured.url}"

    def print(self, text: str) -> None:
        """A line of the answer."""
        sys.stdout.write(text + "\n")

    def print_json(self, value: Any) -> None:
        """The answer as the platform gave it: one line."""
        sys.stdout.write(json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask before something is lost. Raises Failure when the answer is no or nobody can be asked."""
        if yes:
            return
        if not (sys.stdin.isatty() and self.reporter.terminal.tty and not self.reporter.terminal.plain):
            raise Failure(
                code="not_confirmed",
                what="this asks a question, and nobody can answer it here",
                fix="add -y/--yes",
                exit_code=exits.USAGE,
            )
        sys.stderr.write(f"{question} [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            raise Failure(code="not_confirmed", what="left as it was", exit_code=exits.USAGE)

    def _ensure_embedded(self) -> None:
        from cynthus.cli import embedded

        if embedded.listening():
            return
        say = self.reporter
        started, now = embedded.start(lambda: say.doing("platform", lambda: "starting on this machine"))
        if now:
            say.note(f"started the platform on this machine: {started.url}   (cynthus down stops it)")


def _configured() -> Endpoint | None:
    url = os.environ.get("CYNTHUS_URL")
    if not url:
        return logins.current()
    token = os.environ.get("CYNTHUS_TOKEN") or logins.token_of(url)
    if token is None:
        raise Failure(
            code="not_logged_in",
            what=f"no token for {url}",
            why="CYNTHUS_URL is set, CYNTHUS_TOKEN is not",
            fix=f"cynthus login --url {url} --token-stdin   (or set CYNTHUS_TOKEN)",
            exit_code=exits.NOT_LOGGED_IN,
        )
    return Endpoint(url.rstrip("/"), token, "environment")
