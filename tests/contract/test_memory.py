"""What stays in memory after very many calls, one in ten of them given up by its client."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from medsafety import MedsafetyClient
from medsafety.v1.medication_safety_service_pb2 import CheckPrescriptionRequest
from medsafety.v1.medication_safety_service_pb2_grpc import MedicationSafetyServiceStub

CALLS = int(os.environ.get("CALLS") or 1_000_000)
ROUNDS = 10
MOST_GROWTH = 0.01
START_SECONDS = 300  # on a machine that others use
H2LOAD = shutil.which("h2load")


def resident(process: "subprocess.Popen[bytes]") -> int:
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def silent_server() -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """Without a line for each call, which nobody would read."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "safety_service", "serve", "--listen", address, "--log-level", "error"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(START_SECONDS)
        yield process, address
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_calls_that_are_given_up_leave_nothing(request_sent: CheckPrescriptionRequest, tmp_path: Path) -> None:
    """After a round to warm up. CALLS in the environment makes it shorter."""
    if H2LOAD is None:
        pytest.skip("needs h2load")
    message = request_sent.SerializeToString()
    body = tmp_path / "body"
    body.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    whole, given_up = CALLS * 9 // 10 // ROUNDS, CALLS // 10 // ROUNDS
    with silent_server() as (process, address), grpc.insecure_channel(address) as channel:
        stub = MedicationSafetyServiceStub(channel)
        path = "/medsafety.v1.MedicationSafetyService/CheckPrescription"
        command = [H2LOAD, "-t", "1", "-n", str(whole), "-c", "4", "-m", "16", "-d", str(body)]
        command += ["-H", "content-type: application/grpc", "-H", "te: trailers", f"http://{address}{path}"]
        sizes = []
        cancelled = 0
        for rounds in range(1, ROUNDS + 2):
            done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=True)
            assert re.search(rf"\b{whole} succeeded", done.stdout), done.stdout
            while cancelled < rounds * given_up:  # one that was answered before counts as whole
                calls = [stub.CheckPrescription.future(request_sent, timeout=60) for _ in range(50)]
                cancelled += sum(each.cancel() for each in calls)
            with MedsafetyClient(address, timeout=60) as client:
                assert client.check(request_sent).decision.alerts
            sizes.append(resident(process))
            print(f"\n{len(sizes) * (whole + given_up):,} calls: {sizes[-1] / 1e6:.2f} MB", end="", flush=True)
    growth = sizes[-1] / sizes[0] - 1
    print(
        f"\n{CALLS:,} calls, {cancelled:,} given up:"
        f" {sizes[0] / 1e6:.1f} MB, then {sizes[-1] / 1e6:.1f} MB ({growth:+.2%})"
    )
    assert growth < MOST_GROWTH
