"""What is planted in the demo application, where it stands, and what is healthy."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from loophound.detector.records import Cause

APP_FILE = Path(__file__).with_name("app.py")
MARKER = re.compile(r"# planted: (\w+)$")


class Endpoint(NamedTuple):
    """A request as the traffic sends it and a record names it."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Site(NamedTuple):
    """Where a blocker stands."""

    file: Path
    line: int
    function: str


@dataclass(frozen=True, slots=True)
class Planted:
    """One blocker: who calls it, and what a correct report says about it."""

    name: str  # of the marker in the source
    endpoint: Endpoint
    what: str
    cause: Cause
    stalls: int = 2  # how many of the two calls block


PLANTED = (
    Planted("sleep", Endpoint("POST", "/payments/4711"), "time.sleep", Cause.SLEEP),
    Planted("requests", Endpoint("GET", "/rates/SEK"), "requests.get", Cause.IO),
    Planted("sqlite", Endpoint("GET", "/reports/sales"), "a slow SQL query", Cause.NATIVE),
    Planted("regex", Endpoint("POST", "/reviews"), "a catastrophic regex", Cause.NATIVE),
    Planted("json", Endpoint("GET", "/export"), "json.dumps of much", Cause.NATIVE),
    Planted("lock", Endpoint("POST", "/stock/tea"), "a lock a thread holds", Cause.LOCK),
    Planted("subprocess", Endpoint("GET", "/invoices/2024-17"), "subprocess.run", Cause.IO),
    Planted("fsync", Endpoint("POST", "/orders"), "a loop of fsync", Cause.IO),
    Planted("import", Endpoint("GET", "/tax/250"), "a first import", Cause.IMPORT, stalls=1),
    Planted("loop", Endpoint("GET", "/similar/7"), "a loop in Python", Cause.CPU),
)

HEALTHY = (
    Endpoint("GET", "/health"),
    Endpoint("GET", "/products/7"),
    Endpoint("GET", "/news"),
    Endpoint("POST", "/refunds/9"),
)


def planted_sites(file: Path = APP_FILE) -> dict[str, Site]:
    """Where each marked blocker stands in `file`, by the marker's name."""
    source = file.read_text(encoding="utf-8")
    tree = ast.parse(source)
    return {name: Site(file, line, _function_at(tree, line)) for name, line in marked_lines(source).items()}


def marked_lines(source: str) -> dict[str, int]:
    """The line of each marker comment. Raises ValueError when a name marks two lines."""
    lines: dict[str, int] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        marker = MARKER.match(token.string) if token.type == tokenize.COMMENT else None
        if marker is None:
            continue
        name = marker[1]
        if name in lines:
            raise ValueError(f"{name!r} is planted twice: on lines {lines[name]} and {token.start[0]}")
        lines[name] = token.start[0]
    return lines


def _function_at(tree: ast.Module, line: int) -> str:
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    around = [node for node in functions if node.lineno <= line <= (node.end_lineno or 0)]
    return max(around, key=lambda node: node.lineno).name if around else "<module>"
