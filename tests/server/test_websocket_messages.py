"""Frames and messages (RFC 6455, sections 5 and 8; RFC 7692)."""

from __future__ import annotations

import asyncio
import threading
import zlib
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.server.apps import Witness
from tests.server.websocket_wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Recorder,
    echo,
    frame,
    open_websocket,
    shake_hands,
)
from tests.server.wire import wait_until

DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 300_000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_6455_5_2_sizes(serve: Any, opcode: int, size: int) -> None:
    websocket = open_websocket(serve(echo))
    assert websocket.send(frame(opcode, b"x" * size)).frame() == (0x80 | opcode, b"x" * size)


def test_6455_5_6_text_is_str_and_binary_is_bytes(serve: Any) -> None:
    recorder = Recorder()
    websocket = open_websocket(serve(recorder))
    websocket.send(frame(TEXT, "h\u00e4".encode()), frame(BINARY, b"\xff"))
    wait_until(lambda: len(recorder.messages) == 2)
    assert recorder.messages == [
        {"type": "websocket.receive", "text": "h\u00e4"},
        {"type": "websocket.receive", "bytes": b"\xff"},
    ]


def test_6455_5_4_fragments_are_joined_and_control_frames_come_between(serve: Any) -> None:
    websocket = open_websocket(serve(echo))
    euro = "\u20ac".encode()
    websocket.send(frame(TEXT, b"a" + euro[:1], fin=False), frame(PING, b"now"))
    assert websocket.frame() == (0x80 | PONG, b"now")
    websocket.send(frame(CONTINUATION, euro[1:], fin=False), frame(CONTINUATION, b"", fin=False))
    websocket.send(frame(CONTINUATION, b"z"))
    assert websocket.text() == "a\u20acz"
    assert websocket.send(frame(TEXT, b"next")).text() == "next"


def test_frames_byte_by_byte(serve: Any) -> None:
    websocket = open_websocket(serve(echo))
    for byte in frame(TEXT, b"x" * 130) + frame(PING, b"p") + frame(BINARY, b"y" * 3):
        websocket.send(bytes((byte,)))
    # A pong overtakes what the application has yet to echo.
    answers = {websocket.frame() for _ in range(3)}
    assert answers == {(0x80 | TEXT, b"x" * 130), (0x80 | PONG, b"p"), (0x80 | BINARY, b"yyy")}


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        pytest.param([frame(TEXT, b"x", masked=False)], 1002, id="5.1 not masked"),
        pytest.param([frame(TEXT, b"x", rsv=4)], 1002, id="5.2 RSV1 without extension"),
        pytest.param([frame(TEXT, b"x", rsv=2)], 1002, id="5.2 RSV2"),
        pytest.param([frame(PING, b"x", rsv=1)], 1002, id="5.2 RSV3 of a control frame"),
        pytest.param([frame(3, b"x")], 1002, id="5.2 unknown opcode"),
        pytest.param([frame(0xB, b"x")], 1002, id="5.2 unknown control opcode"),
        pytest.param([frame(PING, b"x", fin=False)], 1002, id="5.5 fragmented control frame"),
        pytest.param([frame(PING, b"x" * 126)], 1002, id="5.5 long control frame"),
        pytest.param([frame(CONTINUATION, b"x")], 1002, id="5.4 continuation of nothing"),
        pytest.param([frame(TEXT, b"x", fin=False), frame(TEXT, b"y")], 1002, id="5.4 a message within another"),
        pytest.param([frame(TEXT, b"\xff")], 1007, id="8.1 not UTF-8"),
        pytest.param([frame(TEXT, b"\xed\xa0\x80")], 1007, id="8.1 a surrogate"),
        pytest.param([frame(TEXT, b"\xe2\x82")], 1007, id="8.1 cut UTF-8"),
        pytest.param([frame(TEXT, b"\xff", fin=False)], 1007, id="8.1 not UTF-8 in a fragment"),
        pytest.param([frame(TEXT, b"\xe2", fin=False), frame(CONTINUATION)], 1007, id="8.1 cut UTF-8 in fragments"),
        pytest.param([frame(BINARY, b"x" * 1001)], 1009, id="7.4.1 too big"),
        pytest.param([frame(BINARY, b"x" * 600, fin=False), frame(CONTINUATION, b"x" * 401)], 1009, id="too big a sum"),
        pytest.param([frame(BINARY, b"x" * 2000)[:4]], 1009, id="7.4.1 too big, by its head alone"),
        pytest.param([frame(CLOSE, b"x")], 1002, id="5.5.1 close of one byte"),
        pytest.param([frame(CLOSE, (999).to_bytes(2, "big"))], 1002, id="7.4.2 code below 1000"),
        pytest.param([frame(CLOSE, (1005).to_bytes(2, "big"))], 1002, id="7.4.1 code 1005"),
        pytest.param([frame(CLOSE, (1006).to_bytes(2, "big"))], 1002, id="7.4.1 code 1006"),
        pytest.param([frame(CLOSE, (2999).to_bytes(2, "big"))], 1002, id="7.4.2 code 2999"),
        pytest.param([frame(CLOSE, (5000).to_bytes(2, "big"))], 1002, id="7.4.2 code 5000"),
        pytest.param([frame(CLOSE, b"\x03\xe8\xff")], 1007, id="5.5.1 reason that is not UTF-8"),
    ],
)
def test_6455_7_1_7_a_violation_fails_the_connection(serve: Any, frames: Any, code: int) -> None:
    recorder = Recorder()
    websocket = open_websocket(serve(recorder, ws_max_size=1000))
    websocket.send(*frames, frame(TEXT, b"what follows is not read"))
    first, payload = websocket.frame()
    assert first == 0x80 | CLOSE
    assert int.from_bytes(payload[:2], "big") == code
    assert websocket.client.closed()
    wait_until(lambda: recorder.messages)
    assert [(message["type"], message.get("code")) for message in recorder.messages] == [("websocket.disconnect", code)]


