"""The file of callers: a name for each, what it may do, and the keys or certificates by which it is known."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from safety_service.access.scopes import Scope

_NAME = r"[a-z0-9][a-z0-9_-]{0,63}"
LEAST_CHOSEN: Final = 12  # characters of a secret that somebody made up
_SECRET_BYTES: Final = 32
_SALT_BYTES: Final = 16
_COST, _BLOCK, _PARALLEL = 2**14, 8, 1  # 16 MiB and about 50 ms for each try
_MOST_MEMORY: Final = 64 * 1024 * 1024


class UnusableCallersError(Exception):
    """The file cannot be used; the text says why, line by line, and repeats no hash."""


class Hash(NamedTuple):
    """What is kept of a key. Cost 0: SHA-256, for keys made by `new_key`; else scrypt, for those that people chose."""

    digest: bytes
    salt: bytes = b""
    cost: int = 0
    block: int = 0
    parallel: int = 0

    def fits(self, token: bytes) -> bool:
        """Whether the token has this hash."""
        return hmac.compare_digest(self.digest, _hashed(token, self.salt, self.cost, self.block, self.parallel))


@dataclass(frozen=True, slots=True)
class Known:
    """A caller of the file."""

    name: str
    scopes: frozenset[Scope]
    hashes: tuple[Hash, ...] = field(default=(), repr=False)


class Callers(NamedTuple):
    """The file, read: `by_certificate` are subject alternative names."""

    by_name: Mapping[str, Known]
    by_certificate: Mapping[str, Known]


NOBODY: Final = Callers({}, {})


def _hash(text: str) -> str:
    parse_hash(text)
    return text


class _Caller(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Annotated[str, Field(pattern=f"^{_NAME}$")]
    scopes: Annotated[frozenset[Scope], Field(min_length=1)]
    keys: tuple[Annotated[str, AfterValidator(_hash)], ...] = ()
    certificates: tuple[Annotated[str, Field(min_length=1)], ...] = ()


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    callers: Annotated[tuple[_Caller, ...], Field(min_length=1)]


def read_callers(path: Path) -> Callers:
    """The callers of a file. Raises UnusableCallersError."""
    try:
        read = _File.model_validate(yaml.safe_load(path.read_bytes()))
    except OSError as error:
        raise UnusableCallersError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise UnusableCallersError("\n".join(lines)) from None
    except (yaml.YAMLError, ValueError, RecursionError):  # a ValueError: not UTF-8, or a date such as 2026-99-99
        raise UnusableCallersError(f"{path}: not YAML") from None
    by_name: dict[str, Known] = {}
    by_certificate: dict[str, Known] = {}
    for i, each in enumerate(read.callers):
        at = f"{path}: callers.{i}"
        if each.name in by_name:
            raise UnusableCallersError(f"{at}.name: is there twice")
        if not each.keys and not each.certificates:
            raise UnusableCallersError(f"{at}: needs keys or certificates")
        known = Known(each.name, each.scopes, tuple(map(parse_hash, each.keys)))
        by_name[each.name] = known
        for name in each.certificates:
            if name in by_certificate:
                raise UnusableCallersError(f"{at}.certificates: one is there twice")
            by_certificate[name] = known
    return Callers(by_name, by_certificate)


def parse_hash(text: str) -> Hash:
    """`sha256:HEX` or `scrypt:N:R:P:SALT:HASH`, the last two in base64. Raises ValueError."""
    kind, _, rest = text.partition(":")
    if kind == "sha256" and re.fullmatch("[0-9a-f]{64}", rest):
        return Hash(bytes.fromhex(rest))
    parts = rest.split(":")
    if kind == "scrypt" and len(parts) == 5 and all(each.isdecimal() and len(each) < 10 for each in parts[:3]):
        cost, block, parallel = map(int, parts[:3])
        try:
            salt, digest = (base64.b64decode(each, validate=True) for each in parts[3:])
        except ValueError:
            salt = digest = b""
        power = cost >= _COST and not cost & (cost - 1)
        affordable = 128 * cost * block <= _MOST_MEMORY // 2 and block >= 1 and 1 <= parallel <= 4
        if power and affordable and len(salt) >= _SALT_BYTES and len(digest) == 32:
            return Hash(digest, salt, cost, block, parallel)
    raise ValueError("must be sha256:HEX or scrypt:N:R:P:SALT:HASH, as safety-service caller-key writes it")


def new_key(name: str, chosen: str = "") -> tuple[str, str]:
    """A key for a caller, and its hash for the file. With `chosen` the secret part is that, and the hash is slow.

    Raises ValueError when the name is not one.
    """
    if not re.fullmatch(_NAME, name):
        raise ValueError("a name has lower-case letters, digits, - and _, at most 64")
    if chosen and not re.fullmatch(r"[!-\-/-~]+", chosen):
        raise ValueError("a secret has printable ASCII characters, no space and no full stop")
    token = f"{name}.{chosen or secrets.token_urlsafe(_SECRET_BYTES)}"
    if not chosen:
        return token, f"sha256:{_hashed(token.encode()).hex()}"
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = _hashed(token.encode(), salt, _COST, _BLOCK, _PARALLEL)
    numbers = f"{_COST}:{_BLOCK}:{_PARALLEL}"
    return token, f"scrypt:{numbers}:{base64.b64encode(salt).decode()}:{base64.b64encode(digest).decode()}"


def _hashed(token: bytes, salt: bytes = b"", cost: int = 0, block: int = 0, parallel: int = 0) -> bytes:
    if not cost:
        return hashlib.sha256(token).digest()
    return hashlib.scrypt(token, salt=salt, n=cost, r=block, p=parallel, maxmem=_MOST_MEMORY, dklen=32)
