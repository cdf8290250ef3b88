"""What --preload spares: `python benchmarks/preload.py [WORKERS] [REQUESTS] [--write]`.

A FastAPI application, served by workers that import it each for itself, and by workers that are
forked from a process which has imported it. Of each worker, after some requests, from /proc/PID/smaps_rollup (proc(5)):
memory that is its own (private, dirty), and its share of what several have (Pss). Both grow
with requests, as counts of references are written: so they are read at the start and after them.
"""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from machine import describe, write

APP = """
from fastapi import FastAPI
import pydantic, email.message, http.client, json, sqlite3, xml.etree.ElementTree  # as applications have them

TABLE = {f"product-{n}": {"price": n, "name": f"name of {n}"} for n in range(50_000)}
app = FastAPI()

@app.get("/show/{name}")
async def show(name: str) -> dict:
    return {"name": name, **TABLE.get(f"product-{name}", {})}
"""
MEBIBYTE = 1024  # in KiB, as the kernel counts


def memory_of(pid: int) -> tuple[float, float]:
    """Private dirty memory and Pss, in MiB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {name: int(amount) for name, amount in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    return found["Private_Dirty"] / MEBIBYTE, found["Pss"] / MEBIBYTE


def ask(port: int, count: int) -> None:
    """Requests on connections of 50 each, so that all workers get some."""
    for first in range(0, count, 50):
        with socket.create_connection(("127.0.0.1", port)) as sock, sock.makefile("rb") as answers:
            for number in range(first, min(first + 50, count)):
                sock.sendall(f"GET /show/{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                length = 0
                while (line := answers.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                answers.read(length)


def measure(workers: int, requests: int, *words: str) -> list[tuple[float, float]]:
    """For each of the two moments, the median worker's figures."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "shop.py").write_text(APP)
        options = [f"--workers={workers}", "--port=0", "--no-access-log", "--feed=off", *words]
        server = subprocess.Popen(
            [sys.executable, "-m", "loophound", "serve", "shop:app", *options],
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert server.stderr is not None
        port, pids = 0, []
        while not port or len(pids) < workers:
            line = server.stderr.readline()
            if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
                port = int(found[1])
            if found := re.search(r"serves \(pid (\d+)\)", line):
                pids.append(int(found[1]))
        time.sleep(3)  # the hang watch is loaded after the start
        moments = [[memory_of(pid) for pid in pids]]
        ask(port, requests)
        moments.append([memory_of(pid) for pid in pids])
        server.send_signal(signal.SIGTERM)
        server.communicate()
    return [(median(own for own, _ in each), median(share for _, share in each)) for each in moments]


def main(workers: int, requests: int, keep: bool) -> None:
    where = describe()
    rows = []
    for name, words in (("each imports it", ()), ("`--preload`", ("--preload",))):
        (own, share), (own_then, share_then) = measure(workers, requests, *words)
        rows.append(f"| {name} | {own:.1f} | {share:.1f} | {own_then:.1f} | {share_then:.1f} |")
    section = f"""## Memory of workers with `--preload`, {where}
{workers} workers, FastAPI and a table of 50,000 rows; MiB of the median worker.
Private: dirty pages that are its own. Pss: those, and its part of what several have.

| the application | private at the start | Pss | private after {requests:,} requests | Pss |
|---|---:|---:|---:|---:|
{chr(10).join(rows)}
"""
    print(section)  # noqa: T201
    if keep:
        write(section)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    main(*(numbers + [4, 10_000][len(numbers) :])[:2], keep="--write" in sys.argv)
