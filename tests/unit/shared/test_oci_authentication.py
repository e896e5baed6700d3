import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cynthus.oci.authentication import Authenticator, Challenge, Credentials
from cynthus.oci.ports import RegistryDenied, RegistryUnavailable

ADA = Credentials("ada", "open: sesame")
BEARER = 'Bearer realm="https://auth.example/token?a=b",service="registry.example",scope="repository:x:pull"'
PULL = ("repository:x:pull",)


@dataclass
class Realm:
    """Answers `answer` and counts the tokens it gave."""

    answer: dict[str, object] = field(default_factory=dict)
    now: float = 1000.0
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    def fetch(self, url: str, headers: Mapping[str, str]) -> bytes:
        self.asked.append((url, headers))
        return json.dumps({"token": f"token-{len(self.asked)}", **self.answer}).encode()

    def authenticator(
        self, credentials: Credentials | None = ADA, home: str = "https://r.example/v2/"
    ) -> Authenticator:
        return Authenticator(home, credentials, self.fetch, lambda: self.now)


def test_nothing_is_sent_before_it_is_asked_for() -> None:
    realm = Realm()
    assert realm.authenticator().header(PULL) is None
    assert realm.asked == []


def test_a_password_is_sent_when_the_registry_wants_one() -> None:
    asker = Realm().authenticator()
    assert asker.learn(['Basic realm="here"'], PULL, None)
    assert asker.header(PULL) == "Basic YWRhOm9wZW46IHNlc2FtZQ=="
    assert not asker.learn(['Basic realm="here"'], PULL, asker.header(PULL))


def test_without_credentials_a_password_is_not_tried() -> None:
    assert not Realm().authenticator(None).learn(["Basic"], PULL, None)


def test_a_token_is_kept_until_shortly_before_its_end() -> None:
    realm = Realm({"expires_in": 300})
    asker = realm.authenticator()
    asker.learn([BEARER], PULL, None)
    assert [asker.header(PULL), asker.header(PULL)] == ["Bearer token-1"] * 2
    realm.now += 289
    assert asker.header(PULL) == "Bearer token-1"
    realm.now += 2
    assert asker.header(PULL) == "Bearer token-2"
    assert asker.header(("repository:y:pull",)) == "Bearer token-3"


def test_a_realm_is_told_who_asks_for_what() -> None:
    realm = Realm()
    asker = realm.authenticator()
    asker.learn([BEARER], PULL, None)
    asker.header((*PULL, "repository:y:pull,push"))
    [(url, headers)] = realm.asked
    scopes = "scope=repository%3Ax%3Apull&scope=repository%3Ay%3Apull%2Cpush"
    assert url == f"https://auth.example/token?a=b&service=registry.example&{scopes}"
    assert headers == {"Authorization": ADA.basic}


def test_anybody_may_get_a_token_without_credentials() -> None:
    realm = Realm()
    asker = realm.authenticator(None)
    asker.learn([BEARER], PULL, None)
    assert asker.header(PULL) == "Bearer token-1"
    assert realm.asked[0][1] == {}


def test_a_token_that_the_registry_refuses_is_not_sent_again() -> None:
    asker = Realm().authenticator()
    asker.learn([BEARER], PULL, None)
    first = asker.header(PULL)
    assert asker.learn([BEARER], PULL, first)
    assert asker.header(PULL) != first
    assert asker.learn([BEARER], PULL, first)
    assert asker.header(PULL) == "Bearer token-2"


@pytest.mark.parametrize(
    "realm", ["http://auth.example/token", "ftp://auth.example", "http://r.example/token"]
)
def test_a_password_goes_nowhere_without_tls(realm: str) -> None:
    asked = Realm()
    asker = asked.authenticator()
    asker.learn([f'Bearer realm="{realm}"'], PULL, None)
    with pytest.raises(RegistryDenied):
        asker.header(PULL)
    assert asked.asked == []


@pytest.mark.parametrize(
    "answer", [{"token": None}, {"token": 5}, {"token": "a\r\nX: y"}, {"token": ""}, {"expires_in": "soon"}]
)
def test_an_answer_without_a_token_is_told_as_such(answer: dict[str, object]) -> None:
    asker = Realm(answer).authenticator()
    asker.learn([BEARER], PULL, None)
    with pytest.raises(RegistryUnavailable, match=r"auth\.example answers no token"):
        asker.header(PULL)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], None),
        (["Negotiate"], None),
        (["Basic"], Challenge()),
        (["basic realm=x"], Challenge()),
        (["Negotiate, Basic realm=x"], Challenge()),
        (['Bearer realm="https://a/t"'], Challenge("https://a/t")),
        (["Basic", 'bearer Realm="https://a/t", SERVICE=s'], Challenge("https://a/t", "s")),
        (['Basic realm="x", Bearer realm="https://a/t",scope="a b"'], Challenge("https://a/t", None, "a b")),
        (['Bearer realm="https://a/\\"t"'], Challenge('https://a/"t')),
        (['Bearer error="invalid"'], None),
    ],
)
def test_challenges_are_understood(headers: list[str], expected: Challenge | None) -> None:
    assert Challenge.parse(headers) == expected


@given(st.lists(st.text()), st.text())
def test_no_challenge_breaks_anything(headers: list[str], more: str) -> None:
    Challenge.parse([*headers, f"Bearer {more}"])


def test_a_password_is_not_shown() -> None:
    assert "sesame" not in repr(ADA)
