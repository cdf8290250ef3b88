"""TLS on both loops, with certificates made for the test."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from loophound.config import Config
from loophound.errors import ConfigError, StartupError
from loophound.server.tls import Tls, _name, make_context
from tests.server import apps
from tests.server.wire import PATIENCE_S, Client, Running, wait_until


class Files:
    """An authority, and a server's certificate and key in files."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.folder = folder
        self.certificate = str(folder / "server.pem")
        self.key = str(folder / "server.key")
        self.authorities = str(folder / "authority.pem")
        self.authority.cert_pem.write_to_path(self.authorities)
        self.renew()

    def renew(self) -> None:
        issued = self.authority.issue_cert("localhost")
        issued.cert_chain_pems[0].write_to_path(self.certificate)
        issued.private_key_pem.write_to_path(self.key)

    @property
    def options(self) -> dict[str, Any]:
        return {"ssl_certfile": self.certificate, "ssl_keyfile": self.key}

    def client(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def connect(running: Running, context: ssl.SSLContext) -> Client:
    plain = running.connect()
    plain.sock = context.wrap_socket(plain.sock, server_hostname="localhost")
    return plain


def shown_certificate(client: Client) -> bytes | None:
    assert isinstance(client.sock, ssl.SSLSocket)
    return client.sock.getpeercert(binary_form=True)


def scope_of(client: Client) -> Any:
    return json.loads(client.get().response().body)


def test_requests_of_a_connection(serve: Callable[..., Running], files: Files) -> None:
    client = connect(serve(apps.show_scope, **files.options), files.client())
    first, second = scope_of(client), scope_of(client)
    assert first == second
    assert first["scheme"] == "https"
    [(_, port)] = [first["client"]]
    assert port == client.sock.getsockname()[1]
    tls = first["extensions"]["tls"]
    assert tls["server_cert"].strip() == Path(files.certificate).read_text().strip()
    assert tls["tls_version"] == 0x0304
    assert tls["cipher_suite"] in (0x1301, 0x1302, 0x1303)  # RFC 8446, appendix B.4
    assert (tls["client_cert_chain"], tls["client_cert_name"], tls["client_cert_error"]) == ([], None, None)


def test_a_plain_connection_has_no_tls(serve: Callable[..., Running]) -> None:
    scope = json.loads(serve(apps.show_scope).get().body)
    assert scope["scheme"] == "http"
    assert "tls" not in scope.get("extensions", {})


def test_large_bodies(serve: Callable[..., Running], files: Files) -> None:
    body = os.urandom(3_000_000)
    client = connect(serve(apps.echo, **files.options), files.client())
    sender = threading.Thread(
        target=client.send, args=(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body), body)
    )
    sender.start()
    response = client.response()
    sender.join(PATIENCE_S)
    assert response.body == body


def test_a_client_shows_its_certificate(serve: Callable[..., Running], files: Files) -> None:
    running = serve(apps.show_scope, **files.options, ssl_cert_reqs="optional", ssl_ca_certs=files.authorities)
    context = files.client()
    assert scope_of(connect(running, context))["extensions"]["tls"]["client_cert_chain"] == []
    own = files.authority.issue_cert("client.example", common_name="Ada, Countess")
    own.configure_cert(context)
    tls = scope_of(connect(running, context))["extensions"]["tls"]
    assert tls["client_cert_chain"][0].strip() == own.cert_chain_pems[0].bytes().decode().strip()
    assert tls["client_cert_name"].startswith("CN=Ada\\, Countess,OU=")


def test_a_client_without_the_certificate_that_is_required(serve: Callable[..., Running], files: Files) -> None:
    running = serve(apps.hello, **files.options, ssl_cert_reqs="required", ssl_ca_certs=files.authorities)
    context = files.client()
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):  # in TLS 1.3 the client hears of it later
        connect(running, context).get().response()
    files.authority.issue_cert("client.example").configure_cert(context)
    assert connect(running, context).get().response().status == 200


def test_old_versions_are_not_spoken(serve: Callable[..., Running], files: Files) -> None:
    running = serve(apps.hello, **files.options, ssl_version="1.3")
    context = files.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(running, context)
    assert make_context(Config(app="a:a", **files.options)).minimum_version == ssl.TLSVersion.TLSv1_2


