"""What uv says, told as a cause with a fix; secrets taken out of its words."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cynthus.builder.adapters import uv_refusals
from cynthus.builder.adapters.index_access import login_for, variables
from cynthus.builder.adapters.uv_program import Scrubber
from cynthus.builder.domain.lock import LockRefused, Target
from cynthus.builder.ports import ResolverUnavailable
from cynthus.planning.document import Index

CORP = Index(name="my-corp", url="https://corp.example/simple", secret="CORP")
DENIED = (
    "hint: An index URL (https://corp.example/simple) could not be queried"
    " due to a lack of valid authentication credentials (401 Unauthorized)"
)
SECRETS = {"CORP": "reader:p@ss/w:rd"}


def test_packages_without_wheels_are_found_in_every_way_uv_says_it():
    told = """
      cause: Because all versions of docopt have no usable wheels and you require docopt, and numpy==1.19.0
      has no usable wheels, and Py.Win32>=303 has no wheels with a matching platform tag
      cause: Building source distributions for `git_dep` is disabled
    """
    assert uv_refusals.wheelless(told) == {"docopt", "numpy", "py-win32", "git-dep"}
    assert uv_refusals.addressed(told) == {"git-dep"}


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ("Because nope was not found in the package registry and you require nope", "dependency_not_found"),
        ("error: No solution found when resolving dependencies\n cause: Because you", "dependency_conflict"),
        ("error: something new", "dependency_refused"),
        (DENIED, "index_unauthorized"),
    ],
)  # fmt: skip
def test_refusals_have_a_code_a_fix_and_uvs_words(told, code):
    error = uv_refusals.refusal(told, Target(), [CORP])
    assert isinstance(error, LockRefused)
    assert error.code == code
    assert error.fix
    assert error.evidence


def test_silence_is_not_a_refusal():
    error = uv_refusals.refusal("error: Request failed\n cause: dns error", Target())
    assert isinstance(error, ResolverUnavailable)
    torch = uv_refusals.refusal(
        "Failed to fetch: https://download.pytorch.org/whl/cpu/torch/ dns error", Target()
    )
    assert "TORCH_BACKEND" in torch.fix


@given(st.text(max_size=400))
def test_no_words_break_the_reading(told):
    uv_refusals.wheelless(told)
    uv_refusals.platforms(told)
    assert uv_refusals.refusal(told, Target()).args


@given(st.text(min_size=6, max_size=20), st.text(max_size=40), st.text(max_size=40))
def test_a_secret_is_gone_from_any_text_in_every_form(secret, before, after):
    scrubber = Scrubber([secret])
    pair = secret if ":" in secret else f"__token__:{secret}"
    for form in (secret, base64.b64encode(pair.encode()).decode()):
        clean = scrubber.clean(f"{before}{form}{after}")
        assert form not in clean or form in "[hidden]"


def test_a_secret_opens_only_the_host_of_its_index():
    assert login_for("https://corp.example/files/x.whl", "my-corp", [CORP], SECRETS) == (
        "reader",
        "p@ss/w:rd",
    )
    for url in (
        "https://other.example/x.whl",
        "http://corp.example/x.whl",
        "https://corp.example:8443/x.whl",
    ):
        assert login_for(url, "my-corp", [CORP], SECRETS) is None
    assert login_for("https://corp.example/x.whl", None, [CORP], SECRETS) is None


def test_uv_gets_secrets_by_variables_of_its_own():
    assert variables([CORP], SECRETS) == {
        "UV_INDEX": "my-corp=https://corp.example/simple",
        "UV_INDEX_MY_CORP_USERNAME": "reader",
        "UV_INDEX_MY_CORP_PASSWORD": "p@ss/w:rd",
    }
    assert variables([CORP], {"CORP": "t0ken"})["UV_INDEX_MY_CORP_USERNAME"] == "__token__"
    with pytest.raises(LockRefused) as refused:
        variables([CORP], {})
    assert refused.value.code == "secret_missing"
