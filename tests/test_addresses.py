"""What --bind takes."""

from __future__ import annotations

import pytest

from loophound.addresses import Address, Descriptor, TcpAddress, UnixAddress, parse_address
from loophound.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:80", TcpAddress("127.0.0.1", 80)),
        ("localhost:0", TcpAddress("localhost", 0)),
        ("10.0.0.1", TcpAddress("10.0.0.1", 8000)),
        (":9000", TcpAddress("", 9000)),
        ("[::1]:80", TcpAddress("::1", 80)),
        ("[::1]", TcpAddress("::1", 8000)),
        ("::1", TcpAddress("::1", 8000)),
        ("unix:/run/app.sock", UnixAddress("/run/app.sock")),
        ("unix:app.sock", UnixAddress("app.sock")),
        ("fd://3", Descriptor(3)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "a:", "a:b", "a:65536", "a:-1", "a:٣", "unix:", "fd://", "fd://x", "http://a:80", "[::1", "[::1]80"],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--bind takes HOST:PORT, unix:PATH or fd://NUMBER"):
        parse_address(text)
