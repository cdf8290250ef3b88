"""Binding, and errors that name the address."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from loophound.config import Config
from loophound.errors import StartupError
from loophound.server import sockets
from tests.server import apps


def config(**options: object) -> Config:
    return Config(app=apps.hello, **options)  # type: ignore[arg-type]


def test_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartupError) as caught:
            sockets.bind(config(port=port))
    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1:{port}: the address is in use; choose another --port, or 0 for a free one"
    )
    assert caught.value.exit_code == 3


def test_port_taken_between_bind_and_listen() -> None:
    [first] = sockets.bind(config(port=0))
    port = first.getsockname()[1]
    [second] = sockets.bind(config(port=port))
    with first, second:
        sockets.listen([first], 1)
        with pytest.raises(StartupError, match=f"127.0.0.1:{port}: the address is in use"):
            sockets.listen([second], 1)


@pytest.mark.parametrize("host", ["203.0.113.7", "no.such.host.invalid"])
def test_foreign_host(host: str) -> None:
    with pytest.raises(StartupError, match=f"cannot listen on {host}:0: .* no address of this machine"):
        sockets.bind(config(host=host, port=0))


def test_addresses() -> None:
    [sock] = sockets.bind(config(port=0))
    with sock:
        assert sockets.address_of(sock) == f"http://127.0.0.1:{sock.getsockname()[1]}"
    for sock in sockets.bind(config(host="::1", port=0)):
        with sock:
            assert sockets.address_of(sock) == f"http://[::1]:{sock.getsockname()[1]}"


def test_a_socket_of_the_parent() -> None:
    with socket.socket() as parent:
        parent.bind(("127.0.0.1", 0))
        [taken] = sockets.bind(config(fd=parent.fileno()))
        with taken:
            assert taken.getsockname() == parent.getsockname()
            assert not taken.getblocking()
        assert parent.getsockname()[1] != 0  # the parent's is still open


def test_a_descriptor_that_is_no_listener(tmp_path: Path) -> None:
    with open(tmp_path / "f", "w") as file, pytest.raises(StartupError, match=r"--fd \d+: .*not a socket|non-socket"):
        sockets.bind(config(fd=file.fileno()))
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams, pytest.raises(StartupError, match="is no stream socket"):
        sockets.bind(config(fd=datagrams.fileno()))
    with pytest.raises(StartupError, match="--fd 987: Bad file descriptor"):
        sockets.bind(config(fd=987))


def test_living_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    [first] = sockets.bind(config(uds=path))
    with first:
        first.listen()
        with pytest.raises(StartupError, match=f"cannot listen on unix:{path}: a server listens there"):
            sockets.bind(config(uds=path))
        assert os.path.exists(path)


def test_stale_unix_socket_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    [dead] = sockets.bind(config(uds=path))
    dead.close()
    assert os.path.exists(path)
    [living] = sockets.bind(config(uds=path))
    with living:
        living.listen()
        assert sockets.address_of(living) == f"unix:{path}"


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    with pytest.raises(StartupError, match="is no socket"):
        sockets.bind(config(uds=str(tmp_path / "s")))
    assert (tmp_path / "s").read_text() == "mine"


def test_only_the_own_socket_file_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("")
    sockets.remove_socket_file(str(path), path.stat().st_ino + 1)
    assert path.exists()
    sockets.remove_socket_file(str(path), path.stat().st_ino)
    sockets.remove_socket_file(str(path), 0)
    assert not path.exists()


def test_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"cannot listen on unix:.*No such file"):
        sockets.bind(config(uds=str(tmp_path / "none" / "s")))
