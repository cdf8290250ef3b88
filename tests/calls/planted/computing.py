"""Calls that compute, by the size of what they are given; imports; the keyboard."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import pickle
import sys
import time
import zipfile
import zlib

from loophound import allow_blocking
from tests.calls.planted.base import MOMENT_S, here, plant, twin


@plant("zipfile.ZipFile.read")
async def unzipping() -> None:
    here.zip.read("big")  # planted


@twin
async def unzipping_twin() -> None:
    archive = zipfile.ZipFile(io.BytesIO(), "w")
    archive.writestr("small", b"x")


@plant("tarfile.TarFile.extractall")
async def untarring() -> None:
    here.tar.extractall(here.directory, filter="data")  # planted


@twin
async def untarring_twin() -> None:
    await asyncio.to_thread(here.tar.extractall, here.directory, filter="data")


@plant("zlib.compress")
async def compressing() -> None:
    zlib.compress(bytes(1 << 20))  # planted


@twin
async def compressing_twin() -> None:
    zlib.compress(b"small")


@plant("hashlib.sha256")
async def hashing() -> None:
    hashlib.sha256(bytes(2 << 20))  # planted


@twin
async def hashing_twin() -> None:
    hashlib.sha256(b"small").hexdigest()


@plant("json.dumps")
async def encoding() -> None:
    json.dumps(here.document)  # planted


@twin
async def encoding_twin() -> None:
    json.dumps({"a": [1, 2, 3]})


@plant("json.loads")
async def decoding() -> None:
    json.loads(here.text_of_document)  # planted


@twin
async def decoding_twin() -> None:
    json.loads('{"a": 1}')


@plant("pickle.dumps")
async def pickling() -> None:
    pickle.dumps(here.document)  # planted


@twin
async def pickling_twin() -> None:
    pickle.dumps([1, 2, 3])


@plant("import")
async def importing() -> None:
    import wave  # noqa: F401 # planted


@twin
async def importing_twin() -> None:
    import json  # noqa: F401


@plant("input")
async def asking() -> None:
    sys.stdin = io.StringIO("yes\n")
    input()  # planted


@twin
async def asking_twin() -> None:
    with allow_blocking("a test"):
        time.sleep(MOMENT_S)
