"""The shop with Starlette, and its large transfers."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from tests.frameworks.apps.pieces import PIECE, numbered

done: list[str] = []


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    yield {"stock": 7}


async def item(request: Request) -> Response:
    number, query = request.path_params["number"], request.query_params.get("q")
    return JSONResponse({"number": number, "q": query, "stock": request.state.stock})


async def upload(request: Request) -> Response:
    async with request.form() as form:
        file = form["file"]
        content = await file.read()  # type: ignore[union-attr]
        return JSONResponse({"name": file.filename, "sha": hashlib.sha256(content).hexdigest()})  # type: ignore[union-attr]


async def stream(request: Request) -> Response:
    return StreamingResponse(numbered(int(request.query_params["count"])), media_type="text/plain")


async def fails(request: Request) -> Response:
    raise RuntimeError("sold out")


async def later(request: Request) -> Response:
    async def work() -> None:
        done.append("work")

    return PlainTextResponse(",".join(done), background=BackgroundTask(work))


async def take(request: Request) -> Response:
    """Reads a body of any size, piece by piece."""
    size = 0
    async for piece in request.stream():
        size += len(piece)
    return JSONResponse({"size": size})


async def give(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(int(request.query_params["mib"])):
            yield PIECE

    return StreamingResponse(pieces(), media_type="application/octet-stream")


async def chat(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        if text == "bye":
            await websocket.close(4000, "closing time")
            return
        await websocket.send_text(f"echo {text}")


app = Starlette(
    routes=[
        Route("/items/{number:int}", item),
        Route("/upload", upload, methods=["POST"]),
        Route("/stream", stream),
        Route("/fails", fails),
        Route("/later", later),
        Mount("/large", routes=[Route("/take", take, methods=["PUT"]), Route("/give", give)]),
        WebSocketRoute("/chat", chat),
    ],
    lifespan=lifespan,
)
