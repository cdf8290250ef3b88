"""From `module:attribute` to the application, with errors that say what would be right."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from loophound.config import Config
from loophound.errors import StartupError
from loophound.server.asgi import Application

logger = logging.getLogger("loophound.server")


def load_application(config: Config) -> Application:
    """Import, and with `factory` call, the application of `config`. Raises StartupError."""
    set_path(config)
    app = import_attribute(config.app) if isinstance(config.app, str) else config.app
    name = repr(config.app) if isinstance(config.app, str) else f"the application {config.app!r}"
    if not callable(app):
        raise StartupError(f"{name} is {_kind(app)}, which cannot be called; an ASGI application can")
    if not config.factory and _looks_like_factory(app):
        logger.warning("%s takes no arguments, as a factory does: it is called; say so with --factory", name)
        app = _call_factory(app, name)
    elif config.factory:
        app = _call_factory(app, name)
    return cast(Application, app)


def set_path(config: Config) -> None:
    """Have modules looked for in --app-dir first."""
    if config.app_dir is not None:
        directory = os.path.abspath(config.app_dir)
        if directory not in sys.path:
            sys.path.insert(0, directory)


def import_attribute(target: str) -> Any:
    """The object that `module:attribute.sub` names. Raises StartupError."""
    module_name, colon, path = target.partition(":")
    if not colon or not module_name or not path:
        raise StartupError(_wrong_form(target))
    value: Any = _import_module(module_name, target)
    reached = module_name
    for part in path.split("."):
        try:
            value = getattr(value, part)
        except AttributeError:
            raise StartupError(_no_attribute(target, reached, part, value)) from None
        reached += f".{part}" if ":" in reached else f":{part}"
    return value


def _wrong_form(target: str) -> str:
    wants = f"cannot import {target!r}: the application is written as MODULE:ATTRIBUTE, such as main:app"
    if target.endswith(".py"):
        directory, name = os.path.split(target)
        where = f", with --app-dir {directory}" if directory else ""
        return f"{wants}; for this file that is {name.removesuffix('.py')}:app{where}"
    if ":" not in target and target:
        return f"{wants}; the ':' is missing (did you mean {target}:app?)"
    return wants


def _import_module(name: str, target: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise StartupError(_no_module(name, error.name, target)) from None
        raise _failed_inside(name, error) from error
    except (Exception, SystemExit) as error:
        raise _failed_inside(name, error) from error


def _no_module(name: str, missing: str, target: str) -> str:
    message = f"cannot import {target!r}: there is no module {missing!r} in {os.getcwd()} or on sys.path"
    if name.endswith(".py"):
        return f"{message}; leave '.py' out: {name.removesuffix('.py')}:{target.partition(':')[2]}"
    if "/" in name:
        return f"{message}; write the module with dots: {name.strip('./').replace('/', '.')}"
    if missing != name:
        parent = name[: len(missing)].rpartition(".")[0] or missing
        return f"{message}; {parent!r} is where the search ended"
    near = _close_to(missing, _modules_here())
    if near:
        return f"{message}; did you mean {' or '.join(near)}?"
    return f"{message}; start in the directory that holds it, or name that with --app-dir"


def _close_to(word: str, names: list[str]) -> list[str]:
    from difflib import get_close_matches  # only mistakes load it

    return get_close_matches(word, names, n=3)


def _modules_here() -> list[str]:
    names = []
    for directory in sys.path[:1]:
        for entry in Path(directory or ".").glob("*"):
            if entry.suffix == ".py" or (entry / "__init__.py").is_file():
                names.append(entry.stem)
    return names


def _failed_inside(name: str, error: BaseException) -> StartupError:
    return StartupError(f"cannot import {name!r}: {_cause(error)}")


def _cause(error: BaseException) -> str:
    """The exception in one line, with the place that caused it."""
    import sysconfig
    import traceback  # only mistakes load them

    libraries = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
    message = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    if isinstance(error, SyntaxError):
        return f"{text} at {error.filename}:{error.lineno}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen ") and frame.filename not in (__file__, importlib.__file__)
    ]
    # What the user wrote says more than the depth of a library that rejected it.
    own = [frame for frame in frames if not frame.filename.startswith(libraries)]
    for frame in (own or frames)[-1:]:
        return f"{text} at {frame.filename}:{frame.lineno}"
    return text


def _no_attribute(target: str, reached: str, part: str, owner: Any) -> str:
    what = "module" if isinstance(owner, ModuleType) else "object"
    message = f"cannot import {target!r}: {what} {reached!r} has no attribute {part!r}"
    names = [name for name in dir(owner) if not name.startswith("_")]
    near = _close_to(part, names)
    if near:
        return f"{message}; did you mean {' or '.join(near)}?"
    if isinstance(owner, ModuleType) and owner.__file__:
        return f"{message}; {owner.__file__} defines {', '.join(_callables(owner)[:5]) or 'nothing that can be called'}"
    return message


def _callables(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]


def _looks_like_factory(app: Any) -> bool:
    """Whether `app` is a function that can be called without arguments, but not as an application."""
    if not inspect.isroutine(app) or inspect.iscoroutinefunction(app):
        return False
    try:
        signature = inspect.signature(app)
        signature.bind()
    except (TypeError, ValueError):  # it takes arguments, or is a builtin that does not tell
        return False
    try:
        signature.bind("scope", "receive", "send")
    except TypeError:
        return True
    return False


def _call_factory(factory: Any, name: str) -> Any:
    try:
        app = factory()
    except (Exception, SystemExit) as error:
        raise StartupError(f"the factory {name} raised {_cause(error)}") from error
    if inspect.iscoroutine(app):
        app.close()
        raise StartupError(f"the factory {name} returned a coroutine; an async function cannot be a factory")
    if not callable(app):
        raise StartupError(f"the factory {name} returned {_kind(app)}; it has to return an ASGI application")
    return app


def _kind(value: Any) -> str:
    return "None" if value is None else f"of type {type(value).__name__!r}"
