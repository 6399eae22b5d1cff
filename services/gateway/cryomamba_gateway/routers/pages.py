"""Pages for a browser: the jobs with a viewer, and the interactive API reference.

The files are static and the same for everybody; the page gets jobs from the API with the user's token. The
first page is built from ``services/gateway/web`` by ``make web``. A Content Security Policy (level 3) limits what it
loads and runs: text of a job that became markup by mistake would not run.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from cryomamba_gateway.cached_response import CachedResponse

router = APIRouter(include_in_schema=False)

FILES: Final = {
    "/": "index.html",
    "/docs": "docs.html",
    "/web/page.css": "page.css",
    "/web/main.js": "main.js",
    "/web/surfaces.js": "surfaces.js",
    "/web/notices.txt": "notices.txt",
    "/web/docs.js": "docs.js",
    "/web/swagger.js": "swagger.js",
    "/web/swagger.css": "swagger.css",
}
METHODS: Final = ("GET", "HEAD")
_TYPES: Final = {"html": "text/html", "css": "text/css", "js": "text/javascript", "txt": "text/plain"}
_NOTHING_ELSE: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_OWN: Final = "script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"
# Swagger UI writes markup that it has cleaned itself, so its page is without this.
_TRUSTED_TYPES: Final = "require-trusted-types-for 'script'"


@cache
def _page(path: str) -> CachedResponse:
    name = FILES[path]
    headers = {
        "Content-Security-Policy": "; ".join((_NOTHING_ELSE, _OWN, *(() if path == "/docs" else (_TRUSTED_TYPES,)))),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
    }
    content = resources.files("cryomamba_gateway").joinpath("web", name).read_bytes()
    return CachedResponse(content, _TYPES[name.rpartition(".")[2]], headers)


async def get_page(request: Request) -> Response:
    """Return a static file."""
    return _page(request.url.path).answer(request)


async def get_description(request: Request) -> Response:
    """Return the description of the API (OpenAPI)."""
    described: CachedResponse = request.app.state.description
    return described.answer(request)


async def get_websocket_description(request: Request) -> Response:
    """Return the description of the WebSockets (AsyncAPI)."""
    described: CachedResponse = request.app.state.websocket_description
    return described.answer(request)


router.add_api_route("/openapi.json", get_description, methods=list(METHODS))
router.add_api_route("/asyncapi.json", get_websocket_description, methods=list(METHODS))
for _path in FILES:
    router.add_api_route(_path, get_page, methods=list(METHODS))
