"""The pure core has no clock, thread, loop or IO: its imports are parsed, the standard library's too.

import-linter (pyproject.toml) keeps the packages apart; it sees no standard library.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import loophound

DETECTOR = Path(loophound.__file__).parent / "detector"
CORE = ("frames", "facts", "records", "machine", "diagnosis", "blame", "remedy", "fingerprint", "stats")

# The standard library's data types and pure functions. What is not here wants a reason.
PURE = {
    "__future__", "abc", "bisect", "collections", "collections.abc", "dataclasses", "enum", "functools", "hashlib",
    "heapq", "itertools", "math", "operator", "pathlib.PurePath", "posixpath", "re", "statistics", "string", "types",
    "typing",
}  # fmt: skip


def imported(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            # pathlib's Pure classes do no IO, the others do: tell them apart.
            yield from (
                [f"pathlib.{alias.name}" for alias in node.names] if node.module == "pathlib" else [node.module or ""]
            )


def reached(name: str) -> set[str]:
    """The core module and the modules of the package that it imports, at any depth."""
    found: set[str] = set()
    waiting = [f"loophound.detector.{name}"]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += [other for other in imported(source_of(module)) if other.startswith("loophound")]
    return found


def source_of(module: str) -> str:
    path = Path(loophound.__file__).parent.joinpath(*module.split(".")[1:])
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in CORE if (DETECTOR / f"{name}.py").exists()])
def test_the_core_is_pure(name: str) -> None:
    for module in reached(name):
        assert module.startswith("loophound.detector."), f"{module} is outside the core"
        impure = {other for other in imported(source_of(module)) if not other.startswith("loophound")} - PURE
        assert not impure, f"{module} imports {', '.join(sorted(impure))}"


def test_an_import_inside_a_function_is_seen() -> None:
    assert list(imported("def f():\n    from time import sleep\n    import os.path")) == ["time", "os.path"]


def test_the_detector_loads_no_server() -> None:
    """It knows the hooks alone; with the server, `exec` and the pytest plugin would start a third more slowly."""
    program = "import sys, loophound.detector.detector; sys.exit('loophound.server.server' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
