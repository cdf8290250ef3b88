"""Whose call it was: the application's, or nobody's. Pure: it reads frames."""

from __future__ import annotations

from collections.abc import Sequence

from loophound.detector.blame import IMPORT_MACHINERY, Origin, culprit_index, is_debugging
from loophound.detector.frames import CodeFrame

# Between the application and the call, these have their reasons: file's end, function ("" for any).
AT_HOME = (
    ("/linecache.py", ""),  # source lines for tracebacks and warnings
    ("/traceback.py", ""),
    ("/mimetypes.py", "init"),  # the system's tables, at the first response with a file
    ("/inspect.py", ""),  # frameworks look up where an endpoint was written
    ("/threading.py", "Thread.start"),  # waits until the thread runs: some 50 us
    ("/concurrent/futures/thread.py", "ThreadPoolExecutor.submit"),
)
PASSES_THROUGH = "/loophound/middleware/"  # our own that only lies around the application
AT_HOME_BELOW = (
    "/asyncio/",
    "/importlib/metadata/",
    "/uvloop/",
    "/coverage/",
    "/_pytest/assertion/",
    "/anyio/_backends/",
)


def importer_index(frames: Sequence[CodeFrame], base: int, origin: Origin) -> int | None:
    """The index of the frame that imports, where it is the application's; frames as for caller_index().

    None where a library imports at last what it needs, and a debugger or the import machinery itself: the
    application's line, such as `await client.get(...)`, is innocent of that, and could not be written otherwise.
    """
    index = len(frames) - 1
    while index > base and _is_import_machinery(frames[index].file):
        index -= 1
    if index < base or is_debugging(frames, base) or not origin.is_app(frames[index].file):
        return None
    if any(_is_import_machinery(frame.file) for frame in frames[base:index]):
        return None
    return _written(frames, base, index, origin)


def _is_import_machinery(file: str) -> bool:
    return file.startswith(IMPORT_MACHINERY) or file.replace("\\", "/").endswith("/importlib/__init__.py")


def caller_index(frames: Sequence[CodeFrame], base: int, origin: Origin) -> int | None:
    """The index of the frame to name; frames run outermost first, without our own around the call.

    None where the call is nobody's doing: of the import machinery, a debugger, coverage, Loophound, or of
    asyncio, whose own calls (to start a child process, say) are part of a call that is awaited.
    """
    if is_debugging(frames, base):
        return None
    index = _written(frames, base, culprit_index(frames, base, origin), origin)
    first = base if index is None or not origin.is_app(frames[index].file) else index + 1
    if any(_is_at_home(frame, origin) for frame in frames[first:]):
        return None
    return index


def _written(frames: Sequence[CodeFrame], base: int, index: int | None, origin: Origin) -> int | None:
    """Generated code, such as the __init__ of a dataclass, is named where nobody wrote what called it."""
    if index is None or not frames[index].file.startswith("<"):
        return index
    for outer in range(index - 1, base - 1, -1):
        if origin.is_app(frames[outer].file) and not frames[outer].file.startswith("<"):
            return outer
    return index


def _is_at_home(frame: CodeFrame, origin: Origin) -> bool:
    file = frame.file.replace("\\", "/")
    if origin.is_own(file):
        return PASSES_THROUGH not in file
    if file.startswith(IMPORT_MACHINERY):
        return True
    if any(file.endswith(end) and function in ("", frame.function) for end, function in AT_HOME):
        return True
    return not origin.is_app(file) and any(part in file for part in AT_HOME_BELOW)