def test_plain_http_is_no_tls(serve: Callable[..., Running], files: Files) -> None:
    running = serve(apps.hello, **files.options)
    assert b"hello" not in running.connect().get().rest()
    assert connect(running, files.client()).get().response().body == b"hello"


def test_a_refusal_arrives_while_the_body_is_still_sent(serve: Callable[..., Running], files: Files) -> None:
    client = connect(serve(apps.hello, **files.options), files.client())
    client.send(b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n", b"x" * 50_000)
    assert client.response().status == 400
    client.send(b"x" * 50_000)


def test_a_client_that_ends_its_side(serve: Callable[..., Running], files: Files, caplog: Any) -> None:
    witness = apps.Witness()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await receive()
        witness.at_work.set()
        witness.saw.append((await receive())["type"])

    client = connect(serve(app, **files.options), files.client()).get()
    assert witness.at_work.wait(PATIENCE_S)
    client.close()
    wait_until(lambda: witness.saw == ["http.disconnect"])
    assert "has no effect when using ssl" not in caplog.text


def test_idle_connections_do_not_hold_up_the_stop(serve: Callable[..., Running], files: Files) -> None:
    running = serve(apps.hello, **files.options, timeout_graceful_shutdown=None)
    client = connect(running, files.client())
    assert client.get().response().status == 200
    running.server.should_exit = True  # the client neither reads nor closes
    running.thread.join(PATIENCE_S)
    assert not running.thread.is_alive()


def test_reload(serve: Callable[..., Running], files: Files, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="loophound")
    running = serve(apps.hello, **files.options)
    context = files.client()
    before = connect(running, context)
    old = shown_certificate(before)
    files.renew()
    running.server.reload_certificate()
    wait_until(lambda: shown_certificate(connect(running, context)) != old)
    assert before.get().response().status == 200
    new = shown_certificate(connect(running, context))

    # A new certificate with the key of the old one: nothing of it may come into use.
    files.renew()
    Path(files.key).write_text(trustme.CA().issue_cert("localhost").private_key_pem.bytes().decode())
    running.server.reload_certificate()
    wait_until(lambda: "the one in use stays" in caplog.text)
    assert "does not belong to the certificate" in caplog.text
    assert shown_certificate(connect(running, context)) == new


def test_context_factory(serve: Callable[..., Running], files: Files, caplog: pytest.LogCaptureFixture) -> None:
    asked = []

    def factory(config: Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        asked.append(config.app)
        return context

    running = serve(apps.hello, ssl_context_factory=factory)
    assert connect(running, files.client()).get().response().status == 200
    assert asked == [apps.hello]
    running.server.reload_certificate()
    wait_until(lambda: "it comes from ssl_context_factory" in caplog.text)


def test_context_factory_may_ask_for_the_default(files: Files) -> None:
    made = []

    def factory(config: Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        made.append(default())
        return made[0]

    assert Tls(Config(app="a:a", ssl_context_factory=factory, **files.options)).context is made[0]
    with pytest.raises(StartupError, match="give --ssl-certfile"):
        Tls(Config(app="a:a", ssl_context_factory=factory))
    with pytest.raises(StartupError, match=r"returns an ssl\.SSLContext; got str"):
        Tls(Config(app="a:a", ssl_context_factory=lambda config, default: "none"))  # type: ignore[arg-type,return-value]


def encrypted(files: Files) -> None:
    from cryptography.hazmat.primitives import serialization as s

    key = s.load_pem_private_key(Path(files.key).read_bytes(), None)
    Path(files.key).write_bytes(
        key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"open sesame"))
    )


def test_encrypted_key(files: Files) -> None:
    encrypted(files)
    Tls(Config(app="a:a", **files.options, ssl_keyfile_password="open sesame"))
    with pytest.raises(StartupError, match="is encrypted: give --ssl-keyfile-password"):
        Tls(Config(app="a:a", **files.options))
    with pytest.raises(StartupError, match="--ssl-keyfile-password does not open the private key"):
        Tls(Config(app="a:a", **files.options, ssl_keyfile_password="sesame"))


def unreadable(files: Files) -> dict[str, Any]:
    return {"ssl_certfile": files.certificate + ".no"}


def unreadable_key(files: Files) -> dict[str, Any]:
    return {"ssl_keyfile": files.key + ".no"}


def foreign_key(files: Files) -> dict[str, Any]:
    trustme.CA().issue_cert("localhost").private_key_pem.write_to_path(files.key)
    return {}


def no_certificate(files: Files) -> dict[str, Any]:
    return {"ssl_certfile": files.key}


def no_key(files: Files) -> dict[str, Any]:
    return {"ssl_keyfile": None}


def bad_key(files: Files) -> dict[str, Any]:
    Path(files.key).write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    return {}


def bad_ciphers(files: Files) -> dict[str, Any]:
    return {"ssl_ciphers": "NO-SUCH-CIPHER"}


def bad_authorities(files: Files) -> dict[str, Any]:
    return {"ssl_ca_certs": files.key}


def no_authorities(files: Files) -> dict[str, Any]:
    return {"ssl_ca_certs": str(files.folder)}


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (unreadable, r"--ssl-certfile .*\.no: No such file"),
        (unreadable_key, r"--ssl-keyfile .*\.no: No such file"),
        (foreign_key, r"key in .*server.key does not belong to the certificate in .*server.pem"),
        (no_certificate, "--ssl-certfile .*server.key: no certificate in PEM format"),
        (no_key, "no private key in PEM format in .*server.pem; give --ssl-keyfile"),
        (bad_key, "OpenSSL cannot use the certificate in .* with the private key"),
        (bad_ciphers, "--ssl-ciphers: OpenSSL knows no cipher of 'NO-SUCH-CIPHER'"),
        (bad_authorities, "--ssl-ca-certs .*server.key: no certificate"),
        (no_authorities, "--ssl-ca-certs .*: Is a directory"),
    ],
)
def test_what_cannot_serve_is_told(spoil: Callable[[Files], dict[str, Any]], text: str, files: Files) -> None:
    with pytest.raises(StartupError, match=text) as caught:
        Tls(Config(app="a:a", **(files.options | spoil(files))))
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ssl_keyfile": "k"}, "--ssl-keyfile is for TLS: add --ssl-certfile"),
        ({"ssl_ca_certs": "k"}, "--ssl-ca-certs is for TLS"),
        ({"ssl_certfile": "c", "ssl_cert_reqs": "required"}, "add --ssl-ca-certs"),
        ({"ssl_certfile": "c", "ssl_version": 4}, "--ssl-version takes one of 1.2"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Config(app="a:a", **options)


def test_the_ssl_module_s_numbers() -> None:
    config = Config(
        app="a:a",
        ssl_certfile="c",
        ssl_ca_certs="a",
        ssl_version=ssl.PROTOCOL_TLS_SERVER,  # type: ignore[arg-type]
        ssl_cert_reqs=ssl.CERT_REQUIRED,  # type: ignore[arg-type]
    )
    assert (config.ssl_version, config.ssl_cert_reqs) == ("1.2", "required")


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ((), None),
        (((("countryName", "SE"),), (("commonName", "a"),)), "CN=a,C=SE"),
        (((("commonName", "a"), ("userId", "7")),), "CN=a+UID=7"),
        (((("commonName", '#1 "x";\\ '),),), 'CN=\\#1 \\"x\\"\\;\\\\\\ '),
        (((("commonName", " "),),), "CN=\\ "),
    ],
)
def test_distinguished_names(subject: Any, name: str | None) -> None:
    assert _name(subject) == name


def test_sighup_in_a_process_of_its_own(files: Files) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [f"--ssl-certfile={files.certificate}", f"--ssl-keyfile={files.key}", f"--port={port}"]
    command = [sys.executable, "-m", "loophound", "serve", "tests.server.apps:hello", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stderr is not None
            assert "https://127.0.0.1" in process.stderr.readline()
            files.renew()
            process.send_signal(signal.SIGHUP)
            assert "loaded again" in process.stderr.readline()
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
