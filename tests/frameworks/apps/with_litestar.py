"""The shop with Litestar."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from litestar import Litestar, Request, WebSocket, get, post, websocket
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import State, UploadFile
from litestar.enums import RequestEncodingType
from litestar.exceptions import WebSocketDisconnect
from litestar.params import Body
from litestar.response import Response, Stream

from tests.frameworks.apps.pieces import numbered

done: list[str] = []


async def open_shop(app: Litestar) -> None:
    app.state.stock = 7


@get("/items/{number:int}")
async def item(number: int, state: State, q: str | None = None) -> dict[str, Any]:
    return {"number": number, "q": q, "stock": state.stock}


@post("/upload", status_code=200)
async def upload(
    data: Annotated[UploadFile, Body(media_type=RequestEncodingType.MULTI_PART)],
) -> dict[str, Any]:
    return {"name": data.filename, "sha": hashlib.sha256(await data.read()).hexdigest()}


@get("/stream")
async def stream(count: int) -> Stream:
    return Stream(numbered(count), media_type="text/plain")


@get("/fails")
async def fails(request: Request[Any, Any, Any]) -> None:
    raise RuntimeError("sold out")


async def work() -> None:
    done.append("work")


@get("/later", media_type="text/plain")
async def later() -> Response[str]:
    return Response(",".join(done), background=BackgroundTask(work))


@websocket("/chat")
async def chat(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    try:
        while (text := await socket.receive_text()) != "bye":
            await socket.send_text(f"echo {text}")
        await socket.close(4000, "closing time")
    except WebSocketDisconnect:
        return


app = Litestar([item, upload, stream, fails, later, chat], on_startup=[open_shop])
