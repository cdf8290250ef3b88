"""Applications under their test clients and tests under anyio, each blocked on the line that names the test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import anyio
import pytest
from aiohttp import web
from aiohttp.test_utils import AioHTTPTestCase, TestServer
from aiohttp.test_utils import TestClient as AiohttpClient
from fastapi import Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient as FastAPIClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

BLOCK_S = 0.2


async def turn() -> None:
    await asyncio.sleep(0.03)


# Starlette


async def slow(request: Request) -> Response:
    await turn()
    time.sleep(BLOCK_S)  # test_client test_client_of_module
    return Response()


async def startup() -> None:
    time.sleep(BLOCK_S)  # test_lifespan


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(Starlette(routes=[Route("/", slow)])) as client:
        yield client


def test_client() -> None:
    TestClient(Starlette(routes=[Route("/", slow)])).get("/")


def test_client_of_module(client: TestClient) -> None:
    client.get("/")


def test_lifespan() -> None:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await startup()
        yield

    with TestClient(Starlette(lifespan=lifespan)):
        pass


# FastAPI

app = FastAPI()


async def dependency() -> None:
    await turn()
    time.sleep(BLOCK_S)  # test_dependency


@app.get("/")
async def endpoint() -> None:
    await turn()
    time.sleep(BLOCK_S)  # test_fastapi


@app.get("/dependency", dependencies=[Depends(dependency)])
async def depends() -> None: ...


@app.websocket("/socket")
async def connected(socket: WebSocket) -> None:
    await socket.accept()
    time.sleep(BLOCK_S)  # test_websocket
    await socket.close()


def test_fastapi() -> None:
    FastAPIClient(app).get("/")


def test_dependency() -> None:
    FastAPIClient(app).get("/dependency")


def test_websocket() -> None:
    with FastAPIClient(app).websocket_connect("/socket") as socket:
        socket.receive()


# aiohttp


async def handler(request: web.Request) -> web.Response:
    await turn()
    time.sleep(BLOCK_S)  # test_aiohttp test_aiohttp_case
    return web.Response()


def application() -> web.Application:
    app = web.Application()
    app.router.add_get("/", handler)
    return app


def test_aiohttp() -> None:
    async def main() -> None:
        async with AiohttpClient(TestServer(application())) as client:
            await client.get("/")

    asyncio.run(main())


class TestAiohttp(AioHTTPTestCase):
    async def get_application(self) -> web.Application:
        return application()

    async def test_aiohttp_case(self) -> None:
        await self.client.get("/")


# anyio's plugin


@pytest.fixture(params=["asyncio", ("asyncio", {"use_uvloop": True})], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


@pytest.mark.anyio
async def test_anyio() -> None:
    await anyio.sleep(0.03)
    time.sleep(BLOCK_S)  # test_anyio


@pytest.fixture
async def anyio_fixture(anyio_backend: object) -> None:
    await anyio.sleep(0.03)
    time.sleep(BLOCK_S)  # test_anyio_fixture


@pytest.mark.anyio
async def test_anyio_fixture(anyio_fixture: None) -> None: ...


@pytest.fixture
async def anyio_teardown(anyio_backend: object) -> AsyncIterator[None]:
    yield
    await anyio.sleep(0.03)
    time.sleep(BLOCK_S)  # test_anyio_teardown


@pytest.mark.anyio
async def test_anyio_teardown(anyio_teardown: None) -> None: ...


@pytest.mark.anyio
async def test_anyio_task_group() -> None:
    async def child() -> None:
        await anyio.sleep(0.03)
        time.sleep(BLOCK_S)  # test_anyio_task_group

    async with anyio.create_task_group() as group:
        group.start_soon(child)
        await anyio.sleep(0.1)


def test_portal() -> None:
    async def main() -> None:
        await turn()
        time.sleep(BLOCK_S)  # test_portal

    from anyio.from_thread import start_blocking_portal

    with start_blocking_portal() as portal:
        portal.call(main)
