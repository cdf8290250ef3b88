"""The catalogue: every synchronous call that is known to be able to block a loop, as one table.

A row says where the calls are found, what they wait for, when a call counts as blocking and what to
write instead. `docs/calls.md` is made from it. A module that is not loaded is not loaded for this: its
rows count from its import on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loophound.calls import targets
from loophound.calls.conditions import (
    ADVISORY_LOCK,
    ALWAYS,
    CHILD,
    DESCRIPTOR,
    FILE_READ,
    FILE_WRITE,
    LOCK,
    PATH,
    PATH_OR_FD,
    RECEIVE,
    SLEEP,
    SOCKET,
    Condition,
    document_larger_than,
    larger_than,
    queue_waits,
    waits_for,
)
from loophound.detector.records import Cause

IMPORT = "import"
RECURSIVE = 0  # multiprocessing.synchronize.RECURSIVE_MUTEX
KIB = 1 << 10
DOCUMENT_BYTES = 64 * KIB  # json writes and reads about 100 MB/s, pickle twice that: 0.5 ms and more
COMPRESSED_BYTES = 64 * KIB  # zlib: 50 MB/s
HASHED_BYTES = 1024 * KIB  # SHA-256: 1 to 2 GB/s

# Their methods cannot be assigned to: see patching_types.py.
TYPES_OF_C = (
    "_io:", "_thread:", "_queue:", "_hashlib:", "_multiprocessing:", "select:", "zlib:", "sqlite3:",
    "psycopg2.extensions:",
)  # fmt: skip

THREAD = "`await loophound.offload({call})(...)`"
PROCESS = '`await loophound.offload({call}, executor="process")(...)`'
FILES = f"use `anyio.open_file(...)` or `anyio.Path(...)`, or {THREAD}"
ALONE = f"call it off the loop: {THREAD}"
OFF_THE_LOOP = "move the lines that use it into a function marked with `@loophound.offload`"

Target = Callable[[Sequence[Any], Mapping[str, Any]], str | None]


@dataclass(frozen=True, slots=True)
class Row:
    """`home` is "module" or "module:Class", `names` what is found there; `shown` is what users call the home.

    `tries` is set for locks, whose own method can be asked first without waiting.
    """

    group: str
    home: str
    names: tuple[str, ...]
    cause: Cause
    remedy: str
    when: Condition = ALWAYS
    target: Target | None = None
    shown: str = ""
    tries: bool = False

    @property
    def module(self) -> str:
        return self.home.partition(":")[0]

    @property
    def owner(self) -> str:
        return self.home.partition(":")[2]

    @property
    def rebind(self) -> bool:
        """Whether methods that were bound before are to be seen. Not those of locks: the standard library's
        own conditions and queues hold them so, and take their lock before they do anything.
        """
        return self.home.startswith(TYPES_OF_C) and not self.tries

    @property
    def observed(self) -> str:
        """How the calls are seen: what is patched."""
        if self.group == IMPORT:
            return "import machinery"
        if self.home.startswith(TYPES_OF_C):
            return "type of C"
        return "method" if self.owner else "function"

    def call(self, name: str) -> str:
        """How the call is named: "time.sleep", "sqlite3.Cursor.execute"."""
        if self.group == IMPORT:
            return IMPORT
        home = "" if self.home == "builtins" else self.shown or self.home.replace(":", ".")
        inner = {"__enter__": "acquire", "__exit__": "commit"}.get(name, name.strip("_"))
        if name == "__init__":
            return home
        return f"{home}.{inner}" if home else inner


def _rows(
    group: str,
    places: Mapping[str, str],
    cause: Cause,
    remedy: str,
    when: Condition = ALWAYS,
    target: Target | None = None,
    shown: Mapping[str, str] | None = None,
    tries: bool = False,
) -> Iterator[Row]:
    for home, names in places.items():
        yield Row(group, home, tuple(names.split()), cause, remedy, when, target, (shown or {}).get(home, ""), tries)


def _sleeping() -> Iterator[Row]:
    yield from _rows("time", {"time": "sleep"}, Cause.SLEEP, "write `await asyncio.sleep(...)`", SLEEP, targets.seconds)


def _files() -> Iterator[Row]:
    yield from _rows("file", {"builtins": "open"}, Cause.IO, FILES, PATH, targets.path)
    yield from _rows("file", {"os": "open", "codecs": "open"}, Cause.IO, FILES, PATH, targets.path)
    reads, writes = "read read1 readinto readinto1 readline peek", "write flush truncate"
    buffered = {"_io:BufferedReader": reads, "_io:BufferedRandom": reads}
    raw = {"_io:FileIO": "read readall readinto"}
    text = {"_io:TextIOWrapper": "read readline", "_io:_IOBase": "readlines"}
    shown = {
        "_io:BufferedReader": "io.BufferedReader", "_io:BufferedWriter": "io.BufferedWriter",
        "_io:BufferedRandom": "io.BufferedRandom", "_io:FileIO": "io.FileIO", "_io:TextIOWrapper": "io.TextIOWrapper",
        "_io:_IOBase": "io.IOBase",
    }  # fmt: skip
    yield from _rows("file", buffered | raw | text, Cause.IO, OFF_THE_LOOP, FILE_READ, targets.name, shown)
    written = {
        "_io:BufferedWriter": writes, "_io:BufferedRandom": writes, "_io:FileIO": "write truncate",
        "_io:TextIOWrapper": writes, "_io:_IOBase": "writelines",
    }  # fmt: skip
    yield from _rows("file", written, Cause.IO, OFF_THE_LOOP, FILE_WRITE, targets.name, shown)
    descriptors = "read pread readv write pwrite writev fsync fdatasync sendfile copy_file_range ftruncate"
    yield from _rows("file", {"os": descriptors}, Cause.IO, ALONE, DESCRIPTOR, targets.descriptor)
    yield from _rows("file", {"fcntl": "flock lockf"}, Cause.IO, ALONE, ADVISORY_LOCK, targets.descriptor)


def _file_system() -> Iterator[Row]:
    looks = "stat listdir scandir statvfs"
    changes = (
        "lstat access readlink mkdir makedirs rmdir removedirs remove unlink rename renames replace link symlink "
        "chmod chown utime truncate sync"
    )
    yield from _rows("os", {"os": looks}, Cause.IO, FILES, PATH_OR_FD, targets.path)
    yield from _rows("os", {"os": changes}, Cause.IO, FILES, PATH_OR_FD, targets.path)
    copying = (
        "copyfile copyfileobj copymode copystat copy copy2 copytree rmtree move disk_usage chown which "
        "make_archive unpack_archive"
    )
    yield from _rows("shutil", {"shutil": copying}, Cause.IO, ALONE, target=targets.path)
    methods = (
        "read_text read_bytes write_text write_bytes open stat lstat exists is_file is_dir iterdir glob rglob "
        "mkdir rmdir unlink rename replace touch resolve samefile symlink_to hardlink_to chmod readlink owner"
    )
    path = "use `anyio.Path(...)`, whose methods are awaited, or " + THREAD
    yield from _rows("pathlib", {"pathlib:Path": methods}, Cause.IO, path, PATH, targets.path)
    yield from _rows("glob", {"glob": "glob"}, Cause.IO, ALONE, target=targets.path)
    making = "mkstemp mkdtemp NamedTemporaryFile TemporaryFile"
    temporary = "use `anyio.NamedTemporaryFile(...)` or another of anyio's temporary files, or " + THREAD
    yield from _rows(
        "tempfile", {"tempfile": making, "tempfile:TemporaryDirectory": "__init__ cleanup"}, Cause.IO, temporary
    )


def _network() -> Iterator[Row]:
    streams = f"use asyncio streams (`await asyncio.open_connection(...)`) or anyio, or {OFF_THE_LOOP}"
    sends = "connect accept send sendall sendto sendmsg sendfile"
    receives = "recv recv_into recvfrom recvfrom_into recvmsg recvmsg_into"
    yield from _rows("socket", {"socket:socket": sends}, Cause.IO, streams, SOCKET, targets.peer)
    yield from _rows("socket", {"socket:socket": receives}, Cause.IO, streams, RECEIVE, targets.peer)
    yield from _rows("socket", {"socket": "create_connection"}, Cause.IO, streams, target=targets.address)
    names = "getaddrinfo gethostbyname gethostbyname_ex gethostbyaddr getnameinfo getfqdn"
    yield from _rows(
        "socket", {"socket": names}, Cause.IO, "use `await loop.getaddrinfo(...)`, or " + THREAD, target=targets.host
    )
    waiting = f"let the loop wait: `loop.add_reader(...)` or asyncio streams, or {THREAD}"
    yield from _rows("select", {"select": "select"}, Cause.IO, waiting, waits_for(3))
    polls = {"select:poll_object": "poll", "select:epoll": "poll"}
    shown = {"select:poll_object": "select.poll"}
    yield from _rows("select", polls, Cause.IO, waiting, waits_for(1), shown=shown)
    secure = "connect do_handshake read write recv recv_into send sendall accept unwrap"
    yield from _rows(
        "ssl", {"ssl:SSLSocket": secure}, Cause.IO, f"use asyncio streams with `ssl=`, or {OFF_THE_LOOP}", SOCKET,
        targets.peer,
    )  # fmt: skip


def _processes() -> Iterator[Row]:
    child = "use `await asyncio.create_subprocess_exec(...)` or `await anyio.run_process(...)`"
    yield from _rows(
        "subprocess", {"subprocess": "run call check_call check_output getoutput getstatusoutput"}, Cause.IO, child,
        target=targets.command,
    )  # fmt: skip
    yield from _rows("subprocess", {"subprocess:Popen": "__init__"}, Cause.IO, child, target=targets.command_of_popen)
    still = waits_for(1, unless=lambda child: child.poll() is not None, words="the child has not ended")
    yield from _rows("subprocess", {"subprocess:Popen": "wait communicate"}, Cause.IO, child, still)
    yield from _rows("os", {"os": "waitpid wait4 waitid"}, Cause.IO, child, CHILD, targets.first)
    yield from _rows("os", {"os": "wait wait3 system"}, Cause.IO, child, target=targets.first)
    joined = waits_for(1, unless=lambda process: not process.is_alive(), words="the process has not ended")
    yield from _rows(
        "multiprocessing", {"multiprocessing.process:BaseProcess": "join"}, Cause.LOCK, OFF_THE_LOOP, joined,
        shown={"multiprocessing.process:BaseProcess": "multiprocessing.Process"},
    )  # fmt: skip


def _threads() -> Iterator[Row]:
    locks = "use asyncio.Lock where only coroutines share it; else " + OFF_THE_LOOP
    yield from _rows(
        "threading", {"_thread:lock": "acquire __enter__", "_thread:RLock": "acquire __enter__"}, Cause.LOCK, locks,
        LOCK, shown={"_thread:lock": "threading.Lock", "_thread:RLock": "threading.RLock"}, tries=True,
    )  # fmt: skip
    between = queue_waits(1, _free_between_processes, "held", "lock")
    yield from _rows(
        "multiprocessing", {"_multiprocessing:SemLock": "acquire __enter__"}, Cause.LOCK, OFF_THE_LOOP, between,
        shown={"_multiprocessing:SemLock": "multiprocessing.Lock"},
    )  # fmt: skip
    event = waits_for(1, unless=lambda event: event.is_set(), words="it is not set, and the timeout is not 0")
    yield from _rows(
        "threading", {"threading:Event": "wait"}, Cause.LOCK, f"use asyncio.Event, or {OFF_THE_LOOP}", event
    )
    condition = f"use asyncio.Condition, or {OFF_THE_LOOP}"
    yield from _rows("threading", {"threading:Condition": "wait wait_for"}, Cause.LOCK, condition, waits_for(1))
    semaphore = queue_waits(1, lambda semaphore: semaphore._value, "used up", "semaphore", "blocking")
    semaphores = f"use asyncio.Semaphore, or {OFF_THE_LOOP}"
    yield from _rows("threading", {"threading:Semaphore": "acquire __enter__"}, Cause.LOCK, semaphores, semaphore)
    yield from _rows("threading", {"threading:Barrier": "wait"}, Cause.LOCK, f"use asyncio.Barrier, or {OFF_THE_LOOP}")
    thread = waits_for(1, unless=lambda thread: not thread.is_alive(), words="the thread has not ended")
    yield from _rows("threading", {"threading:Thread": "join"}, Cause.LOCK, OFF_THE_LOOP, thread)
    future = waits_for(1, unless=lambda future: future.done(), words="it is not done, and the timeout is not 0")
    yield from _rows(
        "concurrent.futures", {"concurrent.futures:Future": "result exception"}, Cause.LOCK,
        "await the future: `await asyncio.wrap_future(...)`", future,
    )  # fmt: skip
    yield from _rows(
        "concurrent.futures", {"concurrent.futures": "wait"}, Cause.LOCK,
        "await them: `await asyncio.wait([asyncio.wrap_future(f) for f in ...])`", waits_for(1),
    )  # fmt: skip
    queues = f"use asyncio.Queue, or {OFF_THE_LOOP}"
    getting = queue_waits(1, lambda queue: not queue.empty(), "empty")
    yield from _rows(
        "queue", {"queue:Queue": "get", "_queue:SimpleQueue": "get"}, Cause.LOCK, queues, getting,
        shown={"_queue:SimpleQueue": "queue.SimpleQueue"},
    )  # fmt: skip
    putting = queue_waits(2, lambda queue: not queue.full(), "full")
    yield from _rows("queue", {"queue:Queue": "put"}, Cause.LOCK, queues, putting)
    yield from _rows(
        "queue", {"queue:Queue": "join"}, Cause.LOCK, queues,
        Condition("something in it is not done", None, lambda a, k: a[0].unfinished_tasks),
    )  # fmt: skip


def _free_between_processes(lock: Any) -> bool:
    """Of multiprocessing's locks and semaphores: one to take is left, or it is an RLock of this thread's."""
    return bool(lock._get_value() or (lock.kind == RECURSIVE and lock._is_mine()))


def _databases() -> Iterator[Row]:
    sqlite = f"use aiosqlite, or {OFF_THE_LOOP}"
    connection = "execute executemany executescript commit rollback backup __exit__"  # `with` commits at its end
    cursor = "execute executemany executescript fetchone fetchmany fetchall"
    shown = {"sqlite3:Connection": "sqlite3.Connection", "sqlite3:Cursor": "sqlite3.Cursor"}
    yield from _rows("sqlite3", {"sqlite3": "connect"}, Cause.IO, sqlite, target=targets.first)
    yield from _rows(
        "sqlite3", {"sqlite3:Connection": connection, "sqlite3:Cursor": cursor}, Cause.IO, sqlite,
        target=targets.statement, shown=shown,
    )  # fmt: skip
    statements = "execute executemany callproc fetchone fetchmany fetchall"
    postgres = f"use psycopg.AsyncConnection or asyncpg, or {OFF_THE_LOOP}"
    yield from _rows("psycopg", {"psycopg": "connect"}, Cause.IO, postgres)
    yield from _rows(
        "psycopg", {"psycopg:Connection": "connect execute commit rollback",
                    "psycopg:Cursor": "execute executemany fetchone fetchmany fetchall copy"},
        Cause.IO, postgres, target=targets.statement,
    )  # fmt: skip
    yield from _rows("psycopg2", {"psycopg2": "connect"}, Cause.IO, postgres)
    yield from _rows(
        "psycopg2", {"psycopg2.extensions:connection": "commit rollback",
                     "psycopg2.extensions:cursor": f"{statements} copy_expert copy_from copy_to"},
        Cause.IO, postgres, target=targets.statement,
        shown={"psycopg2.extensions:connection": "psycopg2.connection",
               "psycopg2.extensions:cursor": "psycopg2.cursor"},
    )  # fmt: skip
    mysql = f"use asyncmy or aiomysql, or {OFF_THE_LOOP}"
    yield from _rows(
        "pymysql", {"pymysql.connections:Connection": "__init__ connect query commit rollback ping",
                    "pymysql.cursors:Cursor": statements}, Cause.IO, mysql, target=targets.statement,
        shown={"pymysql.connections:Connection": "pymysql.Connection", "pymysql.cursors:Cursor": "pymysql.Cursor"},
    )  # fmt: skip
    yield from _rows(
        "mysqlclient", {"MySQLdb.connections:Connection": "__init__ query", "MySQLdb.cursors:BaseCursor": statements},
        Cause.IO, mysql, target=targets.statement,
        shown={"MySQLdb.connections:Connection": "MySQLdb.Connection", "MySQLdb.cursors:BaseCursor": "MySQLdb.Cursor"},
    )  # fmt: skip
    mongo = f"use pymongo.AsyncMongoClient, or {OFF_THE_LOOP}"
    collection = (
        "find_one insert_one insert_many update_one update_many replace_one delete_one delete_many aggregate distinct "
        "count_documents estimated_document_count find_one_and_update find_one_and_replace find_one_and_delete "
        "bulk_write create_index drop"
    )
    yield from _rows(
        "pymongo", {"pymongo.collection:Collection": collection, "pymongo.cursor:Cursor": "next __next__ to_list",
                    "pymongo.database:Database": "command list_collection_names",
                    "pymongo:MongoClient": "server_info list_database_names drop_database"}, Cause.IO, mongo,
        shown={"pymongo.collection:Collection": "pymongo.Collection", "pymongo.cursor:Cursor": "pymongo.Cursor",
               "pymongo.database:Database": "pymongo.Database"},
    )  # fmt: skip
    yield from _rows(
        "redis", {"redis.client:Redis": "execute_command", "redis.client:Pipeline": "execute",
                  "redis.client:PubSub": "get_message parse_response"},
        Cause.IO, f"use redis.asyncio, or {OFF_THE_LOOP}", target=targets.second,
        shown={"redis.client:Redis": "redis.Redis", "redis.client:Pipeline": "redis.Pipeline",
               "redis.client:PubSub": "redis.PubSub"},
    )  # fmt: skip
    made = f"make it once, before the loop starts (it reads many files), or {OFF_THE_LOOP}"
    yield from _rows("boto3", {"boto3": "client resource", "boto3.session:Session": "client resource",
                               "botocore.session:Session": "create_client"}, Cause.IO, made,
                     shown={"boto3.session:Session": "boto3.Session"})  # fmt: skip
    yield from _rows(
        "boto3", {"botocore.client:BaseClient": "_make_api_call"}, Cause.IO, f"use aioboto3, or {OFF_THE_LOOP}",
        target=targets.operation, shown={"botocore.client:BaseClient": "boto3.client"},
    )  # fmt: skip


def _clients() -> Iterator[Row]:
    http = "use httpx.AsyncClient or aiohttp, or " + THREAD
    verbs = "get post put patch delete head options request"
    yield from _rows("urllib", {"urllib.request": "urlopen urlretrieve", "urllib.request:OpenerDirector": "open"},
                     Cause.IO, http, target=targets.url)  # fmt: skip
    yield from _rows(
        "http.client", {"http.client:HTTPConnection": "connect request getresponse",
                        "http.client:HTTPSConnection": "connect", "http.client:HTTPResponse": "read"},
        Cause.IO, http, target=targets.server,
    )  # fmt: skip
    yield from _rows("requests", {"requests.api": verbs}, Cause.IO, http, target=targets.url,
                     shown={"requests.api": "requests"})  # fmt: skip
    yield from _rows("requests", {"requests.sessions:Session": f"{verbs} send"}, Cause.IO, http, target=targets.url,
                     shown={"requests.sessions:Session": "requests.Session"})  # fmt: skip
    yield from _rows("httpx", {"httpx": f"{verbs} stream", "httpx:Client": f"{verbs} send"}, Cause.IO,
                     "use httpx.AsyncClient, or " + THREAD, target=targets.url)  # fmt: skip
    yield from _rows(
        "urllib3", {"urllib3": "request", "urllib3.poolmanager:PoolManager": "request urlopen",
                    "urllib3.connectionpool:HTTPConnectionPool": "request urlopen"}, Cause.IO, http, target=targets.url,
        shown={"urllib3.poolmanager:PoolManager": "urllib3.PoolManager",
               "urllib3.connectionpool:HTTPConnectionPool": "urllib3.HTTPConnectionPool"},
    )  # fmt: skip
    mail = "__init__ connect ehlo helo login starttls sendmail send_message noop quit docmd"
    yield from _rows("smtplib", {"smtplib:SMTP": mail}, Cause.IO, f"use aiosmtplib, or {OFF_THE_LOOP}")
    transfer = "connect login retrbinary retrlines storbinary storlines nlst dir cwd size delete sendcmd voidcmd quit"
    yield from _rows("ftplib", {"ftplib:FTP": transfer}, Cause.IO, f"use aioftp, or {OFF_THE_LOOP}")


def _computing() -> Iterator[Row]:
    archive = OFF_THE_LOOP
    yield from _rows(
        "zipfile", {"zipfile:ZipFile": "read extract"}, Cause.NATIVE, archive,
        Condition(f"{COMPRESSED_BYTES >> 10} KiB and more", targets.member_of(COMPRESSED_BYTES)), targets.second,
    )  # fmt: skip
    yield from _rows("zipfile", {"zipfile:ZipFile": "extractall write testzip"}, Cause.NATIVE, archive,
                     Condition(f"{COMPRESSED_BYTES >> 10} KiB and more", targets.archive_of(COMPRESSED_BYTES)),
                     targets.second)  # fmt: skip
    yield from _rows("zipfile", {"zipfile:ZipFile": "writestr"}, Cause.NATIVE, archive,
                     larger_than(COMPRESSED_BYTES, 2), targets.second)  # fmt: skip
    yield from _rows("tarfile", {"tarfile:TarFile": "extractall extract add"}, Cause.NATIVE, archive,
                     Condition(f"{COMPRESSED_BYTES >> 10} KiB and more", targets.tar_of(COMPRESSED_BYTES)),
                     targets.second)  # fmt: skip
    compress = f"compress off the loop: {THREAD} (it releases the GIL)"
    packing = {"zlib": "compress decompress", "gzip": "compress decompress", "bz2": "compress decompress",
               "lzma": "compress decompress"}  # fmt: skip
    yield from _rows("zlib", packing, Cause.NATIVE, compress, larger_than(COMPRESSED_BYTES))
    streams = {"zlib:Compress": "compress", "zlib:Decompress": "decompress"}
    yield from _rows("zlib", streams, Cause.NATIVE, OFF_THE_LOOP, larger_than(COMPRESSED_BYTES, 1))
    digest = f"hash off the loop: {THREAD} (it releases the GIL)"
    hashes = "md5 sha1 sha224 sha256 sha384 sha512 sha3_256 sha3_512"
    yield from _rows("hashlib", {"hashlib": hashes}, Cause.NATIVE, digest, larger_than(HASHED_BYTES, 0, "string"))
    yield from _rows("hashlib", {"hashlib": "new"}, Cause.NATIVE, digest, larger_than(HASHED_BYTES, 1))
    yield from _rows("hashlib", {"hmac": "new digest"}, Cause.NATIVE, digest, larger_than(HASHED_BYTES, 1, "msg"))
    yield from _rows("hashlib", {"_hashlib:HASH": "update"}, Cause.NATIVE, OFF_THE_LOOP, larger_than(HASHED_BYTES, 1),
                     shown={"_hashlib:HASH": "hashlib.HASH"})  # fmt: skip
    yield from _rows("hashlib", {"hashlib": "pbkdf2_hmac scrypt file_digest"}, Cause.NATIVE, digest)
    slow = f"it is slow on purpose; {THREAD} (it releases the GIL)"
    yield from _rows("passwords", {"bcrypt": "hashpw checkpw kdf", "argon2:PasswordHasher": "hash verify"},
                     Cause.NATIVE, slow)  # fmt: skip
    encode = f"encode big documents off the loop: {PROCESS}, or stream them in parts"
    writes, reads = document_larger_than(DOCUMENT_BYTES), larger_than(DOCUMENT_BYTES)
    yield from _rows("json", {"json": "dumps dump"}, Cause.NATIVE, encode, writes)
    yield from _rows("json", {"json": "loads"}, Cause.NATIVE, encode, reads)
    yield from _rows("json", {"json": "load"}, Cause.NATIVE, encode, FILE_READ, targets.name)
    yield from _rows("pickle", {"pickle": "dumps dump"}, Cause.NATIVE, encode, writes)
    yield from _rows("pickle", {"pickle": "loads"}, Cause.NATIVE, encode, reads)
    yield from _rows("pickle", {"pickle": "load"}, Cause.NATIVE, encode, FILE_READ, targets.name)


def _others() -> Iterator[Row]:
    yield from _rows("input", {"builtins": "input"}, Cause.IO, "use " + THREAD)
    yield from _rows(
        "import", {"importlib._bootstrap": "_find_and_load"}, Cause.IMPORT,
        "import it at the top of the module, so that it is loaded before the loop starts",
        Condition("the module is not loaded yet"), targets.first, {"importlib._bootstrap": IMPORT},
    )  # fmt: skip


ROWS: tuple[Row, ...] = (
    *_sleeping(), *_files(), *_file_system(), *_network(), *_processes(), *_threads(), *_databases(), *_clients(),
    *_computing(), *_others(),
)  # fmt: skip
