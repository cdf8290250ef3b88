from __future__ import annotations

import os
from pathlib import Path

import pytest

from loophound import source
from loophound.source import SourceLines


def test_lines_are_numbered_as_python_numbers_them(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_bytes(b"one\r\ntwo\x0c still two\nthr\xe2\x80\xa8ee\n")
    assert SourceLines().lines(str(file), 0, 3) == [(1, "one"), (2, "two\x0c still two"), (3, "thr\u2028ee")]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file, lines = tmp_path / "a.py", SourceLines()
    file.write_text("before")
    assert lines.line(str(file), 1) == "before"
    file.write_text("after")
    os.utime(file, ns=(1, 1))
    assert lines.line(str(file), 1) == "after"


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MOST_FILES", 2)
    lines = SourceLines()
    for number in range(5):
        (tmp_path / f"{number}.py").write_text(str(number))
        assert lines.line(str(tmp_path / f"{number}.py"), 1) == str(number)
    assert len(lines._files) == 2


def test_the_encoding_is_the_file_s_own(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes("# coding: latin-1\nname = 'é'".encode("latin-1"))
    assert SourceLines().line(str(tmp_path / "a.py"), 2) == "name = 'é'"


def test_what_cannot_be_read_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "binary.py").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "codec.py").write_bytes(b"# coding: no-such-codec\n")
    os.mkfifo(tmp_path / "pipe.py")
    for file in ("binary.py", "codec.py", "pipe.py", "absent.py", "", "nul\0.py"):
        assert SourceLines().line(str(tmp_path / file), 1) is None
    assert SourceLines().line("/dev/zero", 1) is None
    assert SourceLines().line("<string>", 1) is None
