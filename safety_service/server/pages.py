"""Lists in pages. A page token is opaque, signed, and bound to its list, its filter and the knowledge behind it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import TypeVar

from safety_service.server.errors import Reason, invalid, refusal
from safety_service.server.limits import PAGE

DEFAULT_SIZE = 50
_SIGNATURE_BYTES = 12
T = TypeVar("T")


def page(
    items: Sequence[T], page_size: int, token: str, *, listed: str, digest: str, key: bytes
) -> tuple[Sequence[T], str]:
    """The page that `token` asks for ("" = the first) and the token of the next one ("" = none).

    `listed` names the list with its filter; `items` are in a stable order. Raises RefusedError.
    """
    if page_size < 0:
        raise invalid([("page_size", "must be 0 or more")], False)
    size = min(page_size or DEFAULT_SIZE, PAGE.value)
    start = _start(token, listed, digest, key) if token else 0
    end = start + size
    return items[start:end], _token(end, listed, digest, key) if end < len(items) else ""


def _token(start: int, listed: str, digest: str, key: bytes) -> str:
    said = f"{start}\n{digest}\n{listed}".encode()
    return base64.urlsafe_b64encode(_signature(said, key) + said).decode().rstrip("=")


def _start(token: str, listed: str, digest: str, key: bytes) -> int:
    bad = refusal(Reason.BAD_PAGE_TOKEN, "not a page token of this list and filter")
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise bad from None
    signature, said = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _signature(said, key)):
        raise bad
    start, of_digest, of_list = said.decode().split("\n", 2)
    if of_list != listed:
        raise bad
    if of_digest != digest:
        raise refusal(Reason.STALE_PAGE_TOKEN, "the knowledge has changed since this token was given; start again")
    return int(start)


def _signature(said: bytes, key: bytes) -> bytes:
    return hashlib.blake2b(said, digest_size=_SIGNATURE_BYTES, key=key, person=b"page-token").digest()
