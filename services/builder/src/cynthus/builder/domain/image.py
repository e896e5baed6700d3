"""An image from its parts: configurations and manifests, equal for equal parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cynthus.oci.descriptor import Descriptor, MediaType
from cynthus.oci.manifest import Config, Manifest, Note, digest_of

WORKDIR = "/app"
VENV = "/opt/venv"
USER = "1000:1000"
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_GPU = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer in a registry; `size` in bytes as it is moved, `repository` where it is known to be."""

    kind: str
    digest: str
    diff_id: str
    size: int
    media_type: str = MediaType.LAYER_GZIP
    package: str | None = None
    repository: str | None = None

    def descriptor(self) -> Descriptor:
        """As a manifest names it."""
        notes = {Note.LAYER: self.kind, Note.DIFF_ID: self.diff_id}
        if self.package is not None:
            notes[Note.PACKAGE] = self.package
        return Descriptor(self.media_type, self.digest, self.size, notes)


@dataclass(frozen=True, slots=True)
class Base:
    """A base image, pinned; `python` is its interpreter, `repository` where its layers are."""

    reference: str
    digest: str
    repository: str
    layers: tuple[Layer, ...]
    python: str
    glibc: tuple[int, int]
    env: Mapping[str, str] = field(default_factory=dict)
    architecture: str = "amd64"
    os: str = "linux"


@dataclass(frozen=True, slots=True)
class Content:
    """What a program of the project is started with."""

    command: tuple[str, ...]
    env: Mapping[str, str]
    python_path: tuple[str, ...]
    source: str
    lock: str
    title: str


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest with its configuration, as bytes."""

    config: bytes
    manifest: bytes
    layers: tuple[Layer, ...]

    @property
    def digest(self) -> str:
        """Names the image."""
        return digest_of(self.manifest)

    @property
    def config_digest(self) -> str:
        """Names the configuration."""
        return digest_of(self.config)

    @property
    def size(self) -> int:
        """Bytes of all layers, as they are moved."""
        return sum(layer.size for layer in self.layers)


def environment(base: Base | None, layers: Sequence[Layer], *, gpu: bool) -> Document:
    """The image without the project: what a machine keeps between changes of the source."""
    return _document(base, layers, _environment_variables(base, gpu=gpu), {}, _base_notes(base))


def complete(base: Base | None, layers: Sequence[Layer], content: Content, *, gpu: bool) -> Document:
    """The image with the project and its command: what any engine can run."""
    variables = _environment_variables(base, gpu=gpu)
    if content.python_path:
        variables["PYTHONPATH"] = ":".join(_inside(path) for path in content.python_path)
    variables.update(content.env)
    notes = {
        **_base_notes(base),
        Note.SOURCE: content.source,
        Note.LOCK: content.lock,
        Note.TITLE: content.title,
    }
    return _document(base, layers, variables, {"Cmd": list(content.command)}, notes)


def _document(
    base: Base | None,
    layers: Sequence[Layer],
    variables: Mapping[str, str],
    execution: Mapping[str, object],
    notes: Mapping[str, str],
) -> Document:
    every = (*(base.layers if base else ()), *layers)
    config = Config(
        architecture=base.architecture if base else "amd64",
        os=base.os if base else "linux",
        diff_ids=tuple(layer.diff_id for layer in every),
        execution={
            "Env": [f"{name}={value}" for name, value in sorted(variables.items())],
            "User": USER,
            "WorkingDir": WORKDIR,
            "Labels": dict(notes),
            **execution,
        },
        history=tuple(
            {"created_by": f"cynthus {layer.kind} {layer.package or ''}".strip()} for layer in every
        ),
    ).encode()
    manifest = Manifest(
        config=Descriptor(MediaType.CONFIG, digest_of(config), len(config)),
        layers=tuple(layer.descriptor() for layer in every),
        annotations=notes,
    ).encode()
    return Document(config, manifest, every)


def _environment_variables(base: Base | None, *, gpu: bool) -> dict[str, str]:
    inherited = dict(base.env) if base else {}
    return {
        **inherited,
        "PATH": f"{VENV}/bin:{inherited.get('PATH') or _SYSTEM_PATH}",
        "VIRTUAL_ENV": VENV,
        "HOME": "/tmp",  # noqa: S108 - the only place that is always writable in a read-only container
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        **(_GPU if gpu else {}),
    }


def _base_notes(base: Base | None) -> dict[str, str]:
    if base is None:
        return {}
    return {Note.BASE_NAME: base.reference.partition("@")[0], Note.BASE_DIGEST: base.digest}


def _inside(path: str) -> str:
    return f"{WORKDIR}/{path}" if path else WORKDIR