def test_a_message_may_be_as_big_as_the_limit(serve: Any) -> None:
    websocket = open_websocket(serve(echo, ws_max_size=1000))
    assert websocket.send(frame(BINARY, b"x" * 1000)).frame()[1] == b"x" * 1000
    websocket.send(frame(BINARY, b"x" * 999, fin=False), frame(CONTINUATION, b"x"))
    assert websocket.frame()[1] == b"x" * 1000


def test_7692_compressed_both_ways(serve: Any) -> None:
    with connect(f"ws://127.0.0.1:{serve(echo).port}/") as websocket:
        assert "permessage-deflate" in websocket.response.headers["Sec-WebSocket-Extensions"]  # type: ignore[union-attr]
        for message in ("a" * 100_000, "h\u00e4", "", b"\0" * 70_000, b""):
            websocket.send(message)
            assert websocket.recv() == message
        websocket.send(["in ", "h\u00e4lf", "."])
        assert websocket.recv() == "in h\u00e4lf."


def test_7692_7_1_1_1_no_context_takeover(serve: Any) -> None:
    offer = DEFLATE + b"; server_no_context_takeover; client_no_context_takeover"
    websocket = open_websocket(serve(echo), offer)
    for _ in range(2):
        squeezed = deflated(b"a" * 500)
        websocket.send(frame(TEXT, squeezed, rsv=4))
        first, payload = websocket.frame()
        assert first == 0xC0 | TEXT
        assert zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff") == b"a" * 500


