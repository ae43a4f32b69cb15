"""The admin process: the port for operators over all workers. It answers no check, and the supervisor outlives it.

Health tells of the whole: SERVING while one worker answers and the whole is not stopping. Channelz is that of one
worker: number 0, or the number in the metadata `worker`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc
from grpc_channelz.v1 import channelz_pb2
from grpc_health.v1 import health, health_pb2

from safety_service.access.caller import UnusableCredentialsError
from safety_service.server.access_log import open_log
from safety_service.server.admin import CHANNELZ, CannotAdministerError, open_admin
from safety_service.server.doors import open_doors
from safety_service.server.feedback_handlers import SERVICE as FEEDBACK
from safety_service.server.metrics import CannotMeasureError, serve_metrics
from safety_service.server.transport import CHECKS, KNOWLEDGE
from safety_service.supervisor.messages import METRICS, Administer, Failed, Ready, State
from safety_service.supervisor.whole import Whole, registry_of

_FORWARD_SECONDS = 5
_METHODS = [each.name for each in channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].methods]


def main() -> None:
    """Serve as the first message says, until the supervisor is gone."""
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(each, signal.SIG_IGN)  # it tells of the end of the others, so it ends last
    supervisor: Connection = Connection(int(sys.argv[1]))
    told = supervisor.recv()
    assert isinstance(told, Administer)
    checkup = health.HealthServicer()
    _tell(checkup, State())
    methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        name: grpc.unary_unary_rpc_method_handler(_forward(told.room, name)) for name in _METHODS
    }
    settings = told.settings
    whole = Whole()
    server: grpc.Server | None = None  # kept: a server that nobody holds stops
    address = metrics = ""
    try:
        if settings.admin_listen:
            log = open_log(settings.log_level, settings.log_format, worker="admin")
            doors = open_doors(settings.model_copy(update={"workers": 1}), log)  # there is one of this process
            server, address = open_admin(settings.admin_listen, checkup, (doors, log), methods)
        if settings.metrics_listen:
            metrics, _ = serve_metrics(settings.metrics_listen, registry_of(told.room / METRICS, whole))
    except (CannotAdministerError, CannotMeasureError, UnusableCredentialsError) as error:
        supervisor.send(Failed(str(error)))
        return
    supervisor.send(Ready(address, metrics))
    with suppress(EOFError, OSError):  # the supervisor is gone
        while True:
            whole.state = supervisor.recv()
            _tell(checkup, whole.state)
    if server is not None:
        server.stop(0)
    os._exit(0)  # whoever still asks is not waited for


def _tell(checkup: health.HealthServicer, state: State) -> None:
    is_serving = bool(state.serving) and not state.stopping
    answer = health_pb2.HealthCheckResponse
    for name in ("", CHECKS, KNOWLEDGE, FEEDBACK):
        checkup.set(name, answer.SERVING if is_serving else answer.NOT_SERVING)


def _forward(room: Path, method: str) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    """The same question to the newest worker of the number asked for."""

    def forward(data: bytes, context: grpc.ServicerContext) -> bytes:
        number = str(dict(context.invocation_metadata()).get("worker", "0"))
        sockets = room.glob(f"worker-{number}-*.sock") if number.isdecimal() else ()
        found = max(sockets, key=_made, default=None)
        if found is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "no worker has this number")
        with grpc.insecure_channel(f"unix:{found}") as channel:
            ask: Any = channel.unary_unary(f"/{CHANNELZ}/{method}")
            try:
                answer: bytes = ask(data, timeout=_FORWARD_SECONDS)
            except grpc.RpcError as error:
                context.abort(error.code(), error.details() or "")
            return answer

    return forward


def _made(file: Path) -> int:
    """When, in nanoseconds; 0 if its worker has just taken it away."""
    with suppress(OSError):
        return file.stat().st_mtime_ns
    return 0


if __name__ == "__main__":
    main()
