"""Files as response bodies (ASGI, "Zero Copy Send" and "Path Send"), without holding up the loop.

A disk may take its time, so that whatever touches the file runs on a thread: opening it, and
each sendfile(2), which goes to a copy of the socket's descriptor (a loop will not wait for
one that belongs to a transport). TLS has to see the bytes: there the file is read and written.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from loophound.server.asgi import Message, MessageError

if TYPE_CHECKING:
    from loophound.server.site import Connection

T = TypeVar("T")

HAS_SENDFILE = hasattr(os, "sendfile")
SENT_AT_ONCE = 1_048_576  # by one call of sendfile(2)
READ_AT_ONCE = 262_144


@dataclass(frozen=True, slots=True)
class Span:
    """A part of an open file."""

    fd: int
    offset: int
    count: int


async def open_path(connection: Connection, message: Message) -> Span:
    """The file that http.response.pathsend names, to be closed by the caller. Raises MessageError."""
    path = message.get("path")
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise MessageError(f"the path of http.response.pathsend is text; got {path!r}")

    def open_it() -> Span:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return Span(fd, 0, _size_of(fd))
        except BaseException:
            os.close(fd)
            raise

    try:
        return await _on_thread(connection, open_it)
    except OSError as error:
        raise MessageError(f"http.response.pathsend: {error}") from error


def span_of(message: Message) -> Span:
    """What http.response.zerocopysend asks for. Raises MessageError."""
    file = message.get("file")
    try:
        fd = file if isinstance(file, int) else file.fileno()  # type: ignore[union-attr]
        size = _size_of(fd)
        offset = message.get("offset")
        if offset is None:
            offset = os.lseek(fd, 0, os.SEEK_CUR)
    except (AttributeError, OSError, ValueError) as error:
        raise MessageError(f"the file of http.response.zerocopysend is an open file; got {file!r}: {error}") from None
    count = message.get("count")
    if not isinstance(offset, int) or not (count is None or isinstance(count, int)) or offset < 0 or (count or 0) < 0:
        raise MessageError(f"offset and count of http.response.zerocopysend are sizes; got {offset!r} and {count!r}")
    left = max(size - offset, 0)
    if message.get("offset") is None:  # read from where it stands, so it stands behind that then
        os.lseek(fd, offset + (left if count is None else min(count, left)), os.SEEK_SET)
    return Span(fd, offset, left if count is None else min(count, left))


def _size_of(fd: int) -> int:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise OSError("not a regular file")
    return status.st_size


async def transmit(connection: Connection, span: Span, alive: Callable[[], bool]) -> None:
    """Send the span after all that was written so far, while `alive()`.

    Raises MessageError where the file ends early.
    """
    if HAS_SENDFILE and connection.site.tls is None:
        await _copy_by_kernel(connection, span, alive)
        return
    offset, end = span.offset, span.offset + span.count
    while offset < end and alive():
        piece = await read(connection, Span(span.fd, offset, min(READ_AT_ONCE, end - offset)))
        connection.transport.write(piece)
        offset += len(piece)
        if connection.flow.paused:
            await connection.flow.drain()


async def read(connection: Connection, span: Span) -> bytes:
    """The bytes of a small span. Raises MessageError where the file ends early."""
    piece = await _on_thread(connection, lambda: os.pread(span.fd, span.count, span.offset))
    if not piece and span.count:
        raise _ended_early(span.count)
    return piece


async def _copy_by_kernel(connection: Connection, span: Span, alive: Callable[[], bool]) -> None:
    await _written(connection)
    loop = connection.site.loop
    sock = connection.transport.get_extra_info("socket")
    if not alive() or sock is None:
        return
    out = os.dup(sock.fileno())
    try:
        offset, end = span.offset, span.offset + span.count
        while offset < end and alive():
            count = min(end - offset, SENT_AT_ONCE)
            try:
                sent = await _on_thread(connection, lambda: os.sendfile(out, span.fd, offset, count))  # noqa: B023
            except BlockingIOError:
                await _writable(loop, out)
                continue
            except ConnectionError:
                return  # the transport will hear of it too
            if not sent:
                raise _ended_early(end - offset)
            offset += sent
    finally:
        os.close(out)


async def _written(connection: Connection) -> None:
    """Wait until the transport has handed all bytes to the kernel."""
    transport = connection.transport
    low, high = transport.get_write_buffer_limits()
    transport.set_write_buffer_limits(0)  # which calls pause_writing() where any are left
    try:
        await connection.flow.drain()
    finally:
        transport.set_write_buffer_limits(high, low)


async def _writable(loop: asyncio.AbstractEventLoop, fd: int) -> None:
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(fd, _end, ready)
    try:
        await ready
    finally:
        loop.remove_writer(fd)


def _end(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def _on_thread(connection: Connection, work: Callable[[], T]) -> T:
    return await connection.site.loop.run_in_executor(None, work)


def _ended_early(missing: int) -> Any:
    return MessageError(f"the file ended {missing} bytes before it was sent: it has become shorter meanwhile")
