"""The gateway as a process: put together, started, and stopped when it is asked to."""

from __future__ import annotations

import gc
import signal
import socket
import ssl
from collections.abc import Mapping
from typing import Any

import uvicorn

from safety_service import __version__
from safety_service.decisions.log import CannotKeepError, DecisionLog
from safety_service.gateway.app import Gateway, application
from safety_service.gateway.caller import Callers, KeySets
from safety_service.gateway.clients import Client, UnusableClientsError, read_clients
from safety_service.gateway.feedback import FeedbackSink, InMemory, JsonLines, OnRecord
from safety_service.gateway.fetch import Fetcher
from safety_service.gateway.outside import Reader
from safety_service.gateway.patience import patient_for
from safety_service.gateway.rate import CallRates
from safety_service.gateway.settings import GatewaySettings
from safety_service.server.access_log import Log, open_log
from safety_service.server.keeping import decision_log, index_of
from safety_service.server.reload import first_knowledge
from safety_service.server.serve import CannotServeError
from safety_service.server.settings import Settings

KEEP_ALIVE_SECONDS = 5
GRACE_SECONDS = 10
KEYS_SECONDS = 3.0  # to fetch the keys of a client


class _Server(uvicorn.Server):
    """Says that it serves once it does."""

    def __init__(self, config: uvicorn.Config, log: Log, address: str, gateway: Gateway) -> None:
        super().__init__(config)
        self._log = log
        self._address = address
        self._gateway = gateway

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        knowledge = self._gateway.knowledge
        self._log.info(
            "serving",
            address=self._address,
            public_url=self._gateway.base,
            version=__version__,
            knowledge=knowledge.digest[:12],
            policy=knowledge.policy.id,
        )


def run(settings: GatewaySettings, shared: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then let running calls end.

    Knowledge, policy and fingerprint key are those of `shared`. Raises KnowledgeError and CannotServeError.
    """
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise CannotServeError("--tls-certificate and --tls-key go together")
    if settings.tls_client_authorities is not None and settings.tls_certificate is None:
        raise CannotServeError("--tls-client-authorities needs --tls-certificate")
    log = open_log(settings.log_level, settings.log_format)
    knowledge = first_knowledge(shared)
    try:
        decisions = decision_log(shared, knowledge)
    except CannotKeepError as error:
        raise CannotServeError(str(error)) from None
    host, _, port = settings.listen.rpartition(":")
    listening = _bind(host.strip("[]"), int(port))
    address = f"{host}:{listening.getsockname()[1]}"
    base = settings.public_url or f"{'https' if settings.tls_certificate else 'http'}://{address}"
    gateway = Gateway(
        knowledge=knowledge,
        fingerprint_key=shared.key,
        base=base,
        log=log,
        feedback=_sink(settings, decisions),
        decisions=decisions,
        index=index_of(shared),
        origins=tuple(each.strip() for each in settings.allow_origins.split(",") if each.strip()),
        max_concurrent=settings.max_concurrent,
        rates=CallRates(settings.calls_per_second, settings.burst),
        read_seconds=settings.read_seconds,
        page=settings.page == "on" or (settings.page == "auto" and settings.clients_file is None),
        **_outside(settings, base),
    )
    config = uvicorn.Config(
        application(gateway),
        http=patient_for(settings.read_seconds),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        ssl_ca_certs=None if settings.tls_client_authorities is None else str(settings.tls_client_authorities),
        ssl_cert_reqs=ssl.CERT_NONE if settings.tls_client_authorities is None else ssl.CERT_REQUIRED,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError):
        raise CannotServeError("the TLS certificate, key or client authorities cannot be used") from None
    server = _Server(config, log, address, gateway)
    if gateway.callers is None and settings.tls_client_authorities is None and not _is_loopback(host):
        log.warning("no_authentication", meaning="everybody who reaches it may call; --clients-file names who may")
    if settings.allow_sandbox_key:
        log.warning("sandbox_key_allowed", meaning="everybody can sign as the public CDS Hooks sandbox")
    if shared.has_default_key:
        log.warning("default_fingerprint_key", meaning="set MEDSAFETY_FINGERPRINT_KEY to a secret of your site")
    # What is loaded lives as long as the process: the garbage collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    # The signal that ended it comes again once all has ended; by then there is nothing left to end.
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda number, frame: None)
    server.run(sockets=[listening])
    log.info("stopped")


def _outside(settings: GatewaySettings, base: str) -> dict[str, Any]:
    """What has to do with other servers: whose tokens are taken, and which FHIR servers are asked."""
    try:
        reader = Reader(None if settings.authorities_file is None else str(settings.authorities_file))
    except (OSError, ssl.SSLError):
        raise CannotServeError("the file of authorities cannot be used") from None
    clients: Mapping[str, Client] = {}
    callers = None
    if settings.clients_file is not None:
        try:
            clients = read_clients(settings.clients_file, settings.allow_sandbox_key)
        except UnusableClientsError as error:
            raise CannotServeError(str(error)) from None
        callers = Callers(clients, KeySets(reader, KEYS_SECONDS, settings.allow_sandbox_key), base)
    servers = frozenset(filter(None, settings.fhir_servers.split(",")))
    asks = bool(servers) or any(each.fhir_servers for each in clients.values())
    fetcher = Fetcher(reader, settings.fetch_seconds, servers) if asks else None
    return {"callers": callers, "fetcher": fetcher}


def _is_loopback(host: str) -> bool:
    return host.strip("[]") in ("localhost", "::1") or host.startswith("127.")


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except (OSError, OverflowError):
        raise CannotServeError(f"cannot serve on {host}:{port}: in use, not permitted, or not an address") from None
    return listening


def _sink(settings: GatewaySettings, decisions: DecisionLog | None) -> FeedbackSink:
    if settings.feedback_file is None:
        return InMemory() if decisions is None else OnRecord(decisions)
    if decisions is not None:
        raise CannotServeError("feedback goes to the decisions or to --feedback-file, not to both")
    try:
        return JsonLines(settings.feedback_file)
    except OSError as error:
        raise CannotServeError(f"feedback cannot be written to the file given: {error.strerror}") from None
