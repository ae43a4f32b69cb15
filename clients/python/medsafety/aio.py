"""The asyncio client: the same calls as `medsafety.client`, to be awaited."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from types import TracebackType
from typing import Protocol, TypeVar

import grpc
import grpc.aio

from medsafety.connection import BATCH_SECONDS, CHANNEL_OPTIONS, CHECK_SECONDS, STREAM_SECONDS
from medsafety.credentials import Token, check_secrecy, metadata_of
from medsafety.errors import ItemError, answer_or_error, error_of_call
from medsafety.v1.care_pb2 import CareOption, PainPhase
from medsafety.v1.feedback_service_pb2 import (
    Feedback,
    RecordFeedbackRequest,
    SummarizeAlertsRequest,
    SummarizeAlertsResponse,
)
from medsafety.v1.feedback_service_pb2_grpc import FeedbackServiceStub
from medsafety.v1.knowledge_pb2 import MedicationLine, Rule, RuleKind, Source
from medsafety.v1.knowledge_service_pb2 import (
    GetCareOptionRequest,
    GetCareOptionResponse,
    GetKnowledgeRequest,
    GetKnowledgeResponse,
    GetMedicationRequest,
    GetMedicationResponse,
    GetRuleRequest,
    GetRuleResponse,
    ListCareOptionsRequest,
    ListMedicationsRequest,
    ListRulesRequest,
    ListSourcesRequest,
    ResolveMedicationRequest,
    ResolveMedicationResponse,
)
from medsafety.v1.knowledge_service_pb2_grpc import KnowledgeServiceStub
from medsafety.v1.medication_pb2 import Medication
from medsafety.v1.medication_safety_service_pb2 import (
    BatchCheckPrescriptionsRequest,
    CheckPrescriptionRequest,
    CheckPrescriptionResponse,
    StreamCheckPrescriptionsRequest,
)
from medsafety.v1.medication_safety_service_pb2_grpc import MedicationSafetyServiceStub

Request = TypeVar("Request")
Response = TypeVar("Response")
PagedRequest = TypeVar("PagedRequest", bound="_PagedRequest")
Page = TypeVar("Page", bound="_Page")


class _PagedRequest(Protocol):
    page_token: str


class _Page(Protocol):
    next_page_token: str


class AsyncMedsafetyClient:
    """Asks a medication safety server from one event loop; keeps one connection.

        async with AsyncMedsafetyClient("localhost:50551") as client:
            response = await client.check(request)
            async for answer in client.check_stream(requests):
                ...

    Everything said of `MedsafetyClient` holds: deadlines, retries, errors, and that what is not sent is not
    known.
    """

    def __init__(
        self,
        target: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        token: Token | None = None,
        timeout: float = CHECK_SECONDS,
        batch_timeout: float = BATCH_SECONDS,
        stream_timeout: float = STREAM_SECONDS,
    ) -> None:
        """To be made inside a running event loop; arguments as for `MedsafetyClient`."""
        check_secrecy(target, credentials, token)
        self._token = token
        self._timeout = timeout
        self._batch_timeout = batch_timeout
        self._stream_timeout = stream_timeout
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(target, credentials, options=CHANNEL_OPTIONS)
        self._checks = MedicationSafetyServiceStub(self._channel)
        self._knowledge = KnowledgeServiceStub(self._channel)
        self._feedback = FeedbackServiceStub(self._channel)

    async def __aenter__(self) -> AsyncMedsafetyClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection and every call that is still open on it."""
        await self._channel.close()

    # --- checks ---------------------------------------------------------------------------------------------

    async def check(self, request: CheckPrescriptionRequest, timeout: float | None = None) -> CheckPrescriptionResponse:
        """Checks one prescription. The view is FULL unless the request says otherwise."""
        return await self._ask(self._checks.CheckPrescription, request, timeout)

    async def check_batch(
        self, requests: Iterable[CheckPrescriptionRequest], timeout: float | None = None
    ) -> list[CheckPrescriptionResponse | ItemError]:
        """Checks many prescriptions in one call: one answer for each, in order. See `MedsafetyClient`."""
        batch = BatchCheckPrescriptionsRequest(items=requests)
        seconds = self._batch_timeout if timeout is None else timeout
        answer = await self._ask(self._checks.BatchCheckPrescriptions, batch, seconds)
        return [answer_or_error(index, result) for index, result in enumerate(answer.items)]

    async def check_stream(
        self,
        requests: AsyncIterable[CheckPrescriptionRequest] | Iterable[CheckPrescriptionRequest],
        timeout: float | None = None,
    ) -> AsyncGenerator[CheckPrescriptionResponse | ItemError, None]:
        """Checks prescriptions as they come: yields one answer for each, in order. See `MedsafetyClient`.

        `requests` is read in a task of its own, as fast as the server takes them. To stop early, close the
        iterator (`contextlib.aclosing`) or the client.
        """
        broken: list[Exception] = []

        async def items() -> AsyncIterator[StreamCheckPrescriptionsRequest]:
            try:
                if isinstance(requests, AsyncIterable):
                    async for request in requests:
                        yield StreamCheckPrescriptionsRequest(item=request)
                else:
                    for request in requests:
                        yield StreamCheckPrescriptionsRequest(item=request)
            except Exception as error:
                broken.append(error)  # gRPC would only log it

        seconds = self._stream_timeout if timeout is None else timeout
        call = self._checks.StreamCheckPrescriptions(items(), timeout=seconds, metadata=metadata_of(self._token))
        index = 0
        try:
            async for answer in call:
                yield answer_or_error(index, answer.result)
                index += 1
        except grpc.aio.AioRpcError as failed:
            raise error_of_call(failed) from None
        finally:
            call.cancel()
        if broken:
            raise broken[0]

    # --- knowledge ------------------------------------------------------------------------------------------

    async def get_knowledge(self, timeout: float | None = None) -> GetKnowledgeResponse:
        """Version, digests, review status, and every limit that requests are held to."""
        return await self._ask(self._knowledge.GetKnowledge, GetKnowledgeRequest(), timeout)

    async def get_medication(self, medication_id: str, timeout: float | None = None) -> GetMedicationResponse:
        """One medication line ("cyclobenzaprine-ir") with every statement, its verb and its source."""
        request = GetMedicationRequest(medication_id=medication_id)
        return await self._ask(self._knowledge.GetMedication, request, timeout)

    async def resolve_medication(
        self, medication: Medication, timeout: float | None = None
    ) -> ResolveMedicationResponse:
        """What a medication would be recognised as; `matched_by` unspecified says that it was not."""
        request = ResolveMedicationRequest(medication=medication)
        return await self._ask(self._knowledge.ResolveMedication, request, timeout)

    async def get_rule(self, rule_id: str, timeout: float | None = None) -> GetRuleResponse:
        """One rule ("hepatic.start-dose"): when it fires, what it says, what it rests on."""
        return await self._ask(self._knowledge.GetRule, GetRuleRequest(rule_id=rule_id), timeout)

    async def get_care_option(self, option_id: str, timeout: float | None = None) -> GetCareOptionResponse:
        """One non-drug option ("tai-chi") with what each body says of it."""
        request = GetCareOptionRequest(option_id=option_id)
        return await self._ask(self._knowledge.GetCareOption, request, timeout)

    async def list_medications(self, timeout: float | None = None) -> AsyncIterator[MedicationLine]:
        """Every medication line, by id. Lists ask for page after page; `timeout` is for each page."""
        request = ListMedicationsRequest()
        async for page in self._pages(self._knowledge.ListMedications, request, timeout):
            for each in page.medications:
                yield each

    async def list_rules(
        self, kind: RuleKind.ValueType = RuleKind.RULE_KIND_UNSPECIFIED, timeout: float | None = None
    ) -> AsyncIterator[Rule]:
        """Every rule, or every rule of one kind, by id."""
        async for page in self._pages(self._knowledge.ListRules, ListRulesRequest(kind=kind), timeout):
            for each in page.rules:
                yield each

    async def list_care_options(
        self, phase: PainPhase.ValueType = PainPhase.PAIN_PHASE_UNSPECIFIED, timeout: float | None = None
    ) -> AsyncIterator[CareOption]:
        """Every non-drug option, or those with evidence for one phase, by step of the pathway, then by id."""
        request = ListCareOptionsRequest(phase=phase)
        async for page in self._pages(self._knowledge.ListCareOptions, request, timeout):
            for each in page.care_options:
                yield each

    async def list_sources(self, timeout: float | None = None) -> AsyncIterator[Source]:
        """Every source, by id."""
        async for page in self._pages(self._knowledge.ListSources, ListSourcesRequest(), timeout):
            for each in page.sources:
                yield each

    # --- feedback -------------------------------------------------------------------------------------------

    async def record_feedback(self, items: Iterable[Feedback], timeout: float | None = None) -> list[str]:
        """Keeps what was done with alerts, all of it or nothing, and gives the id of each: at most 500 at once.

        The same feedback sent again changes nothing. A server that keeps no decisions refuses (NOT_KEPT).
        """
        answer = await self._ask(self._feedback.RecordFeedback, RecordFeedbackRequest(items=items), timeout)
        return list(answer.feedback_ids)

    async def summarize_alerts(
        self,
        *,
        from_month: str = "",
        to_month: str = "",
        rule_id: str = "",
        site: str = "",
        timeout: float | None = None,
    ) -> SummarizeAlertsResponse:
        """How often each rule fired, was kept back and was overridden, by site and month ("2026-11")."""
        request = SummarizeAlertsRequest(from_month=from_month, to_month=to_month, rule_id=rule_id, site=site)
        return await self._ask(self._feedback.SummarizeAlerts, request, timeout)

    async def _ask(
        self,
        call: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float | None,
    ) -> Response:
        try:
            seconds = self._timeout if timeout is None else timeout
            return await call(request, timeout=seconds, metadata=metadata_of(self._token))
        except grpc.aio.AioRpcError as failed:
            raise error_of_call(failed) from None

    async def _pages(
        self,
        call: grpc.aio.UnaryUnaryMultiCallable[PagedRequest, Page],
        request: PagedRequest,
        timeout: float | None,
    ) -> AsyncIterator[Page]:
        while True:
            page = await self._ask(call, request, timeout)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
