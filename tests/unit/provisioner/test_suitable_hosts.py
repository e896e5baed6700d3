"""What a machine must have for a run, and what is said when it has not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from cynthus.events import MachineRequested, Resources, VMFailed
from cynthus.oci.reference import Reference
from cynthus.provisioner.api.worker import Invitation
from cynthus.provisioner.domain import demand
from cynthus.provisioner.domain.demand import Demand, Offer
from cynthus.provisioner.domain.host import Gpu, Host, unsuitable
from cynthus.provisioner.domain.prepull import Prepull
from cynthus.provisioner.settings import ProvisionerSettings

MIB = 1024**2
L4 = Gpu("NVIDIA L4", 23034 * MIB)
A100 = Gpu("NVIDIA A100-SXM4-40GB", 40960 * MIB)
LAPTOP = Host(cpu=8, memory_bytes=16 * 10**9)
SERVER = Host(
    cpu=64,
    memory_bytes=512 * 10**9,
    runtimes=frozenset({"process", "container"}),
    gpus=(L4, L4, A100),
    driver="570.86.15",
)


def wish(gpu: str | None = None, **facts: str) -> MachineRequested:
    return MachineRequested(run_id="r", epoch=1, owner="o", resources=Resources(gpu=gpu), **facts)


def code(wanted: MachineRequested, host: Host) -> str | None:
    cause = unsuitable(wanted, host)
    assert cause is None or cause.fix
    return None if cause is None else cause.code


def test_a_container_needs_an_engine():
    assert code(wish(runtime="container"), LAPTOP) == "no_container_engine"
    assert code(wish(runtime="container"), SERVER) is None
    assert code(wish(runtime="process"), LAPTOP) is None
    assert code(wish(), LAPTOP) is None


def test_what_cannot_be_served_fails_for_good_before_anything_is_created():
    taken, failed = demand.request(Demand(), wish(runtime="container"), Offer(machine="m"), LAPTOP)
    assert isinstance(failed, VMFailed)
    assert not failed.transient
    assert "Docker or Podman" in (failed.cause.fix or "")
    state = demand.evolve(demand.evolve(Demand(), taken), failed)
    assert not state.waiting


@pytest.mark.parametrize(
    "asked", ["L4", "l4:2", "A100", "a100:1", "A100-40GB", "24GB+", "20GB..30GB", "24GB", "40GB"]
)
def test_a_gpu_that_is_there_is_found_by_name_or_memory(asked):
    assert code(wish(asked), SERVER) is None


@pytest.mark.parametrize("asked", ["L40", "A10", "L4:3", "H100", "80GB+", "10GB", "A100-80GB", "no gpu"])
def test_a_gpu_that_is_not_there_is_refused_with_what_there_is(asked):
    cause = unsuitable(wish(asked), SERVER)
    assert cause is not None
    assert cause.code == "no_gpu"
    if asked != "no gpu":
        assert "NVIDIA A100-SXM4-40GB with 43 GB" in cause.message


@pytest.mark.parametrize("asked", ["RTX4090", "rtx-4090", "GeForce-RTX-4090"])
def test_names_are_those_of_the_driver_however_they_are_joined(asked):
    desk = Host(cpu=8, memory_bytes=10**10, gpus=(Gpu("NVIDIA GeForce RTX 4090", 24564 * MIB),))
    assert code(wish(asked), desk) is None


def test_a_machine_without_a_gpu_says_so():
    cause = unsuitable(wish("L4"), LAPTOP)
    assert cause is not None
    assert "this machine has none" in cause.message


@pytest.mark.parametrize(
    ("needs", "has", "refused"),
    [
        ("580.65.06", "570.86.15", True),
        ("580.65.06", "580.65.06", False),
        ("580.65.06", "580.9.99", True),
        ("99.1", "580.65.06", False),
        ("580.65.06", "1000.1", False),
        ("580.65", "580.65.06", False),
        ("580.65.06", None, False),
        (None, "1.0", False),
        ("580.65.06", "beta", False),
    ],
)
def test_a_driver_is_old_by_its_numbers(needs, has, refused):
    host = Host(cpu=8, memory_bytes=10**10, gpus=(L4,), driver=has)
    cause = unsuitable(wish("L4", min_driver=needs) if needs else wish("L4"), host)
    assert (cause is not None) is refused
    if cause is not None:
        assert cause.code == "driver_too_old"
        assert needs in cause.message
        assert has in cause.message
        assert needs in (cause.fix or "")


def test_without_a_wish_for_a_gpu_its_driver_does_not_matter():
    assert code(wish(min_driver="999.0"), SERVER) is None


@given(gpu=st.text(max_size=20), needs=st.text(max_size=20), has=st.text(max_size=20))
def test_any_words_are_answered(gpu, needs, has):
    unsuitable(wish(gpu, min_driver=needs), Host(8, 10**10, gpus=(Gpu(has, 10**10),), driver=has))


PINNED = "sha256:" + "a" * 64


def test_images_to_fetch_beforehand_are_pinned_references():
    assert Prepull.parse(f"python@{PINNED}") == Prepull(
        "https://registry-1.docker.io", "library/python", PINNED
    )
    local = Prepull.parse(f"http://localhost:5000/bases/python@{PINNED}")
    assert local == Prepull("http://localhost:5000", "bases/python", PINNED)
    for wrong in ("python:3.12", f"ftp://x.org/python@{PINNED}", "python@sha256:1", ""):
        with pytest.raises(ValueError, match=r".+"):
            Prepull.parse(wrong)


def settings(**given) -> ProvisionerSettings:
    return ProvisionerSettings(machines_home="/m", url="http://p", orders_url="http://o", **given)


def test_they_are_set_as_a_json_list(monkeypatch):
    name = f"registry.example/python@{PINNED}"
    monkeypatch.setenv("CYNTHUS_PROVISIONER_PREPULL", json.dumps([name]))
    (wanted,) = settings().prepull
    reference = Reference.parse(name)
    assert (wanted.url, wanted.repository) == (f"https://{reference.host}", "python")
    for wrong in ('["python"]', "python", '"python"', "[1]", "{}"):
        monkeypatch.setenv("CYNTHUS_PROVISIONER_PREPULL", wrong)
        with pytest.raises(ValidationError):
            settings()
    assert settings(prepull=f'["{name}"]').prepull == (wanted,)


def test_a_machines_token_is_shown_to_our_own_registry_only():
    images = (Prepull("http://ours", "bases/python", PINNED), Prepull("https://theirs", "python", PINNED))
    told = Invitation("http://o", images, registry_url="http://ours/").welcome("machine-token").prepull
    assert [(image.url, image.username, image.password) for image in told] == [
        ("http://ours", "machine", "machine-token"),
        ("https://theirs", None, None),
    ]
    told = Invitation("http://o", images, "robot", "hush").welcome("machine-token").prepull
    assert {(image.username, image.password) for image in told} == {("robot", "hush")}
    assert "hush" not in repr(Invitation("http://o", images, "robot", "hush"))
    assert "hush" not in repr(settings(prepull_password=SecretStr("hush")))
