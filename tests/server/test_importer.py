"""From a string to an application, and the errors on the way."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loophound.config import Config
from loophound.errors import StartupError
from loophound.server.importer import load_application

MODULES = {
    "lh_good.py": "class Holder:\n    app = staticmethod(len)\nholder = Holder()\napplication = len\nnumber = 3\n",
    "lh_import.py": "import os\nimport lh_nowhere\n",
    "lh_syntax.py": "import os\n\ndef f(:\n",
    "lh_raises.py": "def f():\n    raise ValueError('no setting')\n\nf()\n",
    "lh_exits.py": "import sys\nsys.exit('bye')\n",
    "lh_library.py": "import json, datetime\njson.loads('1', parse_int=datetime.date.fromisoformat)\n",
    "lh_deep.py": "import lh_raises\n",
    "lh_factory.py": "def make():\n    return len\ndef broken():\n    raise KeyError('DB')\ndef empty():\n    pass\n"
    "async def slow():\n    return len\n",
}


@pytest.fixture
def app_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in MODULES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "lh_package").mkdir()
    (tmp_path / "lh_package" / "__init__.py").write_text("")
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("lh_")]:
        del sys.modules[name]


def load(target: Any, app_dir: Path, **options: Any) -> Any:
    return load_application(Config(app=target, app_dir=str(app_dir), **options))


def test_attributes_and_objects(app_dir: Path) -> None:
    assert load("lh_good:application", app_dir) is len
    assert callable(load("lh_good:holder.app", app_dir))
    assert load(len, app_dir) is len
    assert load("lh_factory:make", app_dir, factory=True) is len


def test_a_factory_that_is_not_called_one(app_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert load("lh_factory:make", app_dir) is len
    assert "'lh_factory:make' takes no arguments" in caplog.text


async def native(scope: Any, receive: Any, send: Any) -> None: ...
async def anything(*args: Any) -> None: ...
def plain(*args: Any) -> None: ...
def wsgi(environ: Any, start_response: Any) -> None: ...
def second(scope: Any) -> None: ...
@pytest.mark.parametrize("app", [native, anything, plain, wsgi, second, len, dict, print])
def test_what_is_no_factory(app: Any, app_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert load(app, app_dir) is app
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("lh_good", ["'lh_good'", "MODULE:ATTRIBUTE", "the ':' is missing", "lh_good:app"]),
        ("lh_good.py", ["MODULE:ATTRIBUTE", "lh_good:app"]),
        ("src/lh_good.py", ["lh_good:app, with --app-dir src"]),
        ("lh_library:app", ["ValueError: Invalid isoformat string", "lh_library.py:2"]),
        (":app", ["MODULE:ATTRIBUTE"]),
        ("lh_good:", ["MODULE:ATTRIBUTE"]),
        ("", ["MODULE:ATTRIBUTE"]),
        ("lh_goood:app", ["no module 'lh_goood'", "did you mean lh_good?"]),
        ("lh_other_name:app", ["no module 'lh_other_name'", "--app-dir"]),
        ("lh_package.views:app", ["no module 'lh_package.views'"]),
        ("lh_good.py:app", ["leave '.py' out: lh_good:app"]),
        ("some/dir:app", ["some.dir"]),
        ("lh_good:aplication", ["no attribute 'aplication'", "did you mean application?"]),
        ("lh_good:zzz", ["no attribute 'zzz'", "defines Holder, application"]),
        ("lh_good:holder.ap", ["'lh_good:holder' has no attribute 'ap'", "did you mean app?"]),
        ("lh_good:number", ["'lh_good:number' is of type 'int'", "cannot be called"]),
        ("lh_import:app", ["ModuleNotFoundError: No module named 'lh_nowhere'", "lh_import.py:2"]),
        ("lh_syntax:app", ["SyntaxError", "lh_syntax.py:3"]),
        ("lh_raises:app", ["ValueError: no setting", "lh_raises.py:2"]),
        ("lh_deep:app", ["ValueError: no setting", "lh_raises.py:2"]),
        ("lh_exits:app", ["SystemExit: bye", "lh_exits.py:2"]),
    ],
)
def test_errors_say_what_and_where(app_dir: Path, target: str, parts: list[str]) -> None:
    with pytest.raises(StartupError) as caught:
        load(target, app_dir)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("lh_factory:broken", ["'lh_factory:broken' raised KeyError: 'DB'", "lh_factory.py:4"]),
        ("lh_factory:empty", ["returned None"]),
        ("lh_factory:slow", ["returned a coroutine", "async"]),
    ],
)
def test_factories(app_dir: Path, target: str, parts: list[str]) -> None:
    with pytest.raises(StartupError) as caught:
        load(target, app_dir, factory=True)
    for part in parts:
        assert part in str(caught.value)
