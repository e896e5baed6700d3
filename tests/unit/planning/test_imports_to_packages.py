import pytest

from cynthus.planning import CannotPlan, MemoryTree, PlanRequest, plan
from cynthus.planning.catalogue import Contested, Elsewhere, Known, Unknown, look_up

SAMPLE = """
cv2=opencv-python-headless PIL=pillow sklearn.linear_model=scikit-learn skimage.io=scikit-image
yaml=pyyaml bs4=beautifulsoup4 dateutil.parser=python-dateutil dotenv=python-dotenv attr=attrs
git=gitpython dns.resolver=dnspython serial=pyserial jwt=pyjwt jose=python-jose kafka=kafka-python
fitz=pymupdf hydra=hydra-core whisper=openai-whisper umap=umap-learn faiss=faiss-cpu
psycopg2.extras=psycopg2-binary MySQLdb=mysqlclient mysql.connector=mysql-connector-python
google.cloud.storage=google-cloud-storage google.cloud.bigquery.table=google-cloud-bigquery
google.protobuf=protobuf google.oauth2=google-auth google.genai=google-genai
googleapiclient.discovery=google-api-python-client azure.storage.blob=azure-storage-blob
azure.identity=azure-identity Crypto.Cipher=pycryptodome OpenSSL=pyopenssl nacl=pynacl zmq=pyzmq
grpc=grpcio magic=python-magic docx=python-docx pptx=python-pptx slugify=python-slugify
telegram=python-telegram-bot discord=discord-py websocket=websocket-client socketio=python-socketio
Bio=biopython imblearn=imbalanced-learn rest_framework=djangorestframework ruamel.yaml=ruamel-yaml
pkg_resources=setuptools mpl_toolkits.mplot3d=matplotlib pytorch_lightning=pytorch-lightning
sentence_transformers=sentence-transformers speech_recognition=speechrecognition usb=pyusb
snowflake.connector=snowflake-connector-python opentelemetry.trace=opentelemetry-api
opentelemetry.sdk.trace=opentelemetry-sdk IPython=ipython Levenshtein=levenshtein
typing_extensions=typing-extensions numpy=numpy pandas=pandas torch=torch polars=polars
transformers=transformers requests=requests httpx=httpx fastapi=fastapi tqdm=tqdm
matplotlib.pyplot=matplotlib seaborn=seaborn scipy.stats=scipy tensorflow=tensorflow xgboost=xgboost
lightgbm=lightgbm sqlalchemy=sqlalchemy redis=redis boto3=boto3
"""


@pytest.mark.parametrize(("module", "distribution"), [pair.split("=") for pair in SAMPLE.split()])
def test_a_real_import_finds_its_package(module, distribution):
    answer = look_up(module)
    assert isinstance(answer, Known), answer
    assert answer.distribution == distribution


@pytest.mark.parametrize("module", ["clip", "apex", "segment_anything", "smbus", "warp", "jsonpath"])
def test_a_name_several_projects_claim_is_never_guessed(module):
    assert isinstance(look_up(module), Contested)


@pytest.mark.parametrize("module", ["utils", "config", "models", "helpers", "dataset", "common"])
def test_a_name_like_a_file_of_ones_own_is_never_taken_from_the_index(module):
    assert look_up(module) == Unknown(own=True)


@pytest.mark.parametrize("module", ["google", "azure", "google.cloud", "nowhere_to_be_found", "zope"])
def test_what_nobody_knows_is_unknown(module):
    assert look_up(module) == Unknown()


def test_what_exists_only_elsewhere_says_where():
    answer = look_up("google.colab.drive")
    assert isinstance(answer, Elsewhere)
    assert "Colab" in answer.reason


def names(files, entry=None, **more):
    made = plan(MemoryTree(files), PlanRequest(entry=entry, **more))
    return [one.name for one in made.requirements]


def test_imports_are_followed_through_local_modules_packages_and_src():
    files = {
        "train.py": "from pkg.deep import thing\nimport other\nfrom tools.io import read\nimport json",
        "pkg/__init__.py": "import numpy",
        "pkg/deep.py": "from . import near\nfrom .sub import far",
        "pkg/near.py": "import pandas",
        "pkg/sub/__init__.py": "from ..near import x\nimport requests",
        "other.py": "import tqdm",
        "src/tools/io.py": "import pyarrow",
        "unused.py": "import django",
    }
    assert names(files, "train.py") == ["numpy", "pandas", "pyarrow", "requests", "tqdm"]


