"""The supervisor: it has the listening sockets and the signals, and carries out what the policy orders.

One thread, no event loop, and not a line of the application: what a worker does cannot
harm it. It sleeps in poll(2) until a worker speaks, a signal comes or a time is over.
"""

from __future__ import annotations

import logging
import math
import os
import select
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from loophound.config import MOST_WORKERS, Config
from loophound.errors import STARTUP_EXIT_CODE, USAGE_EXIT_CODE, ConfigError, LoophoundError, StartupError
from loophound.reopening import open_anew
from loophound.server import logs, sockets
from loophound.supervisor import introduction
from loophound.supervisor.changes import Changes, shown
from loophound.supervisor.control import Control
from loophound.supervisor.examine import Examiner
from loophound.supervisor.facts import (
    AskedToLeave,
    BecameReady,
    Command,
    Dismiss,
    Ended,
    Fact,
    Finish,
    Kill,
    Order,
    Ordered,
    Say,
    Spawn,
    Spawned,
    Ticked,
    Urgency,
)
from loophound.supervisor.handover import Handover
from loophound.supervisor.policy import Fleet, Plan, how_ended
from loophound.supervisor.processes import Child, PreloadingSpawner, Running, Spawner
from loophound.supervisor.watch import Watch
from loophound.systemd import Service

logger = logging.getLogger("loophound.supervisor")

MOST_NAMES = 3
LOOK_S = 1.0  # how often the workers are looked at
ORDERS = {
    signal.SIGTERM: Order.STOP,
    signal.SIGINT: Order.STOP,
    signal.SIGHUP: Order.REPLACE,
    signal.SIGTTIN: Order.MORE,
    signal.SIGTTOU: Order.FEWER,
}
WORDS = {Urgency.RETIRE: "retire", Urgency.STOP: "stop", Urgency.AT_ONCE: "at once"}


def supervise(config: Config) -> None:
    """Serve `config` with workers until a signal. Raises StartupError when no worker can start."""
    if threading.current_thread() is not threading.main_thread():
        raise ConfigError("workers and reload want the main thread, which is the one that gets signals")
    logs.configure(config)
    with ExitStack() as at_end:
        supervisor = Supervisor(config, at_end)
        if config.reload:
            supervisor.reload_by(Changes)
        supervisor.run()


