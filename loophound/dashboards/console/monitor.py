"""aiomonitor on a loop: its console, with our commands in it, and without its web page.

The web page of aiomonitor 0.7 asks nobody who they are and may cancel tasks, so that any page in a browser
on this machine could reach it. There is no option to leave it out: `_ui_main` is what starts it, and is replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from functools import partial
from typing import Any

import click
from aiomonitor import Monitor, monitor_cli  # type: ignore[import-untyped]
from aiomonitor.termui.commands import (  # type: ignore[import-untyped]
    auto_command_done,
    custom_help_option,
    interact,
)
from prompt_toolkit.contrib.telnet.server import TelnetServer

from loophound.dashboards.console.answers import Answers

HOST = "127.0.0.1"
AGAIN_S = 0.5
CLOSING_S = 3.0
PING_S = 0.25
# Any page in a browser can send a request to a port of this machine: its first line must not be read as a
# command, nor what follows.
HTTP_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")


class ConsoleLoop(asyncio.SelectorEventLoop):
    """The console's own loop, which the detector passes over."""

    may_block = True


class Console(Monitor):  # type: ignore[misc] # aiomonitor has no types that mypy may use
    """Listens on loopback, on a thread of its own, and so answers while the loop is blocked.

    With `patient` it waits for the port: a worker that is replaced still has it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, port: int, answers: Answers, *, patient: bool = False) -> None:
        super().__init__(loop, host=HOST, termui_port=port, console_port=free_port(), locals={"loop": loop})
        self._closed: bool = False
        self.answers = answers
        self.prompt = "loophound >>> "
        self._patient = patient
        self._ui_thread = threading.Thread(target=self._ui_main, name="loophound-console", daemon=True)

    def start(self) -> None:
        """Returns at once; called on the loop's own thread."""
        self._started = True
        self._event_loop_thread_id = threading.get_ident()
        self._ui_thread.start()

    def close(self) -> None:
        """End the sessions that are open. Nothing of the loop's was changed, so nothing is put back."""
        if self._closed:
            return
        self._closed = True
        if self._ui_started.wait(CLOSING_S):
            with contextlib.suppress(RuntimeError):  # its loop has ended by itself
                self._ui_loop.call_soon_threadsafe(self._ui_forever_future.cancel)
        self._ui_thread.join(CLOSING_S)

    def _ui_main(self) -> None:
        with asyncio.Runner(loop_factory=ConsoleLoop) as runner, contextlib.suppress(asyncio.CancelledError):
            runner.run(self._ui_main_async())

    async def _ui_main_async(self) -> None:
        self._ui_loop = asyncio.get_running_loop()
        serving = self._ui_loop.create_task(self._serve())
        self._ui_forever_future = serving
        self._ui_started.set()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        for task in {*self._termui_tasks}:
            task.cancel()
        await asyncio.gather(*self._termui_tasks, return_exceptions=True)

    async def _serve(self) -> None:
        while True:
            try:
                await TelnetServer(interact=partial(interact, self), host=HOST, port=self._termui_port).run()
            except OSError:
                if not self._patient:
                    raise
            await asyncio.sleep(AGAIN_S)


def free_port(port: int = 0) -> int:
    """The port, or one that is free for 0. Raises OSError where another process has it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
        probe.listen()
        return int(probe.getsockname()[1])


def ping_s(loop: asyncio.AbstractEventLoop) -> float | None:
    """How long the loop takes to answer, for any other thread; None when it does not answer in time."""
    answered = threading.Event()
    asked_s = time.monotonic()
    try:
        loop.call_soon_threadsafe(answered.set)
    except RuntimeError:  # it is closed
        return None
    return time.monotonic() - asked_s if answered.wait(PING_S) else None


def _command(name: str, help: str) -> Any:
    """A command of aiomonitor's that prints what the answer of that name says."""

    @monitor_cli.command(name=name, help=help)  # type: ignore[untyped-decorator]
    @custom_help_option  # type: ignore[untyped-decorator]
    @auto_command_done  # type: ignore[untyped-decorator]
    def answer(ctx: click.Context, **arguments: str) -> None:
        answers = getattr(ctx.obj, "answers", None)
        if answers is None:  # a monitor that the application started by itself
            click.echo("this console knows nothing of the detector: start it with --console")
            return
        click.echo(getattr(answers, name)(**arguments))

    return answer


_command("stalls", "Show the latest stalls of the loop")
_command("culprits", "Show who has held the loop, and for how long")
_command("calls", "Show synchronous calls that were flagged")
_command("lag", "Show how late the loops answer, and whether this one answers now")
_command("offload", "Show the executors that take work off the loop")
_stall: click.Command = _command("stall", "Show one stall in full: source, stack and evidence")
_stall.params.insert(0, click.Argument(["id"]))


def _hang_up(*_: object, **__: object) -> None:
    raise asyncio.CancelledError("no console session begins so")


for _method in HTTP_METHODS:
    monitor_cli.add_command(
        click.Command(_method, callback=_hang_up, hidden=True, params=[click.Argument(["rest"], nargs=-1)])
    )
