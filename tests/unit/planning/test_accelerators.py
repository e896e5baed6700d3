"""Which CUDA a project gets, and that the table agrees with itself."""

from datetime import date
from itertools import pairwise

import pytest

from cynthus.planning import CannotPlan, PlanRequest, plan
from cynthus.planning.accelerators.decision import GpuUnsupported, decide, driver_is_enough, settle
from cynthus.planning.accelerators.file import cuda_table
from cynthus.planning.accelerators.table import version
from cynthus.planning.report import describe
from cynthus.planning.tree import MemoryTree

TABLE = cuda_table()
RUNTIME = {"cu12": ("nvidia-cuda-runtime-cu12", "12.6.77"), "cu13": ("nvidia-cuda-runtime", "13.0.96")}


def settled(packages, gpu, requirements=()):
    return settle(TABLE, decide(TABLE, requirements, gpu), dict(packages), gpu)


def test_every_row_names_a_source_with_address_and_date():
    import tomllib
    from importlib import resources

    data = tomllib.loads(resources.files("cynthus.planning").joinpath("data/cuda.toml").read_text())
    rows = [row for name, table in data.items() if name != "sources" for row in table]
    assert rows
    assert {row["source"] for row in rows} == set(data["sources"])
    for source in data["sources"].values():
        assert isinstance(source["date"], date)
        assert source["url"]
        assert source["what"]


def test_the_rows_agree_with_each_other():
    for backend in TABLE.backends.values():
        row = TABLE.row(backend.cuda) if backend.cuda else None
        assert backend.index == f"https://download.pytorch.org/whl/{backend.name}"
        assert backend.base == ("gpu" if backend.cuda else "cpu")
        if row is not None:
            assert backend.name == "cu" + "".join(map(str, backend.cuda))
            assert row.oldest <= backend.oldest <= backend.newest <= row.newest
    for names in TABLE.torch.values():
        assert names
        assert all(TABLE.backends[name].cuda for name in names)
    assert all(version(a) < version(b) for a, b in pairwise(TABLE.torch))
    for framework in TABLE.frameworks:
        assert set(framework.ask) == set(framework.cuda)
        assert all(TABLE.row((int(major),)) for major in framework.cuda)
    assert set(TABLE.drivers) <= set(TABLE.gpus)


def test_drivers_are_nvidias():
    assert TABLE.row((11, 8)).min_driver == "450.80.02"
    assert {TABLE.row((12, minor)).min_driver for minor in range(10)} == {"525.60.13"}
    assert {TABLE.row((13, minor)).min_driver for minor in range(3)} == {"580.65.06"}


@pytest.mark.parametrize("gpu", ["T4", "L4", "A10G", "A100", "H100", "H200", "B200", "V100", "P100"])
def test_every_gpu_of_the_clouds_gets_a_build_that_its_machine_can_run(gpu):
    found = decide(TABLE, ["torch"], f"{gpu}:1")
    assert TABLE.backends[found.backend].knows(TABLE.gpu(gpu).capability)
    assert driver_is_enough(TABLE.drivers.get(gpu, "580.65.06"), found.min_driver)
    assert gpu in found.why[0]


@pytest.mark.parametrize(
    ("asked", "name"),
    [("L4:1", "L4"), ("NVIDIA A100 80GB", "A10080GB"), ("a10g", "A10G"), ("Tesla V100", "V100"),
     ("GeForce RTX 4090", "RTX4090"), ("A100-80GB:4", "A10080GB")],
)  # fmt: skip
def test_gpus_are_known_by_the_names_people_write(asked, name):
    assert TABLE.gpu(asked).name == name


@pytest.mark.parametrize("asked", ["24GB+", "16GB..40GB", "NPU9"])
def test_memory_and_unknown_names_get_the_default_build(asked):
    assert decide(TABLE, ["torch"], asked).backend == "cu130"


def test_without_a_gpu_torch_is_the_small_one_for_processors():
    found = decide(TABLE, ["torch>=2", "numpy"], None)
    assert (found.backend, found.min_driver) == ("cpu", None)
    assert "no GPU" in found.why[0]
    assert decide(TABLE, ["numpy"], None).why == ()


@pytest.mark.parametrize(
    ("requirement", "gpu", "backend"),
    [
        ("torch", "L4", "cu130"),
        ("torch", "V100", "cu126"),
        ("torch==2.12.1", "V100", "cu126"),
        ("torch==2.7.*", "B200", "cu128"),
        ("torch==2.5.1", "T4", "cu124"),
        ("torch==2.1.0+cu118", "T4", "cu121"),
        ("torch>=2.3,<2.5", "A100", "cu124"),
        ("torch==2.99", "H100", "cu130"),
        ("torch==2.99", "B200", "cu130"),
    ],
)
def test_the_version_of_torch_and_the_gpu_decide_the_build(requirement, gpu, backend):
    assert decide(TABLE, [requirement], gpu).backend == backend


