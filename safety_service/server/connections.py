"""The sockets of this process on its port, as the kernel knows them: gRPC tells neither of them nor stops to listen
without also ending what is open. Linux only.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress


def stop_listening(port: int) -> None:
    """Take no new connection; those that are open live on. Others that share the port get them from now on."""
    for each in _sockets(port):
        if _listens(each):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RD)


def connected(port: int) -> int:
    """How many connections to the port are open."""
    return sum(_has_peer(each) for each in _sockets(port))


def _sockets(port: int) -> Iterator[socket.socket]:
    """Those bound to the port, one after the other, each as a duplicate that is closed again."""
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as each:
                is_ours = each.family in (socket.AF_INET, socket.AF_INET6) and each.getsockname()[1] == port
                if is_ours and each.type is socket.SOCK_STREAM:
                    yield each


def _listens(each: socket.socket) -> bool:
    return bool(each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _has_peer(each: socket.socket) -> bool:
    try:
        each.getpeername()
    except OSError:
        return False
    return True
