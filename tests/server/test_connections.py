import socket

import pytest

from safety_service.server.connections import connected, stop_listening


def test_a_process_stops_listening_and_keeps_what_is_open() -> None:
    with socket.socket() as listening, socket.socket() as client:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        assert connected(port) == 0
        client.connect(("127.0.0.1", port))
        with listening.accept()[0] as accepted:
            assert connected(port) == 1

            stop_listening(port)

            with socket.socket() as late, pytest.raises(ConnectionRefusedError):
                late.connect(("127.0.0.1", port))
            client.sendall(b"still here")
            assert accepted.recv(100) == b"still here"
            assert connected(port) == 1
        assert connected(port) == 0
