"""The server: put together, started, and stopped without losing an answer."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from safety_service import __version__
from safety_service.access.caller import UnusableCredentialsError
from safety_service.decisions.log import CannotKeepError, DecisionLog
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from safety_service.server.access_log import Log, log_fault, open_log
from safety_service.server.admin import CannotAdministerError, open_admin
from safety_service.server.connections import connected, stop_listening
from safety_service.server.doors import Adds, open_doors
from safety_service.server.encode_fast import FastEncoder
from safety_service.server.feedback_handlers import SERVICE as FEEDBACK
from safety_service.server.feedback_handlers import Keeping
from safety_service.server.handlers import Desk, Engine
from safety_service.server.in_use import InUse, Standing
from safety_service.server.keeping import decision_log, index_of
from safety_service.server.knowledge_handlers import open_library
from safety_service.server.metrics import CannotMeasureError, open_meter, serve_metrics
from safety_service.server.reading import Reading
from safety_service.server.reload import Watch, files_of, first_knowledge, forget, reload
from safety_service.server.settings import Settings
from safety_service.server.tracing import CannotTraceError, Tracer
from safety_service.server.transport import (
    CHECKS,
    KNOWLEDGE,
    METHOD_NAMES,
    Gate,
    OpenStreams,
    feedback_service,
    services,
)
from safety_service.server.transport_options import transport_options

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from safety_service.server.tls import Certificates

LOOK_SECONDS = 0.1
QUIET_SECONDS = 0.25  # in which clients hear UNAVAILABLE and stop asking
SPARE_STREAM_THREADS = 4  # for reflection, and to refuse streams above the limit


class CannotServeError(Exception):
    """The address cannot be served on."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that answers. `address` has the port that was bound."""

    server: grpc.Server
    health: health.HealthServicer
    gate: Gate
    settings: Settings
    log: Log
    address: str
    decisions: DecisionLog | None = None
    registry: CollectorRegistry | None = None

    def stop_listening(self) -> None:
        """Leave new connections to those that share the port; calls on the open ones are answered as before."""
        stop_listening(self.port())

    def connected(self) -> int:
        """How many connections are open."""
        return connected(self.port())

    def port(self) -> int:
        """That of the address."""
        return int(self.address.rpartition(":")[2])

    def drain(self, hurried: Callable[[], bool] = lambda: False) -> None:
        """NOT_SERVING, then no new calls, then running ones get their time; returns when all has ended.

        `hurried` is asked all the time; once it says yes, running calls are given up.
        """
        self.health.enter_graceful_shutdown()
        self.log.info("draining", grace_seconds=self.settings.grace_seconds)
        _wait(self.settings.drain_seconds, hurried)
        self.gate.stopping.set()
        self.gate.streams.drain()
        # A call that comes in while the transport closes would be CANCELLED, which no client retries.
        _wait(QUIET_SECONDS, hurried)
        ended = self.server.stop(self.settings.grace_seconds)
        idle = 0
        while not ended.wait(LOOK_SECONDS):
            idle = idle + 1 if self.gate.idle() else 0
            if hurried() or idle > 1:  # what is left does not end by itself: watches of the health
                self.server.stop(0)
        self.gate.reading.close()
        if self.decisions is not None:
            self.decisions.close()
        if self.gate.tracer is not None:
            self.gate.tracer.close()


