"""The port for operators: health, reflection, channelz. Keep it off the public side."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_channelz.v1 import channelz, channelz_pb2
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

CHANNELZ = channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name
THREADS = 4  # a reflection stream keeps one as long as it is open


class CannotAdministerError(Exception):
    """The address cannot be served on."""


def open_admin(
    address: str, checkup: health.HealthServicer, handlers: Sequence[grpc.GenericRpcHandler] = ()
) -> tuple[grpc.Server, str]:
    """A running server with `checkup` as its health, and its address with the port taken.

    Channelz shows this process, unless `handlers` answer in its place. Raises CannotAdministerError.
    """
    server = grpc.server(ThreadPoolExecutor(THREADS, "admin"), options=(("grpc.so_reuseport", 0),))
    health_pb2_grpc.add_HealthServicer_to_server(checkup, server)
    if handlers:
        server.add_generic_rpc_handlers(handlers)
    else:
        channelz.add_channelz_servicer(server)
    reflection.enable_server_reflection((health.SERVICE_NAME, CHANNELZ, reflection.SERVICE_NAME), server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        port = 0
    if port == 0:
        raise CannotAdministerError(f"cannot serve on {address}: in use, not permitted, or not an address")
    server.start()
    host, colon, _ = address.rpartition(":")
    return server, address if address.startswith("unix:") or not colon else f"{host}:{port}"
