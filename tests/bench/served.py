"""The server as its clients find it: CPU for each check and each batch against a bare echo, and the time to start."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health_pb2

from medsafety.v1 import medication_safety_service_pb2
from safety_service.cases import Case
from safety_service.domain import CheckStatus, View
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from tests.bench import echo
from tests.bench.against_cel import AnswersDifferError
from tests.bench.figures import Figure, Goal, Row
from tests.bench.load import SERVER_CORE, Load, LoadError, Server, cpu_of, free_port, running, stop
from tests.bench.wire import in_view, on_the_wire

UNARY = Goal(required=1.6, target=1.35, at_most=True)
BATCH = Goal(required=4, target=6)
START = Goal(required=2, at_most=True)

_CHECK = echo.ECHO
_BATCH = "medsafety.v1.MedicationSafetyService/BatchCheckPrescriptions"
_BATCH_ITEMS = 100
_START_LIMIT = 90.0

_Request = medication_safety_service_pb2.CheckPrescriptionRequest
_Response = medication_safety_service_pb2.CheckPrescriptionResponse


@dataclass(frozen=True, slots=True)
class Sample:
    """A request of the benchmark set with what the server answers to it."""

    case: str
    request: bytes
    answer_bytes: int
    alerts: int


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to measure."""

    rounds: int
    samples: int
    calls: int
    batches: int
    starts: int


@dataclass(frozen=True, slots=True)
class Served:
    """Rows of the table, and what was asked."""

    rows: list[Row]
    notes: list[str]


def measure(knowledge: Knowledge, cases: Sequence[Case], effort: Effort) -> Served:
    """Raises AnswersDifferError when the server decides otherwise than the engine, LoadError when it fails."""
    sent = {each.id: message for each in cases if (message := on_the_wire(each.request)) is not None}
    with ExitStack() as stack:
        service = stack.enter_context(running(["safety_service", "serve", "--listen", "127.0.0.1:0"]))
        bare = stack.enter_context(running([echo.__file__]))
        channel = stack.enter_context(_channel(service.address))
        answered = _answers(channel, knowledge, [each for each in cases if each.id in sent], sent)
        samples = _spread(answered, effort.samples)
        batches = {view: _batches(channel, list(sent.values()), view, effort.batches) for view in View if view}
        times = _interleaved(service, bare, samples, batches, effort)
    rows = _rows(times)
    notes = [
        f"{len(sent)} of {len(cases)} cases can be sent; {len(samples)} of them, evenly spaced by the length of the "
        "answer, are the unary load.",
        _described("All cases", answered),
        _described("The load", samples),
    ]
    return Served(rows, notes)


def starts(count: int) -> Row:
    """Seconds from starting the process until health says SERVING."""
    return Row("start to SERVING", Figure.of([_start() for _ in range(count)]), "s", START)


# --- what is sent ------------------------------------------------------------------------------------------------


def _channel(address: str) -> grpc.Channel:
    return grpc.insecure_channel(address, options=(("grpc.max_receive_message_length", -1),))


def _call(channel: grpc.Channel, method: str, request: bytes) -> bytes:
    return channel.unary_unary(f"/{method}", bytes, bytes)(request, timeout=10)


def _answers(
    channel: grpc.Channel, knowledge: Knowledge, cases: Sequence[Case], sent: Mapping[str, _Request]
) -> list[Sample]:
    """Every case asked once. Raises AnswersDifferError where server and engine differ."""
    samples = []
    for each in cases:
        request = sent[each.id].SerializeToString()
        answer = _call(channel, _CHECK, request)
        found = _Response.FromString(answer).decision
        decided = check(knowledge, each.request)
        ours = [(c.rule_id, c.subject, int(c.status)) for c in decided.checks]
        theirs = [(c.rule_id, c.subject, int(c.status)) for c in found.checks]
        if ours != theirs or [a.rule_id for a in decided.alerts] != [a.rule_id for a in found.alerts]:
            raise AnswersDifferError(f"{each.id}: engine {sorted(ours)}, server {sorted(theirs)}")
        fired = sum(c.status is CheckStatus.FIRED for c in decided.checks)
        samples.append(Sample(each.id, request, len(answer), fired))
    return samples


