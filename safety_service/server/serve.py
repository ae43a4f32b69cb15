"""The server: put together, started, and stopped without losing an answer."""

from __future__ import annotations

import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import FrameType

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from safety_service import __version__
from safety_service.decisions.log import CannotKeepError, DecisionLog
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import RULES_DATA, load_knowledge
from safety_service.server.access_log import Log, log_fault, open_log
from safety_service.server.encode_fast import FastEncoder
from safety_service.server.feedback_handlers import SERVICE as FEEDBACK
from safety_service.server.feedback_handlers import Keeping
from safety_service.server.handlers import Desk, Engine
from safety_service.server.keeping import decision_log, index_of
from safety_service.server.knowledge_handlers import open_library
from safety_service.server.settings import Settings
from safety_service.server.transport import CHECKS, KNOWLEDGE, Gate, OpenStreams, feedback_service, services

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
        if self.decisions is not None:
            self.decisions.close()


def _wait(seconds: float, hurried: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not hurried():
        time.sleep(min(left, LOOK_SECONDS))


def start(
    settings: Settings, knowledge: Knowledge | None = None, log: Log | None = None, engine: Engine = check
) -> Serving:
    """Serve. Raises KnowledgeError when the knowledge is refused, CannotServeError when the address is."""
    began = time.perf_counter()
    log = open_log(settings.log_level, settings.log_format) if log is None else log
    if knowledge is None:
        knowledge = load_knowledge(settings.knowledge_dir or RULES_DATA, settings.policy_file, settings.site_codes)
    try:
        decisions = decision_log(settings, knowledge)
    except CannotKeepError as error:
        raise CannotServeError(str(error)) from None
    pool = ThreadPoolExecutor(settings.threads, "check")
    stream_pool = ThreadPoolExecutor(settings.max_streams + SPARE_STREAM_THREADS, "stream")
    desk = Desk(
        knowledge=knowledge,
        engine=engine,
        encode=FastEncoder(knowledge).response,
        fingerprint_key=settings.key,
        report=lambda fault: log_fault(log, fault),
        decisions=decisions,
    )
    gate = Gate(
        desk=desk,
        log=log,
        pool=pool,
        stream_pool=stream_pool,
        streams=OpenStreams(settings.max_streams),
        stopping=threading.Event(),
        max_waiting=settings.max_waiting,
        deadline_floor=settings.deadline_floor_ms / 1000,
    )
    server = grpc.server(
        pool,
        options=(
            # A second server on the same port must fail, not share the calls.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", settings.max_receive_bytes),
        ),
        maximum_concurrent_rpcs=settings.max_concurrent_rpcs,
    )
    offered = services(gate, open_library(knowledge, settings.key))
    offered[FEEDBACK] = feedback_service(gate, Keeping(decisions, index_of(settings)))
    for name, methods in offered.items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))
        server.add_registered_method_handlers(name, methods)
    names = [CHECKS, KNOWLEDGE, FEEDBACK, health.SERVICE_NAME]
    checkup = _add_health(server)
    if settings.reflection:
        names.append(reflection.SERVICE_NAME)
        _add_reflection(server, tuple(names), stream_pool)
    address = _bind(server, settings.listen)
    server.start()
    for each in ("", *names):
        checkup.set(each, health_pb2.HealthCheckResponse.SERVING)
    serving = Serving(server, checkup, gate, settings, log, address, decisions)
    log.info(
        "serving",
        address=address,
        version=__version__,
        knowledge=knowledge.digest[:12],
        policy=knowledge.policy.id,
        site_codes=knowledge.names.site_code_count(),
        policy_changes=len(knowledge.policy_changes),
        threads=settings.threads,
        decisions=decisions is not None,
        started_ms=round((time.perf_counter() - began) * 1000),
    )
    if settings.has_default_key:
        log.warning("default_fingerprint_key", meaning="set MEDSAFETY_FINGERPRINT_KEY to a secret of your site")
    return serving


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends at once. Errors as `start`."""
    asked: list[int] = []

    def stop(signal_number: int, frame: FrameType | None) -> None:
        asked.append(signal_number)  # nothing that takes a lock: the main thread may be holding it

    # Before anyone can know that it serves: a signal that comes at once must drain too.
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, stop)
    serving = start(settings)
    # What is loaded lives as long as the process: the garbage collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    while not asked:  # looked at again and again, since a signal just before a wait does not end the wait
        time.sleep(LOOK_SECONDS)
    serving.drain(lambda: len(asked) > 1)
    serving.log.info("stopped")


def _bind(server: grpc.Server, listen: str) -> str:
    """Bind, and return the address with the port taken. Raises CannotServeError."""
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError:
        port = 0
    if port == 0:
        raise CannotServeError(f"cannot serve on {listen}: in use, not permitted, or not an address")
    host, colon, _ = listen.rpartition(":")
    return listen if listen.startswith("unix:") or not colon else f"{host}:{port}"


def _add_health(server: grpc.Server) -> health.HealthServicer:
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
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    return servicer


def _add_reflection(server: grpc.Server, names: tuple[str, ...], pool: ThreadPoolExecutor) -> None:
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
