"""The gateway as an ASGI application: which path is answered by what, and what every call is held to."""

from __future__ import annotations

import asyncio
import os
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from medsafety.errors import error_of_status
from safety_service.decisions.index import IndexBusyError, IndexUnavailableError
from safety_service.decisions.log import DecisionLog
from safety_service.decisions.records import Answered
from safety_service.decisions.summary import Asked, Summary, Sums
from safety_service.demo import ARTICLE_CASE, article_case
from safety_service.engine.check import check
from safety_service.gateway.caller import Callers
from safety_service.gateway.cards import Shown, answer
from safety_service.gateway.check_door import answer_request, problem_of, read_request
from safety_service.gateway.checked_orders import CheckedOrder, Desk, Engine, check_orders
from safety_service.gateway.clients import Client
from safety_service.gateway.discovery import HOOKS, SERVICE_ID, discovery
from safety_service.gateway.dispatched import found_orders, to_ask
from safety_service.gateway.feedback import FeedbackSink, InMemory, read_feedback
from safety_service.gateway.fetch import Fetcher, fetch_missing, queries
from safety_service.gateway.fhir.notes import Notes
from safety_service.gateway.fhir.pool import Pool
from safety_service.gateway.fhir.prefetch import read_prefetch
from safety_service.gateway.fhir.shapes import Json
from safety_service.gateway.fhir_check import answer_fhir, read_parameters
from safety_service.gateway.hook_request import ORDER_SELECT, WRITING, HookRequest, is_selected, read_hook_request
from safety_service.gateway.openapi import openapi
from safety_service.gateway.outside import Reader
from safety_service.gateway.overridden import Overridden
from safety_service.gateway.page_routes import page_routes
from safety_service.gateway.pages import HEADERS as PAGE_HEADERS
from safety_service.gateway.pages import Pages
from safety_service.gateway.problems import FHIR_JSON, ProblemError, refused
from safety_service.gateway.rate import CallRates
from safety_service.knowledge.knowledge import Knowledge
from safety_service.server import handlers, limits
from safety_service.server.access_log import Log, log_fault
from safety_service.server.encode import uuid4_bytes
from safety_service.server.encode_fast import FastEncoder
from safety_service.server.errors import RefusedError
from safety_service.server.handlers import Fault

JSON = "application/json"
SUMMARY = "/summary"
_JSON_TYPES = (JSON, FHIR_JSON)
Endpoint = Callable[[Request], Awaitable[Response]]


def utc_today() -> date:
    """The server's UTC day."""
    return datetime.now(UTC).date()


@dataclass(frozen=True, slots=True)
class Gateway:
    """All that the endpoints answer from. `base` is the public address without a slash at the end."""

    knowledge: Knowledge
    fingerprint_key: bytes
    base: str
    log: Log
    feedback: FeedbackSink = field(default_factory=InMemory)
    engine: Engine = check
    today: Callable[[], date] = utc_today
    random: Callable[[int], bytes] = os.urandom
    origins: tuple[str, ...] = ("*",)
    max_concurrent: int = 256
    read_seconds: float = 10.0
    now_ns: Callable[[], int] = time.time_ns
    page: bool = True  # whether the page at /, and the check behind it, are served
    rates: CallRates = field(default_factory=lambda: CallRates(0, 1))
    overridden: Overridden = field(default_factory=Overridden)
    callers: Callers | None = None  # who verifies tokens; None: everybody may call
    fetcher: Fetcher | None = None  # how FHIR servers are asked; None: they are not
    decisions: DecisionLog | None = None  # where each decision is recorded; None: nowhere
    index: str = ""  # where sums of alerts are read from; "": there are none
    written: Shown = field(init=False)  # how cards are made for who writes an order, and for who has one before them
    signed: Shown = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "written", Shown(self.knowledge, self.base))
        object.__setattr__(self, "signed", Shown(self.knowledge, self.base, changes=False))

    @property
    def desk(self) -> Desk:
        return Desk(self.knowledge, self.engine, self.fingerprint_key, self.today)

    def readers(self) -> Iterator[Reader]:
        """What has connections to other servers."""
        if self.callers is not None:
            yield self.callers.reader
        if self.fetcher is not None:
            yield self.fetcher.reader

    def check_desk(self) -> handlers.Desk:
        """That of the gRPC handlers."""
        return handlers.Desk(
            self.knowledge,
            self.engine,
            FastEncoder(self.knowledge).response,
            self.fingerprint_key,
            lambda fault: log_fault(self.log, fault),
            self.now_ns,
            self.random,
            self.decisions,
        )

    def keep(self, caller: str) -> Callable[[CheckedOrder, bytes], bool]:
        """Records an order of this caller with its decision id; False where it could not.

        Raises ProblemError 503 where nothing may be answered that is not on record.
        """
        decisions = self.decisions
        report = partial(log_fault, self.log)
        desk = handlers.Desk(
            self.knowledge, self.engine, lambda *_: b"", self.fingerprint_key, report, self.now_ns, self.random
        )

        def keep(order: CheckedOrder, decision_id: bytes) -> bool:
            if decisions is None or order.decided is None:
                return True
            answered = Answered(order.decided.decision, decision_id, self.now_ns(), 0)
            try:
                return handlers.kept(desk, decisions, order.decided.request, answered, caller, order.decided.sent)
            except RefusedError as error:
                raise problem_of(error_of_status(error.status)) from None

        return keep