def _wait(seconds: float, hurried: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not hurried():
        time.sleep(min(left, LOOK_SECONDS))


def start(
    settings: Settings,
    knowledge: Knowledge | None = None,
    log: Log | None = None,
    engine: Engine = check,
    *,
    shared: bool = False,
) -> Serving:
    """Serve; `shared`: on a port that other processes serve on too.

    Raises KnowledgeError when the knowledge is refused, CannotServeError when the address is.
    """
    began = time.perf_counter()
    log = open_log(settings.log_level, settings.log_format) if log is None else log
    check_exposure(settings, log)
    try:
        doors = open_doors(settings, log)
    except UnusableCredentialsError as error:
        raise CannotServeError(str(error)) from None
    certificates = _certificates(settings, log)
    if knowledge is None:
        knowledge = first_knowledge(settings)
    try:
        decisions = decision_log(settings, knowledge)
    except CannotKeepError as error:
        raise CannotServeError(str(error)) from None
    pool = ThreadPoolExecutor(settings.threads, "check")
    batch_pool = ThreadPoolExecutor(settings.batch_threads, "batch")
    stream_pool = ThreadPoolExecutor(settings.max_streams + SPARE_STREAM_THREADS, "stream")
    try:
        meter, registry = open_meter(METHOD_NAMES) if settings.metrics_listen else (None, None)
        tracer = Tracer(settings.trace_endpoint, settings.trace_ratio) if settings.trace_endpoint else None
    except (CannotMeasureError, CannotTraceError) as error:
        raise CannotServeError(str(error)) from None
    desk = Desk(
        knowledge=knowledge,
        engine=engine,
        encode=FastEncoder(knowledge).response,
        fingerprint_key=settings.key,
        report=lambda fault: log_fault(log, fault),
        decisions=decisions,
    )
    gate = Gate(
        in_use=InUse(Standing(desk, open_library(knowledge, settings.key))),
        log=log,
        pool=pool,
        batch_pool=batch_pool,
        stream_pool=stream_pool,
        streams=OpenStreams(settings.max_streams),
        stopping=threading.Event(),
        max_waiting=settings.max_waiting,
        max_waiting_batches=settings.max_waiting_batches,
        deadline_floor=settings.deadline_floor_ms / 1000,
        doors=doors,
        reading=Reading(settings.read_seconds),
        meter=meter,
        tracer=tracer,
    )
    server = grpc.server(
        pool,
        options=(
            # Unless they belong together, a second server on the same port must fail, not share the calls.
            ("grpc.so_reuseport", int(shared)),
            *transport_options(settings, shared=shared),
        ),
        maximum_concurrent_rpcs=settings.max_concurrent_rpcs,
    )
    offered = services(gate)
    offered[FEEDBACK] = feedback_service(gate, Keeping(decisions, index_of(settings)))
    for name, methods in offered.items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))
        server.add_registered_method_handlers(name, methods)
    names = [CHECKS, KNOWLEDGE, FEEDBACK, health.SERVICE_NAME]
    guarded = doors.before(server, log)
    checkup = _add_health(guarded)
    if settings.reflection:
        names.append(reflection.SERVICE_NAME)
        _add_reflection(guarded, tuple(names), stream_pool)
    address = _bind(server, settings.listen, None if certificates is None else certificates.credentials())
    server.start()
    for each in ("", *names):
        checkup.set(each, health_pb2.HealthCheckResponse.SERVING)
    serving = Serving(server, checkup, gate, settings, log, address, decisions, registry)
    log.info(
        "serving",
        address=address,
        version=__version__,
        knowledge=knowledge.digest[:12],
        policy=knowledge.policy.id,
        site_codes=knowledge.names.site_code_count(),
        policy_changes=len(knowledge.policy_changes),
        threads=settings.threads,
        tls=certificates is not None,
        locked=settings.is_locked,
        decisions=decisions is not None,
        started_ms=round((time.perf_counter() - began) * 1000),
    )
    if settings.has_default_key:
        log.warning("default_fingerprint_key", meaning="set MEDSAFETY_FINGERPRINT_KEY to a secret of your site")
    return serving


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends at once. SIGHUP, or a changed file where they are
    watched, reads the knowledge anew. Errors as `start`.
    """
    asked: list[int] = []
    reread: list[int] = []

    def hear(signal_number: int, frame: FrameType | None) -> None:
        # nothing that takes a lock: the main thread may be holding it
        (reread if signal_number == signal.SIGHUP else asked).append(signal_number)

    # Before anyone can know that it serves: a signal that comes at once must drain too.
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, hear)
    files = files_of(settings)
    watch = Watch(files, settings.watch_seconds)
    serving = start(settings)
    admin: grpc.Server | None = None  # kept: a server that nobody holds stops
    try:
        if settings.admin_listen:
            admin, address = open_admin(settings.admin_listen, serving.health, (serving.gate.doors, serving.log))
            serving.log.info("admin", address=address)
        if serving.registry is not None:
            serving.log.info("metrics", address=serve_metrics(settings.metrics_listen, serving.registry)[0])
    except (CannotAdministerError, CannotMeasureError) as error:
        serving.server.stop(0)
        raise CannotServeError(str(error)) from None
    forget()  # what is loaded lives as long as the process
    while not asked:  # looked at again and again, since a signal just before a wait does not end the wait
        if reread or watch.changed():
            reread.clear()
            reload(serving.gate.in_use, files, serving.log)
        time.sleep(LOOK_SECONDS)
    serving.drain(lambda: len(asked) > 1)
    if admin is not None:
        admin.stop(0)
    serving.log.info("stopped")


def check_exposure(settings: Settings, log: Log) -> None:
    """Raises CannotServeError where strangers could call, and the operator has not said that they may."""
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise CannotServeError("--tls-certificate and --tls-key go together")
    if settings.client_authorities is not None and settings.tls_certificate is None:
        raise CannotServeError("--client-authorities needs --tls-certificate and --tls-key")
    if settings.metrics_listen and not is_local(settings.metrics_listen) and not settings.allow_anonymous:
        message = f"--metrics-listen {settings.metrics_listen} can be reached from elsewhere and asks nobody"
        raise CannotServeError(f"{message}: --allow-anonymous")
    elsewhere = [each for each in (settings.listen, settings.admin_listen) if each and not is_local(each)]
    if not elsewhere:
        return
    if settings.is_locked:
        if settings.tls_certificate is None or not is_local(settings.admin_listen or "unix:"):
            log.warning("tokens_in_clear", meaning="tokens and patients' data can be read on the way")
    elif settings.allow_anonymous:
        log.warning("no_authentication", meaning="everybody who reaches it may call")
    else:
        raise CannotServeError(
            f"{elsewhere[0]} can be reached from elsewhere, and nothing says who may call: set --callers-file, "
            "--jwks-file or --client-authorities; or --allow-anonymous, if something before it asks who calls"
        )


def is_local(listen: str) -> bool:
    """Whether only this machine can reach the address."""
    host = listen.rpartition(":")[0].strip("[]")
    return listen.startswith("unix:") or host in ("localhost", "::1") or host.startswith("127.")


def _certificates(settings: Settings, log: Log) -> Certificates | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    from safety_service.server.tls import Certificates, Files, UnusableCertificateError  # slow to load

    try:
        return Certificates(Files(settings.tls_certificate, settings.tls_key, settings.client_authorities), log)
    except UnusableCertificateError as error:
        raise CannotServeError(str(error)) from None


def _bind(server: grpc.Server, listen: str, credentials: grpc.ServerCredentials | None) -> str:
    """Bind, and return the address with the port taken. Raises CannotServeError."""
    try:
        port = server.add_insecure_port(listen) if credentials is None else server.add_secure_port(listen, credentials)
    except RuntimeError:
        port = 0
    if port == 0:
        raise CannotServeError(f"cannot serve on {listen}: in use, not permitted, or not an address")
    host, colon, _ = listen.rpartition(":")
    return listen if listen.startswith("unix:") or not colon else f"{host}:{port}"


def _add_health(server: Adds) -> health.HealthServicer:
    """Health on a thread of its own: it has to answer when all others are busy."""
    pool = ThreadPoolExecutor(1, "health")
    servicer = health.HealthServicer(experimental_non_blocking=True, experimental_thread_pool=pool)
    answer = servicer.Check

    def check_health(
        request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        return answer(request, context)

    check_health.experimental_thread_pool = pool  # type: ignore[attr-defined]
    servicer.Check = check_health  # type: ignore[method-assign]
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)  # type: ignore[arg-type]  # adds, and no more
    return servicer


def _add_reflection(server: Adds, names: tuple[str, ...], pool: ThreadPoolExecutor) -> None:
    """Reflection on the threads of the streams, of which it is one."""
    standard = reflection.ReflectionServicer(names)

    def info(
        requests: Iterator[reflection_pb2.ServerReflectionRequest], context: grpc.ServicerContext
    ) -> Iterator[reflection_pb2.ServerReflectionResponse]:
        yield from standard.ServerReflectionInfo(requests, context)

    info.experimental_thread_pool = pool  # type: ignore[attr-defined]
    servicer = reflection_pb2_grpc.ServerReflectionServicer()
    servicer.ServerReflectionInfo = info  # type: ignore[method-assign]
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
