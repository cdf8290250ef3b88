"""Which frame of a stack is the user's own: the culprit is the innermost one of those."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from loophound.detector.frames import STAND_IN, CodeFrame

PACKAGE_DIRECTORIES = ("/site-packages/", "/dist-packages/")
DEBUGGERS = ("/pdb.py", "/bdb.py", "/ipdb/", "/debugpy/", "/pydevd", "/_pydevd_bundle/", "/pudb/", "/remote_pdb.py")
IMPORT_MACHINERY = "<frozen importlib._bootstrap"
MOST_REMEMBERED_FILES = 4096


@dataclass(slots=True)
class Origin:
    """Tells application code from the standard library, installed packages and Loophound.

    A package that the user works on (an editable install) lies outside site-packages and
    is application code; so is code without a file, such as `<string>`.
    """

    library_roots: tuple[str, ...]  # directories of the standard library, each with a trailing slash
    own_root: str  # the directory of Loophound, with a trailing slash
    own_applications: tuple[str, ...] = ()  # below own_root, and application code all the same
    own_launcher: str = ""  # below own_root: the commands that run a program
    _known: dict[str, bool] = field(default_factory=dict)

    def is_app(self, file: str) -> bool:
        known = self._known.get(file)
        if known is None:
            if len(self._known) >= MOST_REMEMBERED_FILES:
                self._known.clear()
            known = self._known[file] = self._judge(file)
        return known

    def is_own(self, file: str) -> bool:
        return file.startswith(self.own_root) and not file.startswith(self.own_applications)

    def _judge(self, file: str) -> bool:
        if file.startswith(self.own_applications):  # even where Loophound itself is an installed package
            return True
        if file.startswith("<frozen ") or any(part in file for part in PACKAGE_DIRECTORIES):
            return False
        if file.startswith(self.library_roots):
            return False
        return not self.is_own(file)


def culprit_index(frames: Sequence[CodeFrame], base: int, origin: Origin) -> int | None:
    """The index of the frame to blame: the innermost of the application above the loop's
    machinery; with none, the innermost outside Loophound; with none, None.

    At its entry a function has done nothing yet, and is where CPython hands over the GIL: the
    line that calls it is what took the time.
    """
    end = before_import(frames, base)
    # A server or a plugin loader may be what imports: then the application's line within.
    for last in (end, len(frames)):
        application = [i for i in range(last - 1, base - 1, -1) if origin.is_app(frames[i].file)]
        if application:
            return next((i for i in application if not frames[i].at_entry), application[0])
    for index in range(end - 1, base - 1, -1):
        if not origin.is_own(frames[index].file):
            return index
    return None


def program_index(frames: Sequence[CodeFrame], base: int, origin: Origin) -> int:
    """Where the program begins: what the command that runs it has on the stack is not its own."""
    if origin.own_launcher:
        for index in range(min(base, len(frames)) - 1, -1, -1):
            if frames[index].file.startswith(origin.own_launcher):
                return index + 1
    return 0


def before_import(frames: Sequence[CodeFrame], base: int) -> int:
    """Where the import machinery begins above the base, else the number of frames.

    The importing line is to blame for an import, not the lines that the module runs.
    """
    for index in range(base, len(frames)):
        if frames[index].file.startswith(IMPORT_MACHINERY):
            return index
    return len(frames)


LOOP_MACHINERY = ("/asyncio/", "/selectors.py")


def is_of_the_loop(file: str) -> bool:
    """Whether asyncio runs this between callbacks."""
    return any(part in file for part in LOOP_MACHINERY)


def is_at_rest(files: Iterable[str]) -> bool:
    """Whether these files, above where callbacks run, are a loop's wait for events: a stand-in may lie around it."""
    return all(is_of_the_loop(file) or file.endswith(STAND_IN) for file in files)


def is_importing(frames: Sequence[CodeFrame], base: int) -> bool:
    return before_import(frames, base) < len(frames)


def is_starting_a_thread(frames: Sequence[CodeFrame]) -> bool:
    """Whether it waits for a thread that it has started to begin: `Thread.start` does, in `Event.wait`."""
    return any(frame.function == "Thread.start" and frame.file.endswith("/threading.py") for frame in frames[-3:])


def is_debugging(frames: Sequence[CodeFrame], base: int) -> bool:
    return any(marker in frame.file for frame in frames[base:] for marker in DEBUGGERS)
