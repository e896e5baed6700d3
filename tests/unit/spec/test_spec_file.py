import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cynthus.planning import MemoryTree, PlanRequest, plan
from cynthus.planning.request import Outputs, Retry
from cynthus.spec import Problem, SpecInvalid, declared, load_spec, reader, schema, schema_text, unsupported
from cynthus.spec.checking import check
from cynthus.spec.lines import line_of

COMPLETE = """\
#:schema https://example.org/schema/v1/cynthus.json
name = "weather"
ignore = ["*.ipynb"]
[image]
python = "3.13"
requirements = ["requirements.txt"]
apt = ["libgl1"]
[resources]
cpu = "4+"
memory = "16GB+"
gpu = "L4:1"
disk = "100GB"
spot = "prefer"
regions = ["us-central1", "us-east4"]
max_price = 1.20
[[data]]
source = "hf://datasets/stanfordnlp/imdb"
revision = "main"
mount = "data/imdb"
[env]
EPOCHS = "5"
[task.main]
command = "python train.py --epochs $EPOCHS"
secrets = ["WANDB_API_KEY"]
timeout = "6h"
budget = 15.00
checkpoint = "ckpt"
retry = { attempts = 3, on = ["preemption", "no_capacity", "infra"], backoff = "30s" }
outputs = { path = "outputs", include = ["**"], keep = "30d" }
[task.eval]
command = ["python", "eval.py"]
after = ["main"]
schedule = "0 6 * * 1"
"""


HTTPS = "write https://host/simple; http is for this machine only"
SECRET = 'take it out, keep it as a secret, and name that under [[image.index]]: secret = "NAME"'
INDEX = '[[image.index]]\nname = "a"\nurl = "https://a"\n'


def load(text, file="cynthus.toml"):
    return load_spec({file: text.encode()}.get)


def problems(text, file="cynthus.toml"):
    with pytest.raises(SpecInvalid) as caught:
        load(text, file)
    return caught.value.problems


def test_a_folder_without_a_spec_has_none():
    assert load_spec(reader(MemoryTree({"pyproject.toml": "[project]\nname = 'cynthus-lover'"}))) is None


def test_the_documented_file_is_read_whole():
    spec, file = load(COMPLETE)
    assert file == "cynthus.toml"
    facts = declared(spec, file)
    main, evaluate = facts.tasks
    assert (facts.name, facts.python, facts.requirements, facts.env) == (
        "weather",
        "3.13",
        ("requirements.txt",),
        {"EPOCHS": "5"},
    )
    assert (main.timeout, main.secrets, main.checkpoint) == (6 * 3600, ("WANDB_API_KEY",), "ckpt")
    assert main.retry == Retry(attempts=3, on=("preemption", "no_capacity", "infra"), backoff=30)
    assert main.outputs == Outputs(path="outputs", include=("**",), keep=30 * 86400)
    assert evaluate.command == ("python", "eval.py")


def test_what_this_version_leaves_undone_is_named_key_by_key():
    spec, _ = load(COMPLETE)
    text = "\n".join(unsupported(spec))
    assert "apt" not in text
    assert "gpu" not in text
    for key in (
        "disk",
        "spot",
        "regions",
        "max_price",
        "hf://",
        "budget",
        "after",
        "schedule",
        "keep",
    ):
        assert key in text
    assert unsupported(load('[task.main]\ncommand = "python a.py"')[0]) == []


def test_the_same_tables_stand_under_tool_cynthus():
    text = COMPLETE.replace("[[data", "[[tool.cynthus.data").replace("\n[", "\n[tool.cynthus.")
    text = text.replace("[tool.cynthus.[tool", "[[tool").replace(
        'name = "weather"', '[tool.cynthus]\nname = "weather"'
    )
    spec, file = load(text, "pyproject.toml")
    assert file == "pyproject.toml"
    assert spec == load(COMPLETE)[0]


def test_a_spec_in_both_places_is_refused():
    files = {"cynthus.toml": b"", "pyproject.toml": b'[project]\nname = "x"\n[tool.cynthus]\nname = "x"\n'}
    with pytest.raises(SpecInvalid) as caught:
        load_spec(files.get)
    assert (caught.value.problems[0].file, caught.value.problems[0].line) == ("pyproject.toml", 3)


