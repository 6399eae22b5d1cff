"""A web page's way in: the token in a cookie that no script can read."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from cryomamba.errors import ErrorCode
from cryomamba_gateway.access.auth import COOKIE, presented_token
from cryomamba_gateway.context import Context
from cryomamba_gateway.examples import CHANGE, REQUEST_ID_HEADER, errors
from cryomamba_gateway.origins import came_by_tls

router = APIRouter(prefix="/v1", tags=["server"])


@router.post(
    "/session",
    operation_id="beginSession",
    status_code=204,
    response_class=Response,
    responses={204: {"description": "The cookie is set", "headers": REQUEST_ID_HEADER}, **errors(*CHANGE)},
)
async def begin_session(gateway: Context, request: Request) -> Response:
    """Put the token of this request into a cookie, for pages of this gateway and their WebSockets."""
    reply = Response(status_code=204, headers={"Cache-Control": "no-store"})
    token = presented_token(request.headers)
    if gateway.tokens.enabled and token is not None:
        secure = came_by_tls(request.url.scheme, request.headers)
        reply.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=secure, path="/")
    return reply


@router.delete(
    "/session",
    operation_id="endSession",
    status_code=204,
    response_class=Response,
    responses={204: {"description": "The cookie is gone", "headers": REQUEST_ID_HEADER}, **errors(ErrorCode.FORBIDDEN)},
)
async def end_session() -> Response:
    """Take the cookie back."""
    reply = Response(status_code=204, headers={"Cache-Control": "no-store"})
    reply.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return reply