class Supervisor:
    """What it opens is closed by `at_end`."""

    def __init__(self, config: Config, at_end: ExitStack) -> None:
        self._config = config
        self._at_end = at_end
        size = config.workers or 1
        self._fleet = Fleet(
            Plan(
                grace_s=config.timeout_graceful_shutdown,
                delay_s=config.shutdown_delay,
                waits_for_change=config.reload,
                hurried=config.reload,
                most=MOST_WORKERS,
            ),
            size,
        )
        self._listeners = sockets.bind_all(config, at_end)
        handover = Handover.create()
        at_end.callback(handover.sender.close)
        at_end.callback(handover.receiver.close)
        self._examiner = Examiner(config)
        at_end.callback(self._examiner.close)
        alone, attach_at = replace(config, **_ALONE), self._examiner.attach_at
        self._spawner = (
            PreloadingSpawner(alone, handover, self._listeners, observer=attach_at)
            if config.preload
            else Spawner(alone, handover, observer=attach_at, spare=config.reload)
        )
        at_end.callback(self._spawner.close)
        self._own_listeners: dict[int, list[socket.socket]] = {}  # with --reuse-port: by worker
        at_end.callback(self._close_own_listeners)
        self._nursery: tuple[Child, Fact] | None = None  # one that imports yet, and what is to happen then
        self._began = False
        self._unborn = 0
        self._running: dict[int, Running] = {}
        self._problems: dict[int, str] = {}
        self._signals: deque[int] = deque()
        self._watch = Watch(config, self._examiner.examine, self._examiner.examine_start)
        self._looked_s = time.monotonic()
        self._announced = False
        self._service = Service.of(os.environ)
        self._reloading = False
        self._outcome: Finish | None = None
        self._poller = select.poll()
        self._sources: dict[int, Callable[[], None]] = {}

    def run(self) -> None:
        """Until all workers have ended. Raises StartupError or ConfigError with what kept them from starting."""
        with self._signals_noted():
            try:
                self._prepared(Ticked(time.monotonic()))
                while self._outcome is None:
                    self._turn()
            finally:
                for running in list(self._running.values()):
                    self._spawner.kill(running.pid)
        if self._outcome.code:
            error: type[LoophoundError] = ConfigError if self._outcome.code == USAGE_EXIT_CODE else StartupError
            raise error(self._outcome.problem)
        logger.info("All workers have ended")

    def watch(self, descriptor: int, came: Callable[[], None]) -> None:
        """Call `came` whenever there is something to read."""
        self._sources[descriptor] = came
        self._poller.register(descriptor, select.POLLIN)

    def reload_by(self, make: Callable[[Config, Callable[[list[Path]], None]], Changes]) -> None:
        """Replace the worker when files change. Raises ConfigError."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        came: deque[list[Path]] = deque()

        def changed(files: list[Path]) -> None:  # on another thread
            came.append(files)
            with suppress(BlockingIOError):
                os.write(writer, b"c")

        def take() -> None:
            _drain(reader)
            files: set[Path] = set()
            while came:
                files.update(came.popleft())
            if files:
                names = [shown(file) for file in sorted(files)]
                more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
                logger.info("Changed: %s%s", ", ".join(names[:MOST_NAMES]), more)
                self._feed(Ordered(Order.REPLACE, time.monotonic()))

        changes = make(self._config, changed)
        self.watch(reader, take)
        changes.start()
        self._at_end.callback(changes.stop)

    def _turn(self) -> None:
        now_s = time.monotonic()
        wait_s = min(self._fleet.next_s() - now_s, self._looked_s + LOOK_S - now_s)
        for descriptor, _ in self._poller.poll(max(0.0, math.ceil(wait_s * 1000))):
            came = self._sources.get(descriptor)
            if came is not None:
                came()
        while self._signals:
            self._obey(self._signals.popleft())
        for pid, code in list(self._spawner.ended()):
            self._end(pid, code)
        now_s = time.monotonic()
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            self._examiner.check()
            for fact in self._watch.look(list(self._running.values())):
                self._feed(fact)
            if self._nursery is not None:
                for _ in self._watch.look_at_start(self._nursery[0]):
                    self._spawner.kill(self._nursery[0].pid)
            self._tell_service()
        if self._began:
            self._feed(Ticked(time.monotonic()))

    def _tell_service(self) -> None:
        if self._service is None:
            return
        if self._fleet.serving:
            self._service.alive()
        if self._reloading and self._nursery is None and not self._fleet.renewing:
            self._reloading = False
            self._service.ready("serving")

    def _prepared(self, fact: Fact) -> None:
        """Feed what starts workers; with --preload, once a process has imported the application anew."""
        if not isinstance(self._spawner, PreloadingSpawner):
            self._began = True
            self._feed(fact)
            return
        if self._nursery is not None:
            self._forget(self._nursery[0].control)
            self._nursery[0].close()  # of two in a row, the later counts
        nursery = self._spawner.raise_nursery()
        self._nursery = nursery, fact
        self.watch(nursery.control.socket.fileno(), lambda: self._hear_nursery(nursery))

    def _hear_nursery(self, nursery: Child) -> None:
        assert isinstance(self._spawner, PreloadingSpawner)
        messages = nursery.control.receive()
        for kind, text in messages or ():
            if kind == "problem":
                self._problems[nursery.pid] = text
            elif kind == introduction.KIND:
                nursery.introduced(text)
            elif kind == "ready" and self._nursery is not None and self._nursery[0] is nursery:
                fact, self._nursery = self._nursery[1], None
                self._forget(nursery.control)  # from now on it is asked, and answers
                self._spawner.settle(nursery)
                self._began = True
                self._feed(fact)
        if messages is None:
            self._forget(nursery.control)

    def _nursery_ended(self, pid: int, code: int) -> None:
        assert isinstance(self._spawner, PreloadingSpawner)
        problem = self._problems.pop(pid, f"it {how_ended(code)} while it imported the application")
        if self._nursery is not None and self._nursery[0].pid == pid:
            self._forget(self._nursery[0].control)
            self._nursery[0].close()
            self._nursery = None
            if self._began:
                logger.error("The application cannot be imported anew: %s", problem)
                logger.error("No worker is replaced: those that there are serve on")
            elif self._outcome is None:
                self._outcome = Finish(code if code == USAGE_EXIT_CODE else STARTUP_EXIT_CODE, problem)
        elif pid == self._spawner.nursery_pid and not self._fleet.stops:
            logger.error("The process that holds the application %s", how_ended(code))
            self._spawner.release()
            self._prepared(Ticked(time.monotonic()))

    def _feed(self, fact: Fact) -> None:
        facts = deque([fact])
        while facts:
            for command in self._fleet.feed(facts.popleft()):
                facts += self._carry_out(command)
        if self._own_listeners:
            self._leave_no_listener()

    def _carry_out(self, command: Command) -> list[Fact]:
        match command:
            case Spawn(worker):
                return self._spawn(worker)
            case Dismiss(pid, urgency):
                running = self._running.get(pid)
                if running is not None:
                    running.control.send(WORDS[urgency])
                    if not running.pulse.turned_ns:  # it does not listen yet
                        self._spawner.kill(pid, signal.SIGTERM)
            case Kill(pid):
                self._spawner.kill(pid)
            case Say(level, text):
                logger.log(level, "%s", text)
            case Finish():
                self._outcome = command
        return []

    def _listeners_of(self, worker: int) -> list[socket.socket]:
        """Raises OSError where there is none to be had."""
        if not self._config.reuse_port:
            return self._listeners
        if worker not in self._own_listeners:
            first = not self._own_listeners
            self._own_listeners[worker] = [sock if first else sockets.bind_again(sock) for sock in self._listeners]
        return self._own_listeners[worker]

    def _close_own_listeners(self) -> None:
        for own in self._own_listeners.values():
            for sock in own:
                sock.close()

    def _leave_no_listener(self) -> None:
        """With SO_REUSEPORT the kernel goes on giving connections to the socket of a worker that is no more."""
        heir = min(self._fleet.posts)
        for worker in [*self._own_listeners]:
            if worker not in self._fleet.posts and heir in self._own_listeners:
                left = self._own_listeners.pop(worker)
                self._own_listeners[heir] += left
                for running in self._running.values():
                    if running.worker == heir:
                        running.control.send("listen", "", [sock.fileno() for sock in left])

    def _spawn(self, worker: int) -> list[Fact]:
        now_s = time.monotonic()
        try:
            running = self._spawner.spawn(worker, self._listeners_of(worker))
        except OSError as error:  # no more processes, memory or descriptors: it may pass
            self._unborn -= 1
            problem = f"no process can be started: {error.strerror}"
            return [Spawned(worker, self._unborn, now_s), Ended(self._unborn, 1, now_s, problem)]
        self._running[running.pid] = running
        self.watch(running.control.socket.fileno(), lambda: self._hear(running))
        return [Spawned(worker, running.pid, time.monotonic())]

    def _hear(self, running: Running) -> None:
        messages = running.control.receive()
        if messages is None:
            self._forget(running.control)  # its end is told by wait(2)
            return
        for kind, text in messages:
            now_s = time.monotonic()
            if kind == "ready":
                self._announce()
                self._feed(BecameReady(running.pid, now_s))
                self._spawner.warm_up(self._listeners)
            elif kind == "leave":
                self._feed(AskedToLeave(running.pid, text, now_s))
            elif kind == "problem":
                self._problems[running.pid] = text
            elif kind == introduction.KIND:
                running.introduced(text)

    def _announce(self) -> None:
        if not self._announced:
            self._announced = True
            if self._service is not None:
                self._service.ready("serving")
            scheme = "https" if self._config.uses_tls else "http"
            for address in dict.fromkeys(sockets.address_of(sock, scheme) for sock in self._listeners):
                logger.info("Loophound running on %s (Press CTRL+C to quit)", address)

    def _forget(self, control: Control) -> None:
        descriptor = control.socket.fileno()
        if self._sources.pop(descriptor, None) is not None:
            self._poller.unregister(descriptor)

    def _end(self, pid: int, code: int) -> None:
        running = self._running.pop(pid, None)
        if running is not None:
            self._hear(running)  # its last words
            self._forget(running.control)
            running.close()
            self._examiner.gone(running.worker, pid, f"it {how_ended(code)}")
        elif isinstance(self._spawner, PreloadingSpawner):
            self._nursery_ended(pid, code)
            return
        self._feed(Ended(pid, code, time.monotonic(), self._problems.pop(pid, "")))

    # -- signals

    def _obey(self, number: int) -> None:
        if number in ORDERS:
            order = ORDERS[signal.Signals(number)]
            if self._service is not None and order is Order.STOP:
                self._service.stopping()
            elif self._service is not None and order is Order.REPLACE:
                self._reloading = True
                self._service.reloading()
            fact = Ordered(order, time.monotonic())
            self._prepared(fact) if order is Order.REPLACE and not self._fleet.stops else self._feed(fact)
        elif number == signal.SIGUSR1:
            open_anew(self._config.record)
            for running in self._running.values():
                if running.pulse.turned_ns:
                    self._spawner.kill(running.pid, signal.SIGUSR1)

    @contextmanager
    def _signals_noted(self) -> Iterator[None]:
        """Signals wake poll(2) through a pipe, and are obeyed outside of their handlers."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

        def note(number: int, frame: FrameType | None) -> None:
            self._signals.append(number)

        before: dict[int, Any] = {}
        former = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self.watch(reader, lambda: _drain(reader))
        try:
            for handled in (*ORDERS, signal.SIGUSR1, signal.SIGCHLD):
                before[handled] = signal.signal(handled, note)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            signal.set_wakeup_fd(former)
            os.close(reader)
            os.close(writer)


# What a worker need not know, for it has no workers of its own.
_ALONE: dict[str, Any] = {
    "workers": None,
    "reuse_port": False,
    "preload": False,
    "max_worker_memory": None,
    "reload": False,
    "reload_dirs": (),
    "reload_includes": (),
    "reload_excludes": (),
}


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 4096):
            pass
    except BlockingIOError:
        return
