import json

import pytest

from cynthus.planning import CannotPlan, Declared, MemoryTree, PlanRequest, plan


def planned(files, **request):
    return plan(MemoryTree({"main.py": "", **files}), PlanRequest(**request))


def refused(files) -> CannotPlan:
    with pytest.raises(CannotPlan) as caught:
        planned(files)
    assert caught.value.code == "bad_requirements"
    return caught.value


def lines(made):
    return [one.line() for one in made.requirements]


def test_the_script_header_wins_over_everything():
    script = (
        '# /// script\n# requires-python = ">=3.11"\n'
        '# dependencies = [\n#   "rich",\n#   "httpx<1",\n# ]\n# ///\n'
    )
    made = planned(
        {"main.py": script, "requirements.txt": "numpy", "pyproject.toml": '[project]\ndependencies=["x"]'}
    )
    assert made.requirements_source == "pep723"
    assert [(one.text, one.source) for one in made.requirements] == [
        ("rich", "main.py:4"),
        ("httpx<1", "main.py:5"),
    ]


def test_a_lock_is_noted_with_its_digest():
    files = {
        "pyproject.toml": '[project]\ndependencies = ["numpy>=2"]',
        "uv.lock": '[[package]]\nname = "numpy"\n',
    }
    made = planned({**files, "main.py": "import numpy"})
    assert (made.requirements_source, made.lock_path, lines(made)) == ("uv.lock", "uv.lock", ["numpy>=2"])
    assert made.locked is not None
    assert made.locked.startswith("sha256:")
    assert made.additions() == ()


def test_an_import_the_lock_already_holds_is_not_added_again():
    files = {
        "pyproject.toml": '[project]\ndependencies = ["pandas"]',
        "uv.lock": 'name = "pandas"\nname = "numpy"\n',
    }
    assert lines(planned({**files, "main.py": "import numpy"})) == ["pandas"]
    made = planned({**files, "main.py": "import numpy, tqdm"})
    assert [one.name for one in made.additions()] == ["tqdm"]


def test_pyproject_wins_over_requirements_txt_and_says_so():
    made = planned({"pyproject.toml": '[project]\ndependencies = ["rich"]', "requirements.txt": "numpy"})
    assert lines(made) == ["rich"]
    assert "requirements.txt is not used" in made.warnings[0]


def test_a_pyproject_with_tool_settings_only_is_no_answer():
    made = planned({"pyproject.toml": "[tool.ruff]\nline-length = 100", "requirements.txt": "numpy"})
    assert (made.requirements_source, lines(made)) == ("requirements.txt", ["numpy"])


def test_dynamic_dependencies_are_read_from_their_file():
    tool = '[tool.setuptools.dynamic]\ndependencies = {file = ["reqs.in"]}'
    text = f'[project]\ndynamic = ["dependencies"]\n{tool}'
    assert lines(planned({"pyproject.toml": text, "reqs.in": "numpy\n"})) == ["numpy"]


def test_poetry_rules_become_plain_ones():
    text = (
        '[tool.poetry.dependencies]\npython = "^3.12"\nnumpy = "^1.26"\nrich = "*"\nattrs = "~23.1"\n'
        'tiny = "^0.3"\nhttpx = {version = ">=0.27", extras = ["http2"]}\nmine = {path = "../x"}\n'
    )
    made = planned({"pyproject.toml": text})
    assert lines(made) == [
        "numpy>=1.26,<2",
        "rich",
        "attrs>=23.1,<23.2",
        "tiny>=0.3,<0.4",
        "httpx[http2]>=0.27",
    ]
    assert made.python == "3.12"
    assert "mine" in made.warnings[0]


REQUIREMENTS = """\
# a comment
numpy==2.1.0 \\
    --hash=sha256:aaaa \\
    --hash=sha256:bbbb
pandas[parquet, excel] >= 2 , < 3   # why
uvicorn ; python_version < "3.13" and sys_platform == 'linux'
-r more/extra.txt
-c constraints.txt
--extra-index-url https://user:hunter2@example.org/simple
--pre
git+https://github.com/psf/requests.git@main#egg=requests
mine @ https://example.org/mine-1.0-py3-none-any.whl
"""


