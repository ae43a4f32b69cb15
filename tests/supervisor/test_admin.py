"""Questions about a worker, passed on to it."""

from pathlib import Path
from typing import Any, NoReturn

import grpc
import pytest

from safety_service.supervisor.admin import _forward


class AbortedError(Exception):
    pass


class Context:
    """As far as a question that is passed on needs one."""

    def __init__(self, worker: str = "0") -> None:
        self._worker = worker
        self.code: Any = None

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return [("worker", self._worker)]

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        self.code = code
        raise AbortedError(details)


@pytest.mark.parametrize(("worker", "code"), [("0", "UNAVAILABLE"), ("1", "NOT_FOUND"), ("../0", "NOT_FOUND")])
def test_a_worker_that_leaves_meanwhile_is_unavailable(tmp_path: Path, worker: str, code: str) -> None:
    (tmp_path / "worker-0-17.sock").symlink_to("gone")  # listed, and no longer there when it is looked at
    context: Any = Context(worker)

    with pytest.raises(AbortedError):
        _forward(tmp_path, "GetServers")(b"", context)

    assert context.code.name == code
