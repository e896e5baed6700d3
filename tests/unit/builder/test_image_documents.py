"""Images and what is told about them: equal for equal parts, and valid."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cynthus.builder.assembly.dependencies import HEAVY_BYTES, MOST_HEAVY, plan_layers
from cynthus.builder.domain import image
from cynthus.builder.domain.bill_of_materials import Component, Subject, bill_of_materials, provenance
from cynthus.builder.domain.image import Base, Content, Layer
from cynthus.builder.domain.lock import LockedPackage
from cynthus.builder.domain.repositories import Repositories
from cynthus.oci.manifest import Config, Manifest, Note, digest_of

DIGEST = "sha256:" + "1" * 64
BASE = Base(
    "registry/bases/python@" + DIGEST, DIGEST, "bases/python", (Layer("base", DIGEST, DIGEST, 10),),
    "/usr/bin/python3.11", (2, 36), {"PATH": "/usr/bin", "LANG": "en_US"},
)  # fmt: skip
SOURCE = Layer("source", "sha256:" + "2" * 64, "sha256:" + "3" * 64, 20)
CONTENT = Content(("python", "main.py"), {"EPOCHS": "5"}, ("", "src"), DIGEST, DIGEST, "digits")
SUBJECT = Subject("u/ada/digits", DIGEST, DIGEST, DIGEST, BASE.reference)


def test_an_image_says_what_starts_where_and_as_whom():
    made = image.complete(BASE, [SOURCE], CONTENT, gpu=False)
    config = Config.decode(made.config)
    assert config.execution["Cmd"] == ["python", "main.py"]
    assert config.execution["User"] == "1000:1000"
    assert config.execution["WorkingDir"] == "/app"
    assert config.env["PATH"] == "/opt/venv/bin:/usr/bin"
    assert config.env["PYTHONPATH"] == "/app:/app/src"
    assert config.env["EPOCHS"] == "5"
    assert config.diff_ids == (DIGEST, SOURCE.diff_id)
    assert "NVIDIA_VISIBLE_DEVICES" not in config.env


def test_a_manifest_names_its_base_its_source_and_the_kind_of_each_layer():
    manifest = Manifest.decode(image.complete(BASE, [SOURCE], CONTENT, gpu=False).manifest)
    assert [layer.annotations[Note.LAYER] for layer in manifest.layers] == ["base", "source"]
    assert manifest.annotations[Note.BASE_DIGEST] == DIGEST
    assert manifest.annotations[Note.SOURCE] == DIGEST


def test_the_environment_does_not_change_with_the_code():
    before = image.environment(BASE, [], gpu=False)
    assert before == image.environment(BASE, [], gpu=False)
    assert before.digest != image.environment(BASE, [], gpu=True).digest
    assert before.digest == digest_of(before.manifest)


def test_a_gpu_image_asks_the_runtime_for_devices():
    env = Config.decode(image.environment(BASE, [], gpu=True).config).env
    assert env["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert env["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"


names = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)
packages = st.lists(
    st.builds(
        lambda name, size, index: LockedPackage(
            name, "1", f"{name}-1-py3-none-any.whl", "", digest_of(name.encode())[7:], size, index
        ),
        names,
        st.one_of(st.none(), st.integers(0, 4 * HEAVY_BYTES)),
        st.sampled_from([None, None, "private"]),
    ),
    unique_by=lambda one: one.name,
    max_size=90,
)


@given(packages, st.randoms())
def test_every_package_is_in_one_layer_whatever_their_order(locked, random):
    wanted = plan_layers(locked, "3.11", "/usr/bin/python3.11", "deps", "u/ada/p")
    assert sorted(one.name for layer in wanted for one in layer.packages) == sorted(
        one.name for one in locked
    )
    assert sum(layer.kind == "wheel" for layer in wanted) <= 2 * MOST_HEAVY
    for layer in wanted:
        assert {one.private for one in layer.packages} <= {layer.repository != "deps"}
    shuffled = random.sample(locked, len(locked))
    assert [one.key for one in plan_layers(shuffled, "3.11", "/usr/bin/python3.11", "deps", "u/ada/p")] == [
        one.key for one in wanted
    ]


def test_a_bill_of_materials_lists_every_package_once_with_its_hash():
    found = json.loads(
        bill_of_materials(
            SUBJECT, [Component("pypi", "numpy", "2.3", "a" * 64), Component("deb", "libgl1", "1.6-1")]
        )
    )
    assert found["bomFormat"] == "CycloneDX"
    assert found["specVersion"] == "1.6"
    assert [one["purl"] for one in found["components"] if "purl" in one] == [
        "pkg:deb/debian/libgl1@1.6-1", "pkg:pypi/numpy@2.3",
    ]  # fmt: skip
    assert found["components"][-1]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert set(found["dependencies"][0]["dependsOn"]) == {one["bom-ref"] for one in found["components"]}


def test_provenance_names_the_image_and_all_it_was_made_of():
    found = json.loads(
        provenance(SUBJECT, [Component("pypi", "numpy", "2.3", "a" * 64)], {"entry": "main.py"})
    )
    assert found["predicateType"] == "https://slsa.dev/provenance/v1"
    assert found["subject"] == [{"name": "u/ada/digits", "digest": {"sha256": "1" * 64}}]
    definition = found["predicate"]["buildDefinition"]
    assert {"uri": "pkg:pypi/numpy@2.3", "digest": {"sha256": "a" * 64}} in definition["resolvedDependencies"]
    assert definition["externalParameters"] == {"entry": "main.py"}


@pytest.mark.parametrize(("one", "other"), [("Ada", "ada"), ("a.b", "a-b"), ("ä", "a")])
def test_no_two_owners_share_a_repository(one, other):
    names = Repositories("prefix")
    assert names.project(one, "p") != names.project(other, "p")
    assert not names.readable(names.project(one, "p"), other)
    assert names.readable(names.project(one, "p"), one)
