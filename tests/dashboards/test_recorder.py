from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from loophound.dashboards.recorder import RecordFile
from loophound.detector.records import Stall
from loophound.errors import ConfigError
from tests.stalls import stall


def test_each_stall_is_one_line_at_once(tmp_path: Path) -> None:
    file = tmp_path / "stalls.jsonl"
    record = RecordFile(file)
    for number in range(3):
        record(stall(id=str(number)))
        lines = file.read_text().splitlines()
        assert [json.loads(line)["id"] for line in lines] == [str(i) for i in range(number + 1)]
    assert Stall.from_dict(json.loads(lines[0])) == stall(id="0")
    record.close()


def test_text_of_any_kind_stays_on_its_line(tmp_path: Path) -> None:
    record = RecordFile(tmp_path / "f")
    odd = stall(remedy="a\nb\u2028\udc80\x1b")
    record(odd)
    record.close()
    [line] = (tmp_path / "f").read_bytes().splitlines()
    assert Stall.from_dict(json.loads(line)) == odd


def test_what_is_there_already_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text('{"cut off')
    for _ in range(2):
        record = RecordFile(file)
        record(stall())
        record.close()
    first, *rest = file.read_text().splitlines()
    assert first == '{"cut off'
    assert [Stall.from_dict(json.loads(line)) for line in rest] == [stall(), stall()]


def test_one_write_for_one_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = RecordFile(tmp_path / "f")
    writes: list[bytes] = []
    monkeypatch.setattr(os, "write", lambda fd, data: writes.append(data) or len(data))
    record(stall())
    assert len(writes) == 1
    record.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="wants /dev/full")
def test_a_full_disk_is_an_error_each_time() -> None:
    record = RecordFile("/dev/full")
    for _ in range(2):
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            record(stall())
    record.close()


def test_a_record_that_was_cut_does_not_spoil_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = RecordFile(tmp_path / "f")
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda fd, data: write(fd, data[:20]))
        with pytest.raises(OSError, match="only part"):
            record(stall())
    record(stall())
    record.close()
    assert Stall.from_dict(json.loads((tmp_path / "f").read_text().splitlines()[1])) == stall()


def test_a_closed_file_is_an_error(tmp_path: Path) -> None:
    with RecordFile(tmp_path / "f") as record:
        record.close()
    with pytest.raises(OSError, match="closed"):
        record(stall())


def test_unwritable_paths_are_told_with_their_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    for path, remedy in {
        f"{tmp_path}/absent/f": f"there is no directory '{tmp_path}/absent'",
        f"{tmp_path}": "it is a directory; name a file in it",
        f"{tmp_path}/file/f": f"'{tmp_path}/file' is not a directory",
        f"{tmp_path}/pipe": "nobody reads this pipe",
        "": "that is not a file name",
        "a\0b": "that is not a file name",
    }.items():
        with pytest.raises(ConfigError) as caught:
            RecordFile(path)
        assert repr(path) in str(caught.value)
        assert remedy in str(caught.value)
        assert caught.value.exit_code == 2


def test_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", deny)  # root, who runs many a CI, may write anywhere
    with pytest.raises(ConfigError, match="permission denied; name a file that this user may write"):
        RecordFile(tmp_path / "f")


@pytest.mark.parametrize("moved", [True, False])
def test_a_file_that_was_moved_or_removed_is_made_anew(tmp_path: Path, moved: bool) -> None:
    file, old = tmp_path / "stalls.jsonl", tmp_path / "stalls.1"
    with RecordFile(file) as record:
        record(stall(id="before"))
        file.rename(old) if moved else file.unlink()
        record(stall(id="after"))
        record(stall(id="more"))
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == ["after", "more"]
    if moved:
        assert [json.loads(line)["id"] for line in old.read_text().splitlines()] == ["before"]


def test_a_file_that_cannot_be_made_anew_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    with RecordFile(folder / "f") as record:
        folder.rename(tmp_path / "old")
        record(stall())
    assert (tmp_path / "old" / "f").read_text().count("\n") == 1
