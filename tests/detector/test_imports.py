"""What is imported after the watch began is seen to."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.machinery import BuiltinImporter, SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from loophound.detector.adapters.imports import ImportWatch

NAME, OTHER = "loophound_test_imported", "loophound_test_other"


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ImportWatch]:
    monkeypatch.syspath_prepend(tmp_path)
    before = list(sys.meta_path)
    watch = ImportWatch()
    watch.install()
    yield watch
    watch.remove()
    assert sys.meta_path == before
    for name in (NAME, OTHER):
        sys.modules.pop(name, None)


def module(directory: Path, text: str = "value = 1\n", name: str = NAME) -> None:
    (directory / f"{name}.py").write_text(text)
    importlib.invalidate_caches()


def test_it_is_told_once_the_module_has_been_executed(watch: ImportWatch, tmp_path: Path) -> None:
    told: list[int] = []
    module(tmp_path)
    module(tmp_path, name=OTHER)
    watch.when_imported(NAME, lambda module: told.append(module.value))
    assert importlib.util.find_spec(NAME) is not None  # as programs ask whether it is there
    importlib.import_module(OTHER)
    assert told == []
    imported = importlib.import_module(NAME)
    assert told == [1]
    importlib.reload(imported)
    assert told == [1]
    loader = imported.__spec__.loader if imported.__spec__ else None
    assert isinstance(loader, SourceFileLoader)
    assert "exec_module" not in vars(loader)


def test_of_what_is_there_it_tells_at_once(watch: ImportWatch) -> None:
    told: list[ModuleType] = []
    watch.when_imported("json", told.append)
    assert told == [sys.modules["json"]]


def test_an_import_that_fails_is_not_told_and_may_be_tried_again(watch: ImportWatch, tmp_path: Path) -> None:
    told: list[ModuleType] = []
    watch.when_imported(NAME, told.append)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(NAME)
    module(tmp_path, "raise ImportError('not today')\n")
    with pytest.raises(ImportError, match="not today"):
        importlib.import_module(NAME)
    assert told == []
    module(tmp_path, "value = 22\n")
    assert told == [importlib.import_module(NAME)]


def test_an_archive_has_one_loader_for_all_that_is_in_it(watch: ImportWatch, tmp_path: Path) -> None:
    told: list[str] = []
    archive = tmp_path / "modules.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr(f"{NAME}.py", f"import {OTHER}\n")
        made.writestr(f"{OTHER}.py", "")
    sys.path.insert(0, str(archive))
    try:
        watch.when_imported(NAME, lambda module: told.append(module.__name__))
        assert importlib.util.find_spec(NAME) is not None
        importlib.import_module(OTHER)
        assert told == []
        importlib.import_module(NAME)
    finally:
        sys.path.remove(str(archive))
    assert told == [NAME]


def test_a_loader_that_is_a_class_is_left_alone(watch: ImportWatch) -> None:
    execute = BuiltinImporter.exec_module
    watch.when_imported("_never_there", lambda module: None)
    watch._wanted["_imp"] = lambda module: None
    assert watch.find_spec("_imp", None) is not None
    assert BuiltinImporter.exec_module == execute


def test_what_cannot_be_watched_is_imported_all_the_same(
    watch: ImportWatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module(tmp_path)
    watch.when_imported(NAME, lambda module: module.no_such_loop)
    with caplog.at_level(logging.WARNING, "loophound.detector"):
        assert importlib.import_module(NAME).value == 1
    assert "no_such_loop" in caplog.text


def test_nothing_is_told_of_an_import_during_which_the_watch_ended(watch: ImportWatch, tmp_path: Path) -> None:
    told: list[ModuleType] = []
    module(tmp_path)
    watch.when_imported(NAME, told.append)

    class Ends:
        def find_spec(self, name: str, path: object, target: object = None) -> None:
            if name == NAME:
                watch.remove()

    sys.meta_path.insert(1, Ends())
    try:
        importlib.import_module(NAME)
    finally:
        sys.meta_path = [finder for finder in sys.meta_path if not isinstance(finder, Ends)]
    assert told == []


LATE = """
import asyncio, sys, time
from loophound.detector.detector import Detector

told = []
before = list(sys.meta_path)
detector = Detector(0.1, on_stall=told.append, observer=False)
detector.start()
assert not {"uvloop", "trio"} & sys.modules.keys(), "nothing is imported for its own sake"

import uvloop
import trio

async def on_uvloop():
    await asyncio.sleep(0)
    time.sleep(0.3)

async def on_trio():
    await trio.sleep(0)
    time.sleep(0.3)

uvloop.new_event_loop().run_until_complete(on_uvloop())
trio.run(on_trio)
unrolled = trio._core._run.unrolled_run
detector.stop()
assert sys.meta_path == before
assert trio._core._run.unrolled_run is not unrolled
assert "run_forever" not in vars(uvloop.Loop)
print(*(f"{stall.loop}:{stall.culprit.function}" for stall in told if not stall.ongoing))
"""


def test_uvloop_and_trio_may_be_imported_after_the_detector_has_started() -> None:
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["uvloop.Loop:on_uvloop", "trio.run:on_trio"]
