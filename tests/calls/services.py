"""What the planted calls talk to: small servers in threads of the process, which answer after a moment."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import trustme

MOMENT_S = 0.02


class _Web(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(MOMENT_S)
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None: ...


def _talk(connection: socket.socket, greeting: bytes, answer: Callable[[bytes], bytes]) -> None:
    with connection:
        time.sleep(MOMENT_S)
        connection.sendall(greeting)
        with connection.makefile("rb") as lines:
            for line in lines:
                connection.sendall(answer(line))


def _listen(serve: Callable[[socket.socket], None]) -> int:
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_quietly, args=(serve, connection), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return int(listener.getsockname()[1])


def _quietly(serve: Callable[[socket.socket], None], connection: socket.socket) -> None:
    try:
        serve(connection)
    except OSError:
        connection.close()


class Services:
    """Their ports; started with the application, ended with its process."""

    def __init__(self) -> None:
        web = ThreadingHTTPServer(("127.0.0.1", 0), _Web)
        threading.Thread(target=web.serve_forever, daemon=True).start()
        self.web = web.server_port
        self.mail = _listen(lambda peer: _talk(peer, b"220 here\r\n", lambda line: b"250 fine\r\n"))
        self.files = _listen(lambda peer: _talk(peer, b"220 here\r\n", lambda line: b"230 fine\r\n"))
        self.slow = _listen(lambda peer: _talk(peer, b"late", lambda line: line))
        authority = trustme.CA()
        self.trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(self.trusting)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)

        def secure(peer: socket.socket) -> None:
            time.sleep(MOMENT_S)
            with context.wrap_socket(peer, server_side=True) as wrapped:
                wrapped.recv(1)

        self.tls = _listen(secure)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.web}/"