def application(gateway: Gateway) -> Starlette:
    """The routes, each behind the same guard."""
    guard = _Guard(gateway)
    closed = partial(guard, for_all=False)
    desk = gateway.check_desk()
    if gateway.callers is not None:  # the page asks for no token: what strangers try is no decision of a client
        desk = replace(desk, decisions=None)
    pages = Pages(
        gateway.knowledge,
        gateway.base,
        ARTICLE_CASE.read_text(),
        lambda: answer_request(replace(desk, decisions=None), article_case()),
        gateway.page,
        bool(gateway.index and gateway.page and gateway.callers is None),
    )
    routes = [
        Route("/cds-services", closed(_Discovery()), methods=["GET"], name="discovery"),
        Route("/cds-services/{id}", closed(_Service(gateway)), methods=["POST"], name="service"),
        Route("/cds-services/{id}/feedback", closed(_Feedback(gateway)), methods=["POST"], name="feedback"),
        Route("/fhir/$check", closed(_FhirCheck(gateway)), methods=["POST"], name="fhir-check"),
        Route("/openapi.json", guard(_Document(openapi(gateway.base))), methods=["GET"], name="openapi"),
        Route("/healthz", guard(_Document({"status": "ok"}), limited=False), methods=["GET"], name="health"),
    ]
    routes += [Route(path, guard(each), methods=["GET"]) for path, each in page_routes(pages)]
    if pages.has_summary:
        routes.append(Route(SUMMARY, guard(_Summary(Sums(gateway.index), pages)), methods=["GET"], name="summary"))
    if gateway.page:
        routes.append(Route("/check", guard(_Check(gateway, desk, pages)), methods=["POST"], name="check"))
    cors = Middleware(
        _OtherOrigins,
        allow_origins=gateway.origins,
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type"],
        max_age=600,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        for each in gateway.readers():
            await each.close()
        if gateway.decisions is not None:
            gateway.decisions.close()

    return Starlette(routes=routes, middleware=[cors], exception_handlers={HTTPException: _not_ours}, lifespan=lifespan)


class _OtherOrigins(CORSMiddleware):
    """Which pages of other origins may read the answers: none may read the sums."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self.app if scope.get("path") == SUMMARY else super().__call__)(scope, receive, send)


# --- endpoints ---------------------------------------------------------------------------------------------------


class _Document:
    """Something that never changes."""

    def __init__(self, document: Any) -> None:
        self._body = orjson.dumps(document)

    async def __call__(self, request: Request) -> Response:
        return Response(self._body, media_type=JSON)


class _Discovery(_Document):
    def __init__(self) -> None:
        super().__init__(discovery())


@dataclass(frozen=True, slots=True)
class _Service:
    gateway: Gateway

    async def __call__(self, request: Request) -> Response:
        _known(request)
        body = await read_json(request, self.gateway.read_seconds)
        call, notes = read_hook_request(body, HOOKS), Notes()
        client = _client(request)
        fetcher = self.gateway.fetcher
        if fetcher is not None and call.fhir_server:
            allowed = frozenset() if client is None else client.fhir_servers
            asked = {**queries(call.patient_id, call.prefetch), **to_ask(call.dispatched, call.prefetch)}
            told = await fetch_missing(fetcher, call.fhir_server, allowed, call.authorization, asked, notes)
            call = replace(call, prefetch={**call.prefetch, **told})
        return Response(orjson.dumps(hook_answer(self.gateway, call, notes, _name(client))), media_type=JSON)


def hook_answer(gateway: Gateway, call: HookRequest, notes: Notes, client: str = "") -> dict[str, Any]:
    """The cards of a call; `notes` has what could not be fetched for it, `client` is who calls.

    Raises ProblemError, see `Gateway.keep`.
    """
    pool = Pool()
    fetched = read_prefetch(call.prefetch, pool, notes)
    lost: list[CheckedOrder] = []
    if call.dispatched:
        drafts, lost = found_orders(call.dispatched, fetched)
        call = replace(call, drafts=tuple(drafts))
    notes.said += call.said
    who = client, call.patient_id
    before = gateway.overridden.before(who)
    orders = check_orders(gateway.desk, call, _selector(call), fetched, pool, notes, before)
    identified = [(each, uuid4_bytes(gateway.random(16))) for each in (*orders, *lost)]
    keep = gateway.keep(client)
    kept = [keep(*each) for each in identified]
    shown = gateway.written if call.hook in WRITING else gateway.signed
    answered = answer(shown, identified, not_logged=[not each for each in kept])
    gateway.overridden.shown(who, answered.cards)
    return answered.body


def _selector(call: HookRequest) -> Callable[[Any], bool]:
    """At order-select the selected orders; when the client names none that it sent, all rather than none."""
    chosen = [each for each in call.drafts if is_selected(each, call.selections)]
    if call.hook != ORDER_SELECT or not chosen:
        return lambda draft: True
    return lambda draft: draft in chosen


@dataclass(frozen=True, slots=True)
class _Check:
    """The check behind the page: a request of the contract; the answer as its JSON, or as HTML where that is asked."""

    gateway: Gateway
    desk: handlers.Desk
    pages: Pages

    async def __call__(self, request: Request) -> Response:
        content = await read_body(request, self.gateway.read_seconds)
        answer = answer_request(self.desk, read_request(content))
        headers = {"Vary": "Accept", "Cache-Control": "no-store"}
        if "text/html" in request.headers.get("accept", ""):
            return Response(self.pages.answer(answer), media_type="text/html", headers=headers)
        return Response(orjson.dumps(MessageToDict(answer)), media_type=JSON, headers=headers)


@dataclass(frozen=True, slots=True)
class _FhirCheck:
    gateway: Gateway

    async def __call__(self, request: Request) -> Response:
        sent = read_parameters(await read_json(request, self.gateway.read_seconds))
        gateway = self.gateway
        keep = gateway.keep(_name(_client(request)))
        answered = answer_fhir(gateway.desk, sent, gateway.random, gateway.now_ns(), keep)
        return Response(orjson.dumps(answered), media_type=FHIR_JSON, headers={"Cache-Control": "no-store"})


@dataclass(frozen=True, slots=True)
class _Summary:
    """The page of sums."""

    sums: Sums
    pages: Pages

    async def __call__(self, request: Request) -> Response:
        asked = Asked(*[request.query_params.get(name, "")[:100] for name in ("from", "to", "rule", "site")])
        found = await asyncio.to_thread(self._found, asked)
        status = 200 if found is not None else 503
        headers = {**PAGE_HEADERS, "Cache-Control": "no-store"}
        return Response(self.pages.summary(found, asked), status, headers, "text/html; charset=utf-8")

    def _found(self, asked: Asked) -> Summary | None:
        try:
            return self.sums.ask(asked)
        except IndexBusyError:
            why = "another question for sums is being answered: ask again"
            raise refused(503, "throttled", why, headers={"Retry-After": "1"}) from None
        except IndexUnavailableError:
            return None


@dataclass(frozen=True, slots=True)
class _Feedback:
    gateway: Gateway

    async def __call__(self, request: Request) -> Response:
        _known(request)
        items = read_feedback(await read_json(request, self.gateway.read_seconds))
        received = datetime.now(UTC).isoformat(timespec="milliseconds")
        try:
            await asyncio.to_thread(self.gateway.feedback.take, SERVICE_ID, received, items, _name(_client(request)))
        except OSError:
            raise refused(503, "transient", "the feedback could not be kept: send it again") from None
        self.gateway.overridden.told(_name(_client(request)), items, self.gateway.today())
        return Response(b"{}", media_type=JSON)


def _client(request: Request) -> Client | None:
    """Who calls, where a token says so."""
    client: Client | None = getattr(request.state, "client", None)
    return client


def _name(client: Client | None) -> str:
    """As it stands in records, beside the names that the gRPC server gives its callers."""
    return "" if client is None else f"client:{client.iss}"


def _known(request: Request) -> None:
    if request.path_params["id"] != SERVICE_ID:
        raise refused(404, "not-found", "there is no such service; see /cds-services")


# --- for every endpoint ------------------------------------------------------------------------------------------


async def read_json(request: Request, seconds: float) -> Json:
    """The body. Raises ProblemError when it is too large, too slow, of another type or not JSON."""
    content = await read_body(request, seconds)
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise refused(400, "structure", f"the body is not JSON (line {error.lineno}, column {error.colno})") from None


async def read_body(request: Request, seconds: float) -> bytes:
    """The bytes. Raises ProblemError when they are too many, too slow or of another type."""
    media_type = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if media_type not in _JSON_TYPES:
        raise refused(415, "not-supported", f"send {' or '.join(_JSON_TYPES)}")
    most = limits.REQUEST_BYTES.value
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > most:
        raise _too_large(most)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > most:
                    raise _too_large(most)
                chunks.append(chunk)
    except TimeoutError:
        raise refused(408, "timeout", "the body came too slowly", headers={"Connection": "close"}) from None
    return b"".join(chunks)


def _too_large(most: int) -> ProblemError:
    return refused(413, "too-long", f"the body has more than {most:,} bytes", headers={"Connection": "close"})


class _Guard:
    """Counts calls, logs them, and makes an OperationOutcome of whatever goes wrong."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._running = 0

    def __call__(self, endpoint: Endpoint, for_all: bool = True, limited: bool = True) -> Endpoint:
        """The endpoint, guarded; not for all means that a caller must show who it is, where the gateway asks that.

        Not limited: however often it is called.
        """
        callers = None if for_all else self._gateway.callers

        async def guarded(request: Request) -> Response:
            began = time.perf_counter_ns()
            self._running += 1
            try:
                if self._running > self._gateway.max_concurrent:
                    raise refused(503, "throttled", "too many calls at once", headers={"Retry-After": "1"})
                if callers is not None:
                    request.state.client = await self._admit(callers, request)
                elif limited:
                    self._count_address(request)
                response = await endpoint(request)
            except ProblemError as problem:
                response = problem_response(problem)
            except ClientDisconnect:
                response = Response(status_code=499)
            except (
                Exception
            ) as error:  # the last line of defence: no text of an exception leaves, it could quote a request
                response = self._fault(error)
            finally:
                self._running -= 1
            route = request.scope["route"].path
            self._gateway.log.info(
                "call",
                method=f"{request.method} {route}",
                status=response.status_code,
                duration_us=(time.perf_counter_ns() - began) // 1000,
                bytes_in=int(length) if (length := request.headers.get("content-length", "")).isdecimal() else 0,
                bytes_out=len(response.body),
            )
            return response

        return guarded

    async def _admit(self, callers: Callers, request: Request) -> Client:
        """Who calls, once its token is used; a token refused counts against the address. Raises ProblemError.

        The rate comes first: who is told to wait sends the same token again.
        """
        try:
            token = await callers.verify(request.headers.get("authorization", ""), request.scope["path"])
        except ProblemError:
            self._count_address(request)
            raise
        client = token.client
        self._gateway.rates.take(f"client {client.iss}", client.calls_per_second)
        callers.use(token)
        return client

    def _count_address(self, request: Request) -> None:
        if request.client is not None:
            self._gateway.rates.take(f"address {request.client.host}")

    def _fault(self, error: Exception) -> Response:
        last = traceback.extract_tb(error.__traceback__)[-1]
        error_id = self._gateway.random(4).hex()
        log_fault(
            self._gateway.log,
            Fault(error_id, type(error).__name__, f"{os.path.basename(last.filename)}:{last.lineno}"),
        )
        return problem_response(refused(500, "exception", f"internal error {error_id}"))


def problem_response(problem: ProblemError) -> Response:
    """Status and OperationOutcome."""
    return Response(
        orjson.dumps(problem.outcome()), status_code=problem.status, media_type=FHIR_JSON, headers=problem.headers
    )


async def _not_ours(request: Request, error: Exception) -> Response:
    """What the router itself refuses: no such path, or no such method on it."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    words = {404: ("not-found", "there is nothing at this path"), 405: ("not-supported", "not by this method")}
    code, text = words.get(status, ("processing", "the call was refused"))
    return problem_response(refused(status, code, text, headers=headers))
