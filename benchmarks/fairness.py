"""How evenly connections and requests spread over workers: `python benchmarks/fairness.py [WORKERS] [--write]`.

A shared socket and --reuse-port, each with many short connections and with few that last.
"""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from machine import describe, write

APP = """
import os
BODY = str(os.getpid()).encode()
HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(BODY))]}

async def app(scope, receive, send):
    await send(HEAD)
    await send({"type": "http.response.body", "body": BODY})
"""
CONNECTIONS = 4000
AT_ONCE = 64
KEPT, REQUESTS = 64, 100


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: int, found: Counter[str]) -> None:
    for _ in range(count):
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        found[(await reader.readexactly(int(length[1]))).decode()] += 1


async def connect(port: int, connections: int, at_once: int, requests: int) -> Counter[str]:
    found: Counter[str] = Counter()
    limit = asyncio.Semaphore(at_once)

    async def one() -> None:
        async with limit:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await ask(reader, writer, requests, found)
            writer.close()
            await writer.wait_closed()

    await asyncio.gather(*(one() for _ in range(connections)))
    return found


def shares(found: Counter[str], workers: int) -> str:
    total = found.total()
    each = sorted((count / total for count in found.values()), reverse=True) + [0.0] * (workers - len(found))
    return ", ".join(f"{100 * share:.0f}" for share in each) + " %"


def main(workers: int, keep: bool) -> None:
    where, rows = describe(), []
    for words in ([], ["--reuse-port"]):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "fair.py").write_text(APP)
            command = [sys.executable, "-m", "loophound", "serve", "fair:app", f"--workers={workers}", "--port=0"]
            server = subprocess.Popen(
                [*command, "--no-access-log", "--lifespan=off", *words], cwd=folder, stderr=subprocess.PIPE, text=True
            )
            assert server.stderr is not None
            port, ready = 0, 0
            while not port or ready < workers:
                line = server.stderr.readline()
                if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
                    port = int(found[1])
                ready += " serves " in line
            short = asyncio.run(connect(port, CONNECTIONS, AT_ONCE, 1))
            kept = asyncio.run(connect(port, KEPT, KEPT, REQUESTS))
            server.send_signal(signal.SIGTERM)
            server.communicate()
        what = f"`{' '.join(words)}`" if words else "one shared socket"
        rows.append(f"| {what} | {shares(short, workers)} | {shares(kept, workers)} |")
    section = f"""## Connections over workers, {where}
{workers} workers; the clients run on the same cores. The share of each worker in the answers, the largest first.

| | {CONNECTIONS:,} short connections, {AT_ONCE} at once | {KEPT} that last, {REQUESTS} requests each |
|---|---|---|
{chr(10).join(rows)}
"""
    print(section)  # noqa: T201
    if keep:
        write(section)


if __name__ == "__main__":
    main(next((int(word) for word in sys.argv[1:] if word.isdigit()), 4), "--write" in sys.argv)
