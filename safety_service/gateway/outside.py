"""What is read from other servers: addresses that the operator named, never one that a caller made up.

No redirect is followed, no proxy of the environment is used, and an answer has a greatest size and a last moment.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any

import httpx2
import orjson


class UnreadableError(Exception):
    """Nothing usable came; the text says why, without any of what came."""


class Reader:
    """Reads JSON over HTTPS. To be used from one event loop."""

    def __init__(self, authorities: str | None = None) -> None:
        """`authorities` is a PEM file of those to trust, instead of the system's."""
        self._context = ssl.create_default_context(cafile=authorities)
        self._client: httpx2.AsyncClient | None = None

    async def read(self, url: str, headers: Mapping[str, str], most_bytes: int, seconds: float) -> Any:
        """The JSON at an address. Raises UnreadableError."""
        if self._client is None:
            self._client = httpx2.AsyncClient(verify=self._context, follow_redirects=False, trust_env=False)
        try:
            async with (
                asyncio.timeout(seconds),
                self._client.stream("GET", url, headers=dict(headers), timeout=seconds) as response,
            ):
                if response.status_code != 200:
                    raise UnreadableError(f"it answered with status {response.status_code}")
                content = bytearray()
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > most_bytes:
                        raise UnreadableError(f"it answered with more than {most_bytes:,} bytes")
        except (TimeoutError, httpx2.TimeoutException):
            raise UnreadableError("it did not answer in time") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError, UnicodeError):
            raise UnreadableError("it could not be reached") from None
        try:
            return orjson.loads(bytes(content))
        except orjson.JSONDecodeError:
            raise UnreadableError("it answered with something that is not JSON") from None

    async def close(self) -> None:
        """Ends the connections that are kept."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None
