"""Starting the command line: beside a bare interpreter, dstack and Modal."""

from bench import homes
from bench.measure import Aim, Table, alternate, divide, median, ratio, spread
from bench.peers import CYNTHUS, peer, plain_python
from bench.processes import Launcher

ROUNDS = 11
RUNS = 20
IMPORTS = "import argparse, json, http.client, ssl; argparse.ArgumentParser().parse_args([])"
FLOOR_NAME = "floor: python, argparse, json, http.client, ssl"
FLOOR = [plain_python(), "-c", IMPORTS]
LEAST = [plain_python(), "-S", "-c", "import argparse, json; argparse.ArgumentParser().parse_args([])"]


def run():
    with Launcher() as launcher, homes.folder() as folder:
        home = {"HOME": str(folder), "CYNTHUS_HOME": str(folder / "state"), "CI": "true"}

        def compare(option, floor_name, floor, aims):
            commands = {"cynthus": ([CYNTHUS, option], home)}
            for name in ("dstack", "modal"):
                if (folder := peer(name)) is not None:
                    commands[name] = ([folder / name, option], home)
            return _compare(f"`{option}`", {**commands, floor_name: (floor, home)}, launcher, aims)

        return [
            compare("--help", FLOOR_NAME, FLOOR, {"dstack": 1 / 10, "modal": 1 / 5}),
            compare("--version", "floor: python -S, argparse, json", LEAST, {"dstack": 1 / 20}),
            _ps(launcher),
        ]


def _ps(launcher):
    """Twenty runs each; dstack's stay accepted because it has no backend here."""
    with homes.cynthus() as ours, homes.dstack() as theirs:
        digest = ours.upload("print('ok')\n")
        with ours.client() as client:
            for run in [ours.submit(client, digest) for _ in range(RUNS)]:
                ours.finish(client, run)
        commands = {"cynthus": ([CYNTHUS, "ps", "--all"], ours.environment)}
        if theirs is not None:
            with theirs.client() as client:
                for _ in range(RUNS):
                    theirs.submit(client)
            configuration = (
                f"projects: [{{name: main, url: '{theirs.url}', token: {theirs.token}, default: true}}]\n"
            )
            (theirs.folder / ".dstack").mkdir(exist_ok=True)
            (theirs.folder / ".dstack" / "config.yml").write_text(configuration)
            commands["dstack"] = ([theirs.bin / "dstack", "ps"], theirs.environment)
        commands[FLOOR_NAME] = (FLOOR, {})
        return _compare(f"`ps`, {RUNS} runs", commands, launcher, {"dstack": 1 / 8})


def _compare(title, commands, launcher, aims):
    peaks = {name: [] for name in commands}

    def candidate(name, command, environment):
        def measured():
            seconds, peak = launcher.time(command, environment)
            peaks[name].append(peak)
            return seconds

        return measured

    samples = alternate({name: candidate(name, *given) for name, given in commands.items()}, ROUNDS)
    own, own_peak = median(samples["cynthus"]), median(peaks["cynthus"])
    table = Table(f"cynthus {title}", ["", "ms (least-most)", "cynthus takes", "peak MiB", "cynthus takes"])
    for name, seconds in samples.items():
        peak = median(peaks[name])
        table.rows.append(
            [
                name,
                spread(seconds, 1000),
                ratio(divide(own, median(seconds))),
                f"{peak:.0f}",
                ratio(divide(own_peak, peak)),
            ]
        )
    table.aims = [
        Aim(f"{title} beside {name}", divide(own, median(samples.get(name, []))), at_most=limit)
        for name, limit in aims.items()
    ]
    table.aims.append(
        Aim(
            f"{title}: peak memory beside dstack",
            divide(own_peak, median(peaks.get("dstack", []))),
            at_most=1 / 3,
        )
    )
    table.raw = {"seconds": samples, "peak_mib": peaks}
    return table
