"""The blocking client. `medsafety.aio` has the same for asyncio."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from types import TracebackType
from typing import Protocol, TypeVar

import grpc

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


class MedsafetyClient:
    """Asks a medication safety server; keeps one connection, may be shared by threads.

        from medsafety import CheckPrescriptionRequest, MedsafetyClient

        request = CheckPrescriptionRequest()
        request.prescription.medication.text = "Cyclobenzaprine 10 mg tablet"
        with MedsafetyClient("localhost:50551") as client:
            response = client.check(request)
        for alert in response.decision.alerts:
            print(alert.title)

    What is not sent is not known, and what cannot be decided without it is answered NOT_EVALUATED: look at
    `decision.overall` and `decision.complete`, not only at the alerts.

    Every call has a deadline, in seconds, and raises MedsafetyError when it is not answered. Calls that find
    the server UNAVAILABLE are sent again, at most three times and within the deadline; nothing else is.
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
        """Connects when the first call is made.

        Args:
            target: `host:port`, or another gRPC name such as `unix:/run/medsafety.sock`.
            credentials: For TLS, what `tls_credentials()` returns. None: no TLS.
            token: Who calls, for a server that asks: a token, or a function that gives one, such as
                `token_file(path)`. Without TLS it goes to this machine only, else ValueError is raised.
            timeout: Seconds for a single call, where the call itself is not given another.
            batch_timeout: The same for `check_batch`.
            stream_timeout: The same for a whole `check_stream`.
        """
        check_secrecy(target, credentials, token)
        self._token = token
        self._timeout = timeout
        self._batch_timeout = batch_timeout
        self._stream_timeout = stream_timeout
        if credentials is None:
            self._channel = grpc.insecure_channel(target, options=CHANNEL_OPTIONS)
        else:
            self._channel = grpc.secure_channel(target, credentials, options=CHANNEL_OPTIONS)
        self._checks = MedicationSafetyServiceStub(self._channel)
        self._knowledge = KnowledgeServiceStub(self._channel)
        self._feedback = FeedbackServiceStub(self._channel)

    def __enter__(self) -> MedsafetyClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection and every call that is still open on it."""
        self._channel.close()

    # --- checks ---------------------------------------------------------------------------------------------

    def check(self, request: CheckPrescriptionRequest, timeout: float | None = None) -> CheckPrescriptionResponse:
        """Checks one prescription. The view is FULL unless the request says otherwise."""
        return self._ask(self._checks.CheckPrescription, request, timeout)

    def check_batch(
        self, requests: Iterable[CheckPrescriptionRequest], timeout: float | None = None
    ) -> list[CheckPrescriptionResponse | ItemError]:
        """Checks many prescriptions in one call: one answer for each, in order.

        A prescription that cannot be answered has an ItemError in its place. A batch above a limit (at most
        1000 items, 100 of them FULL; 4 MiB) is refused as a whole with MedsafetyError. The view is BRIEF
        unless a request says otherwise.
        """
        batch = BatchCheckPrescriptionsRequest(items=requests)
        seconds = self._batch_timeout if timeout is None else timeout
        answer = self._ask(self._checks.BatchCheckPrescriptions, batch, seconds)
        return [answer_or_error(index, result) for index, result in enumerate(answer.items)]

    def check_stream(
        self, requests: Iterable[CheckPrescriptionRequest], timeout: float | None = None
    ) -> Generator[CheckPrescriptionResponse | ItemError, None, None]:
        """Checks prescriptions as they come: yields one answer for each, in order, without limit of number.

        `requests` is read in a thread of its own, as fast as the server takes them. A prescription that
        cannot be answered has an ItemError in its place, and the stream goes on. When the stream itself ends
        early, as when the server stops, MedsafetyError is raised after the last answer; what was not answered
        can be asked again. What `requests` itself raises is raised here, after the answers to what came
        before. Stop early by closing the iterator.
        """
        broken: list[Exception] = []

        def items() -> Iterator[StreamCheckPrescriptionsRequest]:
            try:
                for request in requests:
                    yield StreamCheckPrescriptionsRequest(item=request)
            except Exception as error:
                broken.append(error)  # gRPC would only log it

        seconds = self._stream_timeout if timeout is None else timeout
        answers = self._checks.StreamCheckPrescriptions(items(), timeout=seconds, metadata=metadata_of(self._token))
        try:
            for index, answer in enumerate(answers):
                yield answer_or_error(index, answer.result)
        except grpc.RpcError as failed:
            raise error_of_call(failed) from None  # type: ignore[arg-type]  # the RpcError of a call is a Call
        finally:
            answers.cancel()
        if broken:
            raise broken[0]

    # --- knowledge ------------------------------------------------------------------------------------------

    def get_knowledge(self, timeout: float | None = None) -> GetKnowledgeResponse:
        """Version, digests, review status, and every limit that requests are held to.

        While the digest stays the same, what the other calls answered may be kept.
        """
        return self._ask(self._knowledge.GetKnowledge, GetKnowledgeRequest(), timeout)

    def get_medication(self, medication_id: str, timeout: float | None = None) -> GetMedicationResponse:
        """One medication line ("cyclobenzaprine-ir") with every statement, its verb and its source."""
        request = GetMedicationRequest(medication_id=medication_id)
        return self._ask(self._knowledge.GetMedication, request, timeout)

    def resolve_medication(self, medication: Medication, timeout: float | None = None) -> ResolveMedicationResponse:
        """What a medication would be recognised as; `matched_by` unspecified says that it was not."""
        request = ResolveMedicationRequest(medication=medication)
        return self._ask(self._knowledge.ResolveMedication, request, timeout)

    def get_rule(self, rule_id: str, timeout: float | None = None) -> GetRuleResponse:
        """One rule ("hepatic.start-dose"): when it fires, what it says, what it rests on."""
        return self._ask(self._knowledge.GetRule, GetRuleRequest(rule_id=rule_id), timeout)

    def get_care_option(self, option_id: str, timeout: float | None = None) -> GetCareOptionResponse:
        """One non-drug option ("tai-chi") with what each body says of it."""
        return self._ask(self._knowledge.GetCareOption, GetCareOptionRequest(option_id=option_id), timeout)

    def list_medications(self, timeout: float | None = None) -> Iterator[MedicationLine]:
        """Every medication line, by id. Lists ask for page after page; `timeout` is for each page."""
        request = ListMedicationsRequest()
        for page in self._pages(self._knowledge.ListMedications, request, timeout):
            yield from page.medications

    def list_rules(
        self, kind: RuleKind.ValueType = RuleKind.RULE_KIND_UNSPECIFIED, timeout: float | None = None
    ) -> Iterator[Rule]:
        """Every rule, or every rule of one kind, by id."""
        for page in self._pages(self._knowledge.ListRules, ListRulesRequest(kind=kind), timeout):
            yield from page.rules

    def list_care_options(
        self, phase: PainPhase.ValueType = PainPhase.PAIN_PHASE_UNSPECIFIED, timeout: float | None = None
    ) -> Iterator[CareOption]:
        """Every non-drug option, or those with evidence for one phase, by step of the pathway, then by id."""
        request = ListCareOptionsRequest(phase=phase)
        for page in self._pages(self._knowledge.ListCareOptions, request, timeout):
            yield from page.care_options

    def list_sources(self, timeout: float | None = None) -> Iterator[Source]:
        """Every source, by id."""
        for page in self._pages(self._knowledge.ListSources, ListSourcesRequest(), timeout):
            yield from page.sources

    # --- feedback -------------------------------------------------------------------------------------------

    def record_feedback(self, items: Iterable[Feedback], timeout: float | None = None) -> list[str]:
        """Keeps what was done with alerts, all of it or nothing, and gives the id of each: at most 500 at once.

        The same feedback sent again changes nothing. A server that keeps no decisions refuses (NOT_KEPT).
        """
        answer = self._ask(self._feedback.RecordFeedback, RecordFeedbackRequest(items=items), timeout)
        return list(answer.feedback_ids)

    def summarize_alerts(
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
        return self._ask(self._feedback.SummarizeAlerts, request, timeout)

    def _ask(
        self,
        call: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float | None,
    ) -> Response:
        try:
            seconds = self._timeout if timeout is None else timeout
            return call(request, timeout=seconds, metadata=metadata_of(self._token))
        except grpc.RpcError as failed:
            raise error_of_call(failed) from None  # type: ignore[arg-type]  # the RpcError of a call is a Call

    def _pages(
        self,
        call: grpc.UnaryUnaryMultiCallable[PagedRequest, Page],
        request: PagedRequest,
        timeout: float | None,
    ) -> Iterator[Page]:
        while True:
            page = self._ask(call, request, timeout)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
