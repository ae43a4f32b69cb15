"""Who may call: each way in which a token can be wrong is refused, says why, and asks nobody that it should not."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from safety_service.access.keys import UnusableKeyError, read_keys
from safety_service.gateway.app import Gateway, application
from safety_service.gateway.caller import Callers, KeySets
from safety_service.gateway.clients import Client, UnusableClientsError, read_clients
from safety_service.gateway.outside import Reader, UnreadableError
from tests.gateway.calls import SERVICE, call
from tests.gateway.tokens import (
    BASE,
    DISCOVERY,
    ISS,
    SANDBOX_JWK,
    claims,
    ec_jwk,
    ec_key,
    handmade,
    rsa_jwk,
    rsa_key,
    server,
    signed,
)

JKU = "https://ehr.example.org/jwks.json"


class Jwks(Reader):
    """Serves key sets and counts how often they were read; an address that it does not have cannot be reached."""

    def __init__(self, **sets: Any) -> None:
        self.sets: dict[str, Any] = sets
        self.read_urls: list[str] = []

    async def read(self, url: str, headers: Any, most_bytes: int, seconds: float) -> Any:
        self.read_urls.append(url)
        if url not in self.sets:
            raise UnreadableError("it could not be reached")
        return self.sets[url]

    async def close(self) -> None:
        pass


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def jwks() -> Jwks:
    return Jwks(**{JKU: {"keys": [ec_jwk(), rsa_jwk()]}})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guarded(gateway: Gateway, jwks: Jwks, clock: Clock) -> Iterator[TestClient]:
    clients = {
        ISS: Client(ISS, jku=JKU),
        "configured": Client("configured", keys=read_keys({"keys": [ec_jwk(), rsa_jwk()]})),
        "tenants": Client("tenants", keys=read_keys({"keys": [ec_jwk()]}), tenants=frozenset({"north"})),
    }
    callers = Callers(clients, KeySets(jwks, 1.0, False, clock), BASE)
    with TestClient(application(replace(gateway, callers=callers)), raise_server_exceptions=False) as opened:
        yield opened


def ask(client: TestClient, token: str | None, path: str = DISCOVERY) -> Any:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return client.get(path, headers=headers)


def refused(response: Any, why: str, status: int = 401) -> None:
    assert response.status_code == status, response.text
    outcome = response.json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert outcome["issue"][0]["code"] == ("login" if status == 401 else "forbidden")
    assert why in outcome["issue"][0]["diagnostics"]
    if status == 401:
        assert response.headers["www-authenticate"] == "Bearer"


def test_both_recommended_algorithms_are_taken(guarded: TestClient) -> None:
    assert ask(guarded, signed()).status_code == 200
    assert ask(guarded, signed(alg="RS384", key=rsa_key())).status_code == 200
    assert ask(guarded, signed(claims(iss="configured"))).status_code == 200


def test_more_than_asked_is_tolerated(guarded: TestClient) -> None:
    now = int(time.time())
    extra = claims(nbf=now - 5, sub="x", aud=["https://elsewhere.example.org", BASE + DISCOVERY], tenant="any")
    assert ask(guarded, signed(extra, jku=JKU)).status_code == 200
    assert ask(guarded, signed(claims(exp=now - 30, iat=now - 300))).status_code == 200  # clocks differ by a minute
    assert ask(guarded, signed(claims(iat=now + 30))).status_code == 200


@pytest.mark.parametrize("path", [DISCOVERY, SERVICE, f"{SERVICE}/feedback", "/fhir/$check"])
def test_nobody_calls_without_a_token(path: str, guarded: TestClient) -> None:
    response = guarded.get(path) if path == DISCOVERY else guarded.post(path, json=call())
    refused(response, "a bearer token is required")


def test_pages_and_health_ask_for_none(guarded: TestClient) -> None:
    for path in ("/healthz", "/openapi.json", "/medications", "/rules/duration.course"):
        assert guarded.get(path).status_code == 200


def test_a_service_is_called_with_its_own_token(guarded: TestClient) -> None:
    token = signed(claims(SERVICE))
    assert guarded.post(SERVICE, json=call(), headers={"Authorization": f"Bearer {token}"}).status_code == 200
    feedback = f"{SERVICE}/feedback"
    body = {"feedback": [{"card": "c", "outcome": "overridden", "outcomeTimestamp": "2026-11-22T10:05:31Z"}]}
    for audience in (SERVICE, feedback):
        token = signed(claims(audience))
        response = guarded.post(feedback, json=body, headers={"Authorization": f"Bearer {token}"})
        assert response.status_code == 200
    refused(guarded.post(SERVICE, json=call(), headers={"Authorization": f"Bearer {signed(claims(feedback))}"}), "aud")


NOW = int(time.time())
WRONG: dict[str, tuple[Any, str]] = {
    "no token at all": ("", "a bearer token is required"),
    "not a token": ("zzz", "not a JSON web token"),
    "too long": ("x" * 20_000, "too long"),
    "expired": (lambda: signed(claims(exp=NOW - 3600, iat=NOW - 3900)), "expired"),
    "expired in 2015": (lambda: signed(claims(exp=1_422_568_860, iat=1_422_568_800)), "expired"),
    "issued in the future": (lambda: signed(claims(iat=NOW + 3600, exp=NOW + 3700)), "not valid yet"),
    "not yet": (lambda: signed(claims(nbf=NOW + 3600)), "not valid yet"),
    "lives too long": (lambda: signed(claims(exp=NOW + 90_000)), "at most 3600 s"),
    "another audience": (lambda: signed(claims(aud="https://elsewhere.example.org")), "aud"),
    "the base alone": (lambda: signed(claims(aud=BASE)), "aud"),
    "no audience": (lambda: signed(claims(aud=None)), "aud is required"),
    "no exp": (lambda: signed(claims(exp=None)), "exp is required"),
    "no iat": (lambda: signed(claims(iat=None)), "iat is required"),
    "no jti": (lambda: signed(claims(jti=None)), "jti is required"),
    "empty jti": (lambda: signed(claims(jti="")), "jti must be a string"),
    "jti too long": (lambda: signed(claims(jti="x" * 257)), "jti must be a string"),
    "no iss": (lambda: signed(claims(iss=None)), "iss is not one that may call"),
    "another iss": (lambda: signed(claims(iss="https://evil.example.org")), "iss is not one that may call"),
    "iss is a list": (lambda: handmade({"alg": "ES384", "typ": "JWT", "kid": "e1"}, {"iss": [ISS]}), "iss"),
    "exp is text": (
        lambda: handmade({"alg": "ES384", "typ": "JWT", "kid": "e1"}, claims(exp="9999999999")), "exp must be a number"
    ),
    "exp is endless": (
        lambda: handmade({"alg": "ES384", "typ": "JWT", "kid": "e1"}, claims(exp=float("inf"))), "exp must be a number"
    ),
    "exp is more than a float holds": (
        lambda: handmade({"alg": "ES384", "typ": "JWT", "kid": "e1"}, claims(exp=10**400)), "exp must be a number"
    ),
    "iat is true": (
        lambda: handmade({"alg": "ES384", "typ": "JWT", "kid": "e1"}, claims(iat=True)), "iat must be a number"
    ),
    "no signature at all": (lambda: handmade({"alg": "none", "typ": "JWT", "kid": "e1"}, claims()), "alg must be"),
    "none in another spelling": (lambda: handmade({"alg": "nOnE", "typ": "JWT", "kid": "e1"}, claims()), "alg must be"),
    "a shared secret": (lambda: signed(alg="HS256", key="x" * 48), "alg must be"),
    "a shared secret made of the public key": (lambda: signed(alg="HS384", key="y" * 48, kid="e1"), "alg must be"),
    "a weaker algorithm": (lambda: signed(alg="RS256", key=rsa_key()), "alg must be"),
    "alg of another kind of key": (lambda: signed(alg="RS384", key=rsa_key(), kid="e1"), "alg is not that of the key"),
    "typ": (lambda: signed(typ="at+jwt"), "typ must be JWT"),
    "no kid": (lambda: handmade({"alg": "ES384", "typ": "JWT"}, claims()), "kid is required"),
    "unknown kid": (lambda: signed(kid="zzz"), "no usable key"),
    "another's key": (lambda: signed(key=ec_key(1)), "signature"),
    "empty signature": (lambda: signed().rpartition(".")[0] + ".", "signature"),
    "jku not of the client": (lambda: signed(jku="https://evil.example.org/jwks.json"), "jku"),
    "jku on this machine": (lambda: signed(jku="http://127.0.0.1:1/jwks.json"), "jku"),
    "jku for configured keys": (lambda: signed(claims(iss="configured"), jku=JKU), "jku"),
    "claims are no object": (lambda: handmade({"alg": "ES384", "typ": "JWT", "kid": "e1"}, [1]), "not a JSON web"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_token_that_is_wrong_is_refused(name: str, guarded: TestClient, jwks: Jwks) -> None:
    made, why = WRONG[name]
    refused(ask(guarded, made if isinstance(made, str) else made()), why)
    assert set(jwks.read_urls) <= {JKU}  # whatever the token says, nobody else is asked


def test_changed_claims_are_refused(guarded: TestClient) -> None:
    header, _, signature = signed().split(".")
    _, other, _ = signed(claims(jti="another")).split(".")
    refused(ask(guarded, f"{header}.{other}.{signature}"), "signature")


def test_a_token_counts_once(guarded: TestClient) -> None:
    token = signed()
    assert ask(guarded, token).status_code == 200
    refused(ask(guarded, token), "used before")
    payload = claims(jti="the same")
    assert ask(guarded, signed(payload)).status_code == 200
    refused(ask(guarded, signed({**payload, "exp": payload["exp"] + 1})), "used before")
    assert ask(guarded, signed({**payload, "iss": "configured"})).status_code == 200  # another's jti is another


def test_a_refused_token_does_not_use_up_a_jti(guarded: TestClient) -> None:
    payload = claims(jti="mine")
    refused(ask(guarded, signed(payload, key=ec_key(1))), "signature")
    assert ask(guarded, signed(payload)).status_code == 200


def test_tenants(guarded: TestClient) -> None:
    assert ask(guarded, signed(claims(iss="tenants", tenant="north"))).status_code == 200
    refused(ask(guarded, signed(claims(iss="tenants", tenant="south"))), "tenant", 403)
    refused(ask(guarded, signed(claims(iss="tenants"))), "tenant", 403)


def test_keys_are_fetched_once_and_again_for_a_new_kid(guarded: TestClient, jwks: Jwks, clock: Clock) -> None:
    for _ in range(3):
        assert ask(guarded, signed()).status_code == 200
    assert len(jwks.read_urls) == 1
    jwks.sets[JKU] = {"keys": [ec_jwk("e2", 2)]}
    refused(ask(guarded, signed(key=ec_key(2), kid="e2")), "kid")  # fetched a moment ago
    assert len(jwks.read_urls) == 1
    clock.now += 31
    assert ask(guarded, signed(key=ec_key(2), kid="e2")).status_code == 200
    refused(ask(guarded, signed()), "kid")  # the key of before is gone
    assert len(jwks.read_urls) == 2
    clock.now += 601
    assert ask(guarded, signed(key=ec_key(2), kid="e2")).status_code == 200
    assert len(jwks.read_urls) == 3


def test_strangers_do_not_make_us_fetch_without_end(guarded: TestClient, jwks: Jwks, clock: Clock) -> None:
    for i in range(20):
        refused(ask(guarded, signed(kid=f"k{i}")), "kid")
    assert len(jwks.read_urls) == 1


def test_keys_stay_for_a_time_when_they_cannot_be_fetched(guarded: TestClient, jwks: Jwks, clock: Clock) -> None:
    assert ask(guarded, signed()).status_code == 200
    jwks.sets.clear()
    clock.now += 700
    assert ask(guarded, signed()).status_code == 200
    clock.now += 3_600
    refused(ask(guarded, signed()), "kid")


@pytest.mark.parametrize(
    "sent", [None, [], {}, {"keys": 7}, {"keys": [7, {}, {"kty": "EC"}, {"kty": "oct", "k": "x"}]}]
)
def test_key_sets_that_are_none(sent: Any, guarded: TestClient, jwks: Jwks) -> None:
    jwks.sets[JKU] = sent
    refused(ask(guarded, signed()), "kid")


def test_weak_and_wrong_keys_are_left_out() -> None:
    assert read_keys({"keys": [rsa_jwk(bits=1024)]}) == ()
    assert read_keys({"keys": [{**ec_jwk(), "use": "enc"}]}) == ()
    assert read_keys({"keys": [{**ec_jwk(), "alg": "ES256"}]}) == ()
    assert read_keys({"keys": [{**ec_jwk(), "kid": None}]}) == ()
    assert [each.kid for each in read_keys({"keys": [ec_jwk(), rsa_jwk()]})] == ["e1", "r1"]


def test_the_sandbox_key_is_refused_unless_it_is_allowed(guarded: TestClient, jwks: Jwks) -> None:
    spelled = {**SANDBOX_JWK, "x": SANDBOX_JWK["x"] + "==", "kid": "mine"}
    for each in (SANDBOX_JWK, spelled):
        with pytest.raises(UnusableKeyError, match="sandbox"):
            read_keys({"keys": [ec_jwk(), each]})
    assert len(read_keys({"keys": [SANDBOX_JWK]}, allow_sandbox_key=True)) == 1
    jwks.sets[JKU] = {"keys": [SANDBOX_JWK, ec_jwk()]}
    refused(ask(guarded, signed()), "kid")  # who trusts it is not trusted with its other keys


def test_keys_come_over_the_network(gateway: Gateway) -> None:
    keys = json.dumps({"keys": [ec_jwk()]}).encode()
    answers = {
        "/good": (200, {}, keys),
        "/moved": (302, {"Location": "/good"}, b""),
        "/big": (200, {}, b"[" + b" " * 70_000 + b"]"),
        "/text": (200, {}, b"zzz"),
        "/none": (404, {}, keys),
    }
    with server(lambda path, headers: answers[path]) as (address, asked):
        for path in answers:
            clients = {ISS: Client(ISS, jku=address + path)}
            callers = Callers(clients, KeySets(Reader(), 5.0, False), BASE)
            with TestClient(application(replace(gateway, callers=callers))) as opened:
                status = ask(opened, signed()).status_code
            assert status == (200 if path == "/good" else 401), path
        assert [path for path, _ in asked] == list(answers)  # no redirect was followed


# --- the file of clients -----------------------------------------------------------------------------------------


def clients_file(folder: Path, *clients: Any) -> Path:
    path = folder / "clients.yaml"
    path.write_text(json.dumps({"clients": clients}))
    return path


def test_the_file_of_clients(tmp_path: Path) -> None:
    path = clients_file(
        tmp_path,
        {"iss": ISS, "jku": JKU, "fhir_servers": ["https://ehr.example.org/r4/"]},
        {"iss": "other", "jwks": {"keys": [ec_jwk()]}, "tenants": ["north"]},
    )
    read = read_clients(path)
    assert read[ISS] == Client(ISS, JKU, fhir_servers=frozenset({"https://ehr.example.org/r4"}))
    assert [each.kid for each in read["other"].keys] == ["e1"]


@pytest.mark.parametrize(
    ("client", "why"),
    [
        ({"iss": "x"}, "either jku or jwks"),
        ({"iss": "x", "jku": JKU, "jwks": {"keys": []}}, "either jku or jwks"),
        ({"jku": JKU}, "iss"),
        ({"iss": "x", "jku": "http://ehr.example.org/jwks"}, "https"),
        ({"iss": "x", "jku": "file:///etc/passwd"}, "https"),
        ({"iss": "x", "jku": "https://user:pass@ehr.example.org/"}, "without user"),
        ({"iss": "x", "jku": JKU, "fhir_servers": ["http://ehr.example.org"]}, "https"),
        ({"iss": "x", "jwks": {"keys": []}}, "no key"),
        ({"iss": "x", "jwks": {"keys": [SANDBOX_JWK]}}, "sandbox"),
        ({"iss": "x", "jku": JKU, "zzz": 1}, "zzz"),
    ],
)
def test_a_file_of_clients_that_is_wrong_says_where(client: Any, why: str, tmp_path: Path) -> None:
    with pytest.raises(UnusableClientsError, match=why):
        read_clients(clients_file(tmp_path, client))


def test_no_file_no_yaml_and_twice(tmp_path: Path) -> None:
    with pytest.raises(UnusableClientsError, match="No such file"):
        read_clients(tmp_path / "none")
    (tmp_path / "bad").write_text("{")
    with pytest.raises(UnusableClientsError, match="not YAML"):
        read_clients(tmp_path / "bad")
    with pytest.raises(UnusableClientsError, match="twice"):
        read_clients(clients_file(tmp_path, *[{"iss": ISS, "jku": JKU}] * 2))
