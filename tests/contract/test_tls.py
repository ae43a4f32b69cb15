"""TLS and certificates of clients through the real server: who is let in, and what happens when certificates change."""

import io
import json
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from medsafety import AsyncMedsafetyClient, CheckPrescriptionRequest, MedsafetyClient, MedsafetyError, tls_credentials
from safety_service.knowledge.knowledge import Knowledge
from safety_service.server.access_log import open_log
from safety_service.server.serve import Serving, start
from safety_service.server.settings import Settings
from tests.access.shown import Shown, authority, caller, callers_file, certificate, written

SOON = 20
WARD = "spiffe://example.org/ward-7"


class Tls:
    """A server, its log, and the folder with its files."""

    def __init__(self, serving: Serving, said: io.StringIO, folder: Path) -> None:
        self.address = serving.address
        self.folder = folder
        self._said = said

    def client(self, shown: Shown | None = None, ca: str = "authority", **more: Any) -> MedsafetyClient:
        files: tuple[Path | None, Path | None] = (None, None) if shown is None else written(self.folder, "mine", shown)
        credentials = tls_credentials(self.folder / f"{ca}.pem", *files)
        # A channel of its own: grpc would share one connection among clients that say the same.
        return MedsafetyClient(self.address, credentials=credentials, timeout=SOON, **more)

    def shows(self) -> bytes:
        """The certificate of a new connection, as DER."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        host, _, port = self.address.rpartition(":")
        with (
            socket.create_connection((host, int(port)), timeout=SOON) as plain,
            context.wrap_socket(plain) as connection,
        ):
            return connection.getpeercert(True) or b""

    def heard(self, event: str) -> list[dict[str, Any]]:
        """The lines of this event, once there is one."""
        found: list[dict[str, Any]] = []
        until = time.monotonic() + SOON
        while not found:
            assert time.monotonic() < until, f"{event} was not logged"
            found = [line for line in map(json.loads, self._said.getvalue().splitlines()) if line["event"] == event]
            time.sleep(0.01)
        return found


@pytest.fixture
def serve(knowledge: Knowledge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setattr("safety_service.server.tls.LOOK_SECONDS", 0.0)
    written(tmp_path, "authority", authority())
    written(tmp_path, "stranger", authority("stranger"))

    @contextmanager
    def run(shown: Shown, **settings: Any) -> Iterator[Tls]:
        said = io.StringIO()
        chain, key = written(tmp_path, "server", shown)
        given = Settings(listen="localhost:0", tls_certificate=chain, tls_key=key, **settings)
        server = start(given, knowledge, open_log("info", "json", said))
        try:
            yield Tls(server, said, tmp_path)
        finally:
            server.server.stop(None).wait()

    return run


def der(shown: Shown) -> bytes:
    return shown.certificate.public_bytes(Encoding.DER)


def replace(folder: Path, name: str, content: bytes) -> None:
    """As operators should: written aside, then put in place as a whole."""
    (folder / "new").write_bytes(content)
    os.replace(folder / "new", folder / name)


# --- who is let in --------------------------------------------------------------------------------------------------


def test_a_client_that_trusts_the_authority_is_answered(serve: Any, request_sent: CheckPrescriptionRequest) -> None:
    with serve(certificate()) as tls, tls.client() as client:
        assert client.check(request_sent).decision.alerts


async def _ask(tls: Tls, request: CheckPrescriptionRequest) -> int:
    credentials = tls_credentials(tls.folder / "authority.pem")
    async with AsyncMedsafetyClient(tls.address, credentials=credentials, token="x.y", timeout=SOON) as client:
        return len((await client.check(request)).decision.alerts)


def test_the_asyncio_client_too(serve: Any, request_sent: CheckPrescriptionRequest) -> None:
    import asyncio

    with serve(certificate()) as tls:
        assert asyncio.run(_ask(tls, request_sent))


def test_a_client_that_trusts_another_authority_does_not_speak(
    serve: Any, request_sent: CheckPrescriptionRequest
) -> None:
    with (
        serve(certificate()) as tls,
        tls.client(ca="stranger") as client,
        pytest.raises(MedsafetyError) as raised,
    ):
        client.check(request_sent)

    assert raised.value.code is grpc.StatusCode.UNAVAILABLE


def test_without_tls_there_is_no_answer(serve: Any, request_sent: CheckPrescriptionRequest) -> None:
    with (
        serve(certificate()) as tls,
        MedsafetyClient(tls.address, timeout=SOON) as client,
        pytest.raises(MedsafetyError) as raised,
    ):
        client.check(request_sent)

    assert raised.value.code is grpc.StatusCode.UNAVAILABLE


@pytest.fixture
def mutual(serve: Any, tmp_path: Path) -> Iterator[Tls]:
    """A server that asks for certificates and knows one of them, and one key."""
    ward = {"name": "ward", "scopes": ["check"], "certificates": [WARD]}
    desk, key = caller("desk", "knowledge")
    (tmp_path / "desk.token").write_text(key)
    clients, _ = written(tmp_path, "clients", authority("clients"))
    with serve(certificate(), client_authorities=clients, callers_file=callers_file(tmp_path, ward, desk)) as tls:
        yield tls


def test_the_name_in_a_certificate_gives_caller_and_scopes(mutual: Tls, request_sent: CheckPrescriptionRequest) -> None:
    with mutual.client(certificate("ward", WARD, by="clients")) as client:
        assert client.check(request_sent).decision.alerts
        with pytest.raises(MedsafetyError) as raised:
            client.get_knowledge()

    assert (raised.value.code, raised.value.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
    assert mutual.heard("call")[0]["caller"] == "ward"


def test_a_certificate_that_nobody_named_may_do_nothing(mutual: Tls, request_sent: CheckPrescriptionRequest) -> None:
    with (
        mutual.client(certificate("ward", "spiffe://example.org/ward-8", by="clients")) as client,
        pytest.raises(MedsafetyError) as raised,
    ):
        client.check(request_sent)

    assert (raised.value.code, raised.value.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")


@pytest.mark.parametrize("by", ["", "stranger"])
def test_without_a_certificate_of_the_authority_there_is_no_connection(
    mutual: Tls, request_sent: CheckPrescriptionRequest, by: str
) -> None:
    shown = certificate("ward", WARD, by=by) if by else None
    with mutual.client(shown) as client, pytest.raises(MedsafetyError) as raised:
        client.check(request_sent)

    assert raised.value.code is grpc.StatusCode.UNAVAILABLE


def test_a_token_counts_before_the_certificate(mutual: Tls, request_sent: CheckPrescriptionRequest) -> None:
    ward = certificate("ward", WARD, by="clients")
    key = (mutual.folder / "desk.token").read_text()
    with mutual.client(ward, token=key) as client:
        assert client.get_knowledge().knowledge.digest
        with pytest.raises(MedsafetyError) as raised:
            client.check(request_sent)
    assert raised.value.reason == "SCOPE_MISSING"

    with mutual.client(ward, token=f"{key}x") as client, pytest.raises(MedsafetyError) as raised:
        client.check(request_sent)
    assert raised.value.reason == "CREDENTIALS_INVALID", "a wrong token is never made good by a certificate"


# --- certificates that change ---------------------------------------------------------------------------------------


def test_a_new_certificate_is_shown_to_new_connections(serve: Any, request_sent: CheckPrescriptionRequest) -> None:
    old, new = certificate(), certificate()
    with serve(old) as tls, tls.client() as client:
        assert client.check(request_sent).decision.alerts
        assert tls.shows() == der(old)

        replace(tls.folder, "server.key", new.key_pem)
        assert tls.shows() == der(old), "the key alone does not fit"
        replace(tls.folder, "server.pem", new.pem)

        assert tls.shows() == der(new)
        assert client.check(request_sent).decision.alerts, "the open connection goes on"
        assert "not the key of the certificate" in tls.heard("certificate_refused")[0]["problem"]
        assert tls.heard("certificate_read")


BAD: dict[str, Callable[[Shown], tuple[bytes, bytes]]] = {
    "cut off": lambda new: (new.pem[: len(new.pem) // 2], new.key_pem),
    "chain cut off": lambda new: (new.pem + new.pem[:200], new.key_pem),
    "empty": lambda new: (b"", new.key_pem),
    "key cut off": lambda new: (new.pem, new.key_pem[:100]),
    "expired": lambda _: _pair(certificate(ends=timedelta(minutes=-1))),
    "not valid yet": lambda _: _pair(certificate(begins=timedelta(hours=1))),
}


def _pair(shown: Shown) -> tuple[bytes, bytes]:
    return shown.pem, shown.key_pem


@pytest.mark.parametrize("how", BAD)
def test_a_bad_new_certificate_leaves_the_old_one(serve: Any, how: str) -> None:
    old, new = certificate(), certificate()
    with serve(old) as tls:
        assert tls.shows() == der(old)
        pem, key = BAD[how](new)
        (tls.folder / "server.pem").write_bytes(pem)
        (tls.folder / "server.key").write_bytes(key)

        for _ in range(3):
            assert tls.shows() == der(old)
        problems = [each["problem"] for each in tls.heard("certificate_refused")]
        assert len(problems) == 1, "told once"
        assert "PRIVATE" not in problems[0]

        replace(tls.folder, "server.pem", new.pem)
        replace(tls.folder, "server.key", new.key_pem)
        assert tls.shows() == der(new), "and it goes on looking"


def test_files_that_are_gone_leave_the_old_certificate(serve: Any) -> None:
    old = certificate()
    with serve(old) as tls:
        (tls.folder / "server.pem").unlink()
        assert tls.shows() == der(old)


def test_a_certificate_that_expires_in_use(serve: Any, request_sent: CheckPrescriptionRequest) -> None:
    """Open connections go on, new ones are refused by the client, and a new certificate ends that."""
    soon = timedelta(seconds=3)
    with serve(certificate(ends=soon)) as tls, tls.client() as client:
        expires = datetime.now(UTC) + soon
        assert client.check(request_sent).decision.alerts
        time.sleep(max(0.0, (expires - datetime.now(UTC)).total_seconds()) + 1)

        assert client.check(request_sent).decision.alerts
        tls.shows()
        assert tls.heard("certificate_expired")
        with tls.client(batch_timeout=1) as late, pytest.raises(MedsafetyError) as raised:
            late.check(request_sent)
        assert raised.value.code is grpc.StatusCode.UNAVAILABLE

        new = certificate()
        replace(tls.folder, "server.key", new.key_pem)
        replace(tls.folder, "server.pem", new.pem)
        with tls.client(batch_timeout=2) as renewed:
            assert renewed.check(request_sent).decision.alerts


def test_a_certificate_of_a_client_that_expires_in_use(mutual: Tls, request_sent: CheckPrescriptionRequest) -> None:
    soon = timedelta(seconds=3)
    with mutual.client(certificate("ward", WARD, by="clients", ends=soon)) as client:
        expires = datetime.now(UTC) + soon
        assert client.check(request_sent).decision.alerts
        time.sleep(max(0.0, (expires - datetime.now(UTC)).total_seconds()) + 1)

        with pytest.raises(MedsafetyError) as raised:  # on the same connection, which is still open
            client.check(request_sent)

    assert (raised.value.code, raised.value.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")
