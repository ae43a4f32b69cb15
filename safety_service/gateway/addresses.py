"""Which addresses of other servers may be configured."""

from __future__ import annotations

from urllib.parse import urlsplit

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def server_url(url: str) -> str:
    """An https address without query; http only on this machine. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("must be an https address without user, query and fragment")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError("must be https: http is for this machine only")
    _ = parts.port  # a port that is none raises ValueError
    return url.rstrip("/")
