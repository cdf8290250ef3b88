from __future__ import annotations

import os
import struct
import sys
import sysconfig
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from loophound.observer import calibrate as calibration
from loophound.observer.calibrate import CalibrationError, calibrate, this_thread_state
from loophound.observer.layout import ABSENT, Layout
from loophound.observer.layout_of_threads import coroutine_state_place
from loophound.observer.memory import BadAddress, ProcessMemory
from loophound.observer.parked import parked


def test_the_layout_is_the_same_each_time_and_from_any_thread() -> None:
    layout = calibrate()
    assert Layout.from_json(layout.to_json()) == layout
    with ThreadPoolExecutor(4) as pool:
        assert {*pool.map(lambda _: calibrate(), range(8))} == {layout}


def test_the_fields_that_a_version_lacks_are_absent() -> None:
    layout = calibrate()
    assert (layout.c_frame == ABSENT) == (sys.version_info >= (3, 13))
    assert (layout.frame_entry == ABSENT) == (sys.version_info >= (3, 12))
    assert (layout.owner_c_stack == ABSENT) == (sys.version_info < (3, 12))
    assert (layout.code_version == ABSENT) == (sys.version_info < (3, 12))


def test_nothing_is_left_behind() -> None:
    before, threads = {*os.listdir("/proc/self/fd")}, {*threading.enumerate()}
    calibrate()
    # What tests before this one forgot may be collected meanwhile: less is no fault of the calibration.
    assert {*os.listdir("/proc/self/fd")} <= before
    assert {*threading.enumerate()} <= threads


def test_each_thread_has_a_state_of_its_own() -> None:
    states = [this_thread_state(), this_thread_state()]
    thread = threading.Thread(target=lambda: states.append(this_thread_state()))
    thread.start()
    thread.join()
    assert states[0] == states[1] != states[2]


class Distorted(ProcessMemory):
    """The own memory with certain words replaced."""

    def __init__(self, replacements: dict[int, int]) -> None:
        super().__init__(os.open(calibration.MEMORY_PATH, os.O_RDONLY))
        self.replacements = {struct.pack("=Q", old): struct.pack("=Q", new) for old, new in replacements.items()}

    def read(self, address: int, size: int) -> bytes:
        content = super().read(address, size)
        for old, new in self.replacements.items():
            content = content.replace(old, new)
        return content

    def close(self) -> None:
        os.close(self.fd)


class Zeros:
    def read(self, address: int, size: int) -> bytes:
        return bytes(size)

    def word(self, address: int) -> int:
        return 0


class Unreadable:
    def read(self, address: int, size: int) -> bytes:
        raise BadAddress("closed")

    def word(self, address: int) -> int:
        raise BadAddress("closed")


def test_a_memory_with_other_contents_is_refused() -> None:
    with pytest.raises(CalibrationError, match="instructions were not found"):
        calibrate(Zeros())
    with pytest.raises(CalibrationError, match="cannot read its own memory"):
        calibrate(Unreadable())


@pytest.mark.parametrize(
    ("what", "complaint"),
    [
        (id(type(calibrate.__code__)), "an object's type"),
        (this_thread_state(), "list of threads"),
        (threading.get_native_id(), "native id"),
    ],
    ids=["type", "thread state", "native id"],  # not by address: tests that run side by side must have the same names
)
def test_a_distorted_memory_is_refused(what: int, complaint: str) -> None:
    memory = Distorted({what: 0x1234_5678})
    with pytest.raises(CalibrationError, match=complaint):
        calibrate(memory)
    memory.close()


def test_garbage_between_the_fields_is_not_taken_for_the_state_of_a_coroutine() -> None:
    layout = calibrate()
    end = layout.coroutine_frame
    if layout.coroutine_state == end - 1:
        pytest.skip("in this version nothing lies between the state and the frame")

    class Garbage:
        """The byte before the frame is as in a coroutine that runs, and in others as in one that has not begun."""

        def read(self, address: int, size: int) -> bytes:
            content = memory.read(address, size)
            return content[:-1] + (b"\0" if address == id(thread.coroutine) else b"\xfe")

        def word(self, address: int) -> int:
            return memory.word(address)

    with open(calibration.MEMORY_PATH, "rb", buffering=0) as file, parked(this_thread_state) as thread:
        memory = ProcessMemory(file.fileno())
        assert coroutine_state_place(Garbage(), thread, end) == layout.coroutine_state


def test_other_interpreters_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(calibration.sys.implementation, "name", "pypy")
        with pytest.raises(CalibrationError, match="CPython"):
            calibrate()
    with monkeypatch.context() as patch:
        patch.setattr(calibration.struct, "calcsize", lambda form: 4)
        with pytest.raises(CalibrationError, match="64-bit"):
            calibrate()
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: 1)
    with pytest.raises(CalibrationError, match="free-threaded"):
        calibrate()


def test_without_proc_there_is_no_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "MEMORY_PATH", "/nowhere/self/mem")
    with pytest.raises(CalibrationError, match="cannot be opened: No such file"):
        calibrate()


def test_a_thread_that_cannot_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(CalibrationError, match="can't start new thread"):
        calibrate()
