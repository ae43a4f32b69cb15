"""The bare server to compare the gateway with: the same HTTP stack, which parses a call and serialises one answer.

`python -m tests.bench.echo_http FILE`: FILE is the answer, as the gateway gave it.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def main() -> None:
    answer = orjson.loads(Path(sys.argv[1]).read_bytes())

    async def echo(request: Request) -> Response:
        orjson.loads(await request.body())
        return Response(orjson.dumps(answer), media_type="application/json")

    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    application = Starlette(routes=[Route("/cds-services/{id}", echo, methods=["POST"])])
    config = uvicorn.Config(application, http="httptools", log_config=None, access_log=False, lifespan="off")
    print(f"serving on 127.0.0.1:{listening.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
