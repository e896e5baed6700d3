"""The uv program: started with few variables, its words cleared of secrets."""

import asyncio
import os
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cynthus.builder.ports import ResolverUnavailable
from cynthus.runtime.redaction import HIDDEN, redact

_KEPT = ("UV_", "SSL_", "GIT_", "XDG_", "LC_")
_KEPT_NAMES = frozenset(
    ("PATH", "HOME", "LANG", "TMPDIR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "CURL_CA_BUNDLE")
)
_SHORTEST = 4


@dataclass(frozen=True, slots=True)
class Finished:
    """How uv ended; both texts without secrets."""

    status: int
    output: str
    errors: str


class Scrubber:
    """Takes secrets out of texts, in every form they are sent in."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets for form in _forms(secret) if len(form) >= _SHORTEST}
        self._forms = sorted(forms, key=len, reverse=True)

    def clean(self, text: str) -> str:
        """The text as it may be shown."""
        for form in self._forms:
            text = text.replace(form, HIDDEN)
        return str(redact(text))


def _forms(secret: str) -> set[str]:
    user, colon, password = secret.partition(":")
    plain = {secret, password} if colon else {secret}
    pairs = {secret} if colon else {f"__token__:{secret}"}
    encoded = {b64encode(pair.encode()).decode() for pair in pairs}
    quoted = {quote(one, safe="") for one in plain | {f"{quote(user)}:{quote(password)}"} if one != ":"}
    return plain | encoded | quoted


class Uv:
    """Runs uv."""

    def __init__(self, program: str, *, timeout_s: float = 300.0) -> None:
        self._program = program
        self._timeout_s = timeout_s

    async def run(
        self,
        folder: Path,
        *arguments: str,
        scrubber: Scrubber,
        variables: Mapping[str, str] | None = None,
        quiet: bool = True,
    ) -> Finished:
        """Run to its end in `folder`. Raises ResolverUnavailable when it takes too long."""
        command = [self._program, *arguments, *(["--quiet"] if quiet else [])]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, env=_environment() | dict(variables or {}),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        try:
            output, errors = await asyncio.wait_for(process.communicate(), self._timeout_s)
        except TimeoutError as error:
            raise ResolverUnavailable(f"no answer in {self._timeout_s:.0f} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        words = scrubber.clean(errors.decode(errors="replace")).strip()
        return Finished(process.returncode, scrubber.clean(output.decode(errors="replace")), words)


def _environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(_KEPT) or name.upper() in _KEPT_NAMES
    }
    return {
        **kept,
        "UV_SYSTEM_CERTS": "1",
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "NO_COLOR": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }
