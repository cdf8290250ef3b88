"""The observer process: it waits for what its sockets bring, and looks at whom it watches.

It serves one process, which comes by a door (one end of a socket pair), or all workers of a
supervisor, which come by a listening socket.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loophound.detector.stream import tell
from loophound.observer.attach import LARGEST_PACKET, attached
from loophound.observer.control import Control
from loophound.observer.feed import Feed
from loophound.observer.hosting import remove
from loophound.observer.hub import HISTORY_STEP_S, Hub
from loophound.observer.watched import Watched
from loophound.times import now_iso

MOST_PACKETS_AT_ONCE = 64
ENDING_MS = 500
LONGEST_PAUSE_MS = 1000.0
NEVER_NS = 1 << 62
STATE_PAUSE_NS = 250_000_000
WORD_NS = 3_000_000_000  # what a supervisor gets to say why a worker has ended
STATES_IN_A_STEP = round(HISTORY_STEP_S * 1e9 / STATE_PAUSE_NS)
# Terminals, timeout(1) and service managers signal whole groups of processes. The observer
# ends with the watched process, which may have much to do until it does.
IGNORED = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGHUP, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the process that starts the observer passes on; descriptors are -1 where there are none."""

    pid: int  # of that process
    parent: int  # a pidfd of it
    door: int = -1  # a connected socket, on which it attaches itself
    listener: int = -1  # a listening socket, for its workers
    control: int = -1  # a connected socket, on which it asks
    feed: int = -1  # a listening socket, for readers of the feed
    feed_path: str = ""
    feed_inode: int = 0  # of the file at that path
    attach_path: str = ""  # of the listener
    attach_inode: int = 0
    metrics: int = -1  # a listening socket, for HTTP
    web: int = -1  # likewise, for the page
    web_token: int = -1  # a file with the page's token
    health_limit_s: float = 10.0
    hello: dict[str, Any] = field(default_factory=dict)


