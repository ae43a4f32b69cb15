"""The handlers as methods of a gRPC server: deadlines, refusals, streams, draining, one log line for each call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from queue import SimpleQueue
from typing import NoReturn, TypeAlias

import grpc
from google.protobuf.message import Message
from google.rpc import code_pb2
from grpc_status import rpc_status

from safety_service.server import feedback_handlers, handlers, limits
from safety_service.server.access_log import Log, log_call
from safety_service.server.doors import Doors
from safety_service.server.errors import (
    CODE_NAMES,
    Reason,
    RefusedError,
    cancelled,
    deadline_exceeded,
    draining,
    internal,
    refusal,
    too_large,
)
from safety_service.server.handlers import Desk, Tally, guarded
from safety_service.server.in_use import InUse, Standing
from safety_service.server.knowledge_handlers import METHODS, Library
from safety_service.server.metrics import Meter
from safety_service.server.reading import Reading
from safety_service.server.tracing import Tracer

CHECKS = "medsafety.v1.MedicationSafetyService"
KNOWLEDGE = "medsafety.v1.KnowledgeService"
METHOD_NAMES = (
    "CheckPrescription",
    "BatchCheckPrescriptions",
    "StreamCheckPrescriptions",
    *METHODS,
    *feedback_handlers.METHODS,
)
RETRY_MS = 250
GIVE_WAY_SECONDS = 0.0002  # between two items of a batch while single checks wait for the interpreter
PACE_SECONDS = 0.25  # between two looks whether a stream that has to wait is still wanted

Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"
Answer = Callable[[Standing, bytes, Tally, grpc.ServicerContext], bytes]


class Mark(Enum):
    """What the queue of a stream may hold beside messages."""

    END = "the client has sent all, or is gone"
    DRAINING = "the server is stopping"


Messages: TypeAlias = "SimpleQueue[bytes | Mark]"


class OpenStreams:
    """What each open stream has read and not yet answered."""

    def __init__(self, most: int) -> None:
        self._lock = threading.Lock()
        self._most = most
        self._draining = False
        self._queues: set[Messages] = set()

    def open(self) -> Messages:
        """The queue of a new stream. Raises RefusedError when the server is stopping, or there are too many."""
        queue: Messages = SimpleQueue()
        with self._lock:
            if self._draining:
                raise draining()
            if len(self._queues) >= self._most:
                raise refusal(Reason.OVERLOADED, "too many streams are open", retry_ms=RETRY_MS)
            self._queues.add(queue)
        return queue

    def close(self, queue: Messages) -> None:
        """Forget a stream that has ended."""
        with self._lock:
            self._queues.discard(queue)

    def drain(self) -> None:
        """Let every stream end behind what it has read, and no new one begin."""
        with self._lock:
            if not self._draining:
                self._draining = True
                for queue in self._queues:
                    queue.put(Mark.DRAINING)

    def count(self) -> int:
        """How many are open."""
        with self._lock:
            return len(self._queues)

    def waiting(self) -> int:
        """Messages read and not yet taken up, of all streams."""
        with self._lock:
            return sum(queue.qsize() for queue in self._queues)


@dataclass(frozen=True, slots=True)
class Gate:
    """What stands before every handler. Times are in seconds."""

    in_use: InUse
    log: Log
    pool: ThreadPoolExecutor
    batch_pool: ThreadPoolExecutor
    stream_pool: ThreadPoolExecutor
    streams: OpenStreams
    stopping: threading.Event
    max_waiting: int
    max_waiting_batches: int
    deadline_floor: float
    doors: Doors
    reading: Reading
    running: set[int] = field(default_factory=set)  # one number for each unary call in a handler
    running_batches: set[int] = field(default_factory=set)
    begun: Begun = field(default_factory=lambda: Begun())
    meter: Meter | None = None
    tracer: Tracer | None = None

    def unary(self, service: str, method: str, answer: Answer, *, batch: bool = False) -> Handler:
        """A method with one request and one answer. Batches have threads of their own."""
        path = f"/{service}/{method}"
        in_handler = self.running_batches if batch else self.running

        def serve(sent: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            began = time.perf_counter_ns()
            tally = Tally()
            data = b""
            running = id(tally)
            self.begun.calls += 1
            standing = self.in_use.now  # once: a call is answered from one knowledge
            traced = None
            try:
                in_handler.add(running)
                traced = None if self.tracer is None else self.tracer.chosen(context)
                self._admit(path, context, tally, batch)
                data = self.reading.one(sent, context)
                answered = answer(standing, data, tally, context)
            except Exception as error:
                refused = _refused(standing.desk, error)
                self._log(method, refused.status.code, began, len(data), 0, tally, standing, traced)
                _abort(context, refused)
            finally:
                in_handler.discard(running)
            self._log(method, code_pb2.OK, began, len(data), len(answered), tally, standing, traced)
            return answered

        if batch:
            serve.experimental_thread_pool = self.batch_pool  # type: ignore[attr-defined]
        # On the wire the same as one request; but nothing is read of who may not call, and reading has an end.
        return grpc.stream_unary_rpc_method_handler(serve)

    def stream(self, service: str, method: str) -> Handler:
        """StreamCheckPrescriptions."""
        path = f"/{service}/{method}"

        def serve(sent: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            began = time.perf_counter_ns()
            tally = Tally()
            size = _Size()
            self.begun.calls += 1
            traced = None
            code: int = code_pb2.CANCELLED  # unless told otherwise below: the client went away
            try:
                traced = None if self.tracer is None else self.tracer.chosen(context)
                tally.caller = self.doors.admit(path, context).name
                yield from self._answers(sent, context, tally, size)
                code = code_pb2.OK
            except Exception as error:
                refused = _refused(self.in_use.now.desk, error)
                code = refused.status.code
                _abort(context, refused)
            finally:
                self._log(method, code, began, size.received, size.sent, tally, self.in_use.now, traced)

        # Not the threads of the unary calls: an idle stream keeps its own.
        serve.experimental_thread_pool = self.stream_pool  # type: ignore[attr-defined]
        return grpc.stream_stream_rpc_method_handler(serve)

    def may_go_on(self, context: grpc.ServicerContext) -> Callable[[], None]:
        """To be asked between the items of a batch. Raises RefusedError."""

        def ask() -> None:
            self._has_time(context)
            if not context.is_active():
                raise cancelled()
            if self.running:
                time.sleep(GIVE_WAY_SECONDS)

        return ask

    def idle(self) -> bool:
        """Whether no check and no question about the knowledge is running or waiting."""
        waiting = self.pool._work_queue.qsize() + self.batch_pool._work_queue.qsize()
        return not (waiting or self.running or self.running_batches or self.streams.count())

    def _admit(self, path: str, context: grpc.ServicerContext, tally: Tally, batch: bool) -> None:
        if self.stopping.is_set():
            raise draining()
        self._has_time(context)
        caller = tally.caller = self.doors.admit(path, context).name
        tally.charge = lambda items: self.doors.rates.owe(caller, items - 1)
        pool, most = (self.batch_pool, self.max_waiting_batches) if batch else (self.pool, self.max_waiting)
        if pool._work_queue.qsize() > most:
            raise refusal(Reason.OVERLOADED, "too many calls are waiting", retry_ms=RETRY_MS)

    def _has_time(self, context: grpc.ServicerContext) -> None:
        if context.time_remaining() <= self.deadline_floor:
            raise deadline_exceeded()

    def _pace(self, caller: str, context: grpc.ServicerContext) -> None:
        """Wait until the caller may ask again. What has been read when the server stops is answered at once."""
        while (wait := self.doors.rates.take(caller)) and not self.stopping.wait(min(wait, PACE_SECONDS)):
            self._has_time(context)
            if not context.is_active():
                raise cancelled()

    def _answers(
        self, sent: Iterator[bytes], context: grpc.ServicerContext, tally: Tally, size: _Size
    ) -> Iterator[bytes]:
        """The answers in order. What was read before draining began is answered before the stream ends."""
        read = self.streams.open()
        room = threading.Semaphore(limits.STREAM_IN_FLIGHT.value)
        # Reading waits for the client; this thread has to hear of draining meanwhile.
        threading.Thread(target=_read_ahead, args=(sent, read, room), daemon=True).start()
        try:
            while True:
                data = read.get()
                if data is Mark.END:
                    return
                if data is Mark.DRAINING:
                    raise draining()
                assert isinstance(data, bytes)
                self._has_time(context)
                self._pace(tally.caller, context)
                answer = handlers.check_stream_item(self.in_use.now.desk, data, tally)
                size.received += len(data)
                size.sent += len(answer)
                yield answer
                room.release()
        finally:
            self.streams.close(read)
            room.release()

    def _log(
        self,
        method: str,
        code: int,
        began: int,
        received: int,
        sent: int,
        tally: Tally,
        standing: Standing,
        traced: Mapping[str, str] | None,
    ) -> None:
        spent = (time.perf_counter_ns() - began) // 1000
        digest = standing.knowledge.digest
        log_call(self.log, method, CODE_NAMES[code], spent, received, sent, tally, digest)
        if self.meter is not None:
            self.meter.call(method, code, spent, tally)
        if self.tracer is not None and traced is not None:
            self.tracer.call(traced, method, code, CODE_NAMES[code], spent, tally, digest)


@dataclass(slots=True)
class Begun:
    """How many calls there have been, a stream counted once; give or take a few that came at the same moment."""

    calls: int = 0


@dataclass(slots=True)
class _Size:
    """Bytes of a stream so far."""

    received: int = 0
    sent: int = 0


def _read_ahead(sent: Iterator[bytes], read: Messages, room: threading.Semaphore) -> None:
    """Put what the client sends into `read`, no more than there is `room` for."""
    try:
        while True:
            room.acquire()
            read.put(next(sent))
    except Exception:  # the stream has ended, in whichever way; grpc tells by different types
        read.put(Mark.END)


def _refused(desk: Desk, error: Exception) -> RefusedError:
    """What ends a call that raised `error`. grpc would send the text of any other exception to the client."""
    if isinstance(error, RefusedError):
        return error
    fault = handlers._fault(desk, error)
    desk.report(fault)
    return internal(fault.error_id)


def _abort(context: grpc.ServicerContext, refused: RefusedError) -> NoReturn:
    context.abort_with_status(rpc_status.to_status(refused.status))


def feedback_service(gate: Gate, keeping: feedback_handlers.Keeping) -> dict[str, Handler]:
    """The methods of FeedbackService."""
    methods = feedback_handlers.METHODS

    def answers(method: Callable[[feedback_handlers.Keeping, bytes, str], Message]) -> Answer:
        def answer(standing: Standing, data: bytes, tally: Tally, _: grpc.ServicerContext) -> bytes:
            return guarded(standing.desk, lambda: method(keeping, data, tally.caller)).SerializeToString()

        return answer

    return {name: gate.unary(feedback_handlers.SERVICE, name, answers(method)) for name, method in methods.items()}


def services(gate: Gate) -> dict[str, dict[str, Handler]]:
    """The methods of both services, by the names of the contract."""

    def check(standing: Standing, data: bytes, tally: Tally, _: grpc.ServicerContext) -> bytes:
        return handlers.check_prescription(standing.desk, data, tally)

    def batch(standing: Standing, data: bytes, tally: Tally, context: grpc.ServicerContext) -> bytes:
        return handlers.check_batch(standing.desk, data, tally, gate.may_go_on(context))

    def shows(method: Callable[[Library, bytes], Message]) -> Answer:
        def show(standing: Standing, data: bytes, _: Tally, __: grpc.ServicerContext) -> bytes:
            answer = guarded(standing.desk, lambda: method(standing.library, data)).SerializeToString()
            if len(answer) > limits.ANSWER_BYTES.value:
                raise too_large("the answer", len(answer), limits.ANSWER_BYTES.value)
            return answer

        return show

    return {
        CHECKS: {
            "CheckPrescription": gate.unary(CHECKS, "CheckPrescription", check),
            "BatchCheckPrescriptions": gate.unary(CHECKS, "BatchCheckPrescriptions", batch, batch=True),
            "StreamCheckPrescriptions": gate.stream(CHECKS, "StreamCheckPrescriptions"),
        },
        KNOWLEDGE: {name: gate.unary(KNOWLEDGE, name, shows(method)) for name, method in METHODS.items()},
    }
