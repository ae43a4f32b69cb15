"""Who may call which method: the one question that is asked before any method is answered.

`Doors.admit` is called by the gate of our own services; the services of other packages (reflection, channelz) are
added to the server through `Doors.before`, which asks the same.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol

import grpc
from grpc_status import rpc_status

from safety_service.access.caller import OPEN, Caller, NotKnownError, TooManyTriesError, UnusableCredentialsError
from safety_service.access.rates import Rates
from safety_service.access.scopes import METHODS, Anybody
from safety_service.server.access_log import Log, log_fault
from safety_service.server.errors import CODE_NAMES, Reason, RefusedError, internal, refusal
from safety_service.server.handlers import fault_of
from safety_service.server.settings import Settings

if TYPE_CHECKING:
    from safety_service.access.credentials import Credentials

_AUTHORIZATION: Final = "authorization"
_LEAST_WAIT_MS: Final = 10
_ANYBODY: Final = Anybody.MAY


class Doors:
    """`credentials` None: the server is open, and everybody is the one caller without a name."""

    def __init__(self, credentials: Credentials | None, rates: Rates, with_certificates: bool = False) -> None:
        self.credentials = credentials
        self.rates = rates
        self._with_certificates = with_certificates

    def admit(self, method: str, context: grpc.ServicerContext) -> Caller:
        """Who calls `method`, a path such as /medsafety.v1.KnowledgeService/GetRule; one request of its rate is taken.

        Raises RefusedError: UNAUTHENTICATED, PERMISSION_DENIED or RESOURCE_EXHAUSTED.
        """
        credentials = self.credentials
        if credentials is None:
            caller = OPEN
        else:
            needed = METHODS.get(method)
            if needed is _ANYBODY:
                return OPEN
            caller = self._caller(credentials, context)
            if needed is None:
                raise refusal(Reason.SCOPE_MISSING, "no scope gives access to this method")
            if needed not in caller.scopes:
                missing = {"scope": needed.value}
                raise refusal(Reason.SCOPE_MISSING, f"the scope {needed.value} is required", metadata=missing)
        wait = self.rates.take(caller.name)
        if wait:
            raise _too_often(wait)
        return caller

    def before(self, server: grpc.Server, log: Log) -> Adds:
        """What services of other packages are added to, so that they are behind the doors too."""
        return _Behind(self, server, log)

    def _caller(self, credentials: Credentials, context: grpc.ServicerContext) -> Caller:
        """By its token; by its certificate where it sends none. A token that is not valid is never overlooked."""
        sent = [value for key, value in context.invocation_metadata() or () if key == _AUTHORIZATION]
        try:
            if sent:
                return credentials.by_token(_bearer(sent))
            if self._with_certificates:
                shown: Any = context.auth_context().get("x509_pem_cert")
                if shown:
                    return credentials.by_certificate(shown[0])
        except NotKnownError as error:
            raise refusal(Reason.CREDENTIALS_INVALID, str(error)) from None
        except TooManyTriesError as error:
            raise _too_often(error.seconds) from None
        raise refusal(Reason.CREDENTIALS_MISSING, "a bearer token is required, as metadata `authorization`")


def open_doors(settings: Settings, log: Log) -> Doors:
    """The doors that the settings ask for. Raises UnusableCredentialsError."""
    # Workers know nothing of each other: the shares of all make up the limit, whomever a caller's connections reach.
    rates = Rates(settings.rate_per_second / settings.workers, settings.rate_burst // settings.workers)
    if not settings.is_locked:
        return Doors(None, rates)
    from safety_service.access.credentials import Credentials, Sources  # slow to load, and few tests lock their doors

    if settings.jwks_file is not None and not (settings.token_issuer and settings.token_audience):
        raise UnusableCredentialsError("--jwks-file needs --token-issuer and --token-audience")
    if settings.callers_file is None and settings.jwks_file is None:
        raise UnusableCredentialsError(
            "--client-authorities alone lets nobody do anything: --callers-file says what each certificate may"
        )

    def report(problem: str) -> None:
        if problem:
            log.error("credentials_refused", meaning="the ones from before stay in use", problem=problem)
        else:
            log.info("credentials_read")

    sources = Sources(
        callers=settings.callers_file,
        jwks=settings.jwks_file,
        issuer=settings.token_issuer,
        audience=settings.token_audience,
        leeway=settings.token_leeway_seconds,
    )
    return Doors(Credentials(sources, report), rates, settings.client_authorities is not None)


def _bearer(sent: list[str | bytes]) -> str:
    """Raises NotKnownError."""
    value = sent[0]
    if len(sent) > 1 or not isinstance(value, str):
        raise NotKnownError("authorization must be there once")
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotKnownError("authorization must be a bearer token")
    return token


def _too_often(seconds: float) -> RefusedError:
    wait_ms = max(_LEAST_WAIT_MS, math.ceil(seconds * 1000))
    return refusal(Reason.RATE_EXCEEDED, "this caller asks too often", retry_ms=wait_ms)


# --- services of other packages --------------------------------------------------------------------------------------


class Adds(Protocol):
    """The part of a server that generated code adds a service to."""

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[Any]) -> None: ...
    def add_registered_method_handlers(self, service_name: str, method_handlers: Any) -> None: ...


class _Behind:
    """Adds services to a server with the doors before each method."""

    def __init__(self, doors: Doors, server: grpc.Server, log: Log) -> None:
        self._doors = doors
        self._server = server
        self._log = log

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[Any]) -> None:
        """Passed over: the same handlers come by name, and are guarded there."""

    def add_registered_method_handlers(self, service_name: str, method_handlers: Any) -> None:
        guarded = {name: self._guarded(f"/{service_name}/{name}", handler) for name, handler in method_handlers.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service_name, guarded),))
        self._server.add_registered_method_handlers(service_name, guarded)

    def _guarded(self, method: str, handler: Any) -> Any:
        # What anybody may call stays as it is: the watch of the health is no ordinary function.
        if METHODS.get(method) is Anybody.MAY or self._doors.credentials is None:
            return handler
        if handler.request_streaming and handler.response_streaming:
            return handler._replace(stream_stream=self._stream(method, handler.stream_stream))
        if not handler.request_streaming and not handler.response_streaming:
            return handler._replace(unary_unary=self._unary(method, handler.unary_unary))
        raise ValueError(f"{method}: no guard for a method of this kind")

    def _unary(self, method: str, answer: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        @functools.wraps(answer)
        def serve(request: Any, context: grpc.ServicerContext) -> Any:
            self._ask(method, context)
            return answer(request, context)

        return serve

    def _stream(self, method: str, answer: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        @functools.wraps(answer)
        def serve(requests: Any, context: grpc.ServicerContext) -> Any:
            self._ask(method, context)
            yield from answer(requests, context)

        return serve

    def _ask(self, method: str, context: grpc.ServicerContext) -> None:
        """Ends the call of who may not; so does a fault, of which grpc would send the text to the client."""
        try:
            self._doors.admit(method, context)
            return
        except RefusedError as error:
            refused = error
        except Exception as error:
            fault = fault_of(error)
            log_fault(self._log, fault)
            refused = internal(fault.error_id)
        self._log.info("refused", method=method, code=CODE_NAMES[refused.status.code])
        context.abort_with_status(rpc_status.to_status(refused.status))