class Host:
    """Runs until the process that started it ends, or the last one that can attach has gone."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.watched: list[Watched] = []
        self._ended = False
        self._poller = select.poll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._doors = 0
        self._unexplained: list[tuple[int, Watched]] = []  # that have ended, and by when it should be known why
        self._state_ns = 0  # when the states are to be told again
        self._states_told = 0
        self.hub = Hub(settings.hello)
        self._feed = Feed(self, self.hub, settings.feed, self._want) if settings.feed >= 0 else None
        if settings.metrics >= 0:
            self._serve_metrics()
        if settings.web >= 0:
            self._serve_page()
        self.listen(settings.parent, self.end)
        if settings.door >= 0:
            self._await(socket.socket(fileno=settings.door))
        if settings.listener >= 0:
            self._listener = socket.socket(fileno=settings.listener)
            self._listener.setblocking(False)
            self.listen(settings.listener, self._accept)
        if settings.control >= 0:
            self._control = Control(self, socket.socket(fileno=settings.control))
        if max(settings.control, settings.feed, settings.metrics, settings.web) < 0:
            self._state_ns = NEVER_NS  # there is nobody to tell

    def run(self) -> None:
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        try:
            while not self._ended:
                self._turn()
        finally:
            self._close()

    def _close(self) -> None:
        for watched in [*self.watched]:
            self._part(watched)
        if self._feed is not None:
            self._feed.close()
        # The process that made the sockets may have been killed.
        settings = self.settings
        if self._has_ended(settings.parent):
            remove(Path(settings.feed_path), settings.feed_inode)
            remove(Path(settings.attach_path), settings.attach_inode)

    @staticmethod
    def _has_ended(pidfd: int) -> bool:
        # A process that is killed loses its sockets, which tells us, just before it has ended.
        poller = select.poll()
        poller.register(pidfd, select.POLLIN)
        return bool(poller.poll(ENDING_MS))

    def _serve_metrics(self) -> None:
        from loophound.dashboards.metrics.app import MetricsApp
        from loophound.observer.http import serve_beside

        app = MetricsApp(self.settings.health_limit_s)
        app.feed(self.settings.hello)
        self.hub.subscribers.append(app.feed)
        serve_beside(app, self.settings.metrics, "metrics")

    def _serve_page(self) -> None:
        from loophound.dashboards.web import WebDashboard
        from loophound.observer.hosting import read_token
        from loophound.observer.http import serve_beside

        app = WebDashboard(self.settings.feed_path, token=read_token(self.settings.web_token))
        serve_beside(app, self.settings.web, "page")

    # What comes

    def listen(self, descriptor: int, handler: Callable[[], None]) -> None:
        """Call `handler` whenever there is something to read."""
        self._handlers[descriptor] = handler
        self._poller.register(descriptor, select.POLLIN)

    def forget(self, descriptor: int) -> None:
        """The descriptor is about to be closed."""
        del self._handlers[descriptor]
        self._poller.unregister(descriptor)

    def _turn(self) -> None:
        now_ns = time.monotonic_ns()
        next_ns = min([self._state_ns, *(watched.look_ns for watched in self.watched)])
        for descriptor, _ in self._poller.poll(min(LONGEST_PAUSE_MS, max(0, next_ns - now_ns) / 1e6)):
            handler = self._handlers.get(descriptor)
            if handler is not None:  # else one before it has closed this one
                handler()
        now_ns = time.monotonic_ns()
        for watched in [*self.watched]:
            self._look(watched, now_ns)
        if now_ns >= self._state_ns:
            self._state_ns = now_ns + STATE_PAUSE_NS
            self._explain_ends()
            self._tell_states(now_ns)

    def _tell_states(self, now_ns: int) -> None:
        for watched in self.watched:
            for state in watched.states(now_ns) if not watched.attachment.by_proxy else ():
                self.publish(state)
        self._states_told += 1
        if self._states_told % STATES_IN_A_STEP == 0:
            self.hub.step()
        if self._feed is not None:
            self._feed.drop_those_who_do_not_read()

    def publish(self, message: dict[str, Any]) -> None:
        """Say something in the feed."""
        self.hub.publish(message)

    def _want(self) -> None:
        hub = self.hub
        self.publish({"type": "readers", "connected": len(hub.readers), "dropped": hub.dropped_readers})
        for watched in self.watched:
            watched.want(self._is_wanted)

    @property
    def _is_wanted(self) -> bool:
        return bool(self.hub.readers or self.hub.subscribers)

    def watch_writing(self, descriptor: int, wanted: bool) -> None:
        """Call the handler also when the descriptor can be written."""
        if descriptor in self._handlers:
            self._poller.modify(descriptor, select.POLLIN | (select.POLLOUT if wanted else 0))

    def end(self) -> None:
        self._ended = True

    def _look(self, watched: Watched, now_ns: int) -> None:
        try:
            watched.look_again(now_ns)
        except Exception as error:
            # The others are looked at all the same. This one may attach again, which starts afresh.
            tell(f"the observer failed to watch process {watched.attachment.pid}: {type(error).__name__}: {error}")
            self._part(watched)

    # Who attaches

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        # The socket file is this user's alone; root may come all the same.
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if int.from_bytes(credentials[4:8], "little") not in (os.getuid(), 0):
            connection.close()
            return
        self._await(connection)

    def _await(self, connection: socket.socket) -> None:
        """Whoever is at the other end will attach, some time."""
        connection.setblocking(False)
        self._doors += 1
        self.listen(connection.fileno(), lambda: self._attach(connection))

    def _attach(self, connection: socket.socket) -> None:
        try:
            came = attached(connection)
        except BlockingIOError:
            return
        except (ValueError, OSError) as error:
            tell(f"the observer cannot watch a process: {error}")
            came = None
        self.forget(connection.fileno())
        self._doors -= 1
        if came is None:
            connection.close()
        else:
            watched = Watched(*came, connection, self.publish)
            self.watched.append(watched)
            watched.want(self._is_wanted)
            if not watched.attachment.by_proxy:
                self._tell_worker(watched, "starting", None)
            self.listen(connection.fileno(), lambda: self._receive(watched))
            self.listen(watched.descriptors.alive, lambda: self._part(watched))
        self._end_if_alone()

    def _part(self, watched: Watched) -> None:
        """It has ended, or has let go of us."""
        self.watched.remove(watched)
        now_ns = time.monotonic_ns()
        if not watched.attachment.by_proxy:
            if watched.stands() and self._has_ended(watched.descriptors.alive):
                watched.died(now_ns)
            # A supervisor, which waits for it, knows why: a moment later, or has said so by now.
            patience_ns = WORD_NS if self.settings.control >= 0 else 0
            self._unexplained.append((now_ns + patience_ns, watched))
            if not patience_ns:
                self._explain_ends()
        self.forget(watched.channel.fileno())
        self.forget(watched.descriptors.alive)
        watched.close()
        self._end_if_alone()

    def _explain_ends(self) -> None:
        now_ns = time.monotonic_ns()
        due = [watched for at_ns, watched in self._unexplained if at_ns <= now_ns]
        self._unexplained = [entry for entry in self._unexplained if entry[0] > now_ns]
        for watched in due:
            if not self.hub.has_gone(watched.attachment.pid):
                self._tell_worker(watched, "gone", None)

    def _end_if_alone(self) -> None:
        if not self.watched and not self._doors and self.settings.listener < 0:
            self._ended = True

    # What they say

    def _receive(self, watched: Watched) -> None:
        for _ in range(MOST_PACKETS_AT_ONCE):
            try:
                packet = watched.channel.recv(LARGEST_PACKET)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._part(watched)
                return
            self._said(watched, packet)

    def _said(self, watched: Watched, packet: bytes) -> None:
        try:
            message = json.loads(packet)
            if message["type"] == "about":
                self.publish({**self.hub.hello, **message["about"], "now": now_iso()})
                return
            message |= {"worker": watched.attachment.worker, "pid": watched.attachment.pid}
            watched.take_in(message)
            if message["type"] != "begun":  # it is told with the states
                self.publish(message)
        except (ValueError, KeyError, TypeError) as error:
            tell(f"the observer was sent what is no message: {type(error).__name__}: {error}")

    def _tell_worker(self, watched: Watched, state: str, why: str | None) -> None:
        attachment = watched.attachment
        self.publish(
            {"type": "worker", "worker": attachment.worker, "pid": attachment.pid, "state": state, "at": now_iso(),
             "why": why}
        )  # fmt: skip
