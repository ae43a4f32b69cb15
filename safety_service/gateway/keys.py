"""Public keys of clients: which are strong enough, and which must never be trusted."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Final, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

ALGORITHMS: Final = ("ES384", "RS384")  # those that CDS Hooks recommends; never none, never a shared secret
_KTY = {"EC": "ES384", "RSA": "RS384"}
_LEAST_RSA_BITS = 2048
_MOST_KEYS = 50
# RFC 7638 thumbprint of the key of https://sandbox.cds-hooks.org, whose private half is published.
_SANDBOX: Final = "s9fOe-KDYD1myZ8YCzleUqJQgrYZL49kVijBxhnZvZc"


class UnusableKeyError(Exception):
    """A key set that must not be used; the text says why."""


class Key(NamedTuple):
    """`key` verifies `algorithm` and nothing else."""

    kid: str
    algorithm: str
    key: EllipticCurvePublicKey | RSAPublicKey


def read_keys(jwks: Any, allow_sandbox_key: bool = False) -> tuple[Key, ...]:
    """The keys of a set that can verify a client; keys for other purposes are left out. Raises UnusableKeyError."""
    held = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(held, list) or len(held) > _MOST_KEYS:
        raise UnusableKeyError(f"must have keys, at most {_MOST_KEYS}")
    found = []
    for each in held:
        if not isinstance(each, dict) or each.get("use", "sig") != "sig":
            continue
        algorithm = _KTY.get(str(each.get("kty")))
        kid = each.get("kid")
        if algorithm is None or not isinstance(kid, str) or not kid or each.get("alg", algorithm) != algorithm:
            continue
        public = {name: value for name, value in each.items() if name in ("kty", "crv", "x", "y", "n", "e")}
        try:
            key = jwt.PyJWK.from_dict({**public, "alg": algorithm}).key
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        if isinstance(key, EllipticCurvePublicKey) and key.curve.name == "secp384r1":
            if thumbprint(key) == _SANDBOX and not allow_sandbox_key:
                raise UnusableKeyError("holds the key of the public sandbox, whose private half everybody has")
            found.append(Key(kid, algorithm, key))
        elif isinstance(key, RSAPublicKey) and key.key_size >= _LEAST_RSA_BITS:
            found.append(Key(kid, algorithm, key))
    return tuple(found)


def thumbprint(key: EllipticCurvePublicKey) -> str:
    """RFC 7638, SHA-256, of a key on P-384; of its numbers, since one number can be written in several ways."""
    numbers = key.public_numbers()
    x, y = (_base64(each.to_bytes(48, "big")) for each in (numbers.x, numbers.y))
    canonical = f'{{"crv":"P-384","kty":"EC","x":"{x}","y":"{y}"}}'
    return _base64(hashlib.sha256(canonical.encode()).digest())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
