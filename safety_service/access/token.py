"""What makes a JSON web token valid: one definition for every door."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

import jwt

from safety_service.access.keys import Key

TOKEN_CHARACTERS: Final = 16_384
_TIMES: Final = ("exp", "iat", "nbf")


class TokenError(Exception):
    """A token that is not valid; the text says why and repeats nothing of it."""


class Unverified(NamedTuple):
    """Header and claims as they stand, to find out whose key verifies them; nothing in them is to be believed."""

    header: dict[str, Any]
    claims: dict[str, Any]


def read(token: str, algorithms: Collection[str]) -> Unverified:
    """The token as it stands, of one of `algorithms`. Raises TokenError."""
    if len(token) > TOKEN_CHARACTERS:
        raise TokenError("the token is too long")
    try:
        found = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise TokenError("the token is not a JSON web token") from None
    header, claims = found["header"], found["payload"]
    if header.get("alg") not in algorithms:
        raise TokenError(f"alg must be {' or '.join(algorithms)}")
    if "crit" in header:
        raise TokenError("crit is not understood")
    for name in _TIMES:
        if name in claims and not _is_time(claims[name]):
            raise TokenError(f"{name} must be a number")
    return Unverified(header, claims)


def verified(
    token: str, algorithm: str, key: Key, *, issuer: str, audience: Sequence[str], leeway: float, require: Sequence[str]
) -> dict[str, Any]:
    """The claims of a token signed with `key`: in time give or take `leeway` seconds, made out to one of `audience`.

    `algorithm` is that of its header. Raises TokenError.
    """
    if algorithm not in key.algorithms:
        raise TokenError("alg is not that of the key")
    try:
        return jwt.decode(
            token,
            key.key,
            algorithms=[algorithm],
            audience=list(audience),
            issuer=issuer,
            leeway=leeway,
            options={"require": list(require)},
        )
    except jwt.MissingRequiredClaimError as error:
        raise TokenError(f"{error.claim} is required") from None
    except (jwt.PyJWTError, ValueError, OverflowError, RecursionError) as error:
        raise TokenError(_WHY.get(type(error), "the token is not valid")) from None


_WHY: Final[dict[type[Exception], str]] = {
    jwt.ExpiredSignatureError: "the token has expired (exp)",
    jwt.ImmatureSignatureError: "the token is not valid yet (iat or nbf)",
    jwt.InvalidAudienceError: "aud must be the address that is called",
    jwt.InvalidIssuerError: "iss is not one that may call",
    jwt.InvalidSignatureError: "the signature is not that of the client",
}


def _is_time(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False
