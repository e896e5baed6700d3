from cynthus.containers.specification import Bind, ContainerSpec, Limits


def test_nothing_is_allowed_that_was_not_asked_for() -> None:
    host = ContainerSpec("image", ["x"]).encode("docker")["HostConfig"]

    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ReadonlyRootfs"]
    assert host["NetworkMode"] == "none"
    assert host["PidsLimit"] == 512
    assert host["OomScoreAdj"] == 500
    assert host["LogConfig"]["Type"] == "none"
    assert not {"Devices", "DeviceRequests", "UsernsMode", "Privileged", "CapAdd", "Binds"} & host.keys()


def test_memory_is_never_stretched_by_swap() -> None:
    told = Limits(memory_bytes=100, cpus=1.5).encode()

    assert (told["Memory"], told["MemorySwap"], told["NanoCpus"]) == (100, 100, 1_500_000_000)


def test_a_bind_is_read_only_unless_it_says_otherwise() -> None:
    assert Bind("/a", "/b").encode() == {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True}
    assert not Bind("/a", "/b", writable=True).encode()["ReadOnly"]


def test_gpus_are_asked_for_as_each_engine_wants_it() -> None:
    docker = ContainerSpec("image", ["x"], gpus=-1).encode("docker")["HostConfig"]
    podman = ContainerSpec("image", ["x"], gpus=2).encode("podman")["HostConfig"]

    assert docker["DeviceRequests"] == [{"Driver": "nvidia", "Count": -1, "Capabilities": [["gpu"]]}]
    assert [one["PathOnHost"] for one in podman["Devices"]] == ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]
