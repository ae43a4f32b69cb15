"""The blocking client against a real gRPC server that answers as told."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.rpc.status_pb2 import Status

import medsafety
from medsafety import (
    AsyncMedsafetyClient,
    CheckPrescriptionRequest,
    CheckPrescriptionResponse,
    ItemError,
    MedsafetyClient,
    MedsafetyError,
    Violation,
    tls_credentials,
    token_file,
)
from medsafety.errors import error_of_status
from medsafety.v1.care_pb2 import CareOption, PainPhase
from medsafety.v1.knowledge_pb2 import MedicationLine, Rule, RuleKind, Source
from medsafety.v1.knowledge_service_pb2 import (
    GetKnowledgeResponse,
    GetMedicationResponse,
    ListCareOptionsRequest,
    ListCareOptionsResponse,
    ListMedicationsRequest,
    ListMedicationsResponse,
    ListRulesRequest,
    ListRulesResponse,
    ListSourcesResponse,
    ResolveMedicationRequest,
    ResolveMedicationResponse,
)
from medsafety.v1.medication_pb2 import Medication
from medsafety.v1.medication_safety_service_pb2 import (
    BatchCheckPrescriptionsRequest,
    BatchCheckPrescriptionsResponse,
    CheckResult,
    StreamCheckPrescriptionsRequest,
    StreamCheckPrescriptionsResponse,
)
from tests.client.fake_server import Fake, abort_with, invalid, serve

Context = grpc.ServicerContext


def request(request_id: str = "") -> CheckPrescriptionRequest:
    return CheckPrescriptionRequest(request_id=request_id)


def echo(asked: CheckPrescriptionRequest, context: Context) -> CheckPrescriptionResponse:
    return CheckPrescriptionResponse(request_id=asked.request_id, decision_id="d")


def result(asked: CheckPrescriptionRequest) -> CheckResult:
    """An answer, or for the request "bad" an error."""
    name = asked.request_id
    if name == "bad":
        return CheckResult(request_id=name, error=invalid(("prescription.medication", "send a code or a text")))
    return CheckResult(request_id=name, response=CheckPrescriptionResponse(request_id=name))


def stream(
    asked: Iterator[StreamCheckPrescriptionsRequest], context: Context
) -> Iterator[StreamCheckPrescriptionsResponse]:
    for each in asked:
        yield StreamCheckPrescriptionsResponse(result=result(each.item))


# --- single checks ------------------------------------------------------------------------------------------


def test_check_sends_the_request_and_returns_the_answer(fake: Fake) -> None:
    fake.answers["CheckPrescription"] = echo
    with MedsafetyClient(fake.target) as client:
        answer = client.check(request("r1"))
    assert (answer.request_id, answer.decision_id) == ("r1", "d")
    assert fake.asked == [request("r1")]


@pytest.mark.parametrize("chosen", [None, 7.0])
def test_every_call_has_a_deadline(fake: Fake, chosen: float | None) -> None:
    fake.answers = {
        "CheckPrescription": echo,
        "BatchCheckPrescriptions": lambda asked, context: BatchCheckPrescriptionsResponse(),
        "StreamCheckPrescriptions": stream,
        "GetKnowledge": lambda asked, context: GetKnowledgeResponse(),
        "ListSources": lambda asked, context: ListSourcesResponse(),
    }
    with MedsafetyClient(fake.target) as client:
        client.check(request(), timeout=chosen)
        client.check_batch([], timeout=chosen)
        list(client.check_stream([], timeout=chosen))
        client.get_knowledge(timeout=chosen)
        list(client.list_sources(timeout=chosen))
    for left, default in zip(fake.seconds_left, [2, 30, 600, 2, 2], strict=True):
        assert left is not None
        limit = chosen or default
        assert limit / 2 < left <= limit * 1.02  # on the wire a deadline is rounded up


def test_the_defaults_can_be_set_for_a_client(fake: Fake) -> None:
    fake.answers["CheckPrescription"] = echo
    with MedsafetyClient(fake.target, timeout=100) as client:
        client.check(request())
    (left,) = fake.seconds_left
    assert left is not None
    assert 50 < left <= 102


def test_a_late_answer_is_an_error(fake: Fake) -> None:
    def late(asked: CheckPrescriptionRequest, context: Context) -> CheckPrescriptionResponse:
        fake.release.wait()
        return CheckPrescriptionResponse()

    fake.answers["CheckPrescription"] = late
    with MedsafetyClient(fake.target) as client, pytest.raises(MedsafetyError) as caught:
        client.check(request(), timeout=0.2)
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert caught.value.reason == ""
    assert fake.calls == ["CheckPrescription"]


# --- retries ------------------------------------------------------------------------------------------------


def failing(fake: Fake, code: grpc.StatusCode, times: int) -> None:
    """The first `times` checks fail with `code`."""

    def answer(asked: CheckPrescriptionRequest, context: Context) -> CheckPrescriptionResponse:
        if len(fake.calls) <= times:
            context.abort(code, "as told")
        return CheckPrescriptionResponse(decision_id="at last")

    fake.answers["CheckPrescription"] = answer


@pytest.mark.parametrize("times", [1, 3])
def test_unavailable_is_tried_again(fake: Fake, times: int) -> None:
    failing(fake, grpc.StatusCode.UNAVAILABLE, times)
    with MedsafetyClient(fake.target, timeout=20) as client:
        assert client.check(request()).decision_id == "at last"
    assert len(fake.calls) == times + 1


def test_four_attempts_are_all(fake: Fake) -> None:
    failing(fake, grpc.StatusCode.UNAVAILABLE, 4)
    with MedsafetyClient(fake.target, timeout=20) as client, pytest.raises(MedsafetyError) as caught:
        client.check(request())
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert len(fake.calls) == 4


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
    ],
)
def test_nothing_else_is_tried_again(fake: Fake, code: grpc.StatusCode) -> None:
    failing(fake, code, 1)
    with MedsafetyClient(fake.target, timeout=20) as client, pytest.raises(MedsafetyError) as caught:
        client.check(request())
    assert caught.value.code is code
    assert len(fake.calls) == 1


def test_knowledge_calls_are_tried_again_too(fake: Fake) -> None:
    def answer(asked: object, context: Context) -> GetKnowledgeResponse:
        if len(fake.calls) == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "as told")
        return GetKnowledgeResponse(server_version="1")

    fake.answers["GetKnowledge"] = answer
    with MedsafetyClient(fake.target, timeout=20) as client:
        assert client.get_knowledge().server_version == "1"


# --- errors -------------------------------------------------------------------------------------------------


def test_an_error_of_the_service_is_decoded_with_every_violation(fake: Fake) -> None:
    status = invalid(("prescription.dose_quantity.value", "greater than 0"), ("patient.age_years", "0 to 150"))
    fake.answers["CheckPrescription"] = lambda asked, context: abort_with(status, context)
    with MedsafetyClient(fake.target) as client, pytest.raises(MedsafetyError) as caught:
        client.check(request())
    error = caught.value
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert error.message == "2 values are not possible"
    assert error.violations == (
        Violation("prescription.dose_quantity.value", "greater than 0"),
        Violation("patient.age_years", "0 to 150"),
    )
    assert error.retry_after_seconds is None
    assert str(error).splitlines() == [
        "INVALID_FIELD: 2 values are not possible",
        "  prescription.dose_quantity.value: greater than 0",
        "  patient.age_years: 0 to 150",
    ]


def test_an_error_without_details_keeps_its_status(fake: Fake) -> None:
    fake.answers["CheckPrescription"] = lambda asked, context: context.abort(
        grpc.StatusCode.PERMISSION_DENIED, "said a proxy"
    )
    with MedsafetyClient(fake.target) as client, pytest.raises(MedsafetyError) as caught:
        client.check(request())
    error = caught.value
    assert (error.code, error.reason, error.message, error.violations) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "",
        "said a proxy",
        (),
    )


def test_details_that_cannot_be_read_do_not_hide_the_status(fake: Fake) -> None:
    def answer(asked: CheckPrescriptionRequest, context: Context) -> None:
        context.set_trailing_metadata((("grpc-status-details-bin", b"\xff\xff"),))
        context.abort(grpc.StatusCode.NOT_FOUND, "not there")

    fake.answers["CheckPrescription"] = answer
    with MedsafetyClient(fake.target) as client, pytest.raises(MedsafetyError) as caught:
        client.check(request())
    assert (caught.value.code, caught.value.message) == (grpc.StatusCode.NOT_FOUND, "not there")


def test_retry_info_is_read_and_unknown_details_are_left_out() -> None:
    from google.protobuf.duration_pb2 import Duration
    from google.rpc.error_details_pb2 import ErrorInfo, Help, RetryInfo

    status = Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], message="too much at once")
    for detail in (
        Help(),
        RetryInfo(retry_delay=Duration(nanos=500_000_000)),
        ErrorInfo(reason="OVERLOADED"),
    ):
        packed: Any = status.details.add()
        packed.Pack(detail)
    status.details.add(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff")
    error = error_of_status(status)
    assert (error.code, error.reason, error.retry_after_seconds) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "OVERLOADED",
        0.5,
    )


def test_a_status_number_that_nobody_defined_is_unknown() -> None:
    assert error_of_status(Status(code=99)).code is grpc.StatusCode.UNKNOWN


def test_no_server_is_unavailable() -> None:
    with MedsafetyClient("127.0.0.1:1", timeout=20) as client, pytest.raises(MedsafetyError) as caught:
        client.check(request())
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_an_answer_above_4_mib_is_refused_by_the_client(fake: Fake) -> None:
    fake.answers["CheckPrescription"] = lambda asked, context: CheckPrescriptionResponse(
        decision_id="x" * (4 * 1024 * 1024 + 1)
    )
    with MedsafetyClient(fake.target) as client, pytest.raises(MedsafetyError) as caught:
        client.check(request())
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED


# --- many checks --------------------------------------------------------------------------------------------


def test_a_batch_is_answered_in_order_with_errors_in_their_place(fake: Fake) -> None:
    fake.answers["BatchCheckPrescriptions"] = lambda asked, context: BatchCheckPrescriptionsResponse(
        items=[*map(result, asked.items), CheckResult(request_id="neither")]
    )
    with MedsafetyClient(fake.target) as client:
        first, bad, last, neither = client.check_batch(request(each) for each in ("a", "bad", "c"))
    assert fake.asked == [BatchCheckPrescriptionsRequest(items=[request("a"), request("bad"), request("c")])]
    assert isinstance(first, CheckPrescriptionResponse)
    assert isinstance(last, CheckPrescriptionResponse)
    assert (first.request_id, last.request_id) == ("a", "c")
    assert isinstance(bad, ItemError)
    assert (bad.index, bad.request_id, bad.reason) == (1, "bad", "INVALID_FIELD")
    assert bad.violations == (Violation("prescription.medication", "send a code or a text"),)
    assert isinstance(neither, ItemError)
    assert (neither.index, neither.code) == (3, grpc.StatusCode.UNKNOWN)


def test_a_stream_is_answered_in_order_with_errors_in_their_place(fake: Fake) -> None:
    fake.answers["StreamCheckPrescriptions"] = stream
    with MedsafetyClient(fake.target) as client:
        answers = list(client.check_stream(request(str(n) if n != 5 else "bad") for n in range(200)))
    assert [each.request_id for each in answers] == [str(n) if n != 5 else "bad" for n in range(200)]
    assert [n for n, each in enumerate(answers) if isinstance(each, ItemError)] == [5]
    assert isinstance(answers[5], ItemError)
    assert answers[5].index == 5


def test_a_stream_answers_before_all_is_asked(fake: Fake) -> None:
    fake.answers["StreamCheckPrescriptions"] = stream
    answered = threading.Event()

    def one_at_a_time() -> Iterator[CheckPrescriptionRequest]:
        yield request("first")
        assert answered.wait(timeout=60)
        yield request("second")

    with MedsafetyClient(fake.target) as client:
        answers = client.check_stream(one_at_a_time())
        assert next(answers).request_id == "first"
        answered.set()
        assert next(answers).request_id == "second"
        assert next(answers, None) is None


def test_a_stream_that_the_server_ends_gives_its_answers_first(fake: Fake) -> None:
    def drain(
        asked: Iterator[StreamCheckPrescriptionsRequest], context: Context
    ) -> Iterator[StreamCheckPrescriptionsResponse]:
        yield StreamCheckPrescriptionsResponse(result=result(next(asked).item))
        context.abort(grpc.StatusCode.UNAVAILABLE, "the server is stopping")

    fake.answers["StreamCheckPrescriptions"] = drain
    with MedsafetyClient(fake.target) as client:
        answers = client.check_stream([request("a"), request("b")])
        assert next(answers).request_id == "a"
        with pytest.raises(MedsafetyError, match="the server is stopping") as caught:
            next(answers)
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_what_the_requests_raise_reaches_the_caller(fake: Fake) -> None:
    def broken() -> Iterator[CheckPrescriptionRequest]:
        yield request("a")
        raise LookupError("no more rows")

    fake.answers["StreamCheckPrescriptions"] = stream
    with MedsafetyClient(fake.target) as client:
        answers = client.check_stream(broken())
        assert next(answers).request_id == "a"
        with pytest.raises(LookupError, match="no more rows"):
            next(answers)


def test_closing_the_answers_ends_the_call(fake: Fake) -> None:
    ended = threading.Event()

    def watched(
        asked: Iterator[StreamCheckPrescriptionsRequest], context: Context
    ) -> Iterator[StreamCheckPrescriptionsResponse]:
        assert context.add_callback(ended.set)
        yield from stream(asked, context)

    def endless() -> Iterator[CheckPrescriptionRequest]:
        while not fake.release.wait(0.01):
            yield request("again")

    fake.answers["StreamCheckPrescriptions"] = watched
    with MedsafetyClient(fake.target) as client:
        answers = client.check_stream(endless())
        next(answers)
        answers.close()
        assert ended.wait(timeout=60)


# --- knowledge ----------------------------------------------------------------------------------------------


def test_lists_follow_their_pages_and_keep_their_filter(fake: Fake) -> None:
    def rules(asked: ListRulesRequest, context: Context) -> ListRulesResponse:
        pages = {"": ("a", "2"), "2": ("b", "3"), "3": ("c", "")}
        name, following = pages[asked.page_token]
        return ListRulesResponse(rules=[Rule(id=name)], next_page_token=following)

    fake.answers["ListRules"] = rules
    with MedsafetyClient(fake.target) as client:
        assert [each.id for each in client.list_rules(RuleKind.RULE_KIND_SEDATION)] == ["a", "b", "c"]
    assert fake.asked == [
        ListRulesRequest(kind=RuleKind.RULE_KIND_SEDATION, page_token=token) for token in ("", "2", "3")
    ]


def test_each_knowledge_call_asks_its_own_method(fake: Fake) -> None:
    fake.answers = {
        "GetMedication": lambda asked, context: GetMedicationResponse(
            medication=MedicationLine(id=asked.medication_id)
        ),
        "ResolveMedication": lambda asked, context: ResolveMedicationResponse(knowledge_digest="k"),
        "GetRule": lambda asked, context: abort_with(
            Status(code=grpc.StatusCode.NOT_FOUND.value[0], message=f"no rule is called {asked.rule_id!r}"),
            context,
        ),
        "GetCareOption": lambda asked, context: abort_with(
            Status(code=grpc.StatusCode.NOT_FOUND.value[0], message=asked.option_id), context
        ),
        "ListMedications": lambda asked, context: ListMedicationsResponse(medications=[MedicationLine(id="m")]),
        "ListCareOptions": lambda asked, context: ListCareOptionsResponse(care_options=[CareOption(id="yoga")]),
        "ListSources": lambda asked, context: ListSourcesResponse(sources=[Source(id="s")]),
    }
    with MedsafetyClient(fake.target) as client:
        assert client.get_medication("baclofen").medication.id == "baclofen"
        assert client.resolve_medication(Medication(text="Lioresal")).knowledge_digest == "k"
        with pytest.raises(MedsafetyError, match="no rule is called 'x'"):
            client.get_rule("x")
        with pytest.raises(MedsafetyError, match="tai-chi"):
            client.get_care_option("tai-chi")
        assert [each.id for each in client.list_medications()] == ["m"]
        assert [each.id for each in client.list_care_options(PainPhase.PAIN_PHASE_ACUTE)] == ["yoga"]
        assert [each.id for each in client.list_sources()] == ["s"]
    assert ResolveMedicationRequest(medication=Medication(text="Lioresal")) in fake.asked
    assert ListCareOptionsRequest(phase=PainPhase.PAIN_PHASE_ACUTE) in fake.asked
    assert ListMedicationsRequest() in fake.asked


# --- the channel --------------------------------------------------------------------------------------------


def test_credentials_are_used(fake: Fake) -> None:
    fake.answers["CheckPrescription"] = echo
    secure = serve(fake, grpc.local_server_credentials())
    try:
        with MedsafetyClient(fake.target, credentials=grpc.local_channel_credentials()) as client:
            assert client.check(request("r")).request_id == "r"
    finally:
        secure.stop(grace=None).wait()


def test_a_token_goes_with_every_call(fake: Fake, tmp_path: Path) -> None:
    fake.answers["CheckPrescription"] = echo
    fake.answers["StreamCheckPrescriptions"] = lambda sent, context: iter(())
    path = tmp_path / "token"
    path.write_text("first\n")
    with MedsafetyClient(fake.target, token=token_file(path)) as client:
        client.check(request())
        list(client.check_stream([]))
        for content, seconds in (("", 10), ("second", 20)):  # empty: just being written
            path.write_text(content)
            os.utime(path, (seconds, seconds))
            client.check(request())
        path.unlink()
        client.check(request())
    with MedsafetyClient(fake.target, token="plain") as client:
        client.check(request())
    with MedsafetyClient(fake.target) as client:
        client.check(request())

    assert fake.shown == [f"Bearer {each}" for each in "first first first second second plain".split()]


@pytest.mark.parametrize("target", ["safety.example.org:50551", "dns:///safety.example.org:50551", "10.0.0.1:1"])
def test_a_token_goes_to_no_other_machine_in_clear(target: str) -> None:
    for client in (MedsafetyClient, AsyncMedsafetyClient):
        with pytest.raises(ValueError, match="by TLS only"):
            client(target, token="secret")
    MedsafetyClient(target, token="secret", credentials=grpc.ssl_channel_credentials()).close()


@pytest.mark.parametrize("target", ["localhost:1", "127.0.0.1:1", "[::1]:1", "dns:///localhost:1", "unix:/x"])
def test_to_this_machine_it_may(target: str) -> None:
    MedsafetyClient(target, token="secret").close()


def test_a_certificate_comes_with_its_key(tmp_path: Path) -> None:
    path = tmp_path / "file.pem"
    path.write_text("x")
    with pytest.raises(ValueError, match="go together"):
        tls_credentials(certificate=path)
    with pytest.raises(OSError, match="missing"):
        tls_credentials(ca=tmp_path / "missing")


def test_a_closed_client_asks_no_more(fake: Fake) -> None:
    fake.answers["CheckPrescription"] = echo
    with MedsafetyClient(fake.target) as client:
        client.check(request())
    with pytest.raises(ValueError, match="closed"):
        client.check(request())


def test_the_public_names_are_there() -> None:
    assert all(hasattr(medsafety, name) for name in medsafety.__all__)
