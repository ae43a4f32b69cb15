"""Verified once, kept until it expires or the files change; wrong ones are never kept."""

import base64
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import CertificateBuilder, Name, NameAttribute, UnrecognizedExtension
from cryptography.x509.oid import ExtensionOID, NameOID

from safety_service.access import credentials as module
from safety_service.access import token as token_module
from safety_service.access.caller import NotKnownError, TooManyTriesError, UnusableCredentialsError
from safety_service.access.callers_file import new_key, read_callers
from safety_service.access.credentials import Credentials, Sources
from safety_service.access.keys import ALGORITHMS, read_keys
from safety_service.access.scopes import Scope
from safety_service.access.watched import Watched
from tests.access.shown import (
    AUDIENCE,
    ISSUER,
    caller,
    callers_file,
    certificate,
    claims,
    jwk,
    jwks_file,
    signing_key,
    tampered,
    token,
)
from tests.gateway.tokens import rsa_jwk, rsa_key


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def made(tmp_path: Path, clock: Clock, told: list[str]) -> Callable[..., Credentials]:
    def make(*callers: dict[str, Any], leeway: float = 0, keys: tuple[Any, ...] = ()) -> Credentials:
        file = callers_file(tmp_path, *callers) if callers else None
        sources = Sources(file, jwks_file(tmp_path, *keys), ISSUER, AUDIENCE, leeway)
        return Credentials(sources, told.append, clock, look_seconds=0)

    return make


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens whose signature was looked at."""
    seen: list[str] = []
    verify = token_module.verified

    def counted(token: str, *rest: Any, **more: Any) -> Any:
        seen.append(token)
        return verify(token, *rest, **more)

    monkeypatch.setattr(module, "verified", counted)
    return seen


def test_a_token_is_verified_once(made: Callable[..., Credentials], verifications: list[str]) -> None:
    known, shown = made(), token(claims("check feedback openid"))

    first, again = known.by_token(shown), known.by_token(shown)

    assert again is first
    assert first.name == "token:ward-7"
    assert first.scopes == {Scope.CHECK, Scope.FEEDBACK}
    assert verifications == [shown]


def test_what_is_kept_ends_when_the_token_does(made: Callable[..., Credentials], clock: Clock) -> None:
    known = made(leeway=30)
    shown = token(claims(exp=int(clock.now) + 60))
    assert known.by_token(shown)
    clock.now += 89
    assert known.by_token(shown)
    clock.now += 2
    with pytest.raises(NotKnownError, match="expired"):
        known.by_token(shown)


def test_a_clock_that_jumps_back_revives_no_signature(made: Callable[..., Credentials], clock: Clock) -> None:
    known = made()
    wrong = tampered(token())
    for jump in (0, -86_400, 86_400):
        clock.now += jump
        with pytest.raises(NotKnownError):
            known.by_token(wrong)


def test_wrong_tokens_are_not_kept(made: Callable[..., Credentials]) -> None:
    known = made(caller("ward")[0])
    for i in range(50):
        for wrong in (tampered(token(claims(sub=str(i)))), f"ward.{i}", f"nobody.{i}", str(i), "a\udcff"):
            with pytest.raises(NotKnownError):
                known.by_token(wrong)
    assert not known._now.by_token


def test_no_more_than_so_many_are_kept(made: Callable[..., Credentials], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_KEPT", 8)
    known = made()
    shown = [token(claims(sub=str(i))) for i in range(30)]
    for each in shown:
        assert known.by_token(each).name
        assert len(known._now.by_token) <= 8
    assert known.by_token(shown[0]).name == "token:0"


def test_a_key_that_is_taken_away_ends_its_tokens(
    made: Callable[..., Credentials], tmp_path: Path, told: list[str]
) -> None:
    known, shown = made(), token()
    assert known.by_token(shown)

    jwks_file(tmp_path, jwk("k1", number=1))

    with pytest.raises(NotKnownError):
        known.by_token(shown)
    assert known.by_token(token(number=1))
    assert told == [""]


def test_a_caller_that_is_taken_away_is_refused(made: Callable[..., Credentials], tmp_path: Path) -> None:
    ward, key = caller("ward")
    other, other_key = caller("other")
    known = made(ward, other)
    assert known.by_token(key).name == "ward"

    callers_file(tmp_path, other)

    with pytest.raises(NotKnownError):
        known.by_token(key)
    assert known.by_token(other_key).name == "other"


@pytest.mark.parametrize("broken", ["callers: [", "", "callers:\n- name: ward\n"])
def test_a_broken_file_leaves_who_was_known(
    made: Callable[..., Credentials], tmp_path: Path, told: list[str], broken: str
) -> None:
    ward, key = caller("ward")
    known = made(ward)
    (tmp_path / "callers.yaml").write_text(broken)

    assert known.by_token(key).name == "ward"
    assert len(told) == 1
    assert "callers.yaml" in told[0]
    assert known.by_token(key).name == "ward"
    assert len(told) == 1, "told once"

    callers_file(tmp_path, ward | {"scopes": ["admin"]})
    assert known.by_token(key).scopes == {Scope.ADMIN}


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"keys": []}', '{"keys": [{"kty": "oct", "k": "x", "kid": "k1"}]}']
)
def test_a_set_without_a_usable_key_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "jwks.json").write_text(content)
    with pytest.raises(UnusableCredentialsError, match=r"jwks\.json"):
        Credentials(Sources(None, tmp_path / "jwks.json", ISSUER, AUDIENCE), print)


@pytest.mark.parametrize("alg", ["RS256", "RS384", "RS512"])
def test_rsa_signs_with_each_of_its_hashes(made: Callable[..., Credentials], alg: str) -> None:
    known = made(keys=(rsa_jwk("r1"),))
    assert known.by_token(jwt.encode(claims(), rsa_key(), alg, headers={"kid": "r1"}))


def test_a_key_of_one_algorithm_verifies_no_other() -> None:
    only = {**rsa_jwk("r1"), "alg": "RS512"}
    assert [each.algorithms for each in read_keys({"keys": [only]}, ALGORITHMS)] == [("RS512",)]
    assert [each.algorithms for each in read_keys({"keys": [jwk()]}, ALGORITHMS)] == [("ES256",)]
    assert read_keys({"keys": [jwk()]}) == (), "CDS Hooks asks for P-384"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"sub": "two words"}, "sub"),
        ({"sub": "x" * 200}, "sub"),
        ({"sub": "ü"}, "sub"),
        ({"sub": ""}, "sub"),
        ({"exp": float("inf")}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": 10**400}, "exp"),
        ({"iat": 10**400}, "iat"),
    ],
)
def test_claims_that_would_do_harm_are_refused(
    made: Callable[..., Credentials], changed: dict[str, Any], why: str
) -> None:
    with pytest.raises(NotKnownError, match=why):
        made().by_token(token(claims(**changed)))


@pytest.mark.parametrize(
    ("scope", "granted"),
    [
        ({"scope": ["check"]}, {Scope.CHECK}),
        ({"scope": None, "scp": ["admin", 1, None]}, {Scope.ADMIN}),
        ({"scope": 7}, set()),
        ({"scope": None}, set()),
    ],
)
def test_scopes_in_other_forms(made: Callable[..., Credentials], scope: Any, granted: set[Scope]) -> None:
    payload = {name: value for name, value in (claims() | scope).items() if value is not None}
    assert made().by_token(token(payload)).scopes == granted


def test_a_critical_header_that_nobody_understands_is_refused(made: Callable[..., Credentials]) -> None:
    with pytest.raises(NotKnownError):
        made().by_token(token(crit=["x"]))


def test_claims_of_any_depth_are_refused_or_read(made: Callable[..., Credentials]) -> None:
    """The depth that can be read differs by a frame or two between the first look and the second."""
    known = made()
    head, _, signature = token().split(".")
    for depth in [*range(1, 2_000, 7), *range(900, 1_000), 100_000]:
        nested = f'{{"a":{"[" * depth}{"]" * depth}}}'.encode()
        payload = base64.urlsafe_b64encode(nested).rstrip(b"=").decode()
        with pytest.raises(NotKnownError):
            known.by_token(f"{head}.{payload}.{signature}")


def test_a_token_without_kid_fits_the_only_key(made: Callable[..., Credentials], tmp_path: Path) -> None:
    bare = jwt.encode(claims(), signing_key(), "ES256")
    assert made().by_token(bare)
    with pytest.raises(NotKnownError, match="kid is required"):
        made(keys=(jwk("k1"), jwk("k2", 1))).by_token(bare)


def test_chosen_secrets_cannot_be_tried_fast(made: Callable[..., Credentials]) -> None:
    key, hashed = new_key("desk", "made-up-by-a-person")
    known = made({"name": "desk", "scopes": ["check"], "keys": [hashed]})
    assert known.by_token(key).name == "desk"

    waits = []
    for i in range(20):
        try:
            known.by_token(f"desk.guess-{i}")
        except NotKnownError:
            waits.append(0.0)
        except TooManyTriesError as error:
            waits.append(error.seconds)

    assert waits[0] == 0, "the first is looked at"
    assert waits[-1] > 0, "the last is not"
    assert known.by_token(key).name == "desk", "who is known already is not kept out"


# --- certificates ---------------------------------------------------------------------------------------------------


def test_any_name_of_a_certificate_counts_and_the_subject_does_not(made: Callable[..., Credentials]) -> None:
    ward = {"name": "ward", "scopes": ["check"], "certificates": ["spiffe://b"]}
    known = made(ward, {"name": "other", "scopes": ["admin"], "certificates": ["other"]})

    assert known.by_certificate(certificate("other", "spiffe://a", "spiffe://b").pem).name == "ward"
    unnamed = known.by_certificate(certificate("other", "spiffe://a").pem)
    assert (unnamed.name, unnamed.scopes) == ("certificate:spiffe://a", frozenset())
    assert known.by_certificate(certificate("other").pem).scopes == frozenset()


def test_a_certificate_ends_in_time(made: Callable[..., Credentials], clock: Clock) -> None:
    shown = certificate("ward", "spiffe://a").pem
    known = made()
    assert known.by_certificate(shown) is known.by_certificate(shown)
    clock.now += 31 * 86_400
    with pytest.raises(NotKnownError, match="expired"):
        known.by_certificate(shown)


def test_what_is_no_certificate_is_refused(made: Callable[..., Credentials]) -> None:
    with pytest.raises(NotKnownError):
        made().by_certificate(b"-----BEGIN CERTIFICATE-----\nzzz\n-----END CERTIFICATE-----\n")


def test_a_certificate_with_a_name_that_nobody_reads_is_refused(made: Callable[..., Credentials]) -> None:
    """An EDI party name: an authority may sign it, and the transport lets it through."""
    name = UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, bytes.fromhex("3009a507a1050c0377617264"))
    key = signing_key()
    subject = Name([NameAttribute(NameOID.COMMON_NAME, "ward")])
    now = datetime.now(UTC)
    built = CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    built = built.serial_number(7).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    pem = built.add_extension(name, critical=False).sign(key, SHA256()).public_bytes(Encoding.PEM)

    with pytest.raises(NotKnownError, match="cannot be read"):
        made().by_certificate(pem)


# --- files ----------------------------------------------------------------------------------------------------------


def test_files_are_looked_at_no_more_often_than_said(tmp_path: Path) -> None:
    now = [0.0]
    path = tmp_path / "file"
    path.write_text("a")
    watched = Watched([path], 1.0, lambda: now[0])
    (tmp_path / "new").write_text("b")
    os.replace(tmp_path / "new", path)
    assert not watched.changed(), "too early"
    now[0] = 1.0
    assert watched.changed()
    now[0] = 2.0
    assert not watched.changed()
    path.unlink()
    now[0] = 3.0
    assert watched.changed()


def test_a_file_that_could_not_be_read_once_is_taken_up_later(
    made: Callable[..., Credentials], told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time, size and inode stay the same when only the permissions are put right."""
    ward, key = caller("ward", "check")
    known = made(ward)
    assert known.by_token(key).name == "ward"
    callers_file(tmp_path, caller("other", "check")[0])
    with monkeypatch.context() as unreadable:

        def refuses(path: Path) -> bytes:
            raise PermissionError(13, "Permission denied")

        unreadable.setattr(Path, "read_bytes", refuses)
        assert known.by_token(key).name == "ward"
        assert known.by_token(key).name == "ward"

    with pytest.raises(NotKnownError):
        known.by_token(key)

    assert len(told) == 2, "one line for one reason, and one when it is over"
    assert told[0].endswith("Permission denied")
    assert told[1] == ""


