"""Sign in and out for web pages: the token in an HttpOnly cookie, which no script can read; and what it allows."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from cryomamba.errors import ErrorCode
from cryomamba.models.base import Record
from cryomamba_gateway.access.auth import COOKIE, presented_token
from cryomamba_gateway.context import Caller, Context
from cryomamba_gateway.examples import CHANGE, errors, ok
from cryomamba_gateway.origins import is_encrypted
from cryomamba_server.tokens import Scope

router = APIRouter(prefix="/v1", tags=["server"])


@router.post(
    "/session",
    operation_id="beginSession",
    status_code=204,
    response_class=Response,
    responses={204: ok("The cookie is set"), **errors(*CHANGE)},
)
async def begin_session(gateway: Context, request: Request) -> Response:
    """Sign in: store the token of this request in a cookie, for the gateway's pages and their WebSockets."""
    reply = Response(status_code=204)
    token = presented_token(request.headers)
    if gateway.tokens.enabled and token is not None:
        secure = is_encrypted(request.url.scheme, request.headers)
        reply.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=secure, path="/")
    return reply


class Session(Record):
    """Who sends requests with a token."""

    owner: str = Field(description="Empty on a server without tokens.")
    scopes: tuple[Scope, ...] = Field(description="Permissions of the token, in the order read, write, admin.")


@router.get("/session", operation_id="getSession", responses={200: ok("The owner and the scopes of the token")})
async def get_session(caller: Caller) -> Session:
    """Return whose token this is and what it allows; on a server without tokens everybody may do everything."""
    return Session(owner=caller.owner, scopes=tuple(scope for scope in Scope if scope in caller.scopes))


@router.delete(
    "/session",
    operation_id="endSession",
    status_code=204,
    response_class=Response,
    responses={204: ok("The cookie is deleted"), **errors(ErrorCode.FORBIDDEN)},
)
async def end_session() -> Response:
    """Sign out: delete the cookie."""
    reply = Response(status_code=204)
    reply.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return reply
