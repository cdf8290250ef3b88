"""The shop with Quart."""

from __future__ import annotations

import hashlib
from typing import Any

from quart import Quart, Response, request, websocket

from tests.frameworks.apps.pieces import numbered

app = Quart(__name__)
done: list[str] = []


@app.before_serving
async def open_shop() -> None:
    app.config["STOCK"] = 7


@app.get("/items/<int:number>")
async def item(number: int) -> dict[str, Any]:
    return {"number": number, "q": request.args.get("q"), "stock": app.config["STOCK"]}


@app.post("/upload")
async def upload() -> dict[str, Any]:
    file = (await request.files)["file"]
    return {"name": file.filename, "sha": hashlib.sha256(file.read()).hexdigest()}


@app.get("/stream")
async def stream() -> Response:
    return Response(numbered(int(request.args["count"])), content_type="text/plain")


@app.get("/fails")
async def fails() -> None:
    raise RuntimeError("sold out")


async def work() -> None:
    done.append("work")


@app.get("/later")
async def later() -> Response:
    app.add_background_task(work)
    return Response(",".join(done), content_type="text/plain")


@app.websocket("/chat")
async def chat() -> None:
    while (text := await websocket.receive()) != "bye":
        await websocket.send(f"echo {text}")
    await websocket.close(4000, "closing time")
