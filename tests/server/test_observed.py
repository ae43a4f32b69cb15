"""What Prometheus and OpenTelemetry are told of calls."""

import io
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from medsafety.v1.medication_safety_service_pb2 import BatchCheckPrescriptionsRequest, CheckPrescriptionRequest
from medsafety.v1.medication_safety_service_pb2_grpc import MedicationSafetyServiceStub
from safety_service.demo import article_case
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import load_knowledge
from safety_service.server import serve
from safety_service.server.access_log import open_log
from safety_service.server.handlers import Tally
from safety_service.server.metrics import CannotMeasureError, open_meter, serve_metrics
from safety_service.server.settings import Settings
from safety_service.server.tracing import Tracer

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


@contextmanager
def serving(knowledge: Knowledge, **settings: Any) -> Iterator[tuple[serve.Serving, Any]]:
    log = open_log("info", "json", io.StringIO())
    server = serve.start(Settings(listen="127.0.0.1:0", **settings), knowledge, log)
    try:
        with grpc.insecure_channel(server.address) as channel:
            yield server, MedicationSafetyServiceStub(channel)
    finally:
        server.drain()


def test_calls_are_counted_by_method_and_code(knowledge: Knowledge) -> None:
    with serving(knowledge, metrics_listen="127.0.0.1:0") as (server, stub):
        assert server.registry is not None
        bad = CheckPrescriptionRequest()
        bad.CopyFrom(article_case())
        bad.prescription.days_supply = -1
        alerts = sum(len(stub.CheckPrescription(article_case(), timeout=30).decision.alerts) for _ in range(3))
        with pytest.raises(grpc.RpcError):
            stub.CheckPrescription(bad, timeout=30)
        batch = stub.BatchCheckPrescriptions(BatchCheckPrescriptionsRequest(items=[bad, article_case()]), timeout=30)
        alerts += len(batch.items[1].response.decision.alerts)

        address, stop = serve_metrics("127.0.0.1:0", server.registry)
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        stop()
    told = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}
    assert told['medsafety_calls_total{code="OK",method="CheckPrescription"}'] == 3
    assert told['medsafety_calls_total{code="INVALID_ARGUMENT",method="CheckPrescription"}'] == 1
    assert told['medsafety_calls_total{code="OK",method="BatchCheckPrescriptions"}'] == 1
    assert told['medsafety_calls_total{code="OK",method="GetRule"}'] == 0, "a rate is known from the first call on"
    assert told['medsafety_call_seconds_count{method="CheckPrescription"}'] == 4
    assert told["medsafety_answers_total"] == 4
    assert told["medsafety_alerts_total"] == alerts
    assert told["medsafety_item_errors_total"] == 1
    assert told['medsafety_overall_total{overall="ALERTS"}'] == 4


def test_a_method_that_was_not_foreseen_is_counted_too() -> None:
    meter, registry = open_meter(())
    meter.call("Later", 16, 5, Tally())
    assert registry.get_sample_value("medsafety_calls_total", {"method": "Later", "code": "UNAUTHENTICATED"}) == 1
    assert registry.get_sample_value("medsafety_call_seconds_count", {"method": "Later"}) == 1


@pytest.mark.parametrize("listen", ["127.0.0.1:99999", "127.0.0.1:x", "203.0.113.1:1"])
def test_an_address_that_cannot_be_served_on(listen: str) -> None:
    with pytest.raises(CannotMeasureError, match=listen):
        serve_metrics(listen, open_meter(())[1])


class Traces(Tracer):
    """Hands spans to the test."""

    kept: InMemorySpanExporter

    def __init__(self, endpoint: str, ratio: float) -> None:
        Traces.kept = InMemorySpanExporter()
        super().__init__(endpoint, ratio, Traces.kept)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "Tracer", Traces)


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(("ratio", "unsaid"), [(0.0, 0), (1.0, 1)])
def test_a_caller_decides_what_is_traced_and_else_the_share_does(
    knowledge: Knowledge, ratio: float, unsaid: int
) -> None:
    with serving(knowledge, trace_endpoint="http://127.0.0.1:1", trace_ratio=ratio) as (_, stub):
        for flags in ("00", "01"):
            stub.CheckPrescription(article_case(), timeout=30, metadata=[("traceparent", PARENT + flags)])
        stub.CheckPrescription(article_case(), timeout=30)
        with pytest.raises(grpc.RpcError):
            stub.CheckPrescription(
                CheckPrescriptionRequest(request_id="x" * 65), timeout=30, metadata=[("traceparent", PARENT + "01")]
            )
    spans = Traces.kept.get_finished_spans()
    by_caller = [each for each in spans if each.parent is not None]
    assert len(spans) == 2 + unsaid
    assert [f"{each.context.trace_id:032x}" for each in by_caller if each.context] == [PARENT[3:35]] * 2
    assert [each.status.description for each in by_caller] == [None, "INVALID_ARGUMENT"]
    said = by_caller[0].attributes or {}
    assert said["rpc.method"] == "CheckPrescription"
    assert said["medsafety.alerts"] == 8
    assert 0 < (by_caller[0].end_time or 0) - (by_caller[0].start_time or 0) < 30e9
    written = "".join(each.to_json() for each in spans)
    assert article_case().patient.id not in written or not article_case().patient.id
    assert "yclobenzaprine" not in written


def test_nothing_is_traced_unless_asked_for(knowledge: Knowledge) -> None:
    with serving(knowledge) as (server, _):
        assert server.gate.tracer is None
        assert server.gate.meter is None
