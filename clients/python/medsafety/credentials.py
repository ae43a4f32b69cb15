"""How a client shows who it is: certificates for TLS, and a bearer token with each call."""

from __future__ import annotations

import os
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import TypeAlias

import grpc

Token: TypeAlias = "str | Callable[[], str]"
Metadata: TypeAlias = "tuple[tuple[str, str], ...]"


def tls_credentials(
    ca: str | Path | None = None, certificate: str | Path | None = None, key: str | Path | None = None
) -> grpc.ChannelCredentials:
    """TLS, with what to trust and what to show, from PEM files.

    Args:
        ca: Authorities to trust for the server. None: those of gRPC.
        certificate: The client's own chain, for a server that asks for one.
        key: The private key of the certificate.

    Raises:
        OSError: A file cannot be read.
        ValueError: Only one of certificate and key is given.
    """
    if (certificate is None) != (key is None):
        raise ValueError("certificate and key go together")
    return grpc.ssl_channel_credentials(_content(ca), _content(key), _content(certificate))


def token_file(path: str | Path) -> Callable[[], str]:
    """A token that is read from a file, and again when the file changes: for tokens that others renew.

    Raises OSError when there is no such file; once read, the token from before stays until there is another.
    """
    return _TokenFile(Path(path)).token


def metadata_of(token: Token | None) -> Metadata:
    """What goes with a call."""
    if token is None:
        return ()
    return (("authorization", f"Bearer {token if isinstance(token, str) else token()}"),)


def check_secrecy(target: str, credentials: grpc.ChannelCredentials | None, token: Token | None) -> None:
    """Raises ValueError where a token would go over a network without TLS."""
    if token is not None and credentials is None and not _is_local(target):
        raise ValueError("a token goes to another machine by TLS only: give credentials, such as tls_credentials()")


def _is_local(target: str) -> bool:
    host = target.removeprefix("dns:").lstrip("/").rpartition(":")[0].strip("[]")
    try:
        return target.startswith("unix:") or host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False  # a name, and "127.0.0.1.example" is one too


def _content(path: str | Path | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()


class _TokenFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = os.stat(path).st_mtime_ns
        self._token = path.read_text().strip()

    def token(self) -> str:
        try:
            seen = os.stat(self._path).st_mtime_ns
            if seen != self._seen:
                token = self._path.read_text().strip()
                if token:  # else it is just being written
                    self._token, self._seen = token, seen
        except OSError:
            pass
        return self._token
