"""Program after program under plain `python` and under `loophound exec`: the same in every way one can see."""

from __future__ import annotations

import os
import py_compile
import re
import signal
import subprocess
import sys
import zipapp
from pathlib import Path

import pytest

from loophound.cli.exec import split
from tests.cli.programs import PROGRAMS

ARGUMENTS = ["a", "b c", "--record", "x", "-m", "y", "--help", "--detect-blocking", "--", "-V", "-", ""]


def start(command: list[str], cwd: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment},
    )


def outcome(process: subprocess.Popen[str]) -> tuple[str, str, int]:
    with process:
        out, err = process.communicate("one\ntwo\n", timeout=60)
    return without_addresses(out), without_addresses(err), process.returncode


def without_addresses(text: str) -> str:
    return re.sub(r"0x[0-9a-f]+|pid=\d+", "", text)


def run(command: list[str], cwd: Path, **environment: str) -> tuple[str, str, int]:
    return outcome(start(command, cwd, **environment))


def assert_same(words: list[str], cwd: Path, **environment: str) -> tuple[str, str, int]:
    under = start([sys.executable, "-m", "loophound", "exec", *words], cwd, **environment)
    plain = run([sys.executable, *words], cwd, **environment)
    assert outcome(under) == plain
    return plain


def write(file: Path, source: str | bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(source if isinstance(source, bytes) else source.encode())
    return file


@pytest.mark.parametrize("name", PROGRAMS)
def test_script(name: str, tmp_path: Path) -> None:
    write(tmp_path / "program.py", PROGRAMS[name])
    write(tmp_path / "sibling.py", "NAME = __name__")
    assert_same(["program.py"], tmp_path)


@pytest.mark.parametrize("name", ["attributes", "argv", "raises", "exit_text", "interrupted", "syntax_error", "spawn"])
def test_module(name: str, tmp_path: Path) -> None:
    write(tmp_path / "program.py", PROGRAMS[name])
    assert_same(["-m", "program", "a"], tmp_path)


@pytest.mark.parametrize("target", [["program.py"], ["-m", "program"], ["-mprogram"]], ids=" ".join)
def test_arguments_belong_to_the_program(target: list[str], tmp_path: Path) -> None:
    write(tmp_path / "program.py", "import sys; print(sys.argv)")
    assert_same([*target, *ARGUMENTS], tmp_path)
    assert_same([*target, "--", *ARGUMENTS], tmp_path)


def test_package_with_relative_imports(tmp_path: Path) -> None:
    write(tmp_path / "shop/__init__.py", "print('package')")
    write(tmp_path / "shop/stock.py", "COUNT = 3")
    write(tmp_path / "shop/__main__.py", "from .stock import COUNT\nprint(COUNT, __package__, __spec__.name)")
    out, _, code = assert_same(["-m", "shop"], tmp_path)
    assert (out, code) == ("package\n3 shop shop.__main__\n", 0)
    assert_same(["-m", "shop.stock"], tmp_path)


@pytest.mark.parametrize("name", ["absent", "shop.absent", "shop", "."])
def test_module_that_cannot_run(name: str, tmp_path: Path) -> None:
    write(tmp_path / "shop/__init__.py", "")
    assert assert_same(["-m", name], tmp_path)[2] == 1


@pytest.mark.parametrize("path", ["./program.py", "sub/../program.py", "sub/link.py", "sub/other.py"])
def test_ways_to_name_a_script(path: str, tmp_path: Path) -> None:
    write(tmp_path / "program.py", PROGRAMS["argv"] + "\n" + PROGRAMS["attributes"])
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/link.py").symlink_to("../program.py")
    (tmp_path / "sub/other.py").symlink_to(tmp_path / "sub/link.py")
    assert_same([path], tmp_path)
    assert_same([str(tmp_path / path)], Path("/"))


@pytest.mark.parametrize("source", ["attributes", "argv", "raises", "exit_number"])
def test_directory_and_zip_file(source: str, tmp_path: Path) -> None:
    write(tmp_path / "shop/__main__.py", PROGRAMS[source])
    assert_same(["shop", "x"], tmp_path)
    assert_same(["./shop/", "x"], tmp_path)
    zipapp.create_archive(tmp_path / "shop", tmp_path / "shop.pyz")
    assert_same(["shop.pyz", "x"], tmp_path)


def test_directory_without_main(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert assert_same(["empty"], tmp_path)[2] == 1


def test_compiled_file(tmp_path: Path) -> None:
    write(tmp_path / "program.py", PROGRAMS["argv"] + "\n" + PROGRAMS["attributes"])
    py_compile.compile(str(tmp_path / "program.py"), str(tmp_path / "program.pyc"), doraise=True)
    assert_same(["program.pyc"], tmp_path)


def test_safe_path(tmp_path: Path) -> None:
    write(tmp_path / "program.py", PROGRAMS["argv"])
    write(tmp_path / "shop/__main__.py", PROGRAMS["argv"])
    assert_same(["program.py"], tmp_path, PYTHONSAFEPATH="1")
    assert_same(["shop"], tmp_path, PYTHONSAFEPATH="1")


def test_script_that_is_not_there(tmp_path: Path) -> None:
    out, err, code = run([sys.executable, "-m", "loophound", "exec", "nope.py"], tmp_path)
    message = f"can't open file '{tmp_path}/nope.py': [Errno 2] No such file or directory"
    assert (out, err, code) == ("", f"loophound: {message}\n", 2)


def test_interrupt_ends_the_process_by_its_signal(tmp_path: Path) -> None:
    write(tmp_path / "program.py", "raise KeyboardInterrupt")
    assert run([sys.executable, "-m", "loophound", "exec", "program.py"], tmp_path)[2] == -signal.SIGINT


def test_console_script(tmp_path: Path) -> None:
    write(tmp_path / "program.py", PROGRAMS["argv"] + "\n1 / 0")
    command = str(Path(sys.executable).with_name("loophound"))
    under = run([command, "exec", "program.py", "x"], tmp_path)
    assert under == run([sys.executable, "program.py", "x"], tmp_path)


VALUED = {"--record"}


@pytest.mark.parametrize(
    ("arguments", "own", "rest"),
    [
        ([], [], []),
        (["x.py", "--record"], [], ["x.py", "--record"]),
        (["--record", "f", "x.py"], ["--record", "f"], ["x.py"]),
        (["--record=f", "x.py", "-m"], ["--record=f"], ["x.py", "-m"]),
        (["--detect-blocking", "x.py"], ["--detect-blocking"], ["x.py"]),
        (["--fail-on-stall", "-m", "x", "-m"], ["--fail-on-stall"], ["-m", "x", "-m"]),
        (["-mx", "y"], [], ["-mx", "y"]),
        (["--", "--odd.py", "--"], [], ["--odd.py", "--"]),
        (["-", "x"], [], ["-", "x"]),
        (["--record"], ["--record"], []),
    ],
)
def test_options_end_where_the_program_begins(arguments: list[str], own: list[str], rest: list[str]) -> None:
    assert split(arguments, VALUED) == (own, rest)
