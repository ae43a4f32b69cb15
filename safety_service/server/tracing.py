"""One span for each call that is traced, for OpenTelemetry. Whether it is, is decided before it is worked on: as the
caller says in `traceparent`, else by a share of the calls. A call that is not traced costs a look at its metadata.

A span holds what the access log holds: nothing of a patient, no id of the caller's.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import grpc

from safety_service.server.handlers import Tally

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

_NAME = "medsafety"


class CannotTraceError(Exception):
    """The packages are missing."""


class Tracer:
    """Makes spans and hands them on in the background."""

    def __init__(self, endpoint: str, ratio: float, exporter: SpanExporter | None = None) -> None:
        """`endpoint` speaks OTLP over gRPC without TLS, on this machine; `ratio` of the calls whose callers leave it
        open is traced. Raises CannotTraceError.
        """
        try:
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import SERVICE_NAME, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.sampling import ALWAYS_ON
            from opentelemetry.trace import SpanKind, StatusCode
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ModuleNotFoundError as error:
            raise CannotTraceError(f"traces need the extra [tracing]: {error.name} is not installed") from None
        self._ratio = ratio
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,  # what comes this far has been chosen
            resource=Resource.create({SERVICE_NAME: _NAME}),
            shutdown_on_exit=False,
        )
        to = OTLPSpanExporter(endpoint=endpoint, insecure=True) if exporter is None else exporter
        self._provider.add_span_processor(BatchSpanProcessor(to))
        self._tracer = self._provider.get_tracer(_NAME)
        self._parent = TraceContextTextMapPropagator().extract
        self._kind, self._error = SpanKind.SERVER, StatusCode.ERROR

    def chosen(self, context: grpc.ServicerContext) -> Mapping[str, str] | None:
        """What to trace a call by; None: it is not traced."""
        for key, value in context.invocation_metadata():
            if key == "traceparent" and isinstance(value, str):
                return {key: value} if value[-2:] == "01" else None
        return {} if random.random() < self._ratio else None

    def call(
        self, by: Mapping[str, str], method: str, code: int, code_name: str, spent_us: int, tally: Tally, knowledge: str
    ) -> None:
        """The span of a call that has just ended."""
        now = time.time_ns()
        attributes: dict[str, Any] = {
            "rpc.system": "grpc",
            "rpc.method": method,
            "rpc.grpc.status_code": code,
            "medsafety.answers": tally.answers,
            "medsafety.alerts": tally.alerts,
            "medsafety.knowledge": knowledge[:12],
        }
        span = self._tracer.start_span(
            method,
            context=self._parent(by) if by else None,
            kind=self._kind,
            attributes=attributes,
            start_time=now - spent_us * 1000,
        )
        if code:
            span.set_status(self._error, code_name)
        span.end(now)

    def close(self) -> None:
        """Hand on what is waiting."""
        self._provider.shutdown()
