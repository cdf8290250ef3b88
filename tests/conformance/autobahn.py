"""Run Autobahn's WebSocket fuzzing client against an echo application, and judge its report.

    PYTHONUSERBASE=DIR python2.7 -m pip install --user autobahntestsuite==0.8.2
    python tests/conformance/autobahn.py --wstest "env PYTHONUSERBASE=DIR python2.7 -m autobahntestsuite.wstest"

Prints how many cases ended how, and each case that FAILED or is UNIMPLEMENTED; exit code 1 if
there is one. `--cases '1.*' '6.*'` runs some; all of them take half an hour.
"""

from __future__ import annotations

import argparse
import json
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
STARTUP_S = 15.0
BAD = {"FAILED", "UNIMPLEMENTED", "WRONG CODE", "UNCLEAN", "FAILED BY CLIENT"}


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """The application under test."""
    if scope["type"] != "websocket":
        raise RuntimeError("a WebSocket is spoken here, and nothing else")
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wstest", default="wstest", help="the command that starts Autobahn's test suite")
    parser.add_argument("--loop", default="uvloop", choices=["uvloop", "asyncio"])
    parser.add_argument("--cases", nargs="+", default=["*"], help="patterns of cases (*)")
    parser.add_argument("--url", help="test the server there in place of one of our own")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        if options.url:
            report = fuzz(options, options.url, Path(directory))
        else:
            port = free_port()
            command = [sys.executable, "-m", "loophound", "serve", f"{Path(__file__).stem}:echo"]
            command += ["--app-dir", str(HERE), "--port", str(port), "--loop", options.loop, "--no-access-log"]
            server = subprocess.Popen([*command, "--log-level", "warning"])
            try:
                wait_for(port, server)
                report = fuzz(options, f"ws://127.0.0.1:{port}", Path(directory))
            finally:
                server.terminate()
                server.wait()
    return judge(report)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + STARTUP_S
    while time.monotonic() < deadline_s and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("autobahn: the server did not start")


def fuzz(options: argparse.Namespace, url: str, directory: Path) -> dict[str, Any]:
    """Autobahn's report on the server at `url`, by case."""
    spec = {
        "outdir": str(directory / "reports"),
        "servers": [{"agent": "server", "url": url}],
        "cases": options.cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    path = directory / "spec.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    command = [*shlex.split(options.wstest), "--mode", "fuzzingclient", "--spec", str(path)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    index = json.loads((directory / "reports" / "index.json").read_text(encoding="utf-8"))
    return dict(index["server"])


def judge(report: dict[str, Any]) -> int:
    for kind in ("behavior", "behaviorClose"):
        counts = Counter(case[kind] for case in report.values())
        sys.stdout.write(f"{kind}: {', '.join(f'{count} {name}' for name, count in sorted(counts.items()))}\n")
    bad = {name: case for name, case in report.items() if {case["behavior"], case["behaviorClose"]} & BAD}
    for name, case in bad.items():
        sys.stdout.write(f"{name}: {case['behavior']}, close {case['behaviorClose']}, code {case['remoteCloseCode']}\n")
    return 1 if bad or not report else 0


if __name__ == "__main__":
    sys.exit(main())
