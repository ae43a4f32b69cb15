"""The bare server to compare with: the service's gRPC stack and options, and handlers that only move bytes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import grpc

from safety_service.server.settings import Settings

ECHO: Final = "medsafety.v1.MedicationSafetyService/CheckPrescription"  # the length of a path costs, too
AS_LONG: Final = "medsafety.v1.MedicationSafetyService/AnswersPrescription"
LENGTH_BYTES: Final = 4
_PADDING: Final = bytes(4 * 1024 * 1024)


def echo(data: bytes, _: grpc.ServicerContext) -> bytes:
    """The request."""
    return data


def as_long(data: bytes, _: grpc.ServicerContext) -> bytes:
    """As many bytes as the first four of the request say."""
    return _PADDING[: int.from_bytes(data[:LENGTH_BYTES], "big")]


def main() -> None:
    settings = Settings()
    server = grpc.server(
        ThreadPoolExecutor(settings.threads, "check"),
        options=(("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", settings.max_receive_bytes)),
        maximum_concurrent_rpcs=settings.max_concurrent_rpcs,
    )
    service, _, name = ECHO.partition("/")
    methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        name: grpc.unary_unary_rpc_method_handler(echo),
        AS_LONG.partition("/")[2]: grpc.unary_unary_rpc_method_handler(as_long),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    server.add_registered_method_handlers(service, methods)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"serving on 127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
