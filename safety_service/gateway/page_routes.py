"""Which page stands at which path. The paths are stable: alerts link to them."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence

from starlette.requests import Request
from starlette.responses import Response

from safety_service.gateway.pages import HEADERS, Pages
from safety_service.gateway.problems import refused

Endpoint = Callable[[Request], Awaitable[Response]]
_A_YEAR = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
_MOST_ASKED = 1_000


def page_routes(pages: Pages) -> Iterator[tuple[str, Endpoint]]:
    """Path and endpoint of each."""
    if pages.has_check:
        yield "/", _whole(lambda _: pages.check)
    yield "/static/{name}", _static(pages)
    yield "/medications", _whole(lambda _: pages.medications)
    yield "/medications/{id}", _one(pages, "medications", pages.medication)
    yield "/options", _whole(lambda request: pages.options(_asked(request)))
    yield "/options/{id}", _one(pages, "options", pages.option)
    yield "/rules", _whole(lambda request: pages.rules(_asked(request)))
    yield "/rules/{id}", _one(pages, "rules", pages.rule)


def _asked(request: Request) -> Sequence[str]:
    """The ids of `?ids=a,b`."""
    return request.query_params.get("ids", "").split(",", _MOST_ASKED)[:_MOST_ASKED]


def _html(request: Request, text: str, status: int = 200) -> Response:
    content = text.encode()
    tag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
    headers = {**HEADERS, "ETag": tag, "Cache-Control": _ASK_AGAIN}
    if status == 200 and request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, status, headers, "text/html; charset=utf-8")


def _whole(page: Callable[[Request], str]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return _html(request, page(request))

    return endpoint


def _one(pages: Pages, here: str, page: Callable[[str], str | None]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        found = page(request.path_params["id"])
        return _html(request, pages.missing(here), 404) if found is None else _html(request, found)

    return endpoint


def _static(pages: Pages) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        found = pages.static.get(request.path_params["name"])
        if found is None:
            raise refused(404, "not-found", "there is nothing at this path")
        content, media_type = found
        headers = {**HEADERS, "Cache-Control": _A_YEAR if request.url.query == pages.stamp else _ASK_AGAIN}
        return Response(content, headers=headers, media_type=media_type)

    return endpoint
