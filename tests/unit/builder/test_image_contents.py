"""What images of others hold, told from their own files."""

import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from cynthus.builder.adapters.image_contents import components_of, contents_of

SITE = "opt/venv/lib/python3.11/site-packages"
STATUS = (
    "Package: libc6\nStatus: install ok installed\nVersion: 2.36-9\nDescription: C\n library\n\n"
    "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n"
    "Package: never\nStatus: purge ok not-installed\n"
)


def layer(**files: str):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return contents_of(io.BytesIO(buffer.getvalue()))


def wheel(name: str, version: str) -> dict[str, str]:
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: not this\n"
    return {f"{SITE}/{name}-{version}.dist-info/METADATA": text, f"{SITE}/{name}/METADATA": text}


def told(*layers) -> list[str]:
    return [f"{one.kind}:{one.name}=={one.version}" for one in components_of(layers)]


def test_packages_of_debian_and_of_python_are_listed():
    base, top = layer(**{"./var/lib/dpkg/status": STATUS}), layer(**wheel("Ruamel.YAML", "0.18"))
    assert told(base, top) == ["deb:libc6==2.36-9", "pypi:ruamel-yaml==0.18"]
    distroless = layer(**{"var/lib/dpkg/status.d/base": "Package: base-files\nVersion: 12\n"})
    assert told(distroless) == ["deb:base-files==12"]


def test_a_later_layer_replaces_and_removes():
    below = layer(**wheel("numpy", "1.0"), **wheel("rich", "13"))
    above = layer(**{f"{SITE}/.wh.numpy-1.0.dist-info": ""}, **wheel("numpy", "2.0"))
    assert told(below, above) == ["pypi:numpy==2.0", "pypi:rich==13"]
    assert told(below, layer(**{f"{SITE}/.wh..wh..opq": ""}, **wheel("tqdm", "4"))) == ["pypi:tqdm==4"]
    status = layer(**{"var/lib/dpkg/status": "Package: a\nStatus: install ok installed\nVersion: 1\n"})
    assert told(layer(**{"var/lib/dpkg/status": STATUS}), status) == ["deb:a==1"]


@given(st.binary(max_size=4096))
def test_what_is_no_layer_says_nothing(data):
    assert components_of([contents_of(io.BytesIO(data))]) == ()
