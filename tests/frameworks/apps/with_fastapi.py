"""The shop with FastAPI."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, FastAPI, Request, UploadFile, WebSocket
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.websockets import WebSocketDisconnect

from tests.frameworks.apps.pieces import numbered

done: list[str] = []


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    yield {"stock": 7}


app = FastAPI(lifespan=lifespan)


async def stock(request: Request) -> int:
    return int(request.state.stock)


@app.get("/items/{number}")
async def item(number: int, stock: Annotated[int, Depends(stock)], q: str | None = None) -> dict[str, Any]:
    return {"number": number, "q": q, "stock": stock}


@app.post("/upload")
async def upload(file: UploadFile) -> dict[str, Any]:
    return {"name": file.filename, "sha": hashlib.sha256(await file.read()).hexdigest()}


@app.get("/stream")
async def stream(count: int) -> StreamingResponse:
    return StreamingResponse(numbered(count), media_type="text/plain")


@app.get("/fails")
async def fails() -> None:
    raise RuntimeError("sold out")


@app.get("/later", response_class=PlainTextResponse)
async def later(background: BackgroundTasks) -> str:
    background.add_task(done.append, "work")  # a plain function: on a thread
    return ",".join(done)


@app.websocket("/chat")
async def chat(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while (text := await websocket.receive_text()) != "bye":
            await websocket.send_text(f"echo {text}")
        await websocket.close(4000, "closing time")
    except WebSocketDisconnect:
        return
