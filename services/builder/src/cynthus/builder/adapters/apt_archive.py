"""apt asked about another system: its resolver, its signatures and its downloads, in a private root."""

import asyncio
import difflib
import hashlib
import math
import os
import re
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from cynthus.builder.adapters import killable
from cynthus.builder.adapters.base_system import BaseSystem
from cynthus.builder.domain.debian import Deb, Source, downloads
from cynthus.builder.domain.image_build import BuildRefused
from cynthus.builder.ports import ResolverUnavailable

TRUSTED_HOSTS = (
    "deb.debian.org", "security.debian.org", "ftp.debian.org", "archive.ubuntu.com", "security.ubuntu.com",
)  # fmt: skip
_KEYRINGS = {
    "debian": "debian-archive-keyring.gpg",
    "ubuntu": "ubuntu-archive-keyring.gpg",
}
_HOST_OF = re.compile(r"https?://([a-z0-9.-]+)(?:/.*)?")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9./_-]*")
_UNKNOWN = re.compile(r"Unable to locate package (\S+)")
_NO_VERSION = re.compile(r"Version '([^']+)' for '([^']+)' was not found")
_NO_CANDIDATE = re.compile(r"Package '([^']+)' has no installation candidate")
_CONFIGURATION = """\
Dir "{root}";
Dir::Etc "{root}/etc";
Dir::Etc::main "none";
Dir::Etc::parts "empty";
Dir::State "{root}/state";
Dir::State::lists "{lists}";
Dir::State::status "{root}/status";
Dir::Cache "{cache}";
Dir::Cache::archives "{root}/none";
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false";
APT::Get::AllowUnauthenticated "false";
APT::Cmd::Pattern-Only "true";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::ForceHash "sha256";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
Debug::NoLocking "true";
"""


