"""One row in full: what is known of a culprit, a call, a route, a task or an executor."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.text import Text

from loophound.dashboards.account import account
from loophound.dashboards.stacks import shorten
from loophound.dashboards.top.look import BAD, DIM, KEY, STRONG, WARN, Span, blank, box, fit, line, meter
from loophound.dashboards.top.panels import Panel
from loophound.dashboards.top.state import Executor, Route, TaskLine
from loophound.dashboards.top.tallies import Culprit, FlaggedCall
from loophound.dashboards.top.views.scene import Scene
from loophound.dashboards.top.words import ago, amount, short_time
from loophound.dashboards.wording import count, place, relative, request, safe
from loophound.detector.records import Place, Stall

CONTEXT_LINES = 4
MOST_PROFILE_LINES = 8
LABEL = 11


class Page:
    """Lines of one width, written from top to bottom; the views show a window of it."""

    def __init__(self, scene: Scene, width: int) -> None:
        self.scene, self.width, self.look = scene, width, scene.look
        self.lines: list[Text] = []

    def add(self, *spans: Span) -> None:
        self.lines.append(line(spans, self.width, self.look))

    def gap(self) -> None:
        if self.lines:
            self.lines.append(blank(self.width))

    def title(self, text: str) -> None:
        self.gap()
        self.add((text, KEY))

    def fact(self, name: str, text: str, style: str = "") -> None:
        """A label and a text that goes on in the lines below; nothing without a text."""
        if text:
            room = max(10, self.width - LABEL)
            for number, part in enumerate(_folded(text, room)):
                self.add((fit(name if number == 0 else "", LABEL, self.look), DIM), (part, style))


def detail(scene: Scene, width: int, height: int) -> list[Text]:
    """The view of the row that was entered; it says so where that is gone."""
    item, chosen = scene.interface.item(), scene.interface.chosen
    page = Page(scene, width - 4)
    if item is None or chosen is None:
        page.add(("this row is not there any more", DIM))
        title = "gone"
    else:
        title = f"{chosen.panel} {scene.look.arrow} {_WRITERS[chosen.panel](page, item)}"
    room = height - 2
    scene.interface.longest_scroll = max(0, len(page.lines) - room)
    first = min(scene.interface.scroll, scene.interface.longest_scroll)
    left = len(page.lines) - first - room
    note = f"{count(left, 'line', 'lines')} below" if left > 0 else ""
    return box(page.lines[first : first + room], width, height, scene.look, [(title, STRONG)], note, focused=True)


def excerpt(scene: Scene, panel: Panel, width: int, height: int) -> list[Text]:
    """The beginning of the view of the row under the panel's cursor."""
    items = scene.interface.listing(panel)
    page = Page(scene, width - 4)
    if items:
        _WRITERS[panel.name](page, items[scene.interface.row(panel, items)])
    note = "enter shows all" if len(page.lines) > height - 2 else ""
    return box(page.lines[: height - 2], width, height, scene.look, [("latest", STRONG)], note)


def _culprit(page: Page, item: Culprit) -> str:
    now_s = page.scene.now_s
    colour = WARN if item.innocent else BAD
    page.add((item.where, f"bold {colour}"), ("  ", ""), (safe(item.cause, 20), STRONG))
    times = f"{amount(item.count)} {'stall' if item.count == 1 else 'stalls'}"
    page.add(
        (times, STRONG), (" held the loop for ", ""), (short_time(item.total_s), STRONG), (", the worst ", ""),
        (short_time(item.worst_s), STRONG), (f", {amount(item.victims)} requests waited", "" if item.victims else DIM),
    )  # fmt: skip
    page.add((f"first {ago(now_s - item.first_s)}, last {'now' if item.ongoing else ago(now_s - item.last_s)}", DIM))
    if not item.records:
        page.gap()
        page.add(("it happened before this dashboard came: `loophound report` has it where a ledger is kept", DIM))
        if item.place is not None:
            _source(page, item.place)
        return item.where
    latest = item.records[-1]
    told = account(latest, page.scene.sources)
    page.fact("", told.blame)
    if latest.culprit is not None:
        _source(page, latest.culprit)
    page.gap()
    page.fact("remedy", told.remedy, "green")
    page.fact("evidence", told.evidence)
    page.fact("task", safe(f"{latest.task.name or '?'}, {latest.task.coro or '?'}") if latest.task else "")
    _profile(page, latest)
    _stack(page, shorten(latest.stack))
    _latest(page, item.records)
    return item.where


def _source(page: Page, at: Place) -> None:
    found = page.scene.sources.lines(at.file, at.line - CONTEXT_LINES, at.line + CONTEXT_LINES)
    shown = dict(found).get(at.line)
    if at.code is not None and (shown is None or shown.strip() != at.code.strip()):
        found = [(at.line, at.code)]  # no source here, or another version of it: the record is right
    page.title(safe(f"{relative(at.file)}:{at.line}"))
    digits = len(str(at.line + CONTEXT_LINES))
    for number, text in found:
        text = safe(text.expandtabs(4).rstrip(), 400)
        if number == at.line:
            page.add((f"{page.look.arrow} {number:{digits}}  ", f"bold {BAD}"), (text, STRONG))
        else:
            page.add((f"  {number:{digits}}  ", DIM), (text, ""))
    if not found:
        page.add(("its source cannot be read here", DIM))


