import pytest

from tests.fixtures import needs

pytest_plugins = ["pytester"]

TWO_NEEDS = """
import pytest

@pytest.mark.needs("unicorn")
def test_rides(): ...

@pytest.mark.needs("unicorn", "dragon")
def test_flies(): ...

@pytest.mark.needs("horse")
def test_walks(): ...
"""


@pytest.fixture
def stable(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv(needs.SETTING, raising=False)
    monkeypatch.setitem(needs.PROBES, "unicorn", lambda: False)
    monkeypatch.setitem(needs.PROBES, "dragon", lambda: False)
    monkeypatch.setitem(needs.PROBES, "horse", lambda: True)
    return pytester


def run(stable: pytest.Pytester, source: str = TWO_NEEDS, *options: str) -> pytest.RunResult:
    stable.makepyfile(source)
    plugins = [f"-p{name}" for name in ("tests.fixtures.needs", "no:asyncio", "no:hypothesispytest")]
    return stable.runpytest_inprocess(*plugins, "-ra", *options)


def test_what_is_missing_is_named_once_at_the_end(stable):
    result = run(stable)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["not run here: dragon (1 test), unicorn (2 tests)", "*1 passed, 2 absent*"])
    assert sum("unicorn" in line for line in result.outlines) == 1


def test_nothing_is_said_when_everything_is_here(stable):
    result = run(stable, "import pytest\n@pytest.mark.needs('horse')\ndef test_walks(): ...")
    assert result.ret == 0
    result.stdout.no_fnmatch_line("not run here*")


@pytest.mark.parametrize(
    ("setting", "failed", "aside"), [("all", 2, 0), ("unicorn", 2, 0), ("dragon, cat", 1, 1)]
)
def test_a_required_thing_that_is_missing_fails_its_tests(stable, monkeypatch, setting, failed, aside):
    monkeypatch.setenv(needs.SETTING, setting)
    result = run(stable)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    counts = result.parseoutcomes()
    assert (counts["passed"], counts["failed"], counts.get("absent", 0)) == (1, failed, aside)
    result.stdout.fnmatch_lines(["not on this machine, but CYNTHUS_TEST_REQUIRE asks for it: *"])


def test_a_need_without_a_probe_is_refused(stable):
    result = run(stable, "import pytest\n@pytest.mark.needs('griffin')\ndef test_it(): ...")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*needs 'griffin', which has no probe; known: *"])


def test_the_line_is_the_same_under_xdist(stable):
    result = run(
        stable,
        "import pytest\nfrom tests.fixtures.needs import PROBES\nPROBES['roc'] = lambda: False\n"
        "@pytest.mark.parametrize('n', range(3))\n@pytest.mark.needs('roc')\ndef test_it(n): ...",
        "-n2",
    )
    result.stdout.fnmatch_lines(["not run here: roc (3 tests)"])


def test_an_explicit_emulator_jar_must_exist(monkeypatch, tmp_path):
    jar = tmp_path / "emulator.jar"
    monkeypatch.setenv("CYNTHUS_PUBSUB_EMULATOR_JAR", str(jar))
    assert needs.pubsub_emulator_jar() is None
    jar.touch()
    assert needs.pubsub_emulator_jar() == jar
