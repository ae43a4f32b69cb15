"""Tokens as clients sign them, and servers on this machine that others would run."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

ISS = "https://ehr.example.org"
BASE = "https://gateway.example.org"
DISCOVERY = "/cds-services"
# The public half of the sandbox's key, as its repository publishes it.
SANDBOX_JWK = {
    "kty": "EC",
    "use": "sig",
    "crv": "P-384",
    "kid": "44823f3d-0b01-4a6c-a80e-b9d3e8a7226f",
    "x": "dw_JGR8nB2I6XveNxUOl2qk699ZPLM2nYI5STSdiEl9avAkrm3CkfYMbrrjr8laB",
    "y": "Sm3mLE-n1zYNla_aiE3cb3nZsL51RbC7ysw3q8aJLxGm-hx79RPMYpITDjp7kgzy",
    "alg": "ES384",
}


def ec_key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    return _ec_key(number)


@lru_cache
def _ec_key(number: int) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return _rsa_key(bits)


@lru_cache
def _rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def ec_jwk(kid: str = "e1", number: int = 0) -> dict[str, Any]:
    return {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec_key(number).public_key())), "kid": kid}


def rsa_jwk(kid: str = "r1", bits: int = 2048) -> dict[str, Any]:
    return {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key(bits).public_key())), "kid": kid}


def claims(path: str = DISCOVERY, **changed: Any) -> dict[str, Any]:
    """Claims for a call of a path; those given replace or, as None, go."""
    now = int(time.time())
    held = {"iss": ISS, "aud": BASE + path, "exp": now + 300, "iat": now, "jti": str(uuid4()), **changed}
    return {name: value for name, value in held.items() if value is not None}


def signed(payload: dict[str, Any] | None = None, key: Any = None, alg: str = "ES384", **header: Any) -> str:
    """A token; headers given replace or, as None, go."""
    held: dict[str, Any] = {"kid": "e1" if alg.startswith("ES") else "r1", **header}
    return jwt.encode(claims() if payload is None else payload, key or ec_key(), alg, headers=held)


def handmade(header: dict[str, Any], payload: Any, signature: bytes = b"") -> str:
    """A token that no library would make."""
    parts = [json.dumps(header).encode(), json.dumps(payload).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in parts)


Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def server(answer: Callable[[str, dict[str, str]], Answer]) -> Iterator[tuple[str, list[tuple[str, dict[str, str]]]]]:
    """A web server on this machine: its address, and the paths and headers that were asked for."""
    asked: list[tuple[str, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked.append((self.path, headers))
            status, sent, content = answer(self.path, headers)
            try:
                self.send_response(status)
                for name, value in sent.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                pass  # the client did not wait

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    running = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_address[1]}", asked
    finally:
        running.shutdown()
        running.server_close()
        thread.join()
