"""What proxies say: parsed, weighed and put into scopes."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loophound.config import Config, from_env
from loophound.errors import ConfigError
from loophound.server.proxies import FIELDS, Hop, Proxies, Trusted, parse_forwarded, parse_node, proxies_of
from loophound.server.targets import Targets
from tests.server import apps
from tests.server.wire import Running

ALL = ",".join(FIELDS)
PEER = ("127.0.0.1", 5000)


def scope_after(noted: dict[str, str], trusted: str = "127.0.0.1, 10.0.0.0/8, ::1", fields: str = ALL) -> Any:
    proxies = Proxies(trusted, fields)
    scope: dict[str, Any] = {
        "client": PEER,
        "server": ("127.0.0.1", 8000),
        "scheme": "http",
        "headers": [(b"accept", b"*/*"), (b"host", b"inside:8000")],
        "root_path": "/app",
        "path": "/app/x",
        "raw_path": b"/app/x",
    }
    headers = {name.encode(): value.encode("latin-1") for name, value in noted.items()}
    proxies.apply(scope, headers, Targets().valid_host)
    return scope


# -- who is trusted


@pytest.mark.parametrize(
    ("trusted", "host", "expected"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "::ffff:127.0.0.1", True),
        ("::ffff:127.0.0.1", "::1", False),
        ("127.0.0.1,::1", "0:0:0:0:0:0:0:1", True),
        (" 10.0.0.0/8 , ", "10.9.8.7", True),
        ("10.0.0.1/8", "10.9.8.7", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.0.0.0/8", "::1", False),
        ("2001:db8::/32", "2001:db8:1::5", True),
        ("*", "anything", True),
        ("*", "", True),
        ("", "127.0.0.1", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "localhost", False),
        ("unix", "127.0.0.1", False),
    ],
)
def test_trusted_addresses(trusted: str, host: str, expected: bool) -> None:
    hosts = Trusted(trusted)
    assert (host in hosts, host in hosts) == (expected, expected)


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [("unix", True), ("*", True), ("/run/app.sock", True), ("unix:///run/app.sock", True), ("127.0.0.1,::1", False)],
)
def test_trusted_unix_peers(trusted: str, expected: bool) -> None:
    assert Proxies(trusted, "for").trusts(None) is expected


@pytest.mark.parametrize("text", ["nginx", "10.0.0.0/33", "1.2.3", "127.0.0.1 ::1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--forwarded-allow-ips takes addresses, networks"):
        Trusted(f"127.0.0.1,{text}")


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"--forwarded-fields takes for, .*got 'hosts'"):
        Proxies("*", "for,hosts")


def test_many_peers_are_not_all_remembered() -> None:
    trusted = Trusted("10.0.0.0/8")
    for number in range(3000):
        assert f"10.0.{number // 256}.{number % 256}" in trusted
    assert len(trusted._known) <= 1024


# -- nodes


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("192.0.2.1", ("192.0.2.1", 0)),
        (" 192.0.2.1:80 ", ("192.0.2.1", 80)),
        ("2001:db8::1", ("2001:db8::1", 0)),
        ("[2001:db8::1]", ("2001:db8::1", 0)),
        ("[2001:db8::1]:443", ("2001:db8::1", 443)),
        ("192.0.2.1:0", ("192.0.2.1", 0)),
        ("192.0.2.1:65536", ("192.0.2.1", 0)),
        ("192.0.2.1:_x", ("192.0.2.1", 0)),
        ("192.0.2.1:\u0661", ("192.0.2.1", 0)),
        ("[::1]80", None),
        ("[::1", ("::1", 0)),
        ("unknown", None),
        ("_hidden", None),
        ("", None),
        ("example.com", None),
        ("1.2.3.4.5", None),
        ("\xf0\xfd", None),
    ],
)
def test_nodes(text: str, node: Any) -> None:
    assert parse_node(text) == node


# -- X-Forwarded-For


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        ("1.2.3.4", ("1.2.3.4", 0)),
        ("1.2.3.4:5678", ("1.2.3.4", 5678)),
        ("6.6.6.6, 1.2.3.4", ("1.2.3.4", 0)),  # what stands left is the client's own say-so
        ("6.6.6.6, 1.2.3.4, 10.0.0.7", ("1.2.3.4", 0)),
        ("1.2.3.4,10.0.0.7 ,  10.0.0.8", ("1.2.3.4", 0)),
        ("10.0.0.9, 10.0.0.8", ("10.0.0.9", 0)),  # trusted all the way
        ("[2001:db8::9]:7, ::1", ("2001:db8::9", 7)),
        ("6.6.6.6, unknown, 10.0.0.8", ("10.0.0.8", 0)),
        ("6.6.6.6, <script>, 10.0.0.8", ("10.0.0.8", 0)),
        ("6.6.6.6,,10.0.0.8", ("10.0.0.8", 0)),
        ("unknown", PEER),
        ("", PEER),
        (",", PEER),
        ("1.2.3.4,", PEER),
        ("6.6.6.6, " + "10.0.0.1," * 5000 + "10.0.0.2", ("10.0.0.1", 0)),
    ],
)
def test_the_client_is_the_rightmost_that_is_not_trusted(chain: str, client: Any) -> None:
    assert scope_after({"x-forwarded-for": chain})["client"] == client


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        ("1.2.3.4, 10.0.2.1, 192.168.0.2", ("1.2.3.4", 0)),
        ("1.2.3.4, \xf0\xfd\xfd\xfd, unix:, ::1", ("1.2.3.4", 0)),
        ("unknown, 10.0.2.1", ("10.0.2.1", 0)),
        ("unknown", PEER),
    ],
)
def test_where_all_is_trusted_the_leftmost_is_the_client(chain: str, client: Any) -> None:
    assert scope_after({"x-forwarded-for": chain}, trusted="*")["client"] == client


def test_clients_are_remembered_within_bounds() -> None:
    proxies = Proxies("127.0.0.1", "for")
    for _ in range(2):
        for number in range(1500):
            scope = {"client": PEER}
            proxies.apply(scope, {b"x-forwarded-for": b"1.2.%d.%d" % divmod(number, 256)}, bool)
            assert scope["client"] == (f"1.2.{number // 256}.{number % 256}", 0)
    assert len(proxies._known) <= 1024


# -- X-Forwarded-Proto, -Host, -Port and -Prefix


@pytest.mark.parametrize(
    ("proto", "scheme"),
    [
        ("https", "https"), ("HTTPS", "https"), ("wss", "https"), ("ws", "http"), ("http", "http"),
        ("http, https", "https"), ("", "http"), ("javascript", "http"), ("https://", "http"), ("\xff", "http"),
    ],
)  # fmt: skip
def test_proto(proto: str, scheme: str) -> None:
    assert scope_after({"x-forwarded-proto": proto})["scheme"] == scheme


def test_proto_of_the_client_s_own_hop() -> None:
    # The client came to the first proxy by https, and that one to the second by http.
    noted = {"x-forwarded-for": "1.2.3.4, 10.0.0.7", "x-forwarded-proto": "https, http"}
    assert scope_after(noted)["scheme"] == "https"
    # A third value, before them, is what the client itself has sent.
    noted = {"x-forwarded-for": "9.9.9.9, 1.2.3.4, 10.0.0.7", "x-forwarded-proto": "http, https, http"}
    assert scope_after(noted)["scheme"] == "https"


def host_and_server(**noted: str) -> tuple[str, Any]:
    scope = scope_after({name.replace("_", "-"): value for name, value in noted.items()})
    [host] = [value for name, value in scope["headers"] if name == b"host"]
    assert (b"accept", b"*/*") in scope["headers"]
    return host.decode(), scope["server"]


INSIDE = "inside:8000", ("127.0.0.1", 8000)


@pytest.mark.parametrize(
    ("noted", "expected"),
    [
        ({"x_forwarded_host": "shop.example"}, ("shop.example", ("shop.example", 80))),
        ({"x_forwarded_host": "a.example, shop.example"}, ("shop.example", ("shop.example", 80))),
        ({"x_forwarded_host": "shop.example:8080"}, ("shop.example:8080", ("shop.example", 8080))),
        ({"x_forwarded_host": "shop.example", "x_forwarded_port": "81"}, ("shop.example:81", ("shop.example", 81))),
        ({"x_forwarded_host": "[::1]:80", "x_forwarded_port": "81"}, ("[::1]:81", ("::1", 81))),
        (
            {"x_forwarded_host": "shop.example", "x_forwarded_port": "443", "x_forwarded_proto": "https"},
            ("shop.example", ("shop.example", 443)),
        ),
        ({"x_forwarded_port": "8443"}, ("inside:8443", ("inside", 8443))),
        ({"x_forwarded_host": "shop.example", "x_forwarded_port": "0"}, ("shop.example", ("shop.example", 80))),
        ({"x_forwarded_host": "a b"}, INSIDE),
        ({"x_forwarded_host": "user@shop.example"}, INSIDE),
        ({"x_forwarded_host": "shop.example/evil"}, INSIDE),
        ({"x_forwarded_host": "\xff"}, INSIDE),
        ({"x_forwarded_host": ""}, INSIDE),
    ],
)
def test_host_and_port(noted: dict[str, str], expected: Any) -> None:
    assert host_and_server(**noted) == expected


@pytest.mark.parametrize(
    ("prefix", "root_path"),
    [
        ("/shop", "/shop/app"), ("/shop/", "/shop/app"), ("/a/b-c", "/a/b-c/app"), ("/shop, /v2", "/v2/app"),
        ("/", "/app"), ("", "/app"), ("shop", "/app"), ("//evil.example", "/app"), ("/a b", "/app"), ("/a?b", "/app"),
        ("/%0d", "/app"), ("/\xff", "/app"),
    ],
)  # fmt: skip
def test_prefix(prefix: str, root_path: str) -> None:
    scope = scope_after({"x-forwarded-prefix": prefix})
    assert scope["root_path"] == root_path
    assert scope["path"] == root_path + "/x"
    assert scope["raw_path"] == (root_path + "/x").encode()


def test_only_the_fields_that_are_asked_for() -> None:
    everything = {f"x-forwarded-{field}": "/p" if field == "prefix" else "443" for field in FIELDS}
    everything |= {"x-forwarded-for": "1.2.3.4", "x-forwarded-proto": "https", "x-forwarded-host": "evil.example"}
    scope = scope_after(everything, fields="for,proto")
    assert (scope["client"], scope["scheme"], scope["root_path"]) == (("1.2.3.4", 0), "https", "/app")
    assert (b"host", b"inside:8000") in scope["headers"]
    assert scope["server"] == ("127.0.0.1", 8000)
    assert scope_after(everything, fields="host")["client"] == PEER
    assert scope_after({"forwarded": "for=1.2.3.4;host=evil.example"}, fields="proto")["client"] == PEER


# -- Forwarded (RFC 7239, section 4)


@pytest.mark.parametrize(
    ("text", "hops"),
    [
        ("for=192.0.2.60;proto=http;by=203.0.113.43", [Hop("192.0.2.60", "http")]),
        ('For="[2001:db8:cafe::17]:4711"', [Hop("[2001:db8:cafe::17]:4711")]),
        ("for=192.0.2.43, for=198.51.100.17", [Hop("192.0.2.43"), Hop("198.51.100.17")]),
        ('for="_gazonk";HOST="a.example:80"', [Hop("_gazonk", "", "a.example:80")]),
        ('for="a\\"b"', [Hop('a"b')]),
        ('for="a,b;c=d", proto=https', [Hop("a,b;c=d"), Hop("", "https")]),
        (" for = 1.2.3.4 ; proto = https , by=x", [Hop("1.2.3.4", "https"), Hop()]),
        ("for=1.2.3.4;", [Hop("1.2.3.4")]),
        ("", []),
        ("nonsense", []),
        ("for=1.1.1.1, nonsense, for=2.2.2.2", [Hop("2.2.2.2")]),
        ('for="1.1.1.1, for=2.2.2.2', [Hop("2.2.2.2")]),
        ('for="x, for="2.2.2.2"', [Hop("2.2.2.2")]),
        ("for=1.1.1.1 for=2.2.2.2, for=3.3.3.3", [Hop("3.3.3.3")]),
        (",for=3.3.3.3", [Hop("3.3.3.3")]),
    ],
)
def test_forwarded(text: str, hops: list[Hop]) -> None:
    assert parse_forwarded(text) == hops


def test_forwarded_steers_the_scope() -> None:
    text = 'for=6.6.6.6;proto=http;host=evil.example, for="[2001:db8::9]:7";proto=https;host=shop.example, for=10.0.0.7'
    scope = scope_after({"forwarded": text})
    assert (scope["client"], scope["scheme"]) == (("2001:db8::9", 7), "https")
    assert (b"host", b"shop.example") in scope["headers"]


def test_forwarded_is_not_believed_beside_the_older_headers() -> None:
    # A proxy that writes X-Forwarded-For lets the client's own Forwarded pass.
    noted = {"forwarded": "for=6.6.6.6;proto=https", "x-forwarded-for": "1.2.3.4"}
    scope = scope_after(noted)
    assert (scope["client"], scope["scheme"]) == (("1.2.3.4", 0), "http")


@given(
    st.text(st.characters(max_codepoint=255)),
    st.text('for="\\;,= 1.:[]%_', max_size=40),
    st.sampled_from(["*", "1.1.1.1"]),
)
def test_nothing_that_a_client_sends_raises(text: str, forwarded: str, trusted: str) -> None:
    scope_after({f"x-forwarded-{field}": text for field in FIELDS}, trusted)
    scope_after({"forwarded": text}, trusted)
    scope_after({"forwarded": forwarded, "x-forwarded-for": "1.1.1.1"}, trusted)
    scope_after({"forwarded": forwarded}, trusted)


# -- options


def test_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    assert proxies_of(Config(app="a:a", proxy_headers=False)) is None

    def trusts(host: str, **options: Any) -> bool:
        proxies = proxies_of(Config(app="a:a", **options))
        return proxies is not None and proxies.trusts((host, 1))

    assert trusts("127.0.0.1")
    assert trusts("::1")
    assert not trusts("10.0.0.1")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.1")
    assert trusts("10.0.0.1")
    assert not trusts("127.0.0.1")
    assert not trusts("10.0.0.1", forwarded_allow_ips="127.0.0.1")


def test_our_variable_wins_over_the_other_name() -> None:
    other = {"FORWARDED_ALLOW_IPS": "10.0.0.1"}
    assert from_env(other) == {"forwarded_allow_ips": "10.0.0.1"}
    assert from_env(other | {"LOOPHOUND_FORWARDED_ALLOW_IPS": "*"}) == {"forwarded_allow_ips": "*"}


# -- on the wire

SAID = (b"X-Forwarded-For: 9.9.9.9", b"X-Forwarded-For: 1.2.3.4", b"X-Forwarded-Proto: https")


def test_a_trusted_peer_is_believed(serve: Callable[..., Running]) -> None:
    client = serve(apps.show_scope).connect()
    scope = json.loads(client.get(b"/", *SAID).response().body)
    assert (scope["client"], scope["scheme"]) == (["1.2.3.4", 0], "https")
    # The next request on the connection is another client's.
    scope = json.loads(client.get(b"/").response().body)
    assert (scope["client"][0], scope["scheme"]) == ("127.0.0.1", "http")


@pytest.mark.parametrize("options", [{"proxy_headers": False}, {"forwarded_allow_ips": "10.0.0.1,unix"}])
def test_others_are_not(serve: Callable[..., Running], options: dict[str, Any]) -> None:
    scope = json.loads(serve(apps.show_scope, **options).get(b"/", *SAID).body)
    assert (scope["client"][0], scope["scheme"]) == ("127.0.0.1", "http")


def test_unix_peers(serve: Callable[..., Running], tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    serve(apps.show_scope, uds=path, forwarded_allow_ips="unix")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + b"\r\n".join(SAID) + b"\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["client"] == ["1.2.3.4", 0]


def test_the_access_log_names_the_client(serve: Callable[..., Running], capfd: pytest.CaptureFixture[str]) -> None:
    running = serve(apps.hello, access_log=True)
    running.get(b"/", *SAID)
    running.stop()
    assert '1.2.3.4:0 - "GET / HTTP/1.1" 200 OK' in capfd.readouterr().out
