import io
import socket
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from safety_service.server.access_log import open_log
from safety_service.server.serve import CannotServeError
from safety_service.server.settings import Settings
from safety_service.supervisor import supervise, worker
from safety_service.supervisor.messages import Spent
from safety_service.supervisor.supervise import Child, Phase, Supervisor, _reserved


def listening(reuseport: int) -> socket.socket:
    """Another server on a port of its own."""
    other = socket.socket()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuseport)
    other.bind(("127.0.0.1", 0))
    other.listen()
    return other


@pytest.mark.parametrize("reuseport", [0, 1])
def test_a_port_of_another_server_is_not_shared(reuseport: int) -> None:
    with listening(reuseport) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(CannotServeError, match=address), _reserved(address):
            pass


def test_workers_may_listen_on_a_reserved_port_and_others_may_not() -> None:
    with _reserved("127.0.0.1:0") as address:
        port = int(address.rpartition(":")[2])
        with socket.socket() as worker:
            worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            worker.bind(("127.0.0.1", port))
            worker.listen()
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port))


@pytest.mark.parametrize(
    "listen", ["unix:/tmp/x.sock", "50551", "127.0.0.1:99999", "127.0.0.1:http2", "nowhere.invalid:1"]
)
def test_what_several_workers_cannot_listen_on(listen: str) -> None:
    with pytest.raises(CannotServeError), _reserved(listen):
        pass


def test_what_strangers_could_reach_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def starts(module: str, number: int) -> Child:
        raise AssertionError(f"{module} is started")

    monkeypatch.setattr(supervise, "_child", starts)
    with pytest.raises(CannotServeError, match="can be reached from elsewhere"):
        supervise.supervise(Settings(listen="127.0.0.1:0", admin_listen="0.0.0.0:0", workers=2))


def child(code: str) -> tuple[Child, Connection]:
    """A process that runs `code`, and the other end of its line."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen([sys.executable, "-c", code])
    return Child(process, Connection(ours.detach()), 0), Connection(theirs.detach())


def test_a_worker_that_asks_again_is_replaced_once_and_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Supervisor(Settings(listen="127.0.0.1:0", workers=2), open_log("error", "json"), tmp_path, [])
    place = whole.places[0]
    place.worker, says = child("import time; time.sleep(60)")
    place.worker.phase = Phase.SERVING
    for _ in range(2):
        says.send(Spent("1 calls"))
        whole._listen(place.worker)
    assert list(whole.to_replace) == [(place, "1 calls")]
    whole._ask_to_replace(whole.places, "restart")
    assert [each.number for each, _ in whole.to_replace] == [0, 1]

    failing, _ = child("")
    monkeypatch.setattr(whole, "_worker", lambda place: failing)
    monkeypatch.setattr(whole, "_respawn", lambda now: None)
    whole._replace(*whole.to_replace[0])
    assert not whole.to_replace
    says.send(Spent("2 calls"))
    whole._listen(place.worker)
    assert list(whole.to_replace) == [(place, "2 calls")]

    coming, _ = child("import time; time.sleep(60)")
    coming.phase = Phase.SERVING
    old = place.worker
    monkeypatch.setattr(whole, "_worker", lambda place: coming)
    says.send(Spent("3 calls"))  # heard while its successor comes up
    whole._listen(old)
    whole._replace(*whole.to_replace[0])
    assert not whole.to_replace
    assert (place.worker, whole.leaving) == (coming, [old])
    for each in (old, coming):
        each.process.kill()
        each.process.wait()


def test_a_spent_worker_asks_until_it_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "ASK_AGAIN_SECONDS", 0.0)
    ours, theirs = socket.socketpair()
    supervisor, line = Connection(ours.detach()), Connection(theirs.detach())
    serving: Any = SimpleNamespace(
        gate=SimpleNamespace(begun=SimpleNamespace(calls=7)), log=open_log("error", "json", io.StringIO())
    )
    settings = Settings(recycle_calls=5)
    running = threading.Thread(target=worker._serve, args=(serving, line, settings, []), daemon=True)
    running.start()
    for _ in range(3):
        assert supervisor.poll(10)
        assert supervisor.recv() == Spent("7 calls")

    supervisor.close()
    running.join(10)
    assert not running.is_alive(), "it ends when nobody hears it"
