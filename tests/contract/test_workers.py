"""Several workers under a supervisor, as processes that are really killed, replaced and stopped."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from medsafety import MedsafetyClient, MedsafetyError
from medsafety.v1.medication_safety_service_pb2 import BatchCheckPrescriptionsRequest, CheckPrescriptionRequest
from medsafety.v1.medication_safety_service_pb2_grpc import MedicationSafetyServiceStub

SOON = 120  # seconds; a worker starts in two or three, on a busy machine in far more
ALONE = (("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1))
POLICY = 'extends: default\nid: our-site\ntitle: Ours\nversion: "{version}"\n'


@dataclass(frozen=True)
class Supervised:
    """A running supervisor, and what its log tells."""

    process: subprocess.Popen[bytes]
    log: Path

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines(keepends=True)
        told = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]
        return [each for each in told if each["event"] == name]

    def wait_for(self, name: str, count: int = 1, seconds: float = SOON) -> list[dict[str, Any]]:
        until = time.monotonic() + seconds
        while len(found := self.events(name)) < count:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < until, f"no {name}: {self.log.read_text()[-3000:]}"
            time.sleep(0.05)
        return found

    @property
    def address(self) -> str:
        return str(self.events("supervising")[0]["address"])


@contextmanager
def supervised(folder: Path, *flags: str) -> Iterator[Supervised]:
    """Two workers whose connections live for about a second."""
    command = [sys.executable, "-m", "safety_service", "serve", "--workers", "2", "--listen", "127.0.0.1:0"]
    command += ["--connection-seconds", "1", *flags]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        server = Supervised(process, folder / "log")
        try:
            server.wait_for("supervising")
            yield server
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(SOON)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def load(address: str, request: CheckPrescriptionRequest) -> Iterator[tuple[Counter[str], Counter[str]]]:
    """Calls as long as the block lasts: how those with the documented retries ended, and those without any."""
    with_retries: Counter[str] = Counter()
    without: Counter[str] = Counter()
    stop = threading.Event()

    def ask(call: Callable[[], object], ended: Counter[str]) -> None:
        while not stop.is_set():
            try:
                call()
                ended["OK"] += 1
            except Exception as error:
                ended[repr(error)[:200]] += 1
            time.sleep(0.02)

    client = MedsafetyClient(address, timeout=10)
    channels = [grpc.insecure_channel(address, options=ALONE) for _ in range(3)]
    calls = [(lambda: client.check(request), with_retries)] * 2
    for each in channels:
        stub = MedicationSafetyServiceStub(each)
        calls.append((lambda stub=stub: stub.CheckPrescription(request, timeout=10), without))  # type: ignore[misc]
    threads = [threading.Thread(target=ask, args=each, daemon=True) for each in calls]
    for thread in threads:
        thread.start()
    try:
        yield with_retries, without
    finally:
        stop.set()
        for thread in threads:
            thread.join(SOON)
        client.close()
        for each in channels:
            each.close()


def restart(server: Supervised, times: int) -> None:
    """Rolling restarts, each to its end."""
    for i in range(times):
        server.process.send_signal(signal.SIGUSR2)
        server.wait_for("worker_left", 2 * (i + 1), 5 * SOON)


def restarts_under_load(folder: Path, request: CheckPrescriptionRequest, times: int) -> None:
    with supervised(folder) as server:
        with load(server.address, request) as (with_retries, without):
            restart(server, times)
        print(f"\n{times} rolling restarts: with retries {dict(with_retries)}, raw {dict(without)}")
        assert with_retries["OK"] > 10 * times
        assert without["OK"] > 10 * times
        assert set(with_retries) == {"OK"}
        # A call that crosses the word to go is sent again by gRPC itself, unless that has been switched off, as here.
        assert all(each == "OK" or "GOAWAY received" in each for each in without)
        assert without["OK"] > 0.999 * without.total(), "a worker lets its connections go before it refuses anything"
        assert {each["exit_code"] for each in server.events("worker_left")} == {0}

        workers = [each["pid"] for each in server.events("replacing")[-2:]]
        assert all(running(pid) for pid in workers)
        server.process.kill()
        server.process.wait()
        until = time.monotonic() + SOON
        while any(running(pid) for pid in workers):
            assert time.monotonic() < until, "workers live on without the supervisor"
            time.sleep(0.05)
        assert len(server.events("supervisor_gone")) == 2


def running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.timeout(300)
def test_rolling_restarts_lose_no_call(tmp_path: Path, request_sent: CheckPrescriptionRequest) -> None:
    restarts_under_load(tmp_path, request_sent, 3)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_hundred_rolling_restarts_lose_no_call(tmp_path: Path, request_sent: CheckPrescriptionRequest) -> None:
    """RESTARTS in the environment makes it shorter."""
    restarts_under_load(tmp_path, request_sent, int(os.environ.get("RESTARTS") or 100))


@pytest.mark.timeout(300)
def test_workers_are_killed_reloaded_and_stopped(tmp_path: Path, request_sent: CheckPrescriptionRequest) -> None:
    """One story, since each worker takes a second or two to start."""
    policy = tmp_path / "site.yaml"
    policy.write_text(POLICY.format(version="1"))
    flags = ["--policy-file", str(policy), "--admin-listen", "127.0.0.1:0", "--drain-seconds", "1"]
    flags += ["--metrics-listen", "127.0.0.1:0", "--grace-seconds", "60"]
    with supervised(tmp_path, *flags) as server:
        with grpc.insecure_channel(server.events("supervising")[0]["admin"]) as admin:
            asked_of_the_admin_port(admin, server.address)
            with MedsafetyClient(server.address) as client:
                killed_in_a_batch(server, client, request_sent)
                knowledge_is_reloaded(server, client, request_sent, policy)
            numbers = metrics(server)
            calls = [each for each in server.events("call") if each["code"] == "OK"]
            for method in ("CheckPrescription", "BatchCheckPrescriptions"):
                counted = numbers[f'medsafety_calls_total{{code="OK",method="{method}"}}']
                assert counted == sum(each["method"] == method for each in calls), "of the killed ones too"
            assert numbers["medsafety_workers_serving"] == numbers["medsafety_worker_deaths_total"] == 2
            assert numbers["medsafety_reloads_total"] == numbers["medsafety_reloads_refused_total"] == 1
            assert numbers['medsafety_worker_resident_bytes{worker="1"}'] > 10_000_000

            health: Any = health_pb2_grpc.HealthStub(admin)
            watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=SOON)
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
            with grpc.insecure_channel(server.address, options=ALONE) as channel:
                stub = MedicationSafetyServiceStub(channel)
                batch = BatchCheckPrescriptionsRequest(items=[request_sent] * 200)
                running = stub.BatchCheckPrescriptions.future(batch, timeout=SOON)
                assert stub.CheckPrescription(request_sent, timeout=SOON).decision.alerts  # so that it has come
                server.process.terminate()
                assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
                assert len(running.result().items) == 200, "what has begun is answered"
            watch.cancel()
        assert server.process.wait(SOON) == 0
    stopped = [each.get("worker") for each in server.events("stopped")]
    assert set(stopped[:2]) == {0, 1}
    assert stopped[2:] == [None]


def metrics(server: Supervised) -> dict[str, float]:
    address = server.events("supervising")[0]["metrics"]
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=SOON) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def asked_of_the_admin_port(admin: grpc.Channel, address: str) -> None:
    health: Any = health_pb2_grpc.HealthStub(admin)
    for name in ("MedicationSafetyService", "KnowledgeService", "FeedbackService"):
        told = health.Check(health_pb2.HealthCheckRequest(service=f"medsafety.v1.{name}"), timeout=SOON)
        assert told.status == health_pb2.HealthCheckResponse.SERVING
    channelz: Any = channelz_pb2_grpc.ChannelzStub(admin)
    with grpc.insecure_channel(address) as asked:
        grpc.channel_ready_future(asked).result(SOON)
        for number in ("0", "1"):
            shown = channelz.GetServers(channelz_pb2.GetServersRequest(), metadata=[("worker", number)], timeout=SOON)
            assert len(shown.server) == 2, "that of the shared port, and its own"
    with pytest.raises(grpc.RpcError) as missing:
        channelz.GetServers(channelz_pb2.GetServersRequest(), metadata=[("worker", "7")], timeout=SOON)
    assert missing.value.code() is grpc.StatusCode.NOT_FOUND


def ticks(pid: int) -> int:
    """CPU time of a process, in hundredths of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])


