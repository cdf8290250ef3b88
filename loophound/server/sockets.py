"""Listening sockets: bound before the application starts, with errors that name the address."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from contextlib import ExitStack

from loophound.addresses import Address, Descriptor, TcpAddress, UnixAddress, parse_address, written
from loophound.config import Config
from loophound.errors import StartupError

# Whoever may reach the directory may connect, as with a TCP port; uvicorn and nginx do the same.
SOCKET_FILE_MODE = 0o666


def addresses_of(config: Config) -> list[Address]:
    """Where `config` says to listen."""
    if config.bind:
        return [parse_address(text) for text in config.bind]
    if config.fd is not None:
        return [Descriptor(config.fd)]
    if config.uds is not None:
        return [UnixAddress(config.uds)]
    if "LISTEN_FDS" in os.environ:
        from loophound.systemd import listen_descriptors  # nobody else needs it

        if given := listen_descriptors(os.environ):
            return [Descriptor(fd) for fd in given]
    return [TcpAddress(config.host or "", config.port)]


def bind(config: Config) -> list[socket.socket]:
    """The sockets that `config` asks for, bound but not yet listening. Raises StartupError."""
    bound: list[socket.socket] = []
    try:
        for address in addresses_of(config):
            bound += _bind_one(address, bool(config.bind), config.reuse_port, asked=config.fd is not None)
    except StartupError:
        for sock in bound:
            if sock.family == socket.AF_UNIX:
                with contextlib.suppress(OSError):
                    os.unlink(sock.getsockname())
            sock.close()
        raise
    return bound


def _bind_one(address: Address, by_bind: bool, reuse_port: bool, asked: bool) -> list[socket.socket]:
    match address:
        case Descriptor(fd):
            return [_take_over(fd, f"--bind fd://{fd}" if by_bind else f"--fd {fd}" if asked else f"LISTEN_FDS {fd}")]
        case UnixAddress(path):
            return [_bind_unix(path, "--bind" if by_bind else "--uds")]
        case TcpAddress(host, port):
            return _bind_host(host, port, by_bind, reuse_port)


def bind_all(config: Config, at_end: ExitStack) -> list[socket.socket]:
    """The same; `at_end` closes them, and removes the files of unix sockets."""
    bound = bind(config)
    for sock in bound:
        at_end.callback(sock.close)
    for address in addresses_of(config):
        if isinstance(address, UnixAddress):
            at_end.callback(remove_socket_file, address.path, os.stat(address.path).st_ino)
    return bound


def bind_again(sock: socket.socket) -> socket.socket:
    """One more socket on the address of a TCP socket that was bound with SO_REUSEPORT (socket(7)). Raises OSError."""
    return _bind_tcp(sock.family, sock.type, sock.proto, sock.getsockname(), reuse_port=True)


def address_of(sock: socket.socket, scheme: str = "http") -> str:
    """The address as a user would write it: a URL, or `unix:` and a path."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{os.fsdecode(name)}"
    host, port = name[:2]
    return f"{scheme}://{written(host, port)}"


def own_address(sock: socket.socket) -> tuple[str, int] | None:
    """The address and port of every connection to this listener, where it is bound to one address alone."""
    name = sock.getsockname()
    if not isinstance(name, tuple) or not any(socket.inet_pton(sock.family, name[0].partition("%")[0])):
        return None
    return name[0], name[1]


def remove_socket_file(path: str, inode: int) -> None:
    """Remove the file of a unix socket that we made, unless another server has replaced it."""
    with contextlib.suppress(FileNotFoundError):
        if os.stat(path).st_ino == inode:
            os.unlink(path)


def listen(sockets: list[socket.socket], backlog: int) -> None:
    """From now on the kernel accepts connections. Raises StartupError."""
    for sock in sockets:
        try:
            sock.listen(backlog)
        except OSError as error:  # another server bound the same port between our bind() and this
            raise StartupError(_cannot_listen(address_of(sock).removeprefix("http://"), error)) from None


def _bind_host(host: str, port: int, by_bind: bool, reuse_port: bool) -> list[socket.socket]:
    where = written(host, port)
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise StartupError(f"cannot listen on {where}: {host!r} is no address of this machine ({error})") from None
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            if sockets and port == 0:  # one name, several addresses: all on the port that the first one got
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            sockets.append(_bind_tcp(family, kind, protocol, address, reuse_port))
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise StartupError(_cannot_listen(where, error, "--bind" if by_bind else "")) from None
    return sockets


def _bind_tcp(family: int, kind: int, protocol: int, address: object, reuse_port: bool) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        # A restart must not wait for the old connections' TIME_WAIT; a living listener still conflicts.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)  # type: ignore[arg-type]
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _bind_unix(path: str, option: str) -> socket.socket:
    _clear_stale(path, option)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        os.chmod(path, SOCKET_FILE_MODE)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise StartupError(_cannot_listen(f"unix:{path}", error, option)) from None
    return sock


def _take_over(fd: int, where: str) -> socket.socket:
    """The socket that a supervisor such as systemd or circus has bound, and passed on."""
    try:
        sock = socket.socket(fileno=os.dup(fd))  # the parent's own stays open
    except OSError as error:
        raise StartupError(f"cannot listen on {where}: {error.strerror}") from None
    if sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX) or sock.type != socket.SOCK_STREAM:
        sock.close()
        raise StartupError(f"cannot listen on {where}: it is no stream socket")
    sock.setblocking(False)
    return sock


def _clear_stale(path: str, option: str) -> None:
    """Remove the socket file of a server that is no more; leave a living one, and what is no socket, alone."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return  # nothing there, or bind() will say what is wrong
    if not stat.S_ISSOCK(mode):
        raise StartupError(f"cannot listen on unix:{path}: the path exists and is no socket; choose another {option}")
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.settimeout(1.0)
    try:
        probe.connect(path)
    except ConnectionRefusedError:  # unix(7): nobody listens behind it
        with contextlib.suppress(OSError):
            os.unlink(path)
    except OSError:
        pass  # bind() will say what is wrong
    else:
        raise StartupError(f"cannot listen on unix:{path}: a server listens there; stop it or choose another {option}")
    finally:
        probe.close()


def _cannot_listen(where: str, error: OSError, option: str = "") -> str:
    """`option` is what said where to listen; where it is empty, --host and --port did."""
    unix = where.startswith("unix:")
    option = option or "--port"
    if error.errno == errno.EADDRINUSE:
        remedy = f"choose another {option}" + (", or 0 for a free one" if option == "--port" else "")
        return f"cannot listen on {where}: the address is in use; {remedy}"
    if error.errno in (errno.EACCES, errno.EPERM):
        remedy = f"ports below 1024 want privileges; choose a higher {option}"
        if unix:
            remedy = "choose a directory that you may write to"
        return f"cannot listen on {where}: permission denied; {remedy}"
    if error.errno == errno.EADDRNOTAVAIL:
        option = "--host" if option == "--port" else option
        return f"cannot listen on {where}: it is no address of this machine; choose another {option}"
    return f"cannot listen on {where}: {error.strerror or error}; check {option}"
