"""psycopg against a real PostgreSQL server, where Debian's is installed."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.calls.apps import flagged

pytestmark = pytest.mark.once
QUERY = "SELECT pg_sleep(0.02)"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Where it listens: a socket in a directory of its own. It refuses to run as root."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        pytest.skip("no PostgreSQL server (Debian: postgresql)")
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        with suppress(KeyError):
            user = {"user": pwd.getpwnam("postgres").pw_name}
        if not user:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    home = tempfile.mkdtemp(prefix="pg", dir="/tmp")  # short: a socket's path has 107 bytes
    try:
        if user:
            shutil.chown(home, "postgres")
        options: dict[str, Any] = {"cwd": home, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **user}
        initdb = [programs[-1], "-D", f"{home}/data", "-U", "tester", "-A", "trust", "--no-sync"]
        subprocess.run(initdb, check=True, **options)
        control = programs[-1].with_name("pg_ctl")
        start = [control, "-D", f"{home}/data", "-w", "-o", f"-k {home} -h '' -F", "start"]
        subprocess.run(start, check=True, **options)
        try:
            yield f"host={home} user=tester dbname=postgres"
        finally:
            subprocess.run([control, "-D", f"{home}/data", "-m", "immediate", "stop"], **options)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def test_the_driver_is_seen_by_its_own_names(server: str) -> None:
    async def handler() -> None:
        connection = psycopg.connect(server)
        cursor = connection.execute(QUERY)
        cursor.fetchall()
        connection.commit()
        connection.close()

    calls = flagged(handler)
    line = handler.__code__.co_firstlineno
    assert [(call.call, call.caller and call.caller.line - line) for call in calls] == [
        ("psycopg.connect", 1),
        ("psycopg.Connection.execute", 2),
        ("psycopg.Cursor.fetchall", 3),
        ("psycopg.Connection.commit", 4),
    ]
    assert calls[1].target == QUERY
    assert (calls[1].duration_s or 0) >= 0.02


def test_its_asynchronous_connection_is_innocent(server: str) -> None:
    async def handler() -> None:
        async with await psycopg.AsyncConnection.connect(server) as connection:
            cursor = await connection.execute(QUERY)
            await cursor.fetchall()

    assert flagged(handler) == []
