"""What callers show: certificates and tokens of authorities made up for a test, and the files that name them."""

import base64
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import jwt
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from safety_service.access.callers_file import new_key

ISSUER = "https://issuer.example.org"
AUDIENCE = "https://medsafety.example.org"
EVERYTHING = "check knowledge feedback admin"


@dataclass(frozen=True)
class Shown:
    """A certificate in PEM, with its key and who signs with it."""

    pem: bytes
    key_pem: bytes
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def signing_key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    return _signing_key(number)


@lru_cache
def _signing_key(number: int) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def authority(name: str = "authority") -> Shown:
    return _authority(name)


@lru_cache
def _authority(name: str) -> Shown:
    return _signed(name, None, (), timedelta(days=-1), timedelta(days=30))


def certificate(
    name: str = "server",
    *uris: str,
    by: str = "authority",
    begins: timedelta = timedelta(days=-1),
    ends: timedelta = timedelta(days=30),
) -> Shown:
    """Of a server on this machine, or of a client with these URIs as names."""
    return _signed(name, authority(by), uris, begins, ends)


def _signed(name: str, by: Shown | None, uris: tuple[str, ...], begins: timedelta, ends: timedelta) -> Shown:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if by is None else by.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    )
    if by is not None:
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(each) for each in uris]
        if not uris:
            names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
        built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
    signed = built.sign(key if by is None else by.key, SHA256())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Shown(signed.public_bytes(Encoding.PEM), pem, signed, key)


def written(folder: Path, name: str, shown: Shown) -> tuple[Path, Path]:
    """The certificate and its key as files."""
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(shown.pem)
    paths[1].write_bytes(shown.key_pem)
    return paths


def jwk(kid: str = "k1", number: int = 0) -> dict[str, Any]:
    return {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(signing_key(number).public_key())), "kid": kid}


def jwks_file(folder: Path, *keys: dict[str, Any]) -> Path:
    path = folder / "jwks.json"
    path.write_text(json.dumps({"keys": list(keys or (jwk(),))}))
    return path


def claims(scope: str = EVERYTHING, **changed: Any) -> dict[str, Any]:
    """Those given replace or, as None, go."""
    now = int(time.time())
    held = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ward-7", "exp": now + 300, "iat": now, "scope": scope, **changed}
    return {name: value for name, value in held.items() if value is not None}


def token(payload: dict[str, Any] | None = None, number: int = 0, alg: str = "ES256", **header: Any) -> str:
    held: dict[str, Any] = {"kid": "k1", **header}
    return jwt.encode(claims() if payload is None else payload, signing_key(number), alg, headers=held)


def tampered(signed: str) -> str:
    """The same token, saying more than was signed."""
    header, payload, signature = signed.split(".")
    said = json.loads(base64.urlsafe_b64decode(payload + "=="))
    said["sub"] = "somebody-else"
    changed = base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=").decode()
    return f"{header}.{changed}.{signature}"


def callers_file(folder: Path, *callers: dict[str, Any]) -> Path:
    path = folder / "callers.yaml"
    path.write_text(yaml.safe_dump({"callers": list(callers)}))
    return path


def caller(name: str = "ward", *scopes: str, **more: Any) -> tuple[dict[str, Any], str]:
    """An entry of the file, and the key that fits it."""
    key, hashed = new_key(name)
    return {"name": name, "scopes": list(scopes or EVERYTHING.split()), "keys": [hashed], **more}, key