class AptArchive:
    """Keeps package lists and packages in `folder`; lists are asked for again after `fresh_s` seconds."""

    def __init__(
        self,
        folder: Path,
        *,
        hosts: Sequence[str] = TRUSTED_HOSTS,
        keyrings: Path = Path("/usr/share/keyrings"),
        fresh_s: float = 3600.0,
        timeout_s: float = 600.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._hosts = frozenset(hosts)
        self._keyrings = keyrings
        self._fresh_s = fresh_s
        self._timeout_s = timeout_s
        self._clock = clock
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def available(self) -> bool:
        """Whether this machine has apt's programs."""
        return all(shutil.which(program) for program in ("apt-get", "apt-cache", "dpkg-deb"))

    async def resolve(self, packages: Sequence[str], base: BaseSystem, architecture: str) -> tuple[Deb, ...]:
        """What is to be installed besides what the base has. Raises BuildRefused, ResolverUnavailable."""
        async with self._asked(base, architecture) as ask:
            status, said = await ask(
                "apt-get", "install", "-qq", "--print-uris", "--no-remove", "--", *packages
            )
            if status != 0:
                raise await _refusal(said, ask)
        return tuple(sorted(downloads(said), key=lambda deb: deb.name))

    async def fetch(
        self, packages: Sequence[str], debs: Sequence[Deb], base: BaseSystem, architecture: str
    ) -> dict[str, Path]:
        """The files of debs by name, verified against the signed lists."""
        async with self._asked(base, architecture) as ask:
            # What is asked where packages are kept already would leave those out: each has its own place.
            kept = f"Dir::Cache::archives={self._folder / 'debs'}"
            status, said = await ask(
                "apt-get",
                "install",
                "-qq",
                "-y",
                "-o",
                kept,
                "--download-only",
                "--no-remove",
                "--",
                *packages,
            )
        files = {deb.name: self._folder / "debs" / deb.name for deb in debs}
        damaged = await asyncio.to_thread(_damaged, debs, files)
        if status != 0 or damaged:
            raise ResolverUnavailable(
                said.strip()[-500:] or f"{damaged} did not arrive whole",
                message="The archive of Debian packages cannot be reached.",
            )
        return files

    @asynccontextmanager
    async def _asked(self, base: BaseSystem, architecture: str) -> "AsyncIterator[_Ask]":
        suites = self._suites(base)
        key = hashlib.sha256(repr((suites, architecture)).encode()).hexdigest()[:24]
        lists = self._folder / "lists" / key
        with tempfile.TemporaryDirectory(
            prefix="apt-", dir=await asyncio.to_thread(self._folders, key)
        ) as name:
            root = Path(name)
            await asyncio.to_thread(self._configure, root, key, base, suites, architecture)
            ask = _Ask(root, self._timeout_s)
            async with self._turns[key]:
                await self._update(lists / "updated", ask)
                yield ask

    def _folders(self, key: str) -> Path:
        for name in (f"lists/{key}/partial", "debs/partial", f"cache/{key}"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        return self._folder

    def _configure(
        self, root: Path, key: str, base: BaseSystem, suites: Sequence[Source], architecture: str
    ) -> None:
        for name in (
            "etc/empty",
            "etc/preferences.d",
            "etc/trusted.gpg.d",
            "etc/sources.list.d",
            "state",
            "none/partial",
        ):
            (root / name).mkdir(parents=True)
        keyring = self._keyrings / _KEYRINGS.get(base.distribution, "none")
        options = f"[arch={architecture} signed-by={keyring}]"
        lines = [f"deb {options} {one.uri} {one.suite} {' '.join(one.components)}\n" for one in suites]
        (root / "etc/sources.list").write_text("".join(lines))
        (root / "status").write_text(base.status)
        (root / "apt.conf").write_text(
            _CONFIGURATION.format(
                root=root,
                lists=self._folder / "lists" / key,
                cache=self._folder / "cache" / key,
                architecture=architecture,
            )
        )

    async def _update(self, stamp: Path, ask: "_Ask") -> None:
        if 0 <= self._clock() - await asyncio.to_thread(_read_time, stamp) < self._fresh_s:
            return
        status, said = await ask("apt-get", "update", "-qq")
        if status == 0:
            await asyncio.to_thread(stamp.write_text, str(self._clock()))
            return
        if re.search(
            r"not signed|NO_PUBKEY|signatures? (?:couldn't|were invalid|verification)|GPG error", said
        ):
            raise BuildRefused(
                "apt_untrusted",
                "The archive's signature cannot be verified.",
                "Install the distribution's archive keyring where Cynthus builds.",
                tuple(said.splitlines()[-5:]),
            )
        raise ResolverUnavailable(
            said.strip()[-500:], message="The archive of Debian packages cannot be reached."
        )

    def _suites(self, base: BaseSystem) -> tuple[Source, ...]:
        """The base's own of trusted hosts, without its options and keys: anybody may have made those."""
        known = [
            one for one in base.sources
            if (match := _HOST_OF.fullmatch(one.uri)) and match[1] in self._hosts
            and all(_WORD.fullmatch(word) for word in (one.suite, *one.components))
        ]  # fmt: skip
        return tuple(dict.fromkeys(known)) or _usual(base)


class _Ask:
    """Runs apt's programs in a private root."""

    def __init__(self, root: Path, timeout_s: float) -> None:
        self._root = root
        self._timeout_s = timeout_s

    async def __call__(self, *command: str) -> tuple[int, str]:
        names = ("http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE")
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
            "APT_CONFIG": str(self._root / "apt.conf"),
            **{name: os.environ[name] for name in names if name in os.environ},
        }
        try:
            async with asyncio.timeout(self._timeout_s):
                return await killable.output(command, env=env, folder=self._root)
        except TimeoutError as error:
            raise ResolverUnavailable(f"{command[0]} did not end in {self._timeout_s:.0f} s") from error


def _usual(base: BaseSystem) -> tuple[Source, ...]:
    """Where a distribution's packages are when its base does not say."""
    name = base.codename
    if base.distribution == "debian" and _WORD.fullmatch(name):
        archive, security = "http://deb.debian.org/debian", "http://deb.debian.org/debian-security"
        return (
            Source(archive, name, ("main",)),
            Source(archive, f"{name}-updates", ("main",)),
            Source(security, f"{name}-security", ("main",)),
        )
    if base.distribution == "ubuntu" and _WORD.fullmatch(name):
        archive, security = "http://archive.ubuntu.com/ubuntu", "http://security.ubuntu.com/ubuntu"
        components = ("main", "universe")
        return (
            Source(archive, name, components),
            Source(archive, f"{name}-updates", components),
            Source(security, f"{name}-security", components),
        )
    raise BuildRefused(
        "base_without_apt",
        f"The base image is {base.distribution or 'something'}, whose packages are not known here.",
        "Use a base made of Debian or Ubuntu, or a Dockerfile of your own.",
    )


async def _refusal(said: str, ask: _Ask) -> Exception:
    evidence = tuple(line for line in said.splitlines() if line.strip())[-20:]
    if match := _UNKNOWN.search(said):
        return await _unknown(match[1], ask, evidence)
    if match := _NO_VERSION.search(said):
        name, version = match[2], match[1]
        return BuildRefused(
            "apt_version_not_found",
            f"The Debian package {name} has no version {version} here.",
            f"Ask for {name} without a version: the image keeps the one that was taken.",
            evidence,
        )
    if match := _NO_CANDIDATE.search(said):
        providers = re.findall(r"^  (\S+) ", said, re.MULTILINE)
        fix = f"Ask for one of: {', '.join(providers[:5])}." if providers else "Remove it under `apt`."
        return BuildRefused(
            "apt_not_found", f"{match[1]} is only a name that other Debian packages provide.", fix, evidence
        )
    return BuildRefused(
        "apt_conflict",
        "The Debian packages do not fit together, or not onto the base image.",
        "Remove one of the packages named in the evidence, or use another base.",
        evidence,
    )


async def _unknown(name: str, ask: _Ask, evidence: tuple[str, ...]) -> BuildRefused:
    _, said = await ask("apt-cache", "pkgnames")
    known = said.split()
    near = difflib.get_close_matches(name, [one for one in known if one[:1] == name[:1]], n=3, cutoff=0.7)
    near = near or sorted(one for one in known if one.startswith(name))[:3]
    fix = (
        f"Did you mean {' or '.join(near)}?"
        if near
        else f"Correct the name {name!r} under `apt`, or remove it."
    )
    return BuildRefused("apt_not_found", f"There is no Debian package {name!r} for this base.", fix, evidence)


def _read_time(stamp: Path) -> float:
    return float(stamp.read_text()) if stamp.exists() else -math.inf


def _damaged(debs: Sequence[Deb], files: dict[str, Path]) -> str:
    for deb in debs:
        try:
            with files[deb.name].open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != deb.sha256:
                    return deb.name
        except OSError:
            return deb.name
    return ""
