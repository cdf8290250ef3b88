"""Run another program in this process the way `python` runs it.

What a program can see is set as Python/pythonrun.c and Modules/main.c of CPython set it:
sys.argv, sys.path[0], the module __main__ and its attributes, the traceback of an error,
the exit code. tests/cli/test_exec.py holds program after program against plain `python`.
"""

from __future__ import annotations

import builtins
import os
import pkgutil
import runpy
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from importlib.machinery import BuiltinImporter, SourceFileLoader, SourcelessFileLoader
from itertools import pairwise
from types import CodeType, ModuleType, TracebackType

import loophound
from loophound.cli import ProgramEnded
from loophound.errors import ConfigError

PACKAGE = os.path.dirname(loophound.__file__)
OUR_FRAMES = (os.path.join(PACKAGE, "cli", ""), os.path.join(PACKAGE, "detector", ""))

Program = Callable[[], None]


def script(path: str, arguments: list[str]) -> Program:
    """The program in a file, or in a directory or zip file that has a __main__.py.

    Raises ConfigError when there is nothing to read.
    """
    location = _absolute(path)
    if pkgutil.get_importer(location) is not None:
        return lambda: _run_container(location, [path, *arguments])
    try:
        with open(location, "rb") as file:
            source = file.read()
    except OSError as error:
        raise ConfigError(f"can't open file {location!r}: [Errno {error.errno}] {error.strerror}") from None
    return lambda: _run_file(location, source, [path, *arguments])


def module(name: str, arguments: list[str]) -> Program:
    """The program that `python -m NAME` runs."""
    return lambda: _run_module(name, ["-m", *arguments])


def run(program: Program) -> ProgramEnded:
    """Run to the end, the threads that the program leaves behind included, and say how it ended."""
    # os.fork() warns from Python 3.12 on when there are threads. Here there always are: the detector's.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    interrupted = False
    try:
        program()
        code = 0
    except SystemExit as leave:
        code = _exit_code(leave)
    except BaseException as error:
        interrupted = type(error) is KeyboardInterrupt
        code = _report(error)
    _forget_file()
    _wait_for_threads()
    return ProgramEnded(code, interrupted)


def _run_file(location: str, source: bytes, argv: list[str]) -> None:
    if location.endswith(".pyc"):
        sourceless = SourcelessFileLoader("__main__", location)
        main = _enter(argv, os.path.dirname(os.path.realpath(location)), sourceless)
        code: CodeType | None = sourceless.get_code("__main__")
    else:
        loader = SourceFileLoader("__main__", location)
        main = _enter(argv, os.path.dirname(os.path.realpath(location)), loader)
        code = compile(source, location, "exec", dont_inherit=True)
    main.__file__ = location
    main.__dict__["__cached__"] = None
    assert code is not None
    exec(code, main.__dict__)


def _run_container(location: str, argv: list[str]) -> None:
    _enter(argv, location, BuiltinImporter, always_on_path=True)
    # What `python DIRECTORY` and `python -m` call themselves, so that the program's tracebacks and
    # the messages for what cannot be found are Python's own; the public run_path and run_module
    # restore sys.modules["__main__"] afterwards, under the feet of the program's threads.
    runpy._run_module_as_main("__main__", alter_argv=False)  # type: ignore[attr-defined]


def _run_module(name: str, argv: list[str]) -> None:
    _enter(argv, os.getcwd(), BuiltinImporter)
    runpy._run_module_as_main(name)  # type: ignore[attr-defined]


def _enter(argv: list[str], directory: str, loader: object, *, always_on_path: bool = False) -> ModuleType:
    """Put argv, sys.path[0] and a fresh __main__ in the place of our own."""
    sys.argv = argv
    if not sys.flags.safe_path:
        sys.path[0] = directory  # ours until now: the directory of the command, or of -m
    elif always_on_path:
        sys.path.insert(0, directory)
    main = ModuleType("__main__")
    main.__dict__.update(__loader__=loader, __annotations__={}, __builtins__=builtins)
    sys.modules["__main__"] = main
    return main


def _absolute(path: str) -> str:
    """Like _Py_abspath of Python/fileutils.c: nothing is resolved, not even a leading `./`."""
    return os.path.join(os.getcwd(), path)


def _exit_code(leave: SystemExit) -> int:
    if leave.code is None:
        return 0
    if isinstance(leave.code, int):
        return leave.code
    _flush(sys.stdout)
    stream = sys.stderr or sys.__stderr__  # the interpreter falls back to its own stream in C
    if stream is not None:
        print(leave.code, file=stream)
    return 1


def _report(error: BaseException) -> int:
    """Show an error that nobody caught through sys.excepthook, as PyErr_PrintEx does."""
    trace = _without_our_frames(error)
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    try:
        sys.excepthook(type(error), error, trace)
    except SystemExit as leave:
        return _exit_code(leave)
    except BaseException as failure:
        failure.__context__ = None  # the original error; it is shown for itself
        sys.stderr.write("Error in sys.excepthook:\n")
        sys.__excepthook__(type(failure), failure, _without_our_frames(failure))
        sys.stderr.write("\nOriginal exception was:\n")
        sys.__excepthook__(type(error), error, trace)
    return 1


def _without_our_frames(error: BaseException) -> TracebackType | None:
    """Clean the error, and those that it came from, of this command's frames and the detector's."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = _clean(one.__traceback__)
        waiting += [other for other in (one.__cause__, one.__context__) if other is not None]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
    return error.__traceback__


def _clean(trace: TracebackType | None) -> TracebackType | None:
    kept = []
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(OUR_FRAMES):
            kept.append(trace)
        trace = trace.tb_next
    for one, following in pairwise([*kept, None]):
        assert one is not None
        one.tb_next = following
    return kept[0] if kept else None


def _forget_file() -> None:
    """Python takes these two from a script's namespace when it has run (pyrun_simple_file)."""
    main = sys.modules["__main__"].__dict__
    if main.get("__spec__") is None:
        main.pop("__file__", None)
        main.pop("__cached__", None)


def _wait_for_threads() -> None:
    """Wait for threads that are not daemons, and for pools, before the detector stops.

    Only this function of the interpreter's own shutdown does so: to join the threads one by one
    would wait forever for the idle workers of a pool. The interpreter calls it again, to no effect.
    """
    try:
        threading._shutdown()  # type: ignore[attr-defined]
    except BaseException:
        sys.stderr.write(f"Exception ignored in: {threading!r}\n")
        traceback.print_exc()


def _flush(stream: object) -> None:
    try:
        stream.flush()  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return