def _profile(page: Page, stall: Stall) -> None:
    """Where the time of the latest stall went."""
    lines = sorted(stall.profile, key=lambda entry: -entry.share)[:MOST_PROFILE_LINES]
    if not lines:
        return
    page.title(f"profile, {stall.samples} samples" if stall.samples else "profile")
    for entry in lines:
        page.add(
            *meter(entry.share, 20, page.look, BAD),
            (f" {entry.share:4.0%}  ", STRONG), (place(entry), ""),
        )  # fmt: skip


_OWN_FRAME = re.compile(r".+:\d+ in .+")


def _stack(page: Page, frames: Sequence[str]) -> None:
    if frames:
        page.title("stack, outermost first")
    for number, frame in enumerate(frames):
        own = _OWN_FRAME.match(frame) is not None
        style = f"bold {BAD}" if own and number == len(frames) - 1 else "" if own else DIM
        page.add(("  ", ""), (frame, style))


def _latest(page: Page, records: Sequence[Stall]) -> None:
    page.title("latest")
    for record in reversed(records):
        took = f"{short_time(record.duration_s)}{' and going on' if record.ongoing else ''}"
        age = ago(page.scene.now_s - page.scene.board.wall(record.at))
        page.add(
            (fit(age, 12, page.look), DIM), (fit(took, 10, page.look, right=True), STRONG), ("  ", ""),
            (request(record) or "no request", ""), (f"  worker {record.worker}", DIM),
            (f"  {record.victims} waited" if record.victims else "", DIM), (f"  {safe(record.id, 40)}", DIM),
        )  # fmt: skip


def _call(page: Page, item: FlaggedCall) -> str:
    now_s = page.scene.now_s
    page.add((safe(item.call), f"bold {WARN}"), ("  a synchronous call on the loop's thread", ""))
    took = f", {short_time(item.total_s)} in all, the worst {short_time(item.worst_s)}, last {ago(now_s - item.last_s)}"
    page.add((f"{amount(item.count)} {'time' if item.count == 1 else 'times'}", STRONG), (took, ""))
    page.fact("request", safe(f"{item.request.method} {item.request.path}") if item.request else "")
    if item.caller is not None:
        _source(page, item.caller)
    page.gap()
    page.fact("remedy", safe(item.remedy, 500), "green")
    _stack(page, shorten(item.stack))
    return safe(item.call)


def _route(page: Page, item: Route) -> str:
    page.add((safe(item.route), STRONG))
    page.add((f"{amount(item.stalls)} {'stall' if item.stalls == 1 else 'stalls'} of the loop", STRONG))
    page.gap()
    page.fact("held", short_time(item.held_s), BAD if item.held_s else "")
    if item.count:
        page.fact("requests", amount(item.count))
        page.fact("p50", short_time(item.p50_s))
        page.fact("p99", short_time(item.p99_s))
        page.fact("max", short_time(item.max_s))
    else:
        page.fact("requests", "none since somebody watches: only then are they counted and timed")
    mine = [stall for stall in page.scene.board.stalls.values() if _on_route(stall, item.route)]
    if mine:
        _latest(page, mine[-MOST_PROFILE_LINES:])
    return safe(item.route)


def _on_route(stall: Stall, route: str) -> bool:
    asked = stall.request
    return asked is not None and route in (f"{asked.method} {asked.route or asked.path}", asked.route, asked.path)


def _task(page: Page, item: TaskLine) -> str:
    page.add((safe(item.coro), STRONG))
    page.gap()
    page.fact("name", safe(item.name))
    page.fact("worker", str(item.worker))
    page.fact("state", safe(item.state), WARN if item.state == "ready" else BAD if item.state == "running" else "")
    page.fact("age", short_time(item.age_s))
    page.fact("where", safe(item.where))
    return safe(item.name)


def _executor(page: Page, item: Executor) -> str:
    page.add((safe(item.name), STRONG), (f"  {safe(item.kind)} of worker {item.worker}", ""))
    page.gap()
    for name in ("queued", "running"):
        page.fact(name, amount(getattr(item, name)))
    if item.calls is None:
        page.fact("calls", "not counted: loophound.offload() would")
        return safe(item.name)
    page.fact("rejected", amount(item.rejected))
    page.fact("calls", amount(item.calls))
    for name, times in (
        ("waited", (item.wait_p50_s, item.wait_p99_s, item.wait_max_s)),
        ("ran", (item.run_p50_s, item.run_p99_s, item.run_max_s)),
    ):
        page.fact(name, "{} in the middle, {} in 99 of 100, {} at most".format(*map(short_time, times)))
    return safe(item.name)


_WRITERS: dict[str, Callable[[Page, Any], str]] = {
    "culprits": _culprit,
    "calls": _call,
    "routes": _route,
    "tasks": _task,
    "executors": _executor,
}


def _folded(text: str, width: int) -> Iterator[str]:
    """Parted between words where there are any."""
    while len(text) > width:
        at = text.rfind(" ", width // 2, width + 1)
        at = at if at > 0 else width
        yield text[:at]
        text = text[at:].lstrip()
    yield text