def at_work(server: Supervised) -> int:
    """The process of the supervisor that works, once one has for a while: it has the batch, which is all there is."""
    supervisor = server.process.pid
    children = [int(each) for each in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()]
    before = {each: ticks(each) for each in children}
    until = time.monotonic() + SOON
    while time.monotonic() < until:
        for each, was in before.items():
            if ticks(each) > was + 8:
                return each
        time.sleep(0.002)
    raise AssertionError("nobody works")


def killed_in_a_batch(server: Supervised, client: MedsafetyClient, request: CheckPrescriptionRequest) -> None:
    batch = [request] * 500
    answered: list[object] = []

    def ask() -> None:
        try:
            answered.append(len(client.check_batch(batch, timeout=SOON)))
        except MedsafetyError as error:
            answered.append(error)

    for i in range(2):
        asking = threading.Thread(target=ask)
        asking.start()
        os.kill(at_work(server), signal.SIGKILL)
        assert len(answered) == i, "killed in the batch, not behind it"
        asking.join(SOON)
        server.wait_for("serving", 3 + i)
    assert answered == [500, 500]
    assert [each["signal"] for each in server.events("process_died")] == ["SIGKILL"] * 2


def knowledge_is_reloaded(
    server: Supervised, client: MedsafetyClient, request: CheckPrescriptionRequest, policy: Path
) -> None:
    before = client.check(request, timeout=SOON).decision.policy.digest
    policy.write_text(policy.read_text()[: len("extends: default\nid: our-site\n")])
    server.process.send_signal(signal.SIGHUP)
    refused = server.wait_for("reload_refused")[0]
    assert (refused["file"], refused["line"]) == ("site.yaml", 1)
    assert refused["reason"].endswith(": Field required")
    assert client.check(request, timeout=SOON).decision.policy.digest == before

    policy.write_text(POLICY.format(version="2"))
    server.process.send_signal(signal.SIGHUP)
    assert server.wait_for("reloaded_all")[0]["workers"] == 2
    assert {each["worker"] for each in server.wait_for("reloaded", 2)} == {0, 1}
    versions = set()
    for _ in range(6):  # each on a connection of its own, so that both workers are asked
        with grpc.insecure_channel(server.address, options=ALONE) as channel:
            answer = MedicationSafetyServiceStub(channel).CheckPrescription(request, timeout=SOON)
            versions.add(answer.decision.policy.version)
    assert versions == {"2"}


