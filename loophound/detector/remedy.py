"""What to write instead: the first row whose words are found in the stall.

Rows are tried from top to bottom. A word is looked for in the call on the culprit's line
and among the modules on the stack above the culprit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from loophound.detector.frames import CodeFrame
from loophound.detector.records import Cause

THREAD = "await loophound.offload({call})(...)"
PROCESS = 'await loophound.offload({call}, executor="process")(...)'

COMPUTE = "compute off the loop: "


@dataclass(frozen=True, slots=True)
class Remedy:
    """`calls` are dotted names or their ends, `modules` are top-level modules on the stack."""

    text: str
    calls: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


def _row(text: str, calls: str = "", modules: str = "") -> Remedy:
    return Remedy(text, tuple(calls.split()), tuple(modules.split()))


# By the function to blame, for which nothing else fits: nobody can await there.
PLACES = {
    "__del__": "let nothing wait in `__del__`: close it with `async with`, or with a method that is awaited",
    "emit": "log through `logging.handlers.QueueHandler`: a `QueueListener` calls the slow handler on a thread",
}
CALLBACK_IN_C = "a function in C was given to the loop as a callback, and blocks: schedule a coroutine instead"
WAITING = (
    _row("write `await asyncio.sleep(...)` instead of `time.sleep(...)`", "time.sleep sleep"),
    _row("use an async S3 client such as aioboto3, or `" + THREAD + "`", "boto3.", "boto3 botocore"),
    _row("use psycopg.AsyncConnection or asyncpg, or `" + THREAD + "`", "psycopg2. psycopg.", "psycopg2 psycopg"),
    _row("use asyncmy or aiomysql, or `" + THREAD + "`", "pymysql. MySQLdb.", "pymysql MySQLdb"),
    _row("use redis.asyncio, or `" + THREAD + "`", "redis.", "redis"),
    _row("use pymongo.AsyncMongoClient, or `" + THREAD + "`", "pymongo.", "pymongo"),
    _row(
        "use httpx.AsyncClient, or `" + THREAD + "`", "requests. urlopen", "requests urllib3 urllib http httpx httpcore"
    ),
    _row("use aiosqlite, or `" + THREAD + "`", "sqlite3.", "sqlite3"),
    _row("use aiosmtplib, or `" + THREAD + "`", "smtplib.", "smtplib"),
    _row("use aioftp, or `" + THREAD + "`", "ftplib.", "ftplib"),
    _row(
        "use `await asyncio.create_subprocess_exec(...)`, or `" + THREAD + "`",
        "subprocess. os.system os.waitpid os.wait os.popen Popen",
        "subprocess",
    ),
    _row(
        "use `await asyncio.get_running_loop().getaddrinfo(...)`",
        "getaddrinfo gethostbyname gethostbyaddr getnameinfo",
    ),
    _row("use `await loophound.offload(input)(...)`", "input"),
    _row("use asyncio streams (`await asyncio.open_connection(...)`), or `" + THREAD + "`", "socket.", "socket ssl"),
    _row("write files off the loop: `" + THREAD + "` or `anyio.open_file(...)`", "os.fsync fsync os.fdatasync flush"),
    _row("use `async with await anyio.open_file(...)`, or `" + THREAD + "`", "open read write read_text read_bytes"),
)
LOCKING = (
    _row("use asyncio.Queue, or `" + THREAD + "`", "", "queue"),
    _row("let it end off the loop: `" + THREAD + "`, or `shutdown(wait=False)`", "shutdown"),
    _row("await the future instead: `await asyncio.wrap_future(...)`", "result", "concurrent"),
    _row("wait for the thread off the loop: `" + THREAD + "`", "join"),
    _row(
        "use asyncio.Lock where only coroutines share it; else wait off the loop: `" + THREAD + "`",
        "acquire wait lock",
        "threading",
    ),
)
COMPUTING = (
    _row(
        "this pattern backtracks: rewrite it without nested repetition, bound the input, or `" + PROCESS + "`",
        "re. match search sub fullmatch findall",
        "re",
    ),
    _row("use aiosqlite, or `" + THREAD + "`", "sqlite3. execute executemany executescript fetchall", "sqlite3"),
    _row("encode big objects off the loop: `" + PROCESS + "`, or stream them in parts", "json. dumps loads", "json"),
    _row("hash off the loop: `" + THREAD + "` (it releases the GIL)", "hashlib. bcrypt. scrypt pbkdf2_hmac"),
    _row("compress off the loop: `" + THREAD + "` (it releases the GIL)", "zlib. gzip. bz2. lzma. compress decompress"),
)


def remedy_for(
    cause: Cause, *, call: str | None, inner: Sequence[CodeFrame], gil_held: bool | None, function: str | None
) -> str | None:
    """`call` is the dotted name called on the culprit's line, `inner` the frames that it led to."""
    name = call or function or "function"
    if cause in (Cause.SLEEP, Cause.IO, Cause.LOCK) and (place := by_place(function)) is not None:
        return place
    match cause:
        case Cause.SUSPENDED:
            return None
        case Cause.STARVED:
            return "give the process more CPU: the machine had none free for a thread that was ready to run"
        case Cause.CONTENTION:
            return "move that thread's computation to another process: it holds the GIL that the loop needs"
        case Cause.FLOOD:
            return "no single callback is long: bound how many run at once, or spread them over several turns"
        case Cause.GC:
            return "call gc.freeze() after start-up and raise gc.set_threshold(...), or make fewer reference cycles"
        case Cause.IMPORT:
            return "import it at the top of the module, so that it is loaded before the loop starts"
        case Cause.SLEEP | Cause.IO:
            text = _first(WAITING, call, inner) or "`" + THREAD + "`"
        case Cause.LOCK:
            text = _first(LOCKING, call, inner) or "wait for it off the loop: `" + THREAD + "`"
        case Cause.NATIVE:
            text = _first(COMPUTING, call, inner) or f"{COMPUTE}`{THREAD if gil_held is False else PROCESS}`"
        case Cause.CPU:
            known = _first(COMPUTING, call, inner)
            name = name if known is not None else function or name
            text = known or COMPUTE + "`" + PROCESS + "`"
    return text.format(call=name)


def by_place(function: str | None) -> str | None:
    """What is right for a function whose callers cannot await it, whatever it does."""
    return CALLBACK_IN_C if function is None else PLACES.get(function.rpartition(".")[2])


def _first(rows: Sequence[Remedy], call: str | None, inner: Sequence[CodeFrame]) -> str | None:
    modules = {module_of(frame.file) for frame in inner}
    for row in rows:
        if modules.intersection(row.modules) or (call is not None and any(_names(call, word) for word in row.calls)):
            return row.text
    return None


def _names(call: str, word: str) -> bool:
    """ "requests." is the beginning of a dotted name, "sleep" and "os.wait" its last parts."""
    if word.endswith("."):
        return call.startswith(word) or f".{word}" in call
    return call == word or call.endswith("." + word)


def module_of(file: str) -> str:
    """The top-level module of a library file: "requests" for .../site-packages/requests/api.py."""
    parts = PurePath(file).parts
    for index in range(len(parts) - 1, 0, -1):
        if parts[index - 1] in ("site-packages", "dist-packages") or parts[index - 1].startswith("python3"):
            return parts[index].removesuffix(".py")
    return PurePath(file).stem
