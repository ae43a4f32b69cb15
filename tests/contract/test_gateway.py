"""The gateway as a process, and the same answers at both doors."""

import http.client
import json
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from google.protobuf.json_format import ParseDict

from medsafety.v1.medication_safety_service_pb2 import CheckPrescriptionRequest
from medsafety.v1.medication_safety_service_pb2_grpc import MedicationSafetyServiceStub
from tests.gateway.processes import gateway_process
from tests.gateway.tokens import ISS, claims, ec_jwk, ec_key, signed

SANDBOX = Path(__file__).parents[1] / "data" / "cds-hooks" / "sandbox-shape"
SERVICE = "/cds-services/muscle-relaxant-safety"


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    with gateway_process() as address:
        yield address


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of this machine that nobody but the test trusts, and its key."""
    key = ec_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return chain, private


def test_tls_and_tokens(tmp_path: Path) -> None:
    """A real server with TLS and a file of clients: only a client with its token is answered, over TLS alone."""
    chain, private = certificate(tmp_path)
    clients = tmp_path / "clients.yaml"
    clients.write_text(json.dumps({"clients": [{"iss": ISS, "jwks": {"keys": [ec_jwk()]}}]}))
    flags = ("--tls-certificate", str(chain), "--tls-key", str(private), "--clients-file", str(clients))
    context = ssl.create_default_context(cafile=str(chain))
    with gateway_process(*flags) as address:

        def status(path: str, token: str = "") -> int:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            try:
                with urllib.request.urlopen(
                    urllib.request.Request(address + path, headers=headers), timeout=30, context=context
                ) as response:
                    return int(response.status)
            except urllib.error.HTTPError as error:
                with error:
                    return error.code

        token = signed(claims(aud=f"{address}/cds-services"))
        assert [status("/cds-services", each) for each in ("", token, token)] == [401, 200, 401]
        assert status("/medications") == 200
        assert status("/") == 404  # the page asks for no token, and so is not there
        plain = address.removeprefix("https://")
        with pytest.raises((OSError, http.client.HTTPException)):
            urllib.request.urlopen(f"http://{plain}/healthz", timeout=30)


def test_mutual_tls_and_a_limit_for_each_address(tmp_path: Path) -> None:
    """Nobody without a certificate of the authority is answered; who calls too often is told when to come again."""
    chain, private = certificate(tmp_path)
    flags = ("--tls-certificate", str(chain), "--tls-key", str(private), "--tls-client-authorities", str(chain))
    context = ssl.create_default_context(cafile=str(chain))
    with gateway_process(*flags, "--calls-per-second", "0.01", "--burst", "2") as address:

        def get(path: str) -> tuple[int, str]:
            try:
                with urllib.request.urlopen(address + path, timeout=30, context=context) as response:
                    return int(response.status), ""
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.headers["Retry-After"]

        with pytest.raises((OSError, http.client.HTTPException)):  # the handshake, or the first byte after it
            get("/healthz")
        context.load_cert_chain(chain, private)
        assert [get("/cds-services")[0] for _ in range(3)] == [200, 200, 429]
        assert 90 <= int(get("/cds-services")[1]) <= 100
        assert get("/healthz")[0] == 200  # whoever watches it is never turned away


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (
            ("--tls-certificate", __file__, "--tls-key", __file__),
            "TLS certificate, key or client authorities cannot be used",
        ),
        (("--tls-certificate", __file__), "go together"),
        (("--tls-client-authorities", __file__), "needs --tls-certificate"),
        (("--clients-file", __file__), "not YAML"),
        (("--authorities-file", __file__), "authorities"),
        (("--fhir-servers", "http://ehr.example.org"), "must be https"),
    ],
)
def test_it_does_not_start_half_secured(flags: tuple[str, ...], why: str) -> None:
    command = [sys.executable, "-m", "safety_service", "gateway", "--listen", "127.0.0.1:0", *flags]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert why in ended.stderr
    assert "Traceback" not in ended.stderr


def call(address: str, body: bytes | None = None) -> Any:
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"} if body else {})
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 200
        return json.load(response)


def test_it_serves(gateway: str) -> None:
    services = call(f"{gateway}/cds-services")["services"]
    assert {each["hook"] for each in services} >= {"order-select", "order-sign", "order-dispatch"}
    path = SANDBOX / "order-sign_cyclobenzaprine10_tid_30d.json"
    cards = call(gateway + SERVICE, path.read_bytes())["cards"]
    assert cards[0]["links"][0]["url"].startswith(gateway)


# The facts of each file, as a client of the other door would send them: dose by the piece, the last day of the timing
# as the first day without.
FACTS: dict[str, dict[str, Any]] = {
    "order-select_cyclobenzaprine10_tid_30d": {"times": 3, "start": "2026-11-22", "end": "2026-12-23"},
    "order-sign_cyclobenzaprine10_tid_30d": {"times": 3, "days": 30, "start": "2026-11-22"},
    "order-sign_carisoprodol350_qid_21d": {"times": 4, "days": 21},
    "order-sign_tizanidine4_tid_14d": {"times": 3, "days": 14},
}


def test_every_sandbox_request_has_its_facts() -> None:
    assert {each.stem for each in SANDBOX.glob("*.json")} == set(FACTS)


@pytest.mark.parametrize("name", sorted(FACTS))
def test_the_sandbox_and_grpc_get_the_same_alerts(name: str, gateway: str, checks: MedicationSafetyServiceStub) -> None:
    body = json.loads((SANDBOX / f"{name}.json").read_bytes())
    answer = call(gateway + SERVICE, json.dumps(body).encode())
    (decision,) = answer["extension"]["org.example.medsafety"]["decisions"]
    resource = body["context"]["draftOrders"]["entry"][0]["resource"]
    concept = resource["medicationCodeableConcept"]
    facts = FACTS[name]
    prescription: dict[str, Any] = {
        "id": "MedicationRequest/request-123",
        "medication": {"codings": concept["coding"], "text": concept["text"]},
        "doseQuantity": {"value": 1, "unit": "{pill}"},
        "frequency": {"times": facts["times"], "period": 1, "periodUnit": "d"},
        "orderedOn": day(resource["authoredOn"]),
    }
    if "start" in facts:
        prescription["startDate"] = day(facts["start"])
    if "days" in facts:
        prescription["daysSupply"] = facts["days"]
    if "end" in facts:
        prescription["endDate"] = day(facts["end"])
    request = ParseDict(
        {"prescription": prescription, "patient": {"id": body["context"]["patientId"]}, "asOf": decision["asOf"]},
        CheckPrescriptionRequest(),
    )
    response = checks.CheckPrescription(request, timeout=30)
    held = [card["extension"]["org.example.medsafety"] for card in answer["cards"]]
    alerts = [each.get("alerts", []) for each in held if "notChecked" not in each]
    cards = response.decision.cards
    assert [card["summary"] for card in answer["cards"][: len(cards)]] == [each.title for each in cards]
    assert [[each["fingerprint"] for each in some] for some in alerts] == [
        [each.fingerprint for each in card.reasons] for card in cards
    ]
    assert alerts


def day(text: str) -> dict[str, int]:
    year, month, number = map(int, text.split("-"))
    return {"year": year, "month": month, "day": number}