def test_a_requirements_file_is_read_as_pip_reads_it():
    files = {
        "requirements.txt": REQUIREMENTS,
        "more/extra.txt": "-r ../again.txt\nrich",
        "again.txt": "tqdm",
        "constraints.txt": "scipy<2",
    }
    made = planned(files)
    assert lines(made) == [
        "numpy==2.1.0 --hash=sha256:aaaa --hash=sha256:bbbb",
        "pandas[parquet, excel] >= 2 , < 3",
        "uvicorn ; python_version < \"3.13\" and sys_platform == 'linux'",
        "tqdm",
        "rich",
        "requests @ git+https://github.com/psf/requests.git@main",
        "mine @ https://example.org/mine-1.0-py3-none-any.whl",
    ]
    assert [one.source for one in made.requirements][:4] == [
        "requirements.txt:2",
        "requirements.txt:5",
        "requirements.txt:6",
        "again.txt:1",
    ]
    assert made.constraints == ("scipy<2",)
    assert made.requirements_files == ("requirements.txt", "more/extra.txt", "again.txt", "constraints.txt")


def test_an_index_option_is_kept_out_with_a_warning_that_hides_its_password():
    made = planned({"requirements.txt": REQUIREMENTS.replace("-r more/extra.txt\n-c constraints.txt\n", "")})
    assert any("--extra-index-url is kept out" in warning for warning in made.warnings)
    assert "hunter2" not in made.to_json()


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        ("numpy=1.26", "numpy==1.26"),
        ("numpy=1.26.4=py311h64a7726_0", "numpy==1.26.4"),
        ("numpy 1.26", "numpy==1.26"),
        ("numpy^1.26", "numpy>=1.26,<2"),
        ("numpy>=", "numpy>=1.2,<2"),
        ("numpy @ file:///croot/numpy_1/work", "numpy==VERSION"),
        ('numpy ; python_versoin < "3"', "python_version"),
        ("git+https://github.com/psf/requests.git", "requests @ git+https://github.com/psf/requests.git"),
        ("-e ../outside", "move the project"),
        ("./wheels/x-1.0-py3-none-any.whl", "name a package"),
        ("-e ./nothing", "correct the path"),
        ("-r missing.txt", "create the file"),
        ("numpy==${VERSION}", "rules such as"),
        ("?", "name==1.2.3"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_with_what_to_write(line, fix):
    error = refused({"requirements.txt": f"rich\n\n{line}\n"})
    assert error.where == "requirements.txt:3"
    assert fix in error.fix


def test_a_password_in_an_address_is_refused_and_not_repeated():
    error = refused({"requirements.txt": "x @ https://me:hunter2@example.org/x.whl"})
    assert "hunter2" not in str(error)


def test_a_file_written_by_powershell_is_read():
    assert lines(planned({"requirements.txt": "numpy==2.1.0\r\nrich\r\n".encode("utf-16")})) == [
        "numpy==2.1.0",
        "rich",
    ]


def test_the_project_itself_as_requirement_brings_its_dependencies_and_its_folder():
    files = {
        "requirements.txt": "-e .[plot]\nrich\n",
        "pyproject.toml": '[project]\nname = "x"\ndynamic = ["dependencies"]\n'
        '[project.optional-dependencies]\nplot = ["matplotlib"]\n',
        "src/mine/__init__.py": "",
        "main.py": "import mine",
    }
    made = planned(files)
    assert sorted(lines(made)) == ["matplotlib", "rich"]
    assert made.pythonpath == ("src",)


def test_a_project_in_a_subfolder_is_put_on_the_path():
    files = {
        "requirements.txt": "./libs/mine",
        "libs/mine/pyproject.toml": '[project]\ndependencies = ["tqdm"]',
        "libs/mine/mine/__init__.py": "import numpy",
        "main.py": "import mine",
    }
    made = planned(files)
    assert made.pythonpath == ("libs/mine",)
    assert sorted(lines(made)) == ["numpy", "tqdm"]


def test_an_import_nobody_states_is_added_marked_as_a_guess():
    made = planned({"main.py": "import sklearn, numpy", "requirements.txt": "numpy"})
    assert [(one.name, one.guessed) for one in made.requirements] == [
        ("numpy", False),
        ("scikit-learn", True),
    ]
    assert made.notes == ("also seen: import sklearn -> scikit-learn (added)",)


@pytest.mark.parametrize(
    "stated", ["opencv-python", "opencv-contrib-python-headless", "OpenCV_Python_Headless"]
)
def test_another_package_of_the_same_module_is_good_enough(stated):
    assert len(planned({"main.py": "import cv2", "requirements.txt": stated}).requirements) == 1


def test_an_unsure_import_beside_stated_requirements_is_only_a_warning():
    made = planned({"main.py": "import warp, nowhere_x", "requirements.txt": "rich"})
    assert lines(made) == ["rich"]
    assert len(made.warnings) == 2


def test_files_chosen_in_the_spec_win():
    files = {"main.py": "", "requirements.txt": "numpy", "reqs/gpu.txt": "torch"}
    made = planned(files, declared=Declared(requirements=("reqs/gpu.txt",)))
    assert lines(made) == ["torch"]


def test_what_is_not_read_yet_is_said():
    assert planned({"Pipfile": "x"}).warnings == ("Pipfile is not read by this version",)


@pytest.mark.parametrize(
    ("files", "place"),
    [
        (
            {"pyproject.toml": '[project]\nname = "x"\ndependencies = [\n  "numpy",\n  "pandas=2",\n]'},
            "pyproject.toml:5",
        ),
        ({"pyproject.toml": "[project\n"}, "pyproject.toml:1"),
        ({"main.py": '# /// script\n# dependencies = ["a=1"]\n# ///\n'}, "main.py:2"),
        ({"main.py": '# /// script\n# dependencies = ["a"\n# ///\n'}, "main.py:2"),
        ({"main.py": '# /// script\n# dependencies = ["a"]\nx = 1\n'}, "main.py:1"),
    ],
)
def test_other_places_name_their_line_too(files, place):
    assert refused(files).where == place


def notebook(*cells):
    return json.dumps({"cells": [{"cell_type": "code", "source": cell} for cell in cells]})


def test_a_notebook_says_itself_what_it_installs():
    book = notebook(
        "%pip install -q 'rich<14' tqdm\n!pip install --upgrade httpx",
        ["%matplotlib inline\n", "import numpy as np\n", "files = !ls\n", "np?\n", "x = (1\n     % 2)\n"],
        "%%bash\npip install nothing && import this",
        "%%time\nimport yaml\nawait go()",
    )
    made = plan(MemoryTree({"a.ipynb": book}), PlanRequest())
    found = {one.text: one.source for one in made.requirements}
    assert found["rich<14"] == "a.ipynb:cell 1:1"
    assert found["httpx"] == "a.ipynb:cell 1:2"
    assert found["numpy"] == "a.ipynb:cell 2:2"
    assert {"tqdm", "pyyaml", "papermill", "ipykernel"} <= set(found)
    assert "nothing" not in found


@pytest.mark.parametrize("content", ["not json", "[]", '{"metadata": {"kernelspec": {"language": "R"}}}'])
def test_what_is_no_python_notebook_is_refused(content):
    with pytest.raises(CannotPlan) as caught:
        plan(MemoryTree({"a.ipynb": content}), PlanRequest())
    assert caught.value.code == "bad_notebook"


CONDA = """\
name: weather
channels:
  - conda-forge
dependencies:
  - python=3.12
  - conda-forge::numpy=2.1  # fast
  - "scipy>=1"
  - pip
  # with pip
  - pip:
      - rich>=13
      - "tqdm"
      - --pre
  - cudatoolkit
variables:
  - A
prefix: /opt/conda/envs/x
"""


def test_the_pip_part_of_an_environment_file_is_used_and_the_rest_is_named():
    made = planned({"environment.yml": CONDA, "main.py": "import numpy, rich"})
    assert [(one.text, one.source) for one in made.requirements] == [
        ("rich>=13", "environment.yml:11"),
        ("tqdm", "environment.yml:12"),
        ("numpy", "main.py:1"),
    ]
    assert made.requirements_files == ("environment.yml",)
    option, packages = made.warnings
    assert option == "environment.yml:13: the option --pre is not acted on"
    assert "(numpy, scipy, cudatoolkit)" in packages


def test_an_environment_file_without_pip_leaves_it_to_the_imports():
    made = planned({"environment.yaml": "dependencies:\n- numpy\n", "main.py": "import yaml"})
    assert (made.requirements_source, lines(made)) == ("imports", ["pyyaml"])
    assert refused({"environment.yml": "dependencies:\n- pip:\n  - numpy=1\n"}).where == "environment.yml:3"


def test_a_requirements_file_wins_over_an_environment_file():
    made = planned({"environment.yml": CONDA, "requirements.txt": "rich"})
    assert (lines(made), made.warnings) == (["rich"], ())
