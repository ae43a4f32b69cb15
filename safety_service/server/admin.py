"""The port for operators: health, reflection, channelz. Keep it off the public side."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_channelz.v1 import channelz, channelz_pb2
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from safety_service.server.access_log import Log
from safety_service.server.doors import Adds, Doors

CHANNELZ = channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name
THREADS = 4  # a reflection stream keeps one as long as it is open


class CannotAdministerError(Exception):
    """The address cannot be served on."""


def open_admin(
    address: str,
    checkup: health.HealthServicer,
    behind: tuple[Doors, Log] | None,
    channelz_methods: Mapping[str, Any] | None = None,
) -> tuple[grpc.Server, str]:
    """A running server with `checkup` as its health, and its address with the port taken.

    All but the health is behind the doors; None is for an address that only the supervisor reaches. Channelz shows this
    process, unless `channelz_methods` answer in its place. Raises CannotAdministerError.
    """
    server = grpc.server(ThreadPoolExecutor(THREADS, "admin"), options=(("grpc.so_reuseport", 0),))
    adds: Adds = server if behind is None else behind[0].before(server, behind[1])
    health_pb2_grpc.add_HealthServicer_to_server(checkup, adds)  # type: ignore[arg-type]  # adds, and no more
    if channelz_methods is not None:
        adds.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(CHANNELZ, dict(channelz_methods)),))
        adds.add_registered_method_handlers(CHANNELZ, channelz_methods)
    else:
        channelz.add_channelz_servicer(adds)
    shown = (health.SERVICE_NAME, CHANNELZ, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(shown, adds)  # type: ignore[arg-type]
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        port = 0
    if port == 0:
        raise CannotAdministerError(f"cannot serve on {address}: in use, not permitted, or not an address")
    server.start()
    host, colon, _ = address.rpartition(":")
    return server, address if address.startswith("unix:") or not colon else f"{host}:{port}"
