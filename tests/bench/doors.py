"""What it costs to ask who calls: the bare echo, and the same echo behind each kind of door, in one process."""

from __future__ import annotations

import io
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from safety_service.access.credentials import Credentials, Sources
from safety_service.access.rates import Rates
from safety_service.server.access_log import open_log
from safety_service.server.doors import Doors
from safety_service.server.handlers import Tally
from safety_service.server.reading import Reading
from safety_service.server.settings import Settings
from safety_service.server.tls import Certificates, Files
from safety_service.server.transport_options import transport_options
from tests.access.shown import AUDIENCE, ISSUER, authority, caller, callers_file, certificate, claims, token, written
from tests.access.shown import jwks_file as jwks
from tests.bench.echo import ECHO, echo
from tests.bench.figures import Figure, Goal, Row
from tests.bench.load import Load, cpu_of, running

SERVICE = "medsafety.v1.MedicationSafetyService"
NAMES = {  # each as long as CheckPrescription
    "CheckPrescription": "bare echo",
    "OpenDoorAndReads_": "  open doors, and reading with an end",
    "OpenDoorWithRate_": "  and a rate",
    "KeyAndRateOfWard_": "  a key instead",
    "TokenAndRateOfAll": "  a token instead",
}
BODY = bytes(800)
WARD = "spiffe://example.org/ward"
BEHIND = Goal(required=1.1, target=1.05, at_most=True)


def measure(rounds: int, calls: int) -> list[Row]:
    """CPU for each call of the echo, taking turns; and of the question alone, by token and by certificate."""
    with tempfile.TemporaryDirectory() as folder, running(["tests.bench.doors", folder]) as server:
        shown = {name: (Path(folder) / name).read_text() for name in NAMES if (Path(folder) / name).exists()}
        loads = {name: Load(f"{SERVICE}/{name}", BODY, len(BODY), calls, token=shown.get(name, "")) for name in NAMES}
        for load in loads.values():
            cpu_of(server, load)  # warm
        spent: dict[str, list[float]] = {name: [] for name in NAMES}
        order = list(NAMES)
        for n in range(rounds):
            for turn in range(len(order)):
                name = order[(n + turn) % len(order)]
                spent[name].append(cpu_of(server, loads[name]) * 1e6)
    plain = spent["CheckPrescription"]
    rows = [Row("bare echo", Figure.of(plain), "us CPU")]
    for name, us in spent.items():
        if us is not plain:
            rows.append(Row(f"{NAMES[name]}, over the bare echo", Figure.ratio(us, plain), "x", BEHIND))
    return [*rows, *_questions(rounds, calls)]


def _questions(rounds: int, calls: int) -> Iterator[Row]:
    """The question alone, asked of a real call over TLS."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        doors, key, web = _doors(folder)
        settings = Settings()
        chain, private = written(folder, "server", certificate())
        authorities, _ = written(folder, "authority", authority())
        mine = certificate("ward", WARD)
        shown = Certificates(Files(chain, private, authorities), open_log("error", "json", io.StringIO()))
        asked: list[float] = []

        def ask(data: bytes, context: grpc.ServicerContext) -> bytes:
            began = time.thread_time_ns()
            for _ in range(10):
                doors.admit(f"/{ECHO}", context)
            asked.append((time.thread_time_ns() - began) / 10_000)
            return data

        server = grpc.server(ThreadPoolExecutor(1), options=transport_options(settings))
        handlers: dict[str, Any] = {"CheckPrescription": grpc.unary_unary_rpc_method_handler(ask)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        port = server.add_secure_port("localhost:0", shown.credentials())
        server.start()
        credentials = grpc.ssl_channel_credentials(authority().pem, mine.key_pem, mine.pem)
        with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
            call: Any = channel.unary_unary(f"/{ECHO}")
            ways = {
                "the question alone, by key": (("authorization", f"Bearer {key}"),),
                "  by token": (("authorization", f"Bearer {web}"),),
                "  by certificate": (),
            }
            for what, metadata in ways.items():
                found = []
                for _ in range(rounds):
                    asked.clear()
                    for _ in range(calls // 10):
                        call(BODY, metadata=metadata, timeout=10)
                    found.append(sorted(asked)[len(asked) // 2])
                yield Row(what, Figure.of(found), "us CPU")
        server.stop(None).wait()


def _doors(folder: Path) -> tuple[Doors, str, str]:
    ward, key = caller("ward", certificates=[WARD])
    sources = Sources(callers_file(folder, ward), jwks(folder), ISSUER, AUDIENCE)
    rates = Rates(1e6, 1_000_000)
    return Doors(Credentials(sources, print), rates, with_certificates=True), key, token(claims(exp=2**31))


def main(arguments: Sequence[str]) -> None:
    """The echoes as a process; the tokens are left in a folder."""
    (folder,) = map(Path, arguments)
    locked, key, web = _doors(folder)
    (folder / "KeyAndRateOfWard_").write_text(key)
    (folder / "TokenAndRateOfAll").write_text(web)
    settings = Settings()
    reading = Reading(settings.read_seconds)

    def behind(doors: Doors) -> Any:
        def serve(sent: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            tally = Tally()
            tally.caller = doors.admit(f"/{ECHO}", context).name
            return reading.one(sent, context)

        return grpc.stream_unary_rpc_method_handler(serve)

    server = grpc.server(
        ThreadPoolExecutor(settings.threads, "check"),
        options=(("grpc.so_reuseport", 0), *transport_options(settings)),
        maximum_concurrent_rpcs=settings.max_concurrent_rpcs,
    )
    methods: dict[str, Any] = {
        "CheckPrescription": grpc.unary_unary_rpc_method_handler(echo),
        "OpenDoorAndReads_": behind(Doors(None, Rates(0, 1))),
        "OpenDoorWithRate_": behind(Doors(None, Rates(1e6, 1_000_000))),
        "KeyAndRateOfWard_": behind(locked),
        "TokenAndRateOfAll": behind(locked),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    server.add_registered_method_handlers(SERVICE, methods)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"serving on 127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main(sys.argv[1:])
