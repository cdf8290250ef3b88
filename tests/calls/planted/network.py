"""Sockets, names, and TLS."""

from __future__ import annotations

import asyncio
import select
import socket

from tests.calls.planted.base import MOMENT_S, here, plant, soon, twin


@plant("socket.create_connection")
async def connecting() -> None:
    socket.create_connection(("127.0.0.1", here.services.slow)).close()  # planted


@twin
async def connecting_twin() -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", here.services.slow)
    writer.close()


@plant("socket.socket.recv")
async def receiving() -> None:
    sock = await asyncio.to_thread(socket.create_connection, ("127.0.0.1", here.services.slow))
    sock.recv(4)  # planted
    sock.close()


@twin
async def receiving_twin() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        theirs.send(b"x")
        await asyncio.get_running_loop().sock_recv(ours, 1)


@plant("socket.socket.sendall")
async def sending() -> None:
    ours, theirs = socket.socketpair()
    soon(lambda: theirs.recv(1 << 20, socket.MSG_WAITALL))
    ours.sendall(b"x" * (1 << 20))  # planted
    ours.close()


@twin
async def sending_twin() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        ours.send(b"x")


@plant("socket.socket.accept")
async def accepting() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    soon(lambda: socket.create_connection(listener.getsockname()).close())
    listener.accept()[0].close()  # planted
    listener.close()


@twin
async def accepting_twin() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    server.close()


@plant("socket.getaddrinfo")
async def resolving() -> None:
    socket.getaddrinfo("localhost", 80)  # planted


@twin
async def resolving_twin() -> None:
    await asyncio.get_running_loop().getaddrinfo("localhost", 80)


@plant("select.select")
async def selecting() -> None:
    select.select([here.quiet], [], [], MOMENT_S)  # planted


@twin
async def selecting_twin() -> None:
    select.select([here.quiet], [], [], 0)


@plant("select.poll.poll")
async def polling() -> None:
    poll = select.poll()
    poll.register(here.quiet, select.POLLIN)
    poll.poll(20)  # planted


@twin
async def polling_twin() -> None:
    poll = select.poll()
    poll.register(here.quiet, select.POLLIN)
    poll.poll(0)


@plant("ssl.SSLSocket.do_handshake")
async def shaking_hands() -> None:
    sock = await asyncio.to_thread(socket.create_connection, ("127.0.0.1", here.services.tls))
    here.services.trusting.wrap_socket(sock, server_hostname="127.0.0.1").close()  # planted


@twin
async def shaking_hands_twin() -> None:
    _, writer = await asyncio.open_connection(
        "127.0.0.1", here.services.tls, ssl=here.services.trusting, server_hostname="127.0.0.1"
    )
    writer.close()
