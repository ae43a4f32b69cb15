"""From what a caller shows, a token or a certificate, to its name and scopes."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from cryptography import x509

from safety_service.access.caller import Caller, NotKnownError, TooManyTriesError, UnusableCredentialsError
from safety_service.access.callers_file import NOBODY, Callers, UnusableCallersError, read_callers
from safety_service.access.keys import ALGORITHMS, Key, UnusableKeyError, read_keys
from safety_service.access.rates import Rates
from safety_service.access.scopes import Scope, scopes_of
from safety_service.access.token import TokenError, read, verified
from safety_service.access.watched import Watched

_MOST_KEPT: Final = 10_000
_NAME_CHARACTERS: Final = 128
_TRIES_PER_SECOND, _TRIES_AT_ONCE = 2.0, 5  # of the slow hashes of one name


@dataclass(frozen=True, slots=True)
class Sources:
    """Where credentials are defined. `issuer` and `audience` are those that tokens of `jwks` must name."""

    callers: Path | None = None
    jwks: Path | None = None
    issuer: str = ""
    audience: str = ""
    leeway: float = 0.0


class _Read(NamedTuple):
    """The files, and what was verified by them; dropped as a whole when they change."""

    callers: Callers
    keys: tuple[Key, ...]
    by_token: dict[bytes, Caller]
    by_certificate: dict[bytes, Caller]


class Credentials:
    """Verifies each token and certificate once, and keeps the result until it expires or the files change.

    Files that change are read again. While that fails the old ones stay, they are read at every look, and `report` is
    told why, once for each reason; then "".
    """

    def __init__(
        self,
        sources: Sources,
        report: Callable[[str], None],
        clock: Callable[[], float] = time.time,
        look_seconds: float = 1.0,
    ) -> None:
        """Raises UnusableCredentialsError."""
        self._sources = sources
        self._report = report
        self._clock = clock
        self._watched = Watched([each for each in (sources.callers, sources.jwks) if each], look_seconds)
        self._now = _read(sources)
        self._tries = Rates(_TRIES_PER_SECOND, _TRIES_AT_ONCE)
        self._lock = threading.Lock()
        self._reading = threading.Lock()  # else a slow read could replace a newer one
        self._problem = ""
        self._slow = threading.Lock()  # one slow hash at a time: each takes megabytes

    def by_token(self, token: str) -> Caller:
        """Raises NotKnownError, TooManyTriesError."""
        held = self._current()
        try:
            digest = hashlib.sha256(token.encode()).digest()
        except UnicodeEncodeError:
            raise NotKnownError("the token is not text") from None
        caller = held.by_token.get(digest)
        if caller is None:
            caller = self._by_web_token(held, token) if token.count(".") == 2 else self._by_key(held, token)
            self._keep(held.by_token, digest, caller)
        elif caller.until <= self._clock():
            raise NotKnownError("the token has expired (exp)")
        return caller

    def by_certificate(self, pem: bytes) -> Caller:
        """The caller of a certificate that the transport has verified. Raises NotKnownError when it has expired since.

        A certificate that the file of callers does not name has its name and no scope.
        """
        held = self._current()
        caller = held.by_certificate.get(pem)
        if caller is None:
            caller = _of_certificate(held.callers, pem)
            self._keep(held.by_certificate, pem, caller)
        if caller.until <= self._clock():
            raise NotKnownError("the certificate has expired")
        return caller

    def _current(self) -> _Read:
        if self._watched.changed():
            with self._reading:
                self._read_again()
        return self._now

    def _read_again(self) -> None:
        try:
            self._now = _read(self._sources)
        except Exception as error:
            self._watched.again()
            # The text of what nobody expected could quote the file.
            problem = str(error) if isinstance(error, UnusableCredentialsError) else type(error).__name__
            if problem != self._problem:
                self._problem = problem
                self._report(problem)
        else:
            self._problem = ""
            self._report("")

    def _keep(self, kept: dict[bytes, Caller], digest: bytes, caller: Caller) -> None:
        with self._lock:
            if len(kept) >= _MOST_KEPT:
                now = self._clock()
                for each in [each for each, held in kept.items() if held.until <= now] or list(kept)[: _MOST_KEPT // 4]:
                    del kept[each]
            kept[digest] = caller

    def _by_web_token(self, held: _Read, token: str) -> Caller:
        if not held.keys:
            raise NotKnownError("the token is not one that may call")
        sources = self._sources
        try:
            header, _ = read(token, ALGORITHMS)
            key = _named(held.keys, header.get("kid"))
            claims = verified(
                token,
                header["alg"],
                key,
                issuer=sources.issuer,
                audience=[sources.audience],
                leeway=sources.leeway,
                require=["iss", "aud", "exp", "sub"],
            )
        except TokenError as error:
            raise NotKnownError(str(error)) from None
        until = float(claims["exp"]) + sources.leeway
        if until <= self._clock():  # another clock than that of the verification: in tests, and when it jumps
            raise NotKnownError("the token has expired (exp)")
        return Caller(f"token:{_subject(claims)}", _granted(claims), until)

    def _by_key(self, held: _Read, token: str) -> Caller:
        unknown = NotKnownError("the token is not one that may call")
        known = held.callers.by_name.get(token.partition(".")[0])
        if known is None:
            raise unknown
        content = token.encode()
        if any(each.fits(content) for each in known.hashes if not each.cost):
            return Caller(known.name, known.scopes)
        slow = [each for each in known.hashes if each.cost]
        if slow:
            wait = self._tries.take(known.name)
            if wait:
                raise TooManyTriesError(wait)
            with self._slow:
                if any(each.fits(content) for each in slow):
                    return Caller(known.name, known.scopes)
        raise unknown


def _read(sources: Sources) -> _Read:
    """Raises UnusableCredentialsError."""
    try:
        callers = NOBODY if sources.callers is None else read_callers(sources.callers)
        keys = () if sources.jwks is None else _keys(sources.jwks)
    except (UnusableCallersError, UnusableKeyError) as error:
        raise UnusableCredentialsError(str(error)) from None
    return _Read(callers, keys, {}, {})


def _keys(path: Path) -> tuple[Key, ...]:
    try:
        keys = read_keys(orjson.loads(path.read_bytes()), ALGORITHMS)
    except OSError as error:
        raise UnusableKeyError(f"{path}: {error.strerror}") from None
    except orjson.JSONDecodeError:
        raise UnusableKeyError(f"{path}: not JSON") from None
    except UnusableKeyError as error:
        raise UnusableKeyError(f"{path}: {error}") from None
    if not keys:
        raise UnusableKeyError(f"{path}: holds no key for {', '.join(ALGORITHMS)}, with a kid and strong enough")
    return keys


def _named(keys: tuple[Key, ...], kid: Any) -> Key:
    """The key of this name; without one, the only key there is. Raises TokenError."""
    found = [each for each in keys if each.kid == kid] if kid is not None else keys
    if len(found) != 1:
        raise TokenError("no usable key has the kid of the token" if kid is not None else "kid is required")
    return found[0]


def _subject(claims: Mapping[str, Any]) -> str:
    """Fit for a log line. Raises NotKnownError."""
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= _NAME_CHARACTERS or not _printable(subject):
        raise NotKnownError(f"sub must be 1 to {_NAME_CHARACTERS} printable ASCII characters without space")
    return subject


def _printable(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def _granted(claims: Mapping[str, Any]) -> frozenset[Scope]:
    """Of `scope`, words in one text (RFC 9068), or `scp`, a list, as some issuers write it."""
    said = claims.get("scope", claims.get("scp", ""))
    if isinstance(said, str):
        return scopes_of(said)
    return scopes_of([each for each in said if isinstance(each, str)]) if isinstance(said, list) else frozenset()


def _of_certificate(callers: Callers, pem: bytes) -> Caller:
    """Raises NotKnownError."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        until = certificate.not_valid_after_utc.timestamp()
        names = _alternative_names(certificate)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise NotKnownError("the certificate cannot be read") from None
    for each in names:
        known = callers.by_certificate.get(each)
        if known is not None:
            return Caller(known.name, known.scopes, until)
    shown = next((each for each in names if len(each) <= _NAME_CHARACTERS and _printable(each)), "unnamed")
    return Caller(f"certificate:{shown}", frozenset(), until)


def _alternative_names(certificate: x509.Certificate) -> list[str]:
    """URIs, DNS names, then addresses; the common name of the subject counts for nothing."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return [*uris, *names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
