"""Who calls: the JSON web token of CDS Hooks, verified by keys that the operator has named."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from safety_service.access.keys import CDS_HOOKS, Key, UnusableKeyError, read_keys
from safety_service.access.token import TokenError, read, verified
from safety_service.gateway.clients import Client
from safety_service.gateway.outside import Reader, UnreadableError
from safety_service.gateway.problems import ProblemError, refused

SKEW_SECONDS: Final = 60
MOST_SECONDS: Final = 3_600  # from iat to exp; CDS Hooks recommends five minutes
_KEPT_SECONDS: Final = 600  # keys that were fetched
_STALE_SECONDS: Final = 3_600  # the same, when they cannot be fetched again
_AGAIN_SECONDS: Final = 30  # least time between two fetches of a set, whatever is asked for
_JTI: Final = 256
_JWKS_BYTES: Final = 65_536
_MOST_SEEN: Final = 200_000


def _unauthorized(why: str) -> ProblemError:
    return refused(401, "login", why, headers={"WWW-Authenticate": "Bearer"})


class _Held(NamedTuple):
    """A key set, when it was fetched and when that was last tried."""

    fetched: float
    tried: float
    keys: Sequence[Key]


_NOTHING = _Held(float("-inf"), float("-inf"), ())


class KeySets:
    """The keys of clients, fetched from their `jku` and kept for a while."""

    def __init__(
        self, reader: Reader, seconds: float, allow_sandbox_key: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.reader = reader
        self._seconds = seconds
        self._allow_sandbox_key = allow_sandbox_key
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def key(self, client: Client, kid: str) -> Key:
        """The key of this name; a set that does not hold it is fetched once more. Raises ProblemError 401."""
        if not client.jku:
            return self._named(client.keys, kid)
        async with self._locks.setdefault(client.jku, asyncio.Lock()):
            now = self._clock()
            held = self._held.get(client.jku, _NOTHING)
            fresh = now - held.fetched <= _KEPT_SECONDS
            known = any(each.kid == kid for each in held.keys)
            if not (fresh and known) and now - held.tried > _AGAIN_SECONDS:
                held = self._held[client.jku] = await self._fetch(client.jku, held, now)
            return self._named(held.keys, kid)

    async def _fetch(self, jku: str, before: _Held, now: float) -> _Held:
        """What could not be fetched leaves the keys there were, for a time: else any stranger could take them away."""
        try:
            sent = await self.reader.read(jku, {"Accept": "application/json"}, _JWKS_BYTES, self._seconds)
        except UnreadableError:
            return before._replace(tried=now, keys=before.keys if now - before.fetched <= _STALE_SECONDS else ())
        try:
            return _Held(now, now, read_keys(sent, allow_sandbox_key=self._allow_sandbox_key))
        except UnusableKeyError:
            return _Held(now, now, ())

    @staticmethod
    def _named(keys: Sequence[Key], kid: str) -> Key:
        for each in keys:
            if each.kid == kid:
                return each
        raise _unauthorized("no usable key of this client has the kid of the token")


class Verified(NamedTuple):
    """A token that holds, and whose it is. `expires` in seconds since 1970."""

    client: Client
    jti: str
    expires: float


class Seen:
    """The tokens that were used, until they expire. Of this process alone."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._until: dict[tuple[str, str], float] = {}

    def check(self, iss: str, jti: str) -> None:
        """Raises ProblemError 401 when it was used before."""
        if self._until.get((iss, jti), 0.0) > self._clock():
            raise _unauthorized("the token was used before (jti)")

    def add(self, iss: str, jti: str, expires: float) -> None:
        """Raises ProblemError 503 when too many are in use to know."""
        now = self._clock()
        if len(self._until) >= _MOST_SEEN:
            self._until = {each: until for each, until in self._until.items() if until > now}
            if len(self._until) >= _MOST_SEEN:
                raise refused(503, "throttled", "too many tokens in use", headers={"Retry-After": "60"})
        self._until[iss, jti] = expires + SKEW_SECONDS


class Callers:
    """Verifies the token of a call. `base` is the public address that tokens are made out to."""

    def __init__(self, clients: Mapping[str, Client], keys: KeySets, base: str, seen: Seen | None = None) -> None:
        self._clients = clients
        self._keys = keys
        self._base = base
        self._seen = seen or Seen()

    @property
    def reader(self) -> Reader:
        return self._keys.reader

    async def verify(self, authorization: str, path: str) -> Verified:
        """The token of a call of `path`, not used yet. Raises ProblemError 401 or 403."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _unauthorized("a bearer token is required")
        try:
            header, claims = read(token, CDS_HOOKS)
            if str(header.get("typ", "")).upper() != "JWT":
                raise TokenError("typ must be JWT")
            kid = header.get("kid")
            if not isinstance(kid, str) or not kid:
                raise TokenError("kid is required")
            iss = claims.get("iss")
            client = self._clients.get(iss) if isinstance(iss, str) else None
            if client is None:
                raise TokenError("iss is not one that may call")
            if "jku" in header and header["jku"] != client.jku:
                raise TokenError("jku is not the one of this client")
            key = await self._keys.key(client, kid)
            claims = self._verified(token, header["alg"], key, client, path)
        except TokenError as error:
            raise _unauthorized(str(error)) from None
        self._seen.check(client.iss, claims["jti"])
        if client.tenants and claims.get("tenant") not in client.tenants:
            raise refused(403, "forbidden", "the tenant may not call this service")
        return Verified(client, claims["jti"], claims["exp"])

    def use(self, token: Verified) -> None:
        """From here on it is used; nothing else may run between `verify` and this. Raises ProblemError 503."""
        self._seen.add(token.client.iss, token.jti, token.expires)

    def _verified(self, token: str, algorithm: str, key: Key, client: Client, path: str) -> dict[str, Any]:
        endpoint = self._base + path
        # Clients are known to sign feedback for the service as well as for its feedback endpoint.
        claims = verified(
            token,
            algorithm,
            key,
            issuer=client.iss,
            audience=[endpoint, endpoint.removesuffix("/feedback")],
            leeway=SKEW_SECONDS,
            require=["iss", "aud", "exp", "iat", "jti"],
        )
        jti = claims["jti"]
        if not isinstance(jti, str) or not 0 < len(jti) <= _JTI:
            raise TokenError("jti must be a string")
        if claims["exp"] - claims["iat"] > MOST_SECONDS:
            raise TokenError(f"exp must be at most {MOST_SECONDS} s after iat")
        return claims
