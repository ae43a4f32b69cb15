"""Who may call the gateway: a file that names each client, its keys, and the FHIR servers that may be asked for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from safety_service.access.keys import Key, UnusableKeyError, read_keys
from safety_service.gateway.addresses import server_url


class UnusableClientsError(Exception):
    """The file cannot be used; the text says why, line by line."""


Url = Annotated[str, AfterValidator(server_url)]


class _Client(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    iss: Annotated[str, Field(min_length=1)]
    jku: Url | None = None
    jwks: dict[str, Any] | None = None
    tenants: tuple[str, ...] = ()
    fhir_servers: tuple[Url, ...] = ()
    calls_per_second: Annotated[float, Field(ge=0, le=100_000)] | None = None


class _ClientsFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    clients: Annotated[tuple[_Client, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Client:
    """`keys` are those configured; with `jku` they are fetched from there. No tenants: every tenant may call.

    `calls_per_second` None: as for everybody; 0: no limit.
    """

    iss: str
    jku: str = ""
    keys: Sequence[Key] = ()
    tenants: frozenset[str] = frozenset()
    fhir_servers: frozenset[str] = frozenset()
    calls_per_second: float | None = None


def read_clients(path: Path, allow_sandbox_key: bool = False) -> Mapping[str, Client]:
    """The clients by issuer. Raises UnusableClientsError."""
    try:
        read = _ClientsFile.model_validate(yaml.safe_load(path.read_bytes()))
    except OSError as error:
        raise UnusableClientsError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError:
        raise UnusableClientsError(f"{path}: not YAML") from None
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise UnusableClientsError("\n".join(lines)) from None
    clients: dict[str, Client] = {}
    for i, each in enumerate(read.clients):
        at = f"{path}: clients.{i}"
        if each.iss in clients:
            raise UnusableClientsError(f"{at}.iss: is there twice")
        if (each.jku is None) == (each.jwks is None):
            raise UnusableClientsError(f"{at}: needs either jku or jwks")
        try:
            keys = () if each.jwks is None else read_keys(each.jwks, allow_sandbox_key=allow_sandbox_key)
        except UnusableKeyError as error:
            raise UnusableClientsError(f"{at}.jwks: {error}") from None
        if each.jwks is not None and not keys:
            raise UnusableClientsError(f"{at}.jwks: holds no key for ES384 or RS384")
        clients[each.iss] = Client(
            each.iss,
            each.jku or "",
            keys,
            frozenset(each.tenants),
            frozenset(each.fhir_servers),
            each.calls_per_second,
        )
    return clients