def _spread(answered: Sequence[Sample], count: int) -> list[Sample]:
    """So many, from the middle of equal parts of the set ordered by the length of the answer."""
    ordered = sorted(answered, key=lambda each: (each.answer_bytes, each.case))
    count = min(count, len(ordered))
    return [ordered[(2 * i + 1) * len(ordered) // (2 * count)] for i in range(count)]


def _batches(channel: grpc.Channel, sent: Sequence[_Request], view: View, count: int) -> list[Load]:
    """Batches of 100 that go through the set in steps, so that each holds some of every file."""
    loads = []
    for first in range(count):
        items = [in_view(sent[(first + i * count) % len(sent)], view) for i in range(_BATCH_ITEMS)]
        body = medication_safety_service_pb2.BatchCheckPrescriptionsRequest(items=items).SerializeToString()
        answer = _call(channel, _BATCH, body)
        results = medication_safety_service_pb2.BatchCheckPrescriptionsResponse.FromString(answer).items
        if len(results) != _BATCH_ITEMS or any(each.HasField("error") for each in results):
            raise LoadError("a batch was not answered as a whole")
        loads.append(Load(_BATCH, body, len(answer), 8, streams=1, slack=16 * _BATCH_ITEMS))
    return loads


def _described(name: str, samples: Sequence[Sample]) -> str:
    def mean(values: Sequence[int]) -> str:
        return f"{statistics.fmean(values):,.1f} ({min(values):,} to {max(values):,})"

    return (
        f"{name}: alerts per answer {mean([each.alerts for each in samples])}, "
        f"bytes per answer {mean([each.answer_bytes for each in samples])}, "
        f"bytes per request {mean([len(each.request) for each in samples])}."
    )


# --- what it takes -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Times:
    """CPU microseconds of one round, each case weighing the same."""

    echo: float
    as_long: float
    check: float
    batch_items: Mapping[View, float]


def _interleaved(
    service: Server, bare: Server, samples: Sequence[Sample], batches: Mapping[View, Sequence[Load]], effort: Effort
) -> list[_Times]:
    """Rounds in which both servers take turns on every case; who begins takes turns, too."""
    kinds = {
        "echo": (bare, [Load(echo.ECHO, each.request, len(each.request), effort.calls) for each in samples]),
        "as long": (bare, [_as_long(each, effort.calls) for each in samples]),
        "check": (service, [Load(_CHECK, each.request, each.answer_bytes, effort.calls) for each in samples]),
    }
    names = list(kinds)
    for server, loads in kinds.values():
        for load in loads:
            cpu_of(server, load)  # warm
    rounds = []
    for n in range(effort.rounds):
        spent = dict.fromkeys(names, 0.0)
        for i in range(len(samples)):
            for turn in range(len(names)):
                name = names[(n + i + turn) % len(names)]
                server, loads = kinds[name]
                spent[name] += cpu_of(server, loads[i]) / len(samples) * 1e6
        items = {
            view: statistics.fmean([cpu_of(service, load) for load in loads]) / _BATCH_ITEMS * 1e6
            for view, loads in batches.items()
        }
        rounds.append(_Times(spent["echo"], spent["as long"], spent["check"], items))
    return rounds


def _as_long(sample: Sample, calls: int) -> Load:
    """As the check, but the answer is padding."""
    length = sample.answer_bytes
    body = length.to_bytes(echo.LENGTH_BYTES, "big") + sample.request[echo.LENGTH_BYTES :]
    return Load(echo.AS_LONG, body, length, calls)


def _rows(times: Sequence[_Times]) -> list[Row]:
    def over(values: Sequence[float], by: Sequence[float]) -> Figure:
        return Figure.of([value / each for value, each in zip(values, by, strict=True)])

    echoes = [each.echo for each in times]
    checks = [each.check for each in times]
    padded = [each.as_long for each in times]
    brief, full = ([each.batch_items[view] for each in times] for view in (View.BRIEF, View.FULL))
    return [
        Row("full unary check / echo of the request, server CPU", over(checks, echoes), "x", UNARY),
        Row("  the same / bare answer of the same length", over(checks, padded), "x"),
        Row("  full unary check", Figure.of(checks), "us CPU"),
        Row("  echo of the request", Figure.of(echoes), "us CPU"),
        Row("  bare answer of the same length", Figure.of(padded), "us CPU"),
        Row("batch of 100 BRIEF, prescriptions / echo calls per second", over(echoes, brief), "x", BATCH),
        Row("  the same, FULL", over(echoes, full), "x"),
        Row("  prescriptions per second of server CPU, BRIEF", Figure.of([1e6 / each for each in brief])),
        Row("  prescriptions per second of server CPU, FULL", Figure.of([1e6 / each for each in full])),
    ]


def _start() -> float:
    address = f"127.0.0.1:{free_port()}"
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "safety_service", "serve", "--listen", address],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        while time.perf_counter() - began < _START_LIMIT:
            if _is_serving(address):
                return time.perf_counter() - began
            time.sleep(0.01)
    finally:
        stop(process)
    raise LoadError("the server did not start")


@contextmanager
def quiet() -> Iterator[Server]:
    """A server that writes no line for a call, and so none that it serves, on the server's core. Raises LoadError."""
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [sys.executable, "-m", "safety_service", "serve", "--listen", address, "--log-level", "error"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        os.sched_setaffinity(process.pid, {SERVER_CORE})
        began = time.perf_counter()
        while not _is_serving(address):
            if time.perf_counter() - began > _START_LIMIT or process.poll() is not None:
                raise LoadError("the server did not start")
            time.sleep(0.05)
        yield Server(process, address)
    finally:
        stop(process)


def _is_serving(address: str) -> bool:
    """A channel of its own each time: one that was refused waits before it tries again."""
    with grpc.insecure_channel(address) as channel:
        try:
            answer = _call(channel, "grpc.health.v1.Health/Check", b"")
        except grpc.RpcError:
            return False
    return health_pb2.HealthCheckResponse.FromString(answer).status == health_pb2.HealthCheckResponse.SERVING
