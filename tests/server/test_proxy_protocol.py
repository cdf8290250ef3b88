"""Connections whose proxy says whom it speaks for before the first byte of HTTP or TLS."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.server import apps
from tests.server.test_proxy_header import SPOKE_TLS, TCP4, head
from tests.server.test_tls import Files
from tests.server.wire import PATIENCE_S, Client, Running

LINE = b"PROXY TCP4 192.0.2.1 10.0.0.7 5000 443\r\n"
REQUEST = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def proxied(serve: Callable[..., Running]) -> Callable[..., Running]:
    return lambda app=apps.show_scope, **options: serve(app, proxy_protocol=True, **options)


def scope_of(client: Client) -> Any:
    return json.loads(client.response().body)


@pytest.mark.parametrize("preface", [LINE, head()], ids=["version 1", "version 2"])
def test_the_client_is_the_one_that_the_proxy_names(proxied: Callable[..., Running], preface: bytes) -> None:
    client = proxied().connect().send(preface, REQUEST)
    scope = scope_of(client)
    assert (scope["client"], scope["server"]) == (["192.0.2.1", 5000], ["10.0.0.7", 443])
    assert (scope["scheme"], scope["path"]) == ("http", "/a")
    # The next request of the connection is the same client's.
    assert scope_of(client.send(REQUEST))["client"] == ["192.0.2.1", 5000]


def test_byte_by_byte(proxied: Callable[..., Running]) -> None:
    client = proxied().connect()
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in LINE + REQUEST[:20]:
        client.send(bytes([byte]))
        time.sleep(0.001)
    assert scope_of(client.send(REQUEST[20:]))["client"] == ["192.0.2.1", 5000]


@pytest.mark.parametrize("preface", [b"PROXY UNKNOWN\r\n", head(b"", command=0x20, kind=0)])
def test_a_proxy_that_speaks_for_itself(proxied: Callable[..., Running], preface: bytes) -> None:
    client = proxied().connect().send(preface, REQUEST)
    assert scope_of(client)["client"] == list(client.sock.getsockname())


def test_tls_between_client_and_proxy(proxied: Callable[..., Running]) -> None:
    assert scope_of(proxied().connect().send(head(TCP4 + SPOKE_TLS), REQUEST))["scheme"] == "https"


def test_headers_of_the_named_client_are_its_own_say_so(proxied: Callable[..., Running]) -> None:
    forged = REQUEST[:-2] + b"X-Forwarded-For: 6.6.6.6\r\n\r\n"
    assert scope_of(proxied().connect().send(LINE, forged))["client"] == ["192.0.2.1", 5000]


def test_headers_of_a_trusted_client_are_believed(proxied: Callable[..., Running]) -> None:
    forwarded = REQUEST[:-2] + b"X-Forwarded-For: 6.6.6.6\r\n\r\n"
    running = proxied(forwarded_allow_ips="127.0.0.1,192.0.2.0/24")
    assert scope_of(running.connect().send(LINE, forwarded))["client"] == ["6.6.6.6", 0]


def test_the_access_log_names_the_client(proxied: Callable[..., Running], capfd: pytest.CaptureFixture[str]) -> None:
    running = proxied(access_log=True)
    running.connect().send(LINE, REQUEST).response()
    running.stop()
    assert "192.0.2.1:5000" in capfd.readouterr().out


def test_whoever_is_not_trusted_speaks_http(proxied: Callable[..., Running]) -> None:
    running = proxied(forwarded_allow_ips="10.0.0.1")
    client = running.connect().send(REQUEST)
    assert scope_of(client)["client"] == list(client.sock.getsockname())
    assert running.connect().send(LINE, REQUEST).response().status == 400


@pytest.mark.parametrize("data", [REQUEST, b"PROXY TCP4 nonsense\r\n", b"\x16\x03\x01\x02\0"])
def test_a_trusted_proxy_has_to_say_it(proxied: Callable[..., Running], data: bytes) -> None:
    client = proxied().connect().send(data)
    answer = client.response()
    assert answer.status == 400
    assert b"PROXY" in answer.body
    assert client.closed()


def test_without_the_option_it_is_no_http(serve: Callable[..., Running]) -> None:
    assert serve(apps.show_scope).connect().send(LINE, REQUEST).response().status == 400


def test_silence_ends_the_connection(proxied: Callable[..., Running]) -> None:
    running = proxied(timeout_head=0.05)
    assert running.connect().send(LINE[:10]).closed()
    assert running.connect().closed()


def test_a_stop_does_not_wait_for_it(proxied: Callable[..., Running]) -> None:
    running = proxied(timeout_graceful_shutdown=None)
    waiting = running.connect().send(LINE[:10])
    running.connect().send(LINE, REQUEST).response()
    running.server.should_exit = True
    assert waiting.closed()


def test_a_client_that_leaves_meanwhile(proxied: Callable[..., Running]) -> None:
    running = proxied()
    running.connect().send(LINE[:10]).close()
    assert running.connect().send(LINE, REQUEST).response().status == 200


def test_a_unix_socket(serve: Callable[..., Running], tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    serve(apps.show_scope, proxy_protocol=True, bind=("127.0.0.1:0", f"unix:{path}"), port=8000,
          forwarded_allow_ips="unix")  # fmt: skip
    for preface, expected in ((LINE, ["192.0.2.1", 5000]), (head(b"\0" * 216, kind=0x31), None)):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE_S)
            sock.connect(path)
            assert scope_of(Client(sock).send(preface, REQUEST))["client"] == expected


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def hello_of(context: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO, bytes]:
    """A client of TLS in memory, and the first bytes that it says."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    secured = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        secured.do_handshake()
    return secured, incoming, outgoing, outgoing.read()


@pytest.mark.parametrize("cut", [0, 1, 50, None])
def test_before_tls(proxied: Callable[..., Running], files: Files, cut: int | None) -> None:
    """The head in one piece with more or less of the handshake; None: in a piece of its own."""
    client = proxied(**files.options).connect()
    secured, incoming, outgoing, hello = hello_of(files.client())
    if cut is None:
        client.send(LINE)
        time.sleep(0.02)
        client.send(hello)
    else:
        client.send(LINE, hello[:cut])
        time.sleep(0.02)
        client.send(hello[cut:])
    done = False
    while not done:
        incoming.write(client.sock.recv(65536))
        try:
            secured.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            continue
    # The end of the handshake and the first request in one piece.
    secured.write(REQUEST)
    client.send(outgoing.read())
    answer = b""
    while b"192.0.2.1" not in answer:
        incoming.write(client.sock.recv(65536))
        try:
            answer += secured.read(65536)
        except ssl.SSLWantReadError:
            continue
    assert b'"scheme": "https"' in answer


def test_tls_of_whoever_is_not_trusted(proxied: Callable[..., Running], files: Files) -> None:
    plain = proxied(forwarded_allow_ips="10.0.0.1", **files.options).connect()
    secured = Client(files.client().wrap_socket(plain.sock, server_hostname="localhost"))
    assert scope_of(secured.send(REQUEST))["scheme"] == "https"
    secured.close()


def test_no_tls_after_the_head(proxied: Callable[..., Running], files: Files) -> None:
    running = proxied(**files.options)
    client = running.connect().send(LINE, REQUEST)
    assert b"HTTP" not in client.rest()
    # The server is stopped in the middle of this one's handshake.
    assert running.connect().send(LINE).sock is not None
    time.sleep(0.3)