def deflated(data: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-12)
    return (deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


def test_7692_6_an_uncompressed_message_with_the_extension(serve: Any) -> None:
    websocket = open_websocket(serve(Recorder()), DEFLATE)
    assert websocket.send(frame(TEXT, b"plain"), frame(PING, b"p")).frame() == (0x80 | PONG, b"p")


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        pytest.param([frame(BINARY, deflated(b"\0" * 50_000), rsv=4)], 1009, id="a bomb"),
        pytest.param(
            [frame(BINARY, deflated(b"\0" * 999)[:5], rsv=4, fin=False), frame(CONTINUATION, b"x", rsv=4)],
            1002,
            id="RFC 7692, 6.1: RSV1 of a continuation",
        ),
        pytest.param([frame(TEXT, b"no deflate at all", rsv=4)], 1007, id="not deflate"),
        pytest.param([frame(TEXT, deflated(b"\xff"), rsv=4)], 1007, id="not UTF-8"),
        pytest.param([frame(PING, b"", rsv=4)], 1002, id="RFC 7692, 6.1: a compressed control frame"),
    ],
)
def test_7692_violations(serve: Any, frames: Any, code: int) -> None:
    websocket = open_websocket(serve(Recorder(), ws_max_size=1000), DEFLATE)
    first, payload = websocket.send(*frames).frame()
    assert (first, int.from_bytes(payload[:2], "big")) == (0x80 | CLOSE, code)
    assert websocket.client.closed()


def test_option_ws_per_message_deflate_off(serve: Any) -> None:
    response = open_websocket(serve(echo, ws_per_message_deflate=False), DEFLATE).response
    assert response.header("sec-websocket-extensions") is None


def test_reading_pauses_when_the_queue_is_full(serve: Any) -> None:
    witness = Witness()
    sessions: list[Any] = []
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        sessions.append(receive.__self__)
        await receive()
        await send({"type": "websocket.accept"})
        await witness.until_go()
        while (message := await receive())["type"] == "websocket.receive":
            got.append(message["text"])

    server = serve(app, ws_max_queue=4)
    websocket = open_websocket(server)
    assert witness.at_work.wait(10)
    count = 400
    sender = threading.Thread(
        target=lambda: [websocket.send(frame(TEXT, b"%06d" % number + b"x" * 20_000)) for number in range(count)]
    )
    sender.start()
    wait_until(lambda: not sessions[0].connection._reading)
    assert len(sessions[0].inbox) <= 4
    witness.go.set()
    sender.join(10)
    wait_until(lambda: len(got) == count)
    assert [int(text[:6]) for text in got] == list(range(count))


def test_send_waits_for_a_client_that_does_not_read(serve: Any) -> None:
    sent = [0]
    sessions: list[Any] = []
    ended = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        sessions.append(receive.__self__)
        await send({"type": "websocket.accept"})
        for _ in range(200):
            await send({"type": "websocket.send", "bytes": b"x" * 100_000})
            sent[0] += 1
        ended.set()

    websocket = shake_hands(serve(app).connect(receive_buffer=4096))
    wait_until(lambda: sessions and sessions[0].connection.flow.paused)
    assert sent[0] < 200
    for _ in range(200):
        assert len(websocket.frame()[1]) == 100_000
    assert ended.wait(10)


def test_pongs_do_not_pile_up_for_a_client_that_does_not_read(serve: Any) -> None:
    recorder = Recorder()
    websocket = shake_hands(serve(recorder).connect(receive_buffer=4096))
    connection = recorder.session.connection
    pings = frame(PING, b"x" * 125) * 500
    while not connection.flow.paused:
        websocket.send(pings)
    websocket.send(pings * 20, frame(PING, b"last"))
    wait_until(lambda: connection._pong_due == b"last")
    assert connection.transport.get_write_buffer_size() < 20 * len(pings)
    while websocket.frame()[1] != b"last":
        pass


@pytest.mark.parametrize(
    "message",
    [
        {"text": 1},
        {"text": "\ud800"},
        {"bytes": "text"},
        {},
        {"text": None, "bytes": None},
    ],
)
def test_asgi_a_wrong_message_of_the_application_closes_with_1011(serve: Any, message: Any, caplog: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", **message})

    assert open_websocket(serve(app)).closed_with() == 1011
    assert "MessageError: " in caplog.text


def test_asgi_bytes_like_objects_are_sent(serve: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": bytearray(b"a")})
        await send({"type": "websocket.send", "text": None, "bytes": memoryview(b"b")})
        await asyncio.sleep(0)

    websocket = open_websocket(serve(app))
    assert websocket.frame() == (0x80 | BINARY, b"a")
    assert websocket.frame() == (0x80 | BINARY, b"b")
