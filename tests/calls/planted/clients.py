"""Databases, and clients of HTTP, mail and files."""

from __future__ import annotations

import asyncio
import ftplib
import http.client
import os
import smtplib
import urllib.request
from contextlib import suppress

import httpx
import psycopg
import redis
import redis.asyncio
import requests

from tests.calls.planted.base import here, plant, twin


@plant("sqlite3.Connection.execute")
async def sqlite() -> None:
    here.database.execute("SELECT 1")  # planted


@twin
async def sqlite_twin() -> None:
    await asyncio.to_thread(here.database.execute, "SELECT 1")


@plant("redis.Redis.execute_command")
async def redis_get() -> None:
    here.redis.get("key")  # planted


@twin
async def redis_get_twin() -> None:
    client = redis.asyncio.Redis(port=int(os.environ["REDIS_PORT"]))
    await client.get("key")
    await client.aclose()


@plant("psycopg.connect")
async def postgres() -> None:
    with suppress(psycopg.OperationalError):
        psycopg.connect("host=127.0.0.1 port=1 connect_timeout=2")  # planted


@twin
async def postgres_twin() -> None:
    with suppress(psycopg.Error):
        await psycopg.AsyncConnection.connect("host=127.0.0.1 port=1 connect_timeout=2")


@plant("urllib.request.urlopen")
async def fetching() -> None:
    urllib.request.urlopen(here.services.url).close()  # planted


@twin
async def fetching_twin() -> None:
    await asyncio.to_thread(urllib.request.urlopen, here.services.url)


@plant("http.client.HTTPConnection.getresponse")
async def answering() -> None:
    connection = http.client.HTTPConnection("127.0.0.1", here.services.web)
    await asyncio.to_thread(connection.request, "GET", "/")
    connection.getresponse()  # planted
    connection.close()


@twin
async def answering_twin() -> None:
    async with httpx.AsyncClient() as client:
        await client.get(here.services.url)


@plant("requests.get")
async def requesting() -> None:
    requests.get(here.services.url, timeout=5)  # planted


@twin
async def requesting_twin() -> None:
    await asyncio.to_thread(requests.get, here.services.url, timeout=5)


@plant("httpx.get")
async def requesting_by_httpx() -> None:
    httpx.get(here.services.url, trust_env=False)  # planted


@twin
async def requesting_by_httpx_twin() -> None:
    async with httpx.AsyncClient() as client:
        await client.get(here.services.url)


@plant("urllib3.PoolManager.request")
async def requesting_by_urllib3() -> None:
    here.manager.request("GET", here.services.url)  # planted


@twin
async def requesting_by_urllib3_twin() -> None:
    await asyncio.to_thread(here.manager.request, "GET", here.services.url)


@plant("smtplib.SMTP")
async def mailing() -> None:
    smtplib.SMTP("127.0.0.1", here.services.mail).close()  # planted


@twin
async def mailing_twin() -> None:
    await asyncio.to_thread(smtplib.SMTP)  # it asks for the name of this machine


@plant("ftplib.FTP.connect")
async def transferring() -> None:
    ftplib.FTP().connect("127.0.0.1", here.services.files)  # planted


@twin
async def transferring_twin() -> None:
    ftplib.FTP().close()
