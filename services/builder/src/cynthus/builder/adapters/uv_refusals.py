"""What uv says when it cannot lock: a cause with a name and a fix. Its own words stay the evidence."""

import re
from collections.abc import Mapping, Sequence

from packaging.utils import canonicalize_name

from cynthus.builder.domain.lock import LockRefused, Target
from cynthus.builder.domain.pylock import no_wheel
from cynthus.builder.ports import ResolverUnavailable
from cynthus.planning.document import Index

TORCH_INDEX = "download.pytorch.org"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_NOT_FOUND = re.compile(rf"[Bb]ecause ({_NAME}) was not found in the package registry")
_WHEELLESS = re.compile(
    rf"({_NAME})(?:[<>=!~][^\s,]*(?:,[<>=!~][^\s,]*)*)? (?:has|have) no"
    r" (?:usable wheels|wheels with a matching)"
)
_NO_BUILD = re.compile(rf"Building source distributions for `({_NAME})` is disabled")
_PLATFORMS = re.compile(
    rf"Wheels are available for `({_NAME})`(?: \(v([^)]+)\))? on the following platforms?: ([^\n]+)"
)
_UNAUTHORIZED = re.compile(
    r"An index URL \((\S+)\) could not be queried due to a lack of valid authentication"
)
_OFFLINE = re.compile(
    r"(dns error|connection refused|network|timed out|tcp connect|error sending request|50[0234] )",
    re.IGNORECASE,
)


def wheelless(errors: str) -> set[str]:
    """Packages, by normalised name, that would need a build from source."""
    joined = " ".join(errors.split())
    found = [*_WHEELLESS.findall(joined), *_NO_BUILD.findall(joined)]
    return {canonicalize_name(name) for name in found}


def addressed(errors: str) -> set[str]:
    """Those of them that are required by address and not from an index."""
    return {canonicalize_name(name) for name in _NO_BUILD.findall(" ".join(errors.split()))}


def platforms(errors: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """For what other platforms packages have wheels: name -> (version, platforms)."""
    return {
        str(canonicalize_name(name)): (version, tuple(re.findall(r"`([^`]+)`", listed)))
        for name, version, listed in _PLATFORMS.findall(errors)
    }


def refusal(
    errors: str,
    target: Target,
    indexes: Sequence[Index] = (),
    elsewhere: Mapping[str, tuple[str, tuple[str, ...]]] | None = None,
) -> Exception:
    """LockRefused, or ResolverUnavailable when another try may go better."""
    lines = tuple(line.rstrip() for line in errors.splitlines() if line.strip())
    if denied := _UNAUTHORIZED.search(errors):
        return unauthorized(denied.group(1), indexes, lines)
    if missing := _NOT_FOUND.search(errors):
        name = missing.group(1)
        return LockRefused(
            "dependency_not_found",
            f"No package {name!r} exists in the package index.",
            f"Correct the name {name!r} where it is required, or remove it.",
            lines,
        )
    if "No solution found" in errors:
        sourceless = {
            canonicalize_name(name) for name in re.findall(rf"({_NAME})\S* ha(?:ve|s) no source", errors)
        }
        for name in sorted(sourceless & set(elsewhere or {})):
            version, has = (elsewhere or {})[name]
            found = no_wheel(f"{name} {version}".strip(), target, has)
            return LockRefused(found.code, found.message, found.fix, lines)
        return LockRefused(
            "dependency_conflict",
            "The required packages do not fit together.",
            "Loosen or remove one of the versions named in the evidence.",
            lines,
        )
    if _OFFLINE.search(errors):
        return unreachable(errors, lines[-1] if lines else "no answer")
    return LockRefused(
        "dependency_refused",
        "The dependencies could not be resolved.",
        "Read the evidence; it is the resolver's own explanation.",
        lines,
    )


def unauthorized(url: str, indexes: Sequence[Index], evidence: tuple[str, ...]) -> LockRefused:
    """An index that does not let us in."""
    index = next((one for one in indexes if _bare(url).startswith(_bare(one.url))), None)
    if index is None:
        return LockRefused(
            "index_unauthorized",
            f"The package index {url} asks for a name and password.",
            "Declare the index with the secret that opens it.",
            evidence,
        )
    fix = (
        f"Set the secret {index.secret} to USER:PASSWORD or to a token that may read it."
        if index.secret
        else f"Name the secret that opens it: secret = ... under the index {index.name}."
    )
    return LockRefused("index_unauthorized", f"The package index {index.name} refused access.", fix, evidence)


def unreachable(errors: str, last: str) -> ResolverUnavailable:
    """An index that gives no answer."""
    if TORCH_INDEX in errors:
        return ResolverUnavailable(
            last,
            message=f"PyTorch's package index ({TORCH_INDEX}) cannot be reached.",
            fix="Check the network, or set CYNTHUS_BUILDER_TORCH_BACKEND=off and give torch's wheels with"
            " CYNTHUS_BUILDER_FIND_LINKS or an index of your own.",
        )
    return ResolverUnavailable(last)


def _bare(url: str) -> str:
    return re.sub(r"^(\w+://)[^/@]*@", r"\1", url).rstrip("/")
