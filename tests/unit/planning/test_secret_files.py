import string
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cynthus.planning import MemoryTree
from cynthus.planning.secret_files import secrets_in

BODY = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1eF3hI5kL7oP9rS1uX3wA5cD7fG9iJ1lM3nO5qR7tU9vY1zB3"
HEAD, TAIL = (f"-----{word} RSA PRIVATE KEY-----" for word in ("BEGIN", "END"))
REAL = {
    "AWS access key": "AKIA" + "Q3EGRL7XKWPZ2BNM",
    "AWS secret key": f"aws_secret_access_key = {BODY[:40]}",
    "GitHub token": f"ghp_{BODY[:36]}",
    "Hugging Face token": f"hf_{BODY[:34]}",
    "Slack token": f"xoxb-123456789012-{BODY[:24]}",
    "OpenAI key": f"sk-proj-{BODY[:20]}T3BlbkFJ{BODY[:20]}",
    "Anthropic key": f"sk-ant-api03-{BODY}",
    "Google API key": f"AIza{BODY[:35]}",
    "GitLab token": f"glpat-{BODY[:20]}",
    "PyPI token": f"pypi-AgEIcHlwaS5vcmc{BODY}",
    "npm token": f"npm_{BODY[:36]}",
    "Stripe key": f"sk_live_{BODY[:24]}",
    "private key": f"{HEAD}\n{BODY[:64]}\n{TAIL}",
}
FIX = "add it to .cynthusignore and pass it with --secret-file"


def found(files):
    return [str(one) for one in secrets_in(MemoryTree(files))]


@pytest.mark.parametrize("kind", REAL)
def test_a_secret_is_told_by_its_place_and_kind(kind):
    told = found({"conf/settings.py": f"import os\n\nKEY = {REAL[kind]}'\n"})
    assert told == [f"secret in conf/settings.py:3 ({kind}); {FIX}"]


def test_a_service_account_is_a_private_key_in_json():
    key = '{"type": "service_account", "private_key": "' + HEAD + r"\n" + BODY[:64] + '"}'
    assert found({"sa.json": key}) == [f"secret in sa.json:1 (private key); {FIX}"]


@pytest.mark.parametrize(
    "name",
    [".env", ".env.local", "a/id_rsa", "x.p12", "credentials.json", ".netrc", ".pypirc", "kaggle.json"],
)
def test_some_names_are_enough(name):
    assert found({name: "x"}) == [f"secret in {name} (its name says so); {FIX}"]
    assert [one.line for one in secrets_in(MemoryTree({name: REAL["GitHub token"]}))] == [1]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".env.example", "KEY="),
        ("ca.pem", f"-----BEGIN CERTIFICATE-----\n{BODY[:64]}"),
        ("a.py", f'HEAD = "{HEAD}"'),
        ("a.py", "AKIAIOSFODNN7EXAMPLE"),
        ("a.py", "ghp_" + "x" * 36),
        ("a.py", "token = os.environ['hf_token']"),
        ("environment.yml", "name: x"),
        ("photo.png", REAL["GitHub token"]),
        ("model.bin", "\0" + REAL["GitHub token"]),
        ("long.txt", REAL["GitHub token"] + " " * 1_000_000),
        ("README.md", "Set `aws_secret_access_key = <your key>` and AKIA in .env"),
    ],
)
def test_what_is_no_secret_is_left_alone(name, text):
    assert found({name: text}) == []


def test_one_of_a_kind_is_told_for_each_file():
    text = f"{REAL['GitHub token']}\n{REAL['GitHub token']}\n{REAL['GitLab token']}"
    assert len(found({"a.txt": text, "b.txt": text})) == 4


def test_a_file_that_cannot_be_read_is_passed_over():
    class Gone(MemoryTree):
        def read(self, path):
            raise FileNotFoundError(path)

    assert secrets_in(Gone({"a.py": "x"})) == ()


def test_reading_is_bounded_and_likely_places_come_first():
    read = []

    class Counted(MemoryTree):
        def read(self, path):
            read.append(path)
            return super().read(path)

    files = {f"{number:05}.py": "x" for number in range(5000)} | {"z.yml": REAL["GitHub token"]}
    assert [one.path for one in secrets_in(Counted(files))] == ["z.yml"]
    assert len(read) == 4000


@pytest.mark.parametrize(
    "piece", ["sk-", "sk-T3BlbkFJ", "-----BEGIN A ", "SecretAccessKey ", "AKIA", "xoxb-", "ghp_a", "sk-ant-a"]
)
def test_text_made_to_be_slow_is_not(piece):
    began = time.process_time()
    found({"a.txt": piece * (900_000 // len(piece))})
    assert time.process_time() - began < 3


TOKENS = st.text(string.ascii_letters + string.digits, min_size=40, max_size=40)
SHAPES = st.sampled_from(
    ["ghp_{}", "glpat-{}", "npm_{}", "aws_secret_access_key={}", "xoxb-{}", "AIza{}", "AKIA{}"]
)


@settings(deadline=None)
@given(TOKENS, SHAPES, st.sampled_from([".env", "a.py", "id_rsa", "x/credentials.json"]))
def test_a_value_never_appears_in_what_is_said(token, shape, name):
    files = {name: shape.format(token)}
    said = "\n".join([*found(files), repr(secrets_in(MemoryTree(files)))])
    assert token[:8] not in said
    assert token[-8:] not in said
