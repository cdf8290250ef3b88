"""The command line as a whole: messages, exit codes, and what is not imported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loophound import __version__
from loophound.cli import group, main
from loophound.cli.docs import options_page
from loophound.cli.exec import STALLED_EXIT_CODE
from loophound.errors import LoophoundError, StartupError

ROOT = Path(__file__).parents[2]


def loophound(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loophound", *words], capture_output=True, text=True, timeout=60, **options
    )


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def invoke(_: object) -> None:
        raise error

    monkeypatch.setattr(group.commands, "invoke", invoke)


def test_version() -> None:
    done = loophound("--version")
    assert (done.stdout, done.stderr, done.returncode) == (f"loophound {__version__}\n", "", 0)


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in group.COMMANDS)


@pytest.mark.parametrize("name", group.COMMANDS)
def test_each_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: loophound {name} ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["frob"], "No such command 'frob'."),
        (["serve"], "Missing argument 'APP'."),
        (["exec"], "exec wants a program: loophound exec SCRIPT [ARGS], or -m MODULE [ARGS]"),
        (["exec", "-m"], "-m wants the name of a module"),
        (["exec", "--record"], "Option '--record' requires an argument."),
        (["serve", "--detect-blocking", "50", "app:app"],
         "--detect-blocking takes its value after an equals sign: --detect-blocking=50"),
        (["exec", "--ledger", "stalls.db", "x.py"],
         "--ledger takes its value after an equals sign: --ledger=stalls.db"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr() == ("", f"loophound: {message}\n")


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize("error", [LoophoundError("so"), StartupError("so")])
def test_errors_are_told_without_a_traceback(
    error: LoophoundError, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, error)
    assert main(["serve"]) == error.exit_code
    assert capsys.readouterr().err == "loophound: so\n"


def test_interrupt_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
    assert main(["serve"]) == 128 + signal.SIGINT
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_left_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        done = subprocess.run(
            [sys.executable, "-m", "loophound", "serve", "--help"], stdout=gone, stderr=subprocess.PIPE, timeout=60
        )
    assert (done.stderr, done.returncode) == (b"", 1)


def test_commands_are_imported_when_called() -> None:
    code = "import sys; from loophound.cli import main; main(['--version']); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "loophound.cli.group" in modules
    assert not {"loophound.cli.serve", "loophound.detector", "asyncio", "rich", "uvloop"} & set(modules)


def test_the_options_page_is_up_to_date() -> None:
    assert (ROOT / "docs/options.md").read_text(encoding="utf-8") == options_page(), "run `make docs`"


def test_the_exit_codes_page_has_every_code() -> None:
    page = (ROOT / "docs/exit-codes.md").read_text(encoding="utf-8")
    codes = {error.exit_code for error in (LoophoundError, *LoophoundError.__subclasses__())}
    for code in {0, 128 + signal.SIGINT, STALLED_EXIT_CODE, *codes}:
        assert f"\n| {code} |" in page
