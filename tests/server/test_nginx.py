"""Behind a real nginx: as a proxy on TCP and on a unix socket, with and without buffering."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server import apps
from tests.server.wire import PATIENCE_S, Client, Running, wait_until

NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")

# Where CI asks for everything, a missing nginx is a failure.
pytestmark = [
    pytest.mark.skipif(NGINX is None and not os.environ.get("CI"), reason="nginx is not installed"),
    pytest.mark.once,
]

# A location that sets one header inherits none.
SAID = """
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto https;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Port 8443;
"""
SETTINGS = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream app {{
        server {upstream};
        keepalive 4;
    }}
    server {{
        listen 127.0.0.1:{port};
        proxy_http_version 1.1;
        location / {{
            {said}
            proxy_pass http://app;
        }}
        location /ws {{
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto https;
            proxy_pass http://app;
        }}
        location /shop/ {{
            {said}
            proxy_set_header X-Forwarded-Prefix /shop;
            proxy_pass http://app/;
        }}
    }}
}}
"""
STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")  # Debian: libnginx-mod-stream
STREAM_SETTINGS = f"""
load_module {STREAM_MODULE};
daemon off;
master_process off;
pid {{folder}}/pid;
error_log {{folder}}/error.log;
events {{{{}}}}
stream {{{{
    server {{{{
        listen 127.0.0.1:{{port}};
        proxy_protocol on;
        proxy_pass {{upstream}};
    }}}}
}}}}
"""


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Callable[..., Callable[[], Client]]]:
    """Start nginx before an upstream; gives what makes a connection to it."""
    started: list[subprocess.Popen[bytes]] = []
    clients: list[Client] = []

    def start(upstream: str, template: str = SETTINGS) -> Callable[[], Client]:
        assert NGINX is not None, "install nginx"
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = tmp_path / "nginx.conf"
        settings.write_text(template.format(folder=tmp_path, upstream=upstream, port=port, said=SAID))
        started.append(subprocess.Popen([NGINX, "-c", str(settings), "-p", str(tmp_path)], stderr=subprocess.DEVNULL))

        def listens() -> bool:
            assert started[0].poll() is None, (tmp_path / "error.log").read_text()
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listens)

        def connect() -> Client:
            clients.append(Client(socket.create_connection(("127.0.0.1", port))))
            return clients[-1]

        return connect

    yield start
    for client in clients:
        client.close()
    for process in started:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.fixture(params=["tcp", "unix"])
def behind(request: pytest.FixtureRequest, serve: Callable[..., Running], nginx: Any, tmp_path: Path) -> Any:
    """Serve an application behind nginx; gives what makes a connection to nginx."""

    def serve_app(app: Any, **options: Any) -> Callable[[], Client]:
        if request.param == "tcp":
            return nginx(f"127.0.0.1:{serve(app, **options).port}")
        path = tmp_path / "app.sock"
        serve(app, uds=str(path), forwarded_allow_ips="unix,127.0.0.1", **options)
        return nginx(f"unix:{path}")

    return serve_app


def test_the_client_behind_nginx(behind: Any) -> None:
    client = behind(apps.show_scope)()
    for target, forged in ((b"/a", b"X-Forwarded-For: 6.6.6.6, 1.2.3.4"), (b"/b", b"Forwarded: for=6.6.6.6;host=evil")):
        scope = json.loads(client.get(target, forged).response().body)
        # nginx has appended 127.0.0.1, which is trusted, so that the last address before it counts.
        assert scope["client"] == (["1.2.3.4", 0] if target == b"/a" else ["127.0.0.1", 0])
        assert (scope["scheme"], scope["path"], scope["root_path"]) == ("https", target.decode(), "")


def test_host_port_and_prefix_behind_nginx(behind: Any) -> None:
    client = behind(apps.show_scope, forwarded_fields="for,proto,host,port,prefix")()
    scope = json.loads(client.get(b"/shop/basket?all=1").response().body)
    assert (scope["root_path"], scope["path"], scope["query_string"]) == ("/shop", "/shop/basket", "all=1")
    assert ["host", "a:8443"] in scope["headers"]
    assert scope["server"] == ["a", 8443]


def test_by_default_a_client_cannot_choose_host_and_prefix(behind: Any) -> None:
    scope = json.loads(behind(apps.show_scope)().get(b"/", b"X-Forwarded-Prefix: /evil").response().body)
    assert scope["root_path"] == ""
    assert scope["server"] is None or scope["server"][0] != "a"


def test_bodies_both_ways(behind: Any) -> None:
    client = behind(apps.echo)()
    body = os.urandom(700_000)
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body), body)
    # nginx would have stopped at 1 MiB, its default.
    assert client.response().body == body


def test_a_stream_passes_piece_by_piece(behind: Any) -> None:
    witness = apps.Witness()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-accel-buffering", b"no")]})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await witness.until_go()
        await send({"type": "http.response.body", "body": b"second"})

    client = behind(app)().get()
    client.read_until(b"first")  # before the second is sent: nginx holds nothing back
    witness.go.set()
    client.read_until(b"second")


def test_a_websocket(behind: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await receive()
        await send({"type": "websocket.accept"})
        message = await receive()
        await send({"type": "websocket.send", "text": f"{scope['scheme']} {scope['client'][0]} {message['text']}"})

    client = behind(app, lifespan="off")()
    handshake = (b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13")
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    client.get(b"/ws", b"X-Forwarded-For: 1.2.3.4", key, *handshake)
    assert b"101 Switching Protocols" in client.read_until(b"\r\n\r\n")
    client.send(b"\x81\x82\0\0\0\0hi")  # RFC 6455, section 5.2: a masked text frame
    client.read_until(b"wss 1.2.3.4 hi")


def test_a_client_that_goes_away_is_told(behind: Any) -> None:
    witness = apps.Witness()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-accel-buffering", b"no")]})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await receive()
        witness.saw.append((await asyncio.wait_for(receive(), PATIENCE_S))["type"])

    client = behind(app)().get()
    client.read_until(b"first")
    client.close()
    wait_until(lambda: witness.saw == ["http.disconnect"])


def test_the_path_under_which_nginx_mounts_an_application(behind: Any) -> None:
    scope = json.loads(behind(apps.show_scope, root_path="/shop")().get(b"/shop/basket").response().body)
    assert (scope["root_path"], scope["path"]) == ("/shop", "/shop/basket")


@pytest.mark.skipif(
    not STREAM_MODULE.exists() and not os.environ.get("CI"), reason="nginx's stream module is not installed"
)
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_the_proxy_protocol_of_nginx(kind: str, serve: Callable[..., Running], nginx: Any, tmp_path: Path) -> None:
    if kind == "tcp":
        upstream = f"127.0.0.1:{serve(apps.show_scope, proxy_protocol=True).port}"
    else:
        upstream = f"unix:{tmp_path}/app.sock"
        serve(apps.show_scope, uds=f"{tmp_path}/app.sock", proxy_protocol=True, forwarded_allow_ips="unix")
    connect = nginx(upstream, STREAM_SETTINGS)
    for _ in range(2):
        client = connect()
        scope = json.loads(client.get(b"/a").response().body)
        assert scope["client"] == list(client.sock.getsockname())
        assert scope["server"] == list(client.sock.getpeername())
