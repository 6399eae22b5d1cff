"""HEAD wherever there is GET: the same status and headers, without a body."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.routing import APIRoute


def add_head_routes(router: APIRouter) -> APIRouter:
    """Add to every GET route of a router one for HEAD, and return the router; the server leaves out the body."""
    for route in [one for one in router.routes if isinstance(one, APIRoute) and one.methods == {"GET"}]:
        noun = (route.operation_id or route.name).removeprefix("get").removeprefix("list")
        router.add_api_route(
            route.path.removeprefix(router.prefix),
            route.endpoint,
            methods=["HEAD"],
            operation_id=f"head{noun}",
            response_model=route.response_model,
            response_class=route.response_class,
            responses=route.responses,
        )
    return router
