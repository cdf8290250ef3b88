from __future__ import annotations

from pathlib import Path

import pytest

from loophound.demo import scratch
from loophound.demo.scratch import DISK_SYNC_S, TRIALS, folder_on_disk


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Path, Path]:
    """The usual place for temporary files, and the user's home; nowhere else can be written."""
    temporary, home = tmp_path / "tmp", tmp_path / "home"
    temporary.mkdir()
    home.mkdir()
    monkeypatch.setattr(scratch.tempfile, "gettempdir", lambda: str(temporary))
    monkeypatch.setattr(scratch.Path, "home", lambda: home)
    monkeypatch.setattr(scratch.os, "access", lambda place, mode: place in (temporary, home))
    return temporary, home


def test_the_first_place_on_a_disk(monkeypatch: pytest.MonkeyPatch, places: tuple[Path, Path]) -> None:
    monkeypatch.setattr(scratch, "sync_time_s", lambda place: TRIALS * DISK_SYNC_S)
    assert folder_on_disk().parent == places[0]


def test_a_file_system_in_memory_is_passed_over(monkeypatch: pytest.MonkeyPatch, places: tuple[Path, Path]) -> None:
    in_memory, home = places
    monkeypatch.setattr(scratch, "sync_time_s", lambda place: TRIALS * (2e-6 if place == in_memory else 1e-3))
    assert folder_on_disk().parent == home


def test_the_usual_place_where_all_is_in_memory(monkeypatch: pytest.MonkeyPatch, places: tuple[Path, Path]) -> None:
    monkeypatch.setattr(scratch, "sync_time_s", lambda place: TRIALS * 2e-6)
    assert folder_on_disk().parent == places[0]
