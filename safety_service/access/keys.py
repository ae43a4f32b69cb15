"""Public keys of those who sign tokens: which are strong enough, and which must never be trusted."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection
from typing import Any, Final, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

# Never none, never a secret that both sides share.
ALGORITHMS: Final = ("ES256", "ES384", "ES512", "RS256", "RS384", "RS512")
CDS_HOOKS: Final = ("ES384", "RS384")  # those that CDS Hooks recommends
_OF_CURVE: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_LEAST_RSA_BITS = 2048
_MOST_KEYS = 50
# RFC 7638 thumbprint of the key of https://sandbox.cds-hooks.org, whose private half is published.
_SANDBOX: Final = "s9fOe-KDYD1myZ8YCzleUqJQgrYZL49kVijBxhnZvZc"


class UnusableKeyError(Exception):
    """A key set that must not be used; the text says why."""


class Key(NamedTuple):
    """`key` verifies `algorithms` and nothing else: one of a curve, one or more of RSA."""

    kid: str
    algorithms: tuple[str, ...]
    key: EllipticCurvePublicKey | RSAPublicKey


def read_keys(jwks: Any, algorithms: Collection[str] = CDS_HOOKS, allow_sandbox_key: bool = False) -> tuple[Key, ...]:
    """The keys of a set that can verify one of `algorithms`; others are left out. Raises UnusableKeyError."""
    held = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(held, list) or len(held) > _MOST_KEYS:
        raise UnusableKeyError(f"must have keys, at most {_MOST_KEYS}")
    found = []
    for each in held:
        if not isinstance(each, dict) or each.get("use", "sig") != "sig":
            continue
        kid = each.get("kid")
        key = _public(each)
        if key is None or not isinstance(kid, str) or not kid:
            continue
        if not allow_sandbox_key and _is_sandbox(key):
            raise UnusableKeyError("holds the key of the public sandbox, whose private half everybody has")
        usable = tuple(name for name in _fitting(key) if name in algorithms and each.get("alg", name) == name)
        if usable:
            found.append(Key(kid, usable, key))
    return tuple(found)


def _public(jwk: dict[str, Any]) -> EllipticCurvePublicKey | RSAPublicKey | None:
    """The public key, or None: another kind, not a key, or too weak."""
    algorithm = {"EC": "ES256", "RSA": "RS256"}.get(str(jwk.get("kty")))  # any of the kind; the curve is in the key
    if algorithm is None:
        return None
    public = {name: value for name, value in jwk.items() if name in ("kty", "crv", "x", "y", "n", "e")}
    try:
        key = jwt.PyJWK.from_dict({**public, "alg": _algorithm_of(public, algorithm)}).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key, RSAPublicKey):
        return key if key.key_size >= _LEAST_RSA_BITS else None
    return key if isinstance(key, EllipticCurvePublicKey) else None


def _algorithm_of(public: dict[str, Any], otherwise: str) -> str:
    return {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}.get(str(public.get("crv")), otherwise)


def _fitting(key: EllipticCurvePublicKey | RSAPublicKey) -> tuple[str, ...]:
    """The algorithms that a key of this kind and curve can verify."""
    if isinstance(key, RSAPublicKey):
        return tuple(each for each in ALGORITHMS if each.startswith("RS"))
    found = _OF_CURVE.get(key.curve.name)
    return () if found is None else (found,)


def _is_sandbox(key: EllipticCurvePublicKey | RSAPublicKey) -> bool:
    return isinstance(key, EllipticCurvePublicKey) and key.curve.name == "secp384r1" and thumbprint(key) == _SANDBOX


def thumbprint(key: EllipticCurvePublicKey) -> str:
    """RFC 7638, SHA-256, of a key on P-384; of its numbers, since one number can be written in several ways."""
    numbers = key.public_numbers()
    x, y = (_base64(each.to_bytes(48, "big")) for each in (numbers.x, numbers.y))
    canonical = f'{{"crv":"P-384","kty":"EC","x":"{x}","y":"{y}"}}'
    return _base64(hashlib.sha256(canonical.encode()).digest())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