@pytest.mark.parametrize(
    ("requirement", "gpu", "fix"),
    [
        ("torch==2.15.0", "V100", "torch<2.15"),
        ("torch==2.4.0", "B200", "torch>=2.7"),
        ("torch>=2.15", "P100", "torch<2.15"),
    ],
)
def test_a_gpu_that_no_build_is_for_is_refused_with_the_version_to_take(requirement, gpu, fix):
    with pytest.raises(GpuUnsupported) as refused:
        decide(TABLE, [requirement], gpu)
    assert refused.value.code == "gpu_unsupported"
    assert gpu in refused.value.message
    assert fix in refused.value.fix


@pytest.mark.parametrize(
    ("packages", "driver"),
    [
        ({"torch": "2.13.0+cu126", **dict([RUNTIME["cu12"]])}, "525.60.13"),
        ({"torch": "2.13.0", **dict([RUNTIME["cu13"]])}, "580.65.06"),
        ({"jax": "0.9.0", "jax-cuda13-plugin": "0.9.0"}, "580.65.06"),
        ({"jax": "0.9.0", "jax-cuda12-plugin": "0.9.0", "jax-cuda12-pjrt": "0.9.0"}, "525.60.13"),
        ({"tensorflow": "2.20.0", "nvidia-cudnn-cu12": "9.3.0.75"}, "525.60.13"),
        ({"cupy-cuda12x": "14.0"}, "525.60.13"),
        ({"cupy-cuda11x": "13.0"}, "450.80.02"),
        ({"cupy-cuda12x": "14.0", "jax-cuda13-plugin": "0.9.0"}, "580.65.06"),
        ({"numpy": "2.3"}, None),
    ],
)
def test_the_driver_comes_from_what_was_locked(packages, driver):
    assert settled(packages, "L4").min_driver == driver
    assert settled(packages, None).min_driver is None


@pytest.mark.parametrize(
    ("packages", "gpu", "fix"),
    [
        ({"jax-cuda13-plugin": "0.9.0"}, "V100", "jax[cuda12]"),
        ({"cupy-cuda13x": "14.0"}, "P100", "cupy-cuda12x"),
        ({"torch": "2.13.0", **dict([RUNTIME["cu13"]])}, "V100", "torch<2.15"),
        ({"torch": "2.6.0", **dict([RUNTIME["cu12"]])}, "B200", "12.8"),
        ({"torch": "2.8.0", "nvidia-cuda-runtime-cu12": "12.8.90"}, "P100", "cu126"),
    ],
)
def test_a_gpu_that_the_locked_cuda_does_not_run_on_is_refused(packages, gpu, fix):
    with pytest.raises(GpuUnsupported) as refused:
        settled(packages, gpu)
    assert refused.value.code == "gpu_unsupported"
    assert gpu in refused.value.message
    assert fix in refused.value.fix + refused.value.message


def test_frameworks_that_would_not_find_the_gpu_are_told_what_to_require():
    found = settled({"jax": "0.9.0", "tensorflow": "2.20.0"}, "T4")
    assert any("jax[cuda13]" in why for why in found.why)
    assert any("tensorflow[and-cuda]" in why for why in found.why)
    assert any("jax[cuda12]" in why for why in settled({"jax": "0.9.0"}, "V100").why)


def test_cuda_libraries_without_a_gpu_are_told():
    assert any("no GPU" in why for why in settled({"torch": "2.13.0", **dict([RUNTIME["cu13"]])}, None).why)


@pytest.mark.parametrize(
    ("driver", "needed", "enough"),
    [("580.65.06", "525.60.13", True), ("525.60.13", "525.60.13", True), ("470.57.02", "525.60.13", False),
     ("580.126", "580.65.06", True), ("100", None, True)],
)  # fmt: skip
def test_drivers_are_compared_as_numbers(driver, needed, enough):
    assert driver_is_enough(driver, needed) is enough


def planned(gpu, *requirements):
    tree = MemoryTree({"main.py": "", "requirements.txt": "\n".join(requirements)})
    return plan(tree, PlanRequest(entry="main.py", gpu=gpu))


def test_a_plan_says_which_build_and_which_driver_a_gpu_means():
    rows = describe(planned("V100", "torch"))
    told = " ".join(text for _, text in rows)
    assert ("gpu", "V100") in rows
    assert "torch for CUDA 12.6 (cu126)" in told
    assert "driver 525.60.13 or newer" in told


def test_a_plan_without_a_gpu_says_that_torch_is_the_small_one():
    assert ("gpu", "none asked for") in describe(planned(None, "torch"))
    assert all(label != "gpu" for label, _ in describe(planned(None, "numpy")))


def test_a_gpu_that_nothing_fits_is_refused_before_anything_is_uploaded():
    with pytest.raises(CannotPlan) as refused:
        planned("B200", "torch==2.5.0")
    assert refused.value.code == "gpu_unsupported"
    assert "torch>=" in refused.value.fix
