from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import loophound
from loophound.detector.blame import (
    MOST_REMEMBERED_FILES,
    Origin,
    before_import,
    culprit_index,
    is_debugging,
    is_importing,
)
from loophound.detector.fingerprint import fingerprint
from loophound.detector.frames import CodeFrame
from loophound.detector.records import Cause
from loophound.detector.report import make_origin
from tests.detector.facts import BASE, HANDLER, HELPER, LOOP, ORIGIN, library, package

OWN = CodeFrame("/opt/loophound/loophound/server/cycle.py", 10, "Cycle.run")
IMPORT = CodeFrame("<frozen importlib._bootstrap>", 1176, "_find_and_load")
MODULE = CodeFrame("/srv/app/tables.py", 3, "<module>")


@pytest.mark.parametrize(
    ("file", "is_app"),
    [
        ("/srv/app/main.py", True),
        ("/home/me/src/mypackage/core.py", True),  # an editable install
        ("<string>", True),
        ("<stdin>", True),
        ("app.py", True),
        ("/srv/app.pyz/main.py", True),
        ("/usr/lib/python3.11/json/decoder.py", False),
        ("/usr/lib/python3.11/site-packages/requests/api.py", False),
        ("/usr/lib/python3/dist-packages/requests/api.py", False),
        ("/srv/venv/lib/python3.11/site-packages/requests/api.py", False),
        ("<frozen importlib._bootstrap>", False),
        ("<frozen runpy>", False),
        ("/opt/loophound/loophound/server/cycle.py", False),
        ("/opt/loophound/loophound/demo/app.py", True),
        ("/opt/loophound/examples/shop.py", True),
        ("/opt/loophound/loophound_plugin/x.py", True),
    ],
)
def test_whose_code_it_is(file: str, is_app: bool) -> None:
    assert ORIGIN.is_app(file) is is_app
    assert ORIGIN.is_app(file) is is_app  # remembered


def test_the_memory_of_files_is_bounded() -> None:
    origin = Origin((), "/own/")
    for number in range(3 * MOST_REMEMBERED_FILES):
        origin.is_app(f"<template {number}>")
    assert len(origin._known) <= MOST_REMEMBERED_FILES


def test_this_process() -> None:
    origin = make_origin()
    assert not origin.is_app(json.__file__)
    assert not origin.is_app(pytest.__file__)
    assert not origin.is_app(str(Path(loophound.__file__)))
    assert origin.is_app(str(Path(loophound.__file__).parent / "demo" / "app.py"))
    assert origin.is_app(__file__)
    assert not origin.is_app(sys._getframe.__module__ and "<frozen os>")


@pytest.mark.parametrize(
    ("frames", "culprit"),
    [
        ((HANDLER, package("requests/api", "get"), library("socket", "recv")), HANDLER),
        ((HANDLER, HELPER), HELPER),
        ((HANDLER, library("functools", "wrapper"), HELPER, library("re", "match")), HELPER),
        ((package("starlette/routing", "app"), library("json", "loads")), library("json", "loads")),
        ((package("starlette/routing", "app"), OWN), package("starlette/routing", "app")),
        ((OWN,), None),
        ((), None),
        # the line that imports, not the lines that the module runs
        ((HANDLER, IMPORT, MODULE, library("re", "compile")), HANDLER),
        # a server that loads the application: then the line of the application
        ((OWN, IMPORT, MODULE, library("time", "f")), MODULE),
        ((package("plugin/loader", "load"), IMPORT, IMPORT), package("plugin/loader", "load")),
    ],
)
def test_the_culprit(frames: tuple[CodeFrame, ...], culprit: CodeFrame | None) -> None:
    stack = (*LOOP, *frames)
    index = culprit_index(stack, BASE, ORIGIN)
    assert (None if index is None else stack[index]) == culprit


def test_the_program_below_the_loop_is_never_the_culprit() -> None:
    assert ORIGIN.is_app(LOOP[0].file)
    assert culprit_index(LOOP, BASE, ORIGIN) is None


def test_imports_and_debuggers_below_the_loop_do_not_count() -> None:
    below = (IMPORT, library("pdb", "main"), HANDLER)
    assert not is_importing(below, 2)
    assert not is_debugging(below, 2)
    assert is_importing(below, 0)
    assert is_debugging(below, 0)
    assert before_import(below, 2) == 3


@pytest.mark.parametrize(
    "file", ["/usr/lib/python3.11/pdb.py", "/venv/site-packages/debugpy/x.py", "/x/pydevd_frame.py", "/x/ipdb/a.py"]
)
def test_debuggers(file: str) -> None:
    assert is_debugging([CodeFrame(file, 1, "f")], 0)


def test_a_fingerprint_holds_when_lines_and_directories_move() -> None:
    name = fingerprint(Cause.IO, "/srv/app/main.py", "show")
    assert name == fingerprint(Cause.IO, "/home/me/app/main.py", "show")
    assert len(name) == 8
    assert int(name, 16) >= 0


def test_fingerprints_differ_by_cause_file_and_function() -> None:
    causes = [(Cause.IO, "a.py", "f"), (Cause.CPU, "a.py", "f"), (Cause.IO, "b.py", "f"), (Cause.IO, "a.py", "g")]
    assert len({fingerprint(*each) for each in [*causes, (Cause.IO, None, None)]}) == 5


def test_a_fingerprint_takes_any_file_name() -> None:
    assert fingerprint(Cause.IO, "/srv/\udcff.py", "f")