def test_workers_share_the_rate_of_a_caller(tmp_path: Path, request_sent: CheckPrescriptionRequest) -> None:
    """Eight at once for the whole, four of each worker, whichever of them a connection comes to."""
    with supervised(tmp_path, "--rate-per-second", "0.001", "--rate-burst", "8") as server:
        codes: Counter[str] = Counter()
        for _ in range(60):
            with grpc.insecure_channel(server.address, options=ALONE) as channel:
                try:
                    MedicationSafetyServiceStub(channel).CheckPrescription(request_sent, timeout=SOON)
                    codes["OK"] += 1
                except grpc.RpcError as error:
                    codes[error.code().name] += 1
    assert codes == {"OK": 8, "RESOURCE_EXHAUSTED": 52}


@pytest.mark.long
def test_a_spent_worker_is_replaced(tmp_path: Path, request_sent: CheckPrescriptionRequest) -> None:
    with supervised(tmp_path, "--recycle-calls", "50") as server, load(server.address, request_sent) as (ended, raw):
        replaced = server.wait_for("replacing")[0]
        server.wait_for("worker_left")
    assert replaced["reason"].endswith(" calls")
    assert set(ended) == {"OK"}
    assert raw["OK"] > 0.99 * raw.total()


@pytest.mark.long
def test_bad_knowledge_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("extends: default\nid: 7\n")
    command = [sys.executable, "-m", "safety_service", "serve", "--workers", "2", "--listen", "127.0.0.1:0"]
    done = subprocess.run(
        [*command, "--policy-file", str(tmp_path / "site.yaml")],
        capture_output=True,
        timeout=SOON,
        check=False,
        text=True,
    )
    assert done.returncode == 4
    assert "site.yaml:2: id: " in done.stderr
