"""The asyncio client against the same fake server: what differs from the blocking one, and what must not."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest

from medsafety import (
    AsyncMedsafetyClient,
    CheckPrescriptionRequest,
    CheckPrescriptionResponse,
    ItemError,
    MedsafetyClient,
    MedsafetyError,
    Violation,
)
from medsafety.v1.knowledge_pb2 import Rule
from medsafety.v1.knowledge_service_pb2 import GetKnowledgeResponse, ListRulesRequest, ListRulesResponse
from medsafety.v1.medication_safety_service_pb2 import (
    BatchCheckPrescriptionsResponse,
    CheckResult,
    StreamCheckPrescriptionsRequest,
    StreamCheckPrescriptionsResponse,
)
from tests.client.fake_server import Fake, abort_with, invalid, serve

Context = grpc.ServicerContext


def request(request_id: str = "") -> CheckPrescriptionRequest:
    return CheckPrescriptionRequest(request_id=request_id)


def result(asked: CheckPrescriptionRequest) -> CheckResult:
    """An answer, or for the request "bad" an error."""
    name = asked.request_id
    if name == "bad":
        return CheckResult(request_id=name, error=invalid(("patient.age_years", "0 to 150")))
    return CheckResult(request_id=name, response=CheckPrescriptionResponse(request_id=name))


def stream(
    asked: Iterator[StreamCheckPrescriptionsRequest], context: Context
) -> Iterator[StreamCheckPrescriptionsResponse]:
    for each in asked:
        yield StreamCheckPrescriptionsResponse(result=result(each.item))


def test_it_has_the_calls_of_the_blocking_client() -> None:
    blocking, asyncio_ = (
        {name for name in vars(kind) if not name.startswith("_")} for kind in (MedsafetyClient, AsyncMedsafetyClient)
    )
    assert asyncio_ == blocking


def test_every_call_has_a_deadline(fake: Fake) -> None:
    fake.answers = {
        "CheckPrescription": lambda asked, context: CheckPrescriptionResponse(),
        "BatchCheckPrescriptions": lambda asked, context: BatchCheckPrescriptionsResponse(),
        "StreamCheckPrescriptions": stream,
        "GetKnowledge": lambda asked, context: GetKnowledgeResponse(),
    }

    async def run() -> None:
        async with AsyncMedsafetyClient(fake.target) as client:
            await client.check(request())
            await client.check_batch([])
            assert [each async for each in client.check_stream([])] == []
            await client.get_knowledge()
            await client.check(request(), timeout=7)

    asyncio.run(run())
    for left, limit in zip(fake.seconds_left, [2, 30, 600, 2, 7], strict=True):
        assert left is not None
        assert limit / 2 < left <= limit * 1.02  # on the wire a deadline is rounded up


def test_unavailable_is_tried_again_and_other_codes_are_not(fake: Fake) -> None:
    def answer(asked: CheckPrescriptionRequest, context: Context) -> CheckPrescriptionResponse:
        if len(fake.calls) <= 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "as told")
        if len(fake.calls) == 5:
            context.abort(grpc.StatusCode.INTERNAL, "as told")
        return CheckPrescriptionResponse(decision_id="at last")

    async def run() -> None:
        async with AsyncMedsafetyClient(fake.target, timeout=20) as client:
            assert (await client.check(request())).decision_id == "at last"
            assert len(fake.calls) == 4
            with pytest.raises(MedsafetyError) as caught:
                await client.check(request())
            assert caught.value.code is grpc.StatusCode.INTERNAL
            assert len(fake.calls) == 5

    fake.answers["CheckPrescription"] = answer
    asyncio.run(run())


def test_errors_are_decoded(fake: Fake) -> None:
    async def run() -> None:
        async with AsyncMedsafetyClient(fake.target) as client:
            await client.check(request())

    fake.answers["CheckPrescription"] = lambda asked, context: abort_with(
        invalid(("prescription.refills", "0 or more")), context
    )
    with pytest.raises(MedsafetyError) as caught:
        asyncio.run(run())
    assert (caught.value.code, caught.value.reason, caught.value.violations) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_FIELD",
        (Violation("prescription.refills", "0 or more"),),
    )


def test_a_batch_has_its_errors_in_their_place(fake: Fake) -> None:
    fake.answers["BatchCheckPrescriptions"] = lambda asked, context: BatchCheckPrescriptionsResponse(
        items=[result(each) for each in asked.items]
    )

    async def run() -> list[CheckPrescriptionResponse | ItemError]:
        async with AsyncMedsafetyClient(fake.target) as client:
            return await client.check_batch([request("a"), request("bad")])

    answered, bad = asyncio.run(run())
    assert isinstance(answered, CheckPrescriptionResponse)
    assert isinstance(bad, ItemError)
    assert (bad.index, bad.violations) == (1, (Violation("patient.age_years", "0 to 150"),))


def test_a_stream_takes_plain_and_asynchronous_iterables(fake: Fake) -> None:
    async def slowly() -> AsyncIterator[CheckPrescriptionRequest]:
        for n in range(20):
            await asyncio.sleep(0)
            yield request("bad" if n == 3 else str(n))

    async def run() -> None:
        async with AsyncMedsafetyClient(fake.target) as client:
            answers = [each async for each in client.check_stream(slowly())]
            assert [each.request_id for each in answers] == ["bad" if n == 3 else str(n) for n in range(20)]
            assert isinstance(answers[3], ItemError)
            assert answers[3].index == 3
            again = [each.request_id async for each in client.check_stream([request("x"), request("y")])]
            assert again == ["x", "y"]

    fake.answers["StreamCheckPrescriptions"] = stream
    asyncio.run(run())


def test_a_stream_that_the_server_ends_gives_its_answers_first(fake: Fake) -> None:
    def drain(
        asked: Iterator[StreamCheckPrescriptionsRequest], context: Context
    ) -> Iterator[StreamCheckPrescriptionsResponse]:
        yield StreamCheckPrescriptionsResponse(
            result=CheckResult(response=CheckPrescriptionResponse(request_id=next(asked).item.request_id))
        )
        context.abort(grpc.StatusCode.UNAVAILABLE, "the server is stopping")

    async def run() -> None:
        async with AsyncMedsafetyClient(fake.target) as client:
            answers = client.check_stream([request("a"), request("b")])
            assert (await anext(answers)).request_id == "a"
            with pytest.raises(MedsafetyError, match="the server is stopping"):
                await anext(answers)

    fake.answers["StreamCheckPrescriptions"] = drain
    asyncio.run(run())


def test_what_the_requests_raise_reaches_the_caller(fake: Fake) -> None:
    def broken() -> Iterator[CheckPrescriptionRequest]:
        yield request("a")
        raise LookupError("no more rows")

    async def run() -> None:
        async with AsyncMedsafetyClient(fake.target) as client:
            answers = client.check_stream(broken())
            assert (await anext(answers)).request_id == "a"
            with pytest.raises(LookupError, match="no more rows"):
                await anext(answers)

    fake.answers["StreamCheckPrescriptions"] = stream
    asyncio.run(run())


def test_closing_the_answers_ends_the_call(fake: Fake) -> None:
    ended = threading.Event()

    def watched(
        asked: Iterator[StreamCheckPrescriptionsRequest], context: Context
    ) -> Iterator[StreamCheckPrescriptionsResponse]:
        assert context.add_callback(ended.set)
        yield from stream(asked, context)

    async def endless() -> AsyncIterator[CheckPrescriptionRequest]:
        while True:
            yield request("again")
            await asyncio.sleep(0.01)

    async def run() -> None:
        async with AsyncMedsafetyClient(fake.target) as client:
            async with contextlib.aclosing(client.check_stream(endless())) as answers:
                await anext(answers)
            assert await asyncio.to_thread(ended.wait, 60)

    fake.answers["StreamCheckPrescriptions"] = watched
    asyncio.run(run())


def test_lists_follow_their_pages(fake: Fake) -> None:
    def rules(asked: ListRulesRequest, context: Context) -> ListRulesResponse:
        if asked.page_token:
            return ListRulesResponse(rules=[Rule(id="b")])
        return ListRulesResponse(rules=[Rule(id="a")], next_page_token="2")

    async def run() -> list[str]:
        async with AsyncMedsafetyClient(fake.target) as client:
            return [each.id async for each in client.list_rules()]

    fake.answers["ListRules"] = rules
    assert asyncio.run(run()) == ["a", "b"]


def test_credentials_are_used(fake: Fake) -> None:
    fake.answers["CheckPrescription"] = lambda asked, context: CheckPrescriptionResponse(decision_id="d")
    secure = serve(fake, grpc.local_server_credentials())

    async def run() -> str:
        async with AsyncMedsafetyClient(fake.target, credentials=grpc.local_channel_credentials()) as client:
            return (await client.check(request())).decision_id

    try:
        assert asyncio.run(run()) == "d"
    finally:
        secure.stop(grace=None).wait()
