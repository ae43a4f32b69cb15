"""The certificate a server shows, and those it asks for; new ones are taken up while it serves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple, cast

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from safety_service.access.watched import Marks, marks
from safety_service.server.access_log import Log

LOOK_SECONDS: Final = 1.0  # least time between two looks, however many connections come


class UnusableCertificateError(Exception):
    """The files cannot be used; the text says why, without any of their content."""


@dataclass(frozen=True, slots=True)
class Files:
    """PEM: the chain to show, its private key, and the authorities of clients. Without the last none is asked for."""

    certificate: Path
    key: Path
    client_authorities: Path | None = None


class Pems(NamedTuple):
    """What was read, and found to fit together."""

    certificate: bytes
    key: bytes
    client_authorities: bytes | None
    expires: datetime


def read_pems(files: Files, now: datetime) -> Pems:
    """Raises UnusableCertificateError: unreadable, cut off, not fitting together, expired or not valid yet."""
    certificate = _content(files.certificate)
    key = _content(files.key)
    chain = _certificates(files.certificate, certificate)
    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError):
        raise UnusableCertificateError(f"{files.key}: not a private key in PEM without a password") from None
    if private.public_key() != chain[0].public_key():
        raise UnusableCertificateError(f"{files.key}: not the key of the certificate")
    if now >= chain[0].not_valid_after_utc:
        raise UnusableCertificateError(f"{files.certificate}: expired on {chain[0].not_valid_after_utc:%Y-%m-%d %H:%M}")
    if now < chain[0].not_valid_before_utc:
        raise UnusableCertificateError(
            f"{files.certificate}: not valid before {chain[0].not_valid_before_utc:%Y-%m-%d %H:%M}"
        )
    authorities = None
    if files.client_authorities is not None:
        authorities = _content(files.client_authorities)
        _certificates(files.client_authorities, authorities)
    return Pems(certificate, key, authorities, chain[0].not_valid_after_utc)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnusableCertificateError(f"{path}: {error.strerror}") from None


def _certificates(path: Path, pem: bytes) -> list[x509.Certificate]:
    """All of them: one that is cut off spoils the file, since a half-written chain is no chain."""
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError:
        found = []
    if not found or pem.count(b"-----BEGIN ") != len(found):
        raise UnusableCertificateError(f"{path}: not certificates in PEM, or cut off")
    return found


class Certificates:
    """The certificate in use. What replaces its files is read at the next connection, and taken up if in order."""

    def __init__(
        self,
        files: Files,
        log: Log,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        look_seconds: float | None = None,
    ) -> None:
        """Raises UnusableCertificateError."""
        self._files = files
        self._paths = [each for each in (files.certificate, files.key, files.client_authorities) if each is not None]
        self._log = log
        self._now = now
        self._look_seconds = LOOK_SECONDS if look_seconds is None else look_seconds
        self._lock = threading.Lock()
        self._marks = marks(self._paths)
        self._refused: tuple[Marks, str] | None = None
        self._next_look = 0.0
        self._told_expired = False
        self.pems = read_pems(files, now())

    def credentials(self) -> grpc.ServerCredentials:
        """For the port to serve on. Connections that are open keep the certificate they began with."""
        asks = self._files.client_authorities is not None
        # That the function may answer None, for "as before", is missing in the types.
        fetch = cast("Callable[[], grpc.ServerCertificateConfiguration]", self._fetch)
        return grpc.dynamic_ssl_server_credentials(_configuration(self.pems), fetch, asks)

    def look(self) -> bool:
        """Whether others were taken up. Files that cannot be used are told of once, and looked at again."""
        with self._lock:
            if time.monotonic() < self._next_look:
                return False
            self._next_look = time.monotonic() + self._look_seconds
            now = self._now()
            if now >= self.pems.expires and not self._told_expired:
                self._told_expired = True
                self._log.error("certificate_expired", meaning="clients refuse it; put a new one in its place")
            found = marks(self._paths)
            if found == self._marks:
                return False
            try:
                read = read_pems(self._files, now)
            except UnusableCertificateError as error:
                if self._refused != (found, str(error)):
                    self._refused = found, str(error)
                    self._log.error("certificate_refused", meaning="the one from before stays", problem=str(error))
                return False
            self.pems, self._marks, self._refused, self._told_expired = read, found, None, False
            self._log.info("certificate_read", expires=read.expires.isoformat())
            return True

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Asked by grpc for each connection; None: as before. An exception would leave the connection without one."""
        try:
            return _configuration(self.pems) if self.look() else None
        except Exception as error:
            self._log.error("certificate_refused", meaning="the one from before stays", problem=type(error).__name__)
            return None


def _configuration(pems: Pems) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(pems.key, pems.certificate)], root_certificates=pems.client_authorities
    )
