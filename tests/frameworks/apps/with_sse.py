"""Server-Sent Events with sse-starlette."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

left: list[str] = []


async def events(request: Request) -> Response:
    async def numbers() -> AsyncIterator[dict[str, Any]]:
        try:
            for number in range(int(request.query_params.get("count", 10**9))):
                yield {"event": "number", "id": str(number), "data": f"n {number}"}
                await asyncio.sleep(0.001)
        finally:
            left.append(request.query_params.get("name", ""))

    return EventSourceResponse(numbers(), ping=1)


async def gone(request: Request) -> Response:
    return JSONResponse(left)


app = Starlette(routes=[Route("/events", events), Route("/left", gone)])
