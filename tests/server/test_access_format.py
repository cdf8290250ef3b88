"""Lines of the user's own, and of --log-format json."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from typing import Any

import pytest

from loophound.config import Config
from loophound.errors import ConfigError
from loophound.server.access_format import ATOMS, NOTE, Answer, LineFormat
from loophound.server.access_json import json_lines
from loophound.server.server import Server
from tests.server import apps
from tests.server.test_access_log import Line, Sink
from tests.server.wire import Running


def request(target: bytes = b"/shop?q=1", status: int = 200, *, headers: Any = (), **scope: Any) -> Any:
    line = Line(target, status)
    line.scope |= {"scheme": "https", "headers": list(headers)} | scope
    return line


def formatted(text: str, *args: Any, **details: Any) -> str:
    return LineFormat(text)(request(*args, **details))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("%(h)s %(c)s", "127.0.0.1 127.0.0.1:5000"),
        ("%h %c %l", "127.0.0.1 127.0.0.1:5000 -"),
        ('"%(r)s"', '"GET /shop?q=1 HTTP/1.1"'),
        ("%m %U %q %R %H %S", "GET /shop q=1 /shop?q=1 HTTP/1.1 https"),
        ("%>s %s %(st)s", "200 200 OK"),
        ("%T %M %D %L", "0 1 1250 0.001250"),
        ("100%% of %s%%", "100% of 200%"),
        ("nothing", "nothing"),
        ("%({x-none}i)s %{X-None}o %{NO_SUCH_VARIABLE}e", "- - -"),
        ("%f %a %u %b %B", "- - - - 0"),
        ("%w %(w)s", "- -"),
    ],
)
def test_atoms(text: str, line: str) -> None:
    assert formatted(text) == line


def test_lines_name_the_worker() -> None:
    assert LineFormat("%(w)s %s", worker=3)(request()) == "3 200"
    assert json.loads(json_lines(None, worker=3)(request()))["worker"] == 3
    assert json.loads(json_lines(LineFormat("%s"), worker=3)(request()))["worker"] == 3
    assert "worker" not in json.loads(json_lines(None)(request()))


def test_request_headers() -> None:
    headers = [(b"referer", b"/from"), (b"user-agent", b"curl"), (b"x-a", b"1"), (b"x-a", b"2")]
    headers.append((b"authorization", b"Basic Ym9iOnNlY3JldA=="))
    assert formatted("%f %(a)s %({X-A}i)s %u", headers=headers) == "/from curl 1, 2 bob"


@pytest.mark.parametrize("value", [b"Basic !", b"Bearer Ym9iOnNlY3JldA==", b"Basic", b"Basic //8=", b""])
def test_no_user(value: bytes) -> None:
    assert formatted("%u", headers=[(b"authorization", value)]) == "-"


def test_what_a_client_writes_cannot_end_its_field() -> None:
    line = formatted('"%a" "%r"', b'/"\\', headers=[(b"user-agent", b'x" \\\x1b[31m \xe9\x85')])
    assert line == '"x\\" \\\\\\x1b[31m \u00e9\\x85" "GET /\\"\\\\ HTTP/1.1"'


def test_the_time_as_apache_writes_it() -> None:
    assert re.fullmatch(r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]", formatted("%t"))


def test_the_process() -> None:
    assert formatted("%p") == f"<{os.getpid()}>"


def test_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGE", "live")
    assert formatted("%{STAGE}e") == "live"


def answer(body_bytes: int = 12, headers: Any = ()) -> Answer:
    made = Answer()
    made.body_bytes, made.headers = body_bytes, headers
    return made


@pytest.mark.parametrize(
    ("method", "status", "text"), [("GET", 200, "12 12"), ("HEAD", 200, "0 -"), ("GET", 304, "0 -")]
)
def test_bytes_of_the_body(method: str, status: int, text: str) -> None:
    assert formatted("%B %b", status=status, method=method, **{NOTE: answer()}) == text


def test_response_headers() -> None:
    assert formatted("%{x-a}o", **{NOTE: answer(headers=[(b"X-A", b"1"), (b"b", b"2")])}) == "1"


@pytest.mark.parametrize("text", ["%(z)s", "%Z", "%({x})s", "%{x}z"])
def test_unknown_atoms_are_told(text: str) -> None:
    with pytest.raises(ConfigError, match=r"has no atom .*known are %\(h\)s, %\(c\)s"):
        LineFormat(text)


@pytest.mark.parametrize("text", ["50% off", "%", "%(h)", "%()s"])
def test_a_sign_that_begins_no_atom_is_told(text: str) -> None:
    with pytest.raises(ConfigError):
        LineFormat(text)


def test_a_server_tells_of_a_wrong_format() -> None:
    with pytest.raises(ConfigError, match="--access-log-format has no atom"):
        Server(Config("a:a", access_log_format="%Z"))


def test_named_formats() -> None:
    line = formatted("combined", headers=[(b"user-agent", b"curl")], **{NOTE: answer()})
    assert re.fullmatch(r'127\.0\.0\.1 - - \[.*\] "GET /shop\?q=1 HTTP/1\.1" 200 12 "-" "curl"', line)
    assert line.startswith(formatted("common", **{NOTE: answer()})[:20])


@pytest.mark.parametrize("name", ATOMS)
def test_every_atom_of_a_unix_peer(name: str) -> None:
    assert formatted(f"%({name})s", client=None)


def test_json() -> None:
    made = json.loads(json_lines(None)(request(b'/"?x')))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", made.pop("at"))
    assert made == {
        "level": "info", "logger": "loophound.access", "message": 'GET /"?x 200', "client": "127.0.0.1:5000",
        "method": "GET", "target": '/"?x', "http_version": "1.1", "status": 200, "duration_ms": 1.25,
    }  # fmt: skip


def test_json_with_a_format() -> None:
    assert json.loads(json_lines(LineFormat("%h"))(request()))["message"] == "127.0.0.1"


FORMAT = '%m %{x-a}o %b %s "%U"'


@pytest.mark.parametrize(
    ("app", "line"),
    [
        (apps.answer(200, [(b"x-a", b"1")], b"ab", b"cde"), 'GET 1 5 200 "/p"'),
        (apps.sending(), 'GET - - 500 "/p"'),
    ],
)
def test_of_real_requests(app: Any, line: str, serve: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Sink()
    monkeypatch.setattr("loophound.server.access_log.writer", lambda stream: sink)
    running = serve(app, access_log=True, access_log_format=FORMAT)
    running.get(b"/p?q")
    running.stop()
    assert b"".join(sink.writes).decode() == line + "\n"
