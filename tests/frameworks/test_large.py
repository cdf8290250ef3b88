"""Large bodies by curl, both ways: whole, and in bounded memory."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.apps.pieces import PIECE
from tests.frameworks.serving import Served

MIB = 96
ROOM_MIB = 32.0  # what the server may need besides, whatever the size

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def curl(*words: str) -> bytes:
    return subprocess.run(["curl", "--silent", "--fail", *words], capture_output=True, check=True, timeout=120).stdout


@pytest.fixture
def file(tmp_path: Path) -> Any:
    path = tmp_path / "large"
    with path.open("wb") as out:
        for _ in range(MIB):
            out.write(PIECE)
    yield path
    path.unlink()


@pytest.mark.parametrize("headers", [[], ["-H", "Transfer-Encoding: chunked"]], ids=["length", "chunked"])
def test_an_upload(starlette: Served, file: Path, headers: list[str]) -> None:
    before_mib = starlette.most_memory_mib()
    answer = json.loads(curl("-T", str(file), *headers, f"{starlette.url}/large/take"))
    assert answer == {"size": MIB * 2**20}
    assert starlette.most_memory_mib() - before_mib < ROOM_MIB


def test_a_download(starlette: Served, tmp_path: Path) -> None:
    before_mib = starlette.most_memory_mib()
    target = tmp_path / "large"
    curl("-o", str(target), f"{starlette.url}/large/give?mib={MIB}")
    assert target.stat().st_size == MIB * 2**20
    with target.open("rb") as content:
        assert all(content.read(len(PIECE)) == PIECE for _ in range(MIB))
    assert starlette.most_memory_mib() - before_mib < ROOM_MIB
    target.unlink()


def test_a_download_that_its_client_slows_down(starlette: Served) -> None:
    """The application may not run ahead of its client: a stream of 100 GiB, of which a second is read."""
    before_mib = starlette.most_memory_mib()
    command = ["curl", "--silent", "--limit-rate", "1M", "--max-time", "1", f"{starlette.url}/large/give?mib=100000"]
    subprocess.run(command, stdout=subprocess.DEVNULL, timeout=60)
    assert starlette.most_memory_mib() - before_mib < ROOM_MIB
