"""The application. The records of what is flagged go to the file RECORDS."""

# ruff: noqa: SIM115
from __future__ import annotations

import asyncio
import concurrent.futures
import io
import json
import os
import pathlib
import sqlite3
import tarfile
import tempfile
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import fastapi
import redis
import urllib3

from loophound import BlockingCallMiddleware
from loophound.dashboards.recorder import RecordFile
from tests.calls.planted import clients, computing, files, network, processes, sleeping, threads  # noqa: F401
from tests.calls.planted.base import here, innocent, planted
from tests.calls.services import Services


@asynccontextmanager
async def lifespan(app: fastapi.FastAPI) -> AsyncIterator[None]:
    with tempfile.TemporaryDirectory() as directory:
        prepare(directory)
        yield
        here.pool.shutdown()
        here.redis.close()
        here.database.close()


def prepare(directory: str) -> None:
    """What is used by the requests; by the lifespan, in which nothing is flagged."""
    here.directory = directory
    here.text = f"{directory}/text"
    pathlib.Path(here.text).write_text("text" * 1000)
    here.opened = open(here.text)
    here.written = open(f"{directory}/written", "wb")
    here.pipe = os.pipe()
    here.pipe_that_does_not_block = os.pipe()[0]
    os.set_blocking(here.pipe_that_does_not_block, False)
    here.quiet = os.pipe()[0]
    here.services = Services()
    here.pool = concurrent.futures.ThreadPoolExecutor()
    here.database = sqlite3.connect(f"{directory}/database", check_same_thread=False)
    here.redis = redis.Redis(port=int(os.environ["REDIS_PORT"]))
    here.manager = urllib3.PoolManager()
    here.document = [{"number": number, "name": "x" * 20} for number in range(5000)]
    here.text_of_document = json.dumps(here.document)
    here.zip = zipfile.ZipFile(io.BytesIO(), "w", zipfile.ZIP_DEFLATED)
    here.zip.writestr("big", bytes(1 << 20))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("member")
        member.size = 1 << 20
        archive.addfile(member, io.BytesIO(bytes(1 << 20)))
    packed.seek(0)
    here.tar = tarfile.open(fileobj=packed)


api = fastapi.FastAPI(lifespan=lifespan)


@api.get("/planted/{name}")
@api.get("/short/{name}")
async def call_planted(name: str) -> str:
    await planted[name]()
    return "done"


@api.get("/twin/{name}")
async def call_twin(name: str) -> str:
    await innocent[name]()
    return "done"


@api.get("/thread/{name}")
async def call_planted_in_a_thread(name: str) -> str:
    """The very same calls, on a worker thread."""
    await asyncio.to_thread(lambda: asyncio.run(planted[name]()))  # type: ignore[arg-type]
    return "done"


def make() -> Any:
    """The application, for a server. Flagged is every call, but below /short/ only what takes a minute."""
    record = RecordFile(os.environ["RECORDS"])
    strict = BlockingCallMiddleware(api, action="callback", callback=record, minimum_ms=0)
    patient = BlockingCallMiddleware(api, action="callback", callback=record, minimum_ms=60_000)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await (patient if scope.get("path", "").startswith("/short/") else strict)(scope, receive, send)

    return app
