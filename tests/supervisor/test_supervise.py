import socket

import pytest

from safety_service.server.serve import CannotServeError
from safety_service.supervisor.supervise import _reserved


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