def test_a_failure_that_nobody_expected_is_told_without_its_text(
    made: Callable[..., Credentials], told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward, key = caller("ward", "check")
    known = made(ward)
    callers_file(tmp_path, caller("other", "check")[0])

    def fails(path: Path) -> None:
        raise LookupError("zzz-secret")

    monkeypatch.setattr(module, "read_callers", fails)
    assert known.by_token(key).name == "ward"
    assert told == ["LookupError"]


def test_a_slow_read_replaces_no_newer_one(
    made: Callable[..., Credentials], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward, key = caller("ward", "check")
    known = made(ward)
    other = caller("other", "check")
    reading, go_on = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def slow(path: Path) -> Any:
        found = read_callers(path)
        if threading.current_thread() is threads[0]:
            reading.set()
            go_on.wait(10)
        return found

    monkeypatch.setattr(module, "read_callers", slow)
    threads += [threading.Thread(target=known._current) for _ in range(2)]
    callers_file(tmp_path, ward, caller("third", "check")[0])
    threads[0].start()
    assert reading.wait(10)
    callers_file(tmp_path, other[0])
    threads[1].start()
    threads[1].join(0.2)  # it ends here only where nothing keeps the two apart
    go_on.set()
    for each in threads:
        each.join(10)

    assert set(known._now.callers.by_name) == {"other"}
    with pytest.raises(NotKnownError):
        known.by_token(key)


def test_files_that_could_not_be_read_count_as_changed_again(tmp_path: Path) -> None:
    watched = Watched([tmp_path / "none"], 0)
    assert not watched.changed()
    watched.again()
    assert watched.changed()
    assert not watched.changed()