@pytest.mark.parametrize(
    ("text", "line", "fix"),
    [
        ('[task.main]\ncommand = "x"\ntimout = "6h"', 3, "did you mean timeout?"),
        ('timeout = "6h"', 1, "timeout belongs under [task.main]"),
        ('\n\ntimout = "6h"', 3, "did you mean timeout, under [task.main]?"),
        ('[tasks.main]\ncommand = "x"', 1, "did you mean task?"),
        ('[image]\npyhton = "3.12"', 2, "did you mean python?"),
        ('cpu = "4"', 1, "cpu belongs under [resources]"),
        ('[[data]]\nsource = "./a"\n[[data]]\nsource = "./b"\nmout = "x"', 5, "did you mean mount?"),
        ('[task.main]\ncommand = "x"\nretry = { atempts = 3 }', 3, "did you mean attempts?"),
        ("[task.main]\ntimeout = '1h'", 1, "add a line: command = …"),
        ("[image]\npython = 3.10", 2, 'write it in quotation marks: "3.12"'),
        ('[image]\napt = "git"', 2, 'write ["git"]'),
        ("[resources]\nmemory = 16", 2, 'write "16GB", "16GB+" or "16GB..64GB"'),
        ('[resources]\ncpu = "8..4"', 2, 'write "4..8"'),
        ('[resources]\nspot = "prefere"', 2, 'did you mean "prefer"?'),
        ("[task.main]\ncommand = 'x'\ntimeout = 6", 3, 'write for example "90s", "6h" or "1h30m"'),
        ('name = "My App"', 1, 'write "my-app"'),
        ("[env]\nA = true", 2, 'write it in quotation marks: "true"'),
        ('[env]\nCYNTHUS_RUN_ID = "x"', 2, "choose a name that does not begin with CYNTHUS_"),
        ("task = 3", 1, "write [task] and its keys below it"),
        ("[data]\nsource = './x'", 1, "write [[data]] and its keys below it"),
        (
            "[task.main]\ncommand = 'x'\noutputs = {path = '../x'}",
            3,
            'write a relative path such as "outputs"',
        ),
        ("[task.main]\ncommand = 'x'\nschedule = 'daily'", 3, 'write five fields, for example "0 6 * * 1"'),
        ("[task.main]\ncommand = 'x'\n[task.b]\ncommand = 'x'\nafter = ['mian']", 5, "did you mean main?"),
        (
            "[task.a]\ncommand = 'x'\nafter = ['b']\n[task.b]\ncommand = 'x'\nafter = ['a']",
            3,
            "remove one `after`",
        ),
        ("[env]\nK = 'x'\n[task.a]\ncommand = 'x'\nsecrets = ['K']", 5, "remove K from [env]"),
        ("[image]\ndockerfile = 'Dockerfile'\nbase = 'x'", 3, "keep one of the two"),
        ('[image]\napt = ["libGL1"]', 2, 'write "libgl1"'),
        ('[image]\napt = ["-o=x"]', 2, 'write for example "libgl1"'),
        ('[image]\napt = ["git; rm"]', 2, 'write for example "libgl1"'),
        ('[image]\nbase = "Python:x"', 2, 'write for example "python:3.12-slim"'),
        ("[image]\ndockerfile = true", 2, 'write "Dockerfile"; one in the root is found by itself'),
        ('[image]\nimport_check = "no"', 2, "write true or false"),
        ('[image]\nruntime = "docker"', 2, "choose from process, container"),
        ('[[image.index]]\nname = "a"\nurl = "http://pypi.corp/simple"', 3, HTTPS),
        ('[[image.index]]\nname = "a"\nurl = "https://u:hunter2@pypi.corp/simple"', 3, SECRET),
        ('[[image.index]]\nname = "a"', 1, "add a line: url = …"),
        ('[[image.index]]\nname = "a"\nurl = "https://a"\nsecrets = "X"', 4, "did you mean secret?"),
        (
            '[[image.index]]\nname = "a/b"\nurl = "https://a"',
            2,
            'write letters, digits and dashes: "internal"',
        ),
        (f"{INDEX}{INDEX}", 1, "give each a name of its own"),
        ("[[data]]\nsource = 'ftp://x'", 2, "use ./folder, hf://, kaggle://, gs:// or https://"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_its_fix(text, line, fix):
    (problem,) = problems(text)
    assert (problem.line, problem.fix) == (line, fix)
    assert "hunter2" not in str(problem)


def test_every_mistake_is_told_at_once_in_line_order():
    found = problems('name = "A B"\n[image]\nx = 1\n[task.main]\ntimout = "1h"\n')
    assert [problem.line for problem in found] == [1, 3, 4, 5]


@pytest.mark.parametrize(
    ("text", "line"),
    [("name = weather", 1), ("a = 1\n[task.main\n", 2), ('a = "x\n', 1), ("a = 1\na = 2", 2)],
)
def test_what_is_not_toml_names_its_line(text, line):
    assert problems(text)[0].line == line
    assert problems(f"[tool.cynthus]\n{text}", "pyproject.toml")[0].line == line + 1


def test_a_broken_pyproject_without_a_spec_is_left_to_others():
    assert load("[project\nname = 'cynthus'", "pyproject.toml") is None


def test_lines_are_right_behind_multiline_values():
    text = (
        'a = """\n[x]\nb = 1\n"""\nignore = [\n  "b = 1", # [\n  "c",\n]\n[image]\napt = [\n"x"]\nbase = 1\n'
    )
    assert line_of(text, ("image", "base")) == 12
    assert line_of(text, ("ignore", 1)) == 5
    assert line_of(text, ("image",)) == 9


def test_a_plan_follows_the_spec():
    files = {"cynthus.toml": COMPLETE, "train.py": "import numpy", "requirements.txt": "rich", "eval.py": ""}
    spec, file = load_spec(reader(MemoryTree(files)))
    made = plan(MemoryTree(files), PlanRequest(declared=declared(spec, file)))
    assert made.command == ("sh", "-c", "python train.py --epochs $EPOCHS")
    assert (made.python, made.python_source, made.timeout, made.retry.attempts) == (
        "3.13",
        "cynthus.toml",
        21600,
        3,
    )
    assert [one.text for one in made.requirements] == ["rich", "numpy"]


IMAGE = """\
[image]
apt = ["libgl1", "git=1:2.39.5-0+deb12u2"]
base = "registry.example.org:5000/python:3.12"
runtime = "container"
import_check = false
[[image.index]]
name = "internal"
url = "https://pypi.example.org/simple"
secret = "PYPI_TOKEN"
[[image.index]]
name = "here"
url = "http://127.0.0.1:3141/simple"
[resources]
gpu = "L4:1"
[task.big]
command = "python a.py"
resources = { gpu = "24GB+" }
"""


def test_what_an_image_is_made_of_reaches_the_plan():
    spec, file = load(IMAGE)
    facts = declared(spec, file)
    assert unsupported(spec) == []
    made = plan(MemoryTree({"a.py": "import numpy"}), PlanRequest(declared=facts))
    assert (made.apt, made.base) == (
        ("git=1:2.39.5-0+deb12u2", "libgl1"),
        "registry.example.org:5000/python:3.12",
    )
    assert [(one.name, one.url, one.secret) for one in made.indexes] == [
        ("internal", "https://pypi.example.org/simple", "PYPI_TOKEN"),
        ("here", "http://127.0.0.1:3141/simple", None),
    ]
    assert (made.runtime, made.import_check, made.gpu) == ("container", False, "L4:1")
    assert plan(MemoryTree({"a.py": ""}), PlanRequest(declared=facts, task="big")).gpu == "24GB+"
    assert plan(MemoryTree({"a.py": ""}), PlanRequest(declared=facts, task="big", gpu="T4")).gpu == "T4"


def test_a_found_dockerfile_can_be_left_out():
    spec, file = load("[image]\ndockerfile = false\n")
    files = {"Dockerfile": "FROM x", "a.py": ""}
    assert plan(MemoryTree(files), PlanRequest(declared=declared(spec, file))).dockerfile is None


def test_the_committed_schema_is_the_one_the_models_make():
    committed = Path(__file__).parents[3] / "docs/schema/cynthus.schema.json"
    assert committed.read_text() == schema_text(), (
        "run: python -m cynthus.spec > docs/schema/cynthus.schema.json"
    )


def test_the_schema_is_draft_07_and_knows_every_key():
    made = schema()
    assert made["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert set(made["properties"]) == {"name", "ignore", "image", "resources", "data", "env", "task"}
    assert "$defs" not in json.dumps(made)
    assert made["definitions"]["Task"]["additionalProperties"] is False


VALUES = st.recursive(
    st.one_of(
        st.booleans(), st.integers(-5, 200), st.floats(allow_nan=False), st.text(max_size=5), st.just("4+")
    ),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["path", "on", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)
KEYS = st.sampled_from(
    [
        "name",
        "ignore",
        "image",
        "resources",
        "data",
        "env",
        "task",
        "python",
        "command",
        "timeout",
        "retry",
        "x y",
    ]
)


TABLES = st.dictionaries(KEYS, st.one_of(VALUES, st.dictionaries(KEYS, VALUES)))


def mistakes(read) -> tuple[Problem, ...]:
    try:
        read()
    except SpecInvalid as invalid:
        return invalid.problems
    return ()


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(KEYS, st.one_of(VALUES, TABLES)))
def test_any_table_is_a_spec_or_a_list_of_problems(table):
    def use():
        spec = check(table, "cynthus.toml", "")
        unsupported(spec)
        declared(spec)

    assert all(problem.what and problem.fix for problem in mistakes(use))


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=80), st.text(max_size=80).map(str.encode)))
def test_any_bytes_are_a_spec_or_a_list_of_problems(data):
    found = mistakes(lambda: load_spec({"cynthus.toml": data}.get))
    assert all(problem.line >= 1 for problem in found)