def test_every_reason_names_file_and_line():
    made = plan(MemoryTree({"a.py": "import os\n\nimport cv2\n"}), PlanRequest())
    only = made.requirements[0]
    assert (only.source, only.guessed) == ("a.py:3", True)
    assert only.why.startswith("import cv2 at a.py:3; ")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas\nelse:\n    import numpy",
            ["numpy"],
        ),
        ("import typing as t\nif not t.TYPE_CHECKING:\n    import numpy", ["numpy"]),
        ("import sys\nif sys.version_info >= (3, 11):\n    import tomllib\nelse:\n    import tomli", []),
        ("import sys\nif sys.version_info[0] == 2:\n    import urllib2", []),
        ("import sys\nif sys.version_info < (3, 12):\n    import tomli", ["tomli"]),
        ("import sys\nif sys.platform == 'win32':\n    import win32api", []),
        ("import os\nif os.name == 'nt':\n    import wmi\nelse:\n    import numpy", ["numpy"]),
        ("import platform\nif platform.system() == 'Darwin':\n    import AppKit", []),
        ("import sys\nif sys.platform.startswith('win') and x:\n    import win32com", []),
        ("try:\n    import numpy\nexcept ImportError:\n    numpy = None", []),
        ("try:\n    import numpy\nexcept ImportError:\n    raise SystemExit('pip install numpy')", ["numpy"]),
        ("try:\n    import numpy\nexcept ValueError:\n    pass", ["numpy"]),
        ("try:\n    from yaml import CLoader\nexcept ImportError:\n    from yaml import Loader", ["pyyaml"]),
        ("try:\n    import ujson as json\nexcept ModuleNotFoundError:\n    import json", []),
        ("try:\n    import numpy\nexcept ImportError:\n    pass\nimport numpy", ["numpy"]),
        ("from contextlib import suppress\nwith suppress(ImportError):\n    import numpy", []),
        ("import importlib\nimportlib.import_module('numpy')", ["numpy"]),
        ("__import__('yaml')", ["pyyaml"]),
        ("import importlib\nimportlib.import_module(name)", []),
        ("def f():\n    import numpy", ["numpy"]),
        ("from google.cloud import storage, bigquery", ["google-cloud-bigquery", "google-cloud-storage"]),
        ("import os, sys, json, asyncio, __future__", []),
        ("match x:\n    case 1:\n        import numpy", ["numpy"]),
    ],
)
def test_only_what_linux_and_this_python_would_import_is_required(source, expected):
    assert names({"a.py": source}) == expected


def test_an_optional_import_is_told_but_not_installed():
    made = plan(MemoryTree({"a.py": "try:\n    import torch\nexcept ImportError:\n    pass"}), PlanRequest())
    assert made.notes == ("optional, not installed: import torch (torch) at a.py:2",)


def test_modules_that_left_the_standard_library_depend_on_the_python():
    assert names({"a.py": "import distutils"}) == []
    assert names({"a.py": "import distutils"}, python="3.12") == ["setuptools"]
    assert names({"a.py": "import cgi"}, python="3.13") == ["legacy-cgi"]


def test_a_folder_without_init_does_not_hide_an_installed_package():
    assert names({"a.py": "import wandb", "wandb/run-1/code.py": "x = 1"}, "a.py") == ["wandb"]
    assert names({"a.py": "import wandb.mine", "wandb/mine.py": "x = 1"}, "a.py") == []


def test_syntax_newer_than_this_interpreter_is_read_by_lines():
    made = plan(MemoryTree({"a.py": "import numpy\nfrom yaml import load\n?!"}), PlanRequest(python="3.14"))
    assert [one.name for one in made.requirements] == ["numpy", "pyyaml"]
    assert "line by line" in made.warnings[0]


def refused(files, entry=None) -> CannotPlan:
    with pytest.raises(CannotPlan) as caught:
        plan(MemoryTree(files), PlanRequest(entry=entry))
    return caught.value


def test_an_ambiguous_import_lists_the_candidates_and_where_to_write_one():
    error = refused({"a.py": "import numpy\nimport warp"})
    assert (error.code, error.where, error.candidates) == (
        "ambiguous_import",
        "a.py:2",
        ("warp-lang", "warp"),
    )
    assert "requirements.txt: warp-lang" in error.fix
    assert '# dependencies = ["warp-lang"]' in error.fix


def test_all_unsure_imports_are_reported_at_once():
    error = refused({"a.py": "import clip\nimport nowhere_a\nimport nowhere_b"})
    assert error.code == "unknown_import"
    assert all(name in error.what for name in ("clip", "nowhere_a", "nowhere_b"))


def test_a_missing_file_of_ones_own_points_at_the_ignore_rules():
    assert ".gitignore" in refused({"a.py": "from utils import x"}).fix


def test_a_module_in_another_folder_is_found_and_named():
    error = refused({"a.py": "import mylib", "code/lib/mylib.py": "x = 1"}, "a.py")
    assert "code/lib/mylib.py is not on the import path" in error.why
    assert 'PYTHONPATH = "code/lib"' in error.fix


def test_code_that_edits_sys_path_is_trusted_to_find_its_own_files():
    files = {"a.py": "import sys\nsys.path.append('code/lib')\nimport mylib", "code/lib/mylib.py": "x = 1"}
    made = plan(MemoryTree(files), PlanRequest(entry="a.py"))
    assert made.requirements == ()
    assert "code/lib/mylib.py" in made.notes[0]


def test_a_relative_import_in_the_script_itself_is_warned_about():
    files = {"pkg/__init__.py": "", "pkg/go.py": "from . import near", "pkg/near.py": ""}
    made = plan(MemoryTree(files), PlanRequest(entry="pkg/go.py"))
    assert "-m pkg.go" in made.warnings[0]
