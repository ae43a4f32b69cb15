"""The file of callers: what may stand in it, and that no error repeats a hash."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from safety_service.access.callers_file import UnusableCallersError, new_key, parse_hash, read_callers
from safety_service.access.scopes import METHODS, Anybody, Scope, scopes_of
from tests.access.shown import caller, callers_file

GOOD = new_key("a")[1]
SLOW = new_key("a", "made-up-by-a-person")[1]


def test_callers_with_keys_and_certificates(tmp_path: Path) -> None:
    ward, key = caller("ward", "check", "knowledge", certificates=["spiffe://example.org/ward"])
    read = read_callers(callers_file(tmp_path, ward))

    known = read.by_name["ward"]
    assert known.scopes == {Scope.CHECK, Scope.KNOWLEDGE}
    assert known.hashes[0].fits(key.encode())
    assert not known.hashes[0].fits(f"{key}x".encode())
    assert read.by_certificate["spiffe://example.org/ward"] is known
    assert key not in repr(known)
    assert known.hashes[0].digest.hex() not in repr(known)


@pytest.mark.parametrize(
    ("callers", "why"),
    [
        ([], "callers: "),
        ([{"name": "a", "scopes": ["check"]}], "callers.0: needs keys or certificates"),
        ([{"name": "a", "scopes": [], "keys": [GOOD]}], "callers.0.scopes"),
        ([{"name": "a", "scopes": ["all"], "keys": [GOOD]}], "callers.0.scopes"),
        ([{"name": "A b", "scopes": ["check"], "keys": [GOOD]}], "callers.0.name"),
        ([{"name": "a.b", "scopes": ["check"], "keys": [GOOD]}], "callers.0.name"),
        ([{"name": "a", "scopes": ["check"], "keys": ["zzz-secret-in-clear"]}], "callers.0.keys.0"),
        ([{"name": "a", "scopes": ["check"], "keys": [GOOD], "more": 1}], "callers.0.more"),
        ([{"name": "a", "scopes": ["check"], "keys": [GOOD]}] * 2, "callers.1.name: is there twice"),
        (
            [{"name": name, "scopes": ["check"], "certificates": ["x"]} for name in ("a", "b")],
            "callers.1.certificates: one is there twice",
        ),
    ],
)
def test_what_cannot_be_used_is_named(callers: list[dict[str, Any]], why: str, tmp_path: Path) -> None:
    with pytest.raises(UnusableCallersError) as raised:
        read_callers(callers_file(tmp_path, *callers))

    assert why in str(raised.value)
    assert "zzz-secret" not in str(raised.value)
    assert GOOD not in str(raised.value)


def test_a_file_that_is_not_yaml_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "callers.yaml"
    with pytest.raises(UnusableCallersError, match="No such file"):
        read_callers(path)
    cut, no_date, deep = b"callers: [", b"callers: 2026-99-99", b"[" * 5000
    for content in (cut, no_date, deep, b"\xff\xfe\x00", b"", b"[]", yaml.safe_dump({"callers": {}}).encode()):
        path.write_bytes(content)
        with pytest.raises(UnusableCallersError):
            read_callers(path)


def test_both_hashes_fit_their_key_alone() -> None:
    for token, text in (new_key("a"), new_key("a", "made-up-by-a-person")):
        assert parse_hash(text).fits(token.encode())
        assert not parse_hash(text).fits(token[:-1].encode())
    assert new_key("a")[0] != new_key("a")[0]
    assert len(new_key("a")[0]) > 40


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "sha256:",
        "sha256:ABCD",
        "md5:" + "0" * 32,
        SLOW.replace("16384", "1024"),
        SLOW.replace("16384", "16385"),
        SLOW.replace("16384", "1073741824"),
        SLOW.replace(":8:", ":80000:"),
        SLOW.replace(":8:", ":0:"),
        SLOW[:-8],
        ":".join([*SLOW.split(":")[:4], "", SLOW.split(":")[5]]),
    ],
    ids=range(12),  # by number: the salt is another in each process
)
def test_hashes_that_are_weak_or_too_dear_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be sha256:HEX or scrypt"):
        parse_hash(text)


@pytest.mark.parametrize(("name", "secret"), [("A", ""), ("", ""), ("a.b", ""), ("a", "with space"), ("a", "a.b")])
def test_keys_that_could_not_be_told_apart_are_not_made(name: str, secret: str) -> None:
    with pytest.raises(ValueError, match="has"):
        new_key(name, secret)


def test_the_table_of_methods_knows_four_scopes() -> None:
    assert {each for each in METHODS.values() if isinstance(each, Scope)} == set(Scope)
    open_to_all = {path for path, each in METHODS.items() if each is Anybody.MAY}
    assert open_to_all == {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"}


def test_words_that_are_no_scope_of_ours_are_passed_over() -> None:
    assert scopes_of("openid check  other:admin") == {Scope.CHECK}
    assert scopes_of(["admin", "Check"]) == {Scope.ADMIN}
    assert scopes_of("") == frozenset()
