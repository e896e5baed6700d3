"""Secrets that lie in the source: found by a file's name or its text, told by place, never by value."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import PurePosixPath

from cynthus.planning.tree import SourceTree

LARGEST = 1_000_000  # bytes of a file worth reading
ENOUGH = 32_000_000  # bytes read in all
MOST = 4000  # files read in all
VARIED = 9  # different characters in a token that somebody could use

NAMES = re.compile(
    r"\.env(?:\.(?!example$|sample$|template$|dist$)[\w-]+)?|id_(?:rsa|dsa|ecdsa|ed25519)|.+\.(?:p12|pfx|jks)"
    r"|credentials\.json|kaggle\.json|[._]netrc|\.pypirc|\.git-credentials"
)
LIKELY = re.compile(r".*\.(?:env|json|ya?ml|toml|ini|cfg|conf|properties|pem|key|txt|sh)|[._].*|[^.]+")
NOT_TEXT = re.compile(
    r".*\.(?:png|jpe?g|gif|webp|ico|pdf|zip|gz|xz|bz2|zst|tar|whl|so|pyc|npy|npz|parquet|arrow|pt|pth|onnx|h5"
    r"|pkl|mp[34]|wav|ttf|woff2?|lock)"
)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a secret looks like; `mark` is text that any of them holds, looked for first."""

    name: str
    mark: bytes
    pattern: re.Pattern[bytes]


def _kind(name: str, mark: bytes, pattern: bytes) -> Kind:
    return Kind(name, mark, re.compile(pattern))


AWS_SECRET = rb"(?i)secret_?access_?key['\"]?\s{0,9}[:=]\s{0,9}['\"]?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"
GITHUB = (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_")
KINDS = (
    _kind("AWS access key", b"AKIA", rb"(?<![A-Za-z0-9/+])(AKIA[0-9A-Z]{16})(?![A-Za-z0-9/+=])"),
    *(
        _kind("AWS secret key", mark, AWS_SECRET)
        for mark in (b"secret_access_key", b"SECRET_ACCESS_KEY", b"SecretAccessKey")
    ),
    _kind(
        "private key",
        b"PRIVATE KEY-----",
        rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----[\s\\rn]{1,8}(\S{40})",
    ),
    *(_kind("GitHub token", mark, rb"\b(" + mark + rb"[A-Za-z0-9]{36,})\b") for mark in GITHUB),
    _kind("GitHub token", b"github_pat_", rb"\b(github_pat_[A-Za-z0-9_]{50,})\b"),
    _kind("Hugging Face token", b"hf_", rb"\b(hf_[A-Za-z0-9]{30,40})\b"),
    _kind("Slack token", b"xox", rb"\b(xox[abeprs]-[0-9A-Za-z-]{24,})"),
    _kind("OpenAI key", b"T3BlbkFJ", rb"\b(sk-[A-Za-z0-9_-]{16,120}T3BlbkFJ[A-Za-z0-9_-]{16,120})"),
    _kind("Anthropic key", b"sk-ant-", rb"\b(sk-ant-[a-z0-9]{1,9}-[A-Za-z0-9_-]{40,})"),
    _kind("Google API key", b"AIza", rb"\b(AIza[0-9A-Za-z_-]{35})(?![0-9A-Za-z_-])"),
    _kind("GitLab token", b"glpat-", rb"\b(glpat-[A-Za-z0-9_-]{20,})"),
    _kind("PyPI token", b"pypi-AgE", rb"\b(pypi-AgE[A-Za-z0-9_-]{50,})"),
    _kind("npm token", b"npm_", rb"\b(npm_[A-Za-z0-9]{36})\b"),
    _kind("Stripe key", b"_live_", rb"\b([rs]k_live_[0-9A-Za-z]{20,})"),
)


@dataclass(frozen=True, slots=True, order=True)
class SecretFound:
    """A place and what lies there; `line` is 0 when the file's name alone tells."""

    path: str
    line: int
    kind: str

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        return f"secret in {where} ({self.kind}); add it to .cynthusignore and pass it with --secret-file"


def secrets_in(tree: SourceTree) -> tuple[SecretFound, ...]:
    """One for each kind in each file, sorted. Reads at most 32 MB: likely places first, nothing over 1 MB."""
    paths = tree.paths()
    found = list(chain.from_iterable(_in_text(path, data) for path, data in _texts(tree, paths)))
    told = {one.path for one in found}
    named = [path for path in paths if path not in told and NAMES.fullmatch(_name(path))]
    return tuple(sorted([*found, *(SecretFound(path, 0, "its name says so") for path in named)]))


def _name(path: str) -> str:
    return PurePosixPath(path).name


def _texts(tree: SourceTree, paths: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    left, files = ENOUGH, MOST
    for path in sorted(paths, key=lambda path: LIKELY.fullmatch(_name(path)) is None):
        if NOT_TEXT.fullmatch(path.lower()):
            continue
        try:
            size = tree.size(path)
            if not 0 < size <= min(LARGEST, left):
                continue
            data = tree.read(path)
        except OSError:  # it is gone, or not for us: then it is not sent either
            continue
        left, files = left - len(data), files - 1
        if b"\0" not in data[:1024]:
            yield path, data
        if files <= 0:
            return


def _in_text(path: str, data: bytes) -> Iterator[SecretFound]:
    told: set[str] = set()
    for kind in KINDS:
        if kind.mark not in data or kind.name in told:
            continue
        for match in kind.pattern.finditer(data):
            value = match.group(1)
            if len(set(value)) >= VARIED and b"EXAMPLE" not in value.upper():
                told.add(kind.name)
                yield SecretFound(path, data.count(b"\n", 0, match.start()) + 1, kind.name)
                break
