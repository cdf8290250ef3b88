"""The pictures: of every size, whole, honest, and without a byte that a terminal would obey."""

from __future__ import annotations

import io
from itertools import product

import pytest
from rich.console import Console
from rich.text import Text

from loophound.dashboards.top.board import Board
from loophound.dashboards.top.interface import Interface
from loophound.dashboards.top.look import ASCII, UNICODE, Look
from loophound.dashboards.top.panels import PANELS
from loophound.dashboards.top.terminal import encode
from loophound.dashboards.top.views.frame import frame
from loophound.dashboards.top.views.scene import Scene
from loophound.detector.records import Place, Request
from loophound.source import SourceLines
from tests.dashboards.feed.fake import Message, hello, route, snapshot, stalled, state, task, worker
from tests.dashboards.top.shop import blocked, figures_of, opening

NOW_S = 5000.0
SIZES = [(80, 24), (100, 30), (120, 40), (169, 34), (200, 60), (300, 100), (40, 10), (81, 25), (113, 33), (41, 50)]
KEYS = [(), ("enter",), ("t",), ("?",), ("f", "x"), ("w",), ("p",), *[("tab",) * n for n in range(1, 5)],
        *[("tab",) * n + ("enter",) for n in range(1, 5)]]  # fmt: skip
HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\n\x9b31m[bold red]x[/]\u202e"


def busy_board() -> Board:
    return board(*opening(), state(0), blocked(1, 1.4), figures_of(0, 0), figures_of(1, 0))


def board(*messages: Message) -> Board:
    made = Board()
    for message in messages:
        made.feed(message, NOW_S)
    assert made.unread == 0
    return made


def scene(board: Board, *keys: str, look: Look = UNICODE, now_s: float = NOW_S, **changes: object) -> Scene:
    interface = Interface(board)
    for key in keys:
        interface.press(key, NOW_S)
    values = {"board": interface.board, "interface": interface, "look": look, "sources": SourceLines(),
              "now_s": interface.now(now_s), "real_now_s": now_s, **changes}  # fmt: skip
    return Scene(**values)  # type: ignore[arg-type]


def shown(lines: list[Text]) -> str:
    return "\n".join(line.plain for line in lines)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("look", [UNICODE, ASCII], ids=["unicode", "ascii"])
def test_every_view_fills_every_size_exactly(size: tuple[int, int], look: Look) -> None:
    full = busy_board()
    for keys, log in product(KEYS, (None, ["INFO a line", "BLOCKED 312 ms"])):
        lines = frame(scene(full, *keys, look=look, log=log), *size)
        assert len(lines) == size[1]
        assert {line.cell_len for line in lines} == {size[0]}
        if look is ASCII:
            assert shown(lines).isascii()


@pytest.mark.parametrize("messages", [[], [hello()], [hello(), worker()], [hello(), worker(state="gone")]])
def test_what_is_not_known_yet_leaves_no_hole(messages: list[Message]) -> None:
    for size in SIZES:
        lines = frame(scene(board(*messages)), *size)
        assert {line.cell_len for line in lines} == {size[0]}


@pytest.mark.parametrize("size", [(1, 1), (10, 3), (39, 24), (80, 9)])
def test_a_window_too_small_says_so(size: tuple[int, int]) -> None:
    lines = frame(scene(busy_board()), *size)
    assert (len(lines), {line.cell_len for line in lines}) == (size[1], {size[0]})


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
def test_who_blocks_which_worker(size: tuple[int, int]) -> None:
    text = shown(frame(scene(busy_board()), *size))
    assert "BLOCKED 1.4 s" in text
    assert "by services.py:34 in is_address in GET /" in text
    assert "lag   1.40 s" in text
    assert "● BLOCKED" in text.splitlines()[0]
    later = shown(frame(scene(busy_board(), now_s=NOW_S + 2.3), *size))
    assert "BLOCKED 3.7 s" in later


def test_header() -> None:
    title, figures, *_ = frame(scene(busy_board()), 120, 40)
    assert "shop.main:app  http://127.0.0.1:8000  pid 71  2 workers" in title.plain
    assert "1,2" in figures.plain
    assert "in flight 32   p50 1.1 ms   p99 9.3 ms   stalls 72   held 43.9 s   up 12 min 3 s" in figures.plain


def test_what_the_link_and_silence_say() -> None:
    full = board(*opening(), state(0), state(1))
    assert "● live" in shown(frame(scene(full), 80, 24))
    assert "no word for 9.0 s" in shown(frame(scene(full, now_s=NOW_S + 9), 80, 24))
    assert "gone for 3.0 s" in shown(frame(scene(full, link="gone for 3.0 s, looking for it"), 80, 24))
    assert "PAUSED 4.0 s" in shown(frame(scene(full, "p", now_s=NOW_S + 4), 80, 24))


def test_a_worker_killed_and_replaced_shows() -> None:
    made = board(hello(), worker(0), state(0), worker(1), state(1))
    made.feed(worker(1, "gone", why="it was killed by SIGKILL"), NOW_S)
    assert "gone  it was killed by SIGKILL now" in shown(frame(scene(made), 80, 24))
    made.feed(worker(1, "ready", pid=99), NOW_S)
    made.feed(state(1, pid=99), NOW_S)
    assert "new now: 72 was killed by SIGKILL" in shown(frame(scene(made), 80, 24))


def test_many_workers_show_those_in_trouble_first() -> None:
    made = board(hello(), *(worker(n) for n in range(40)), *(state(n) for n in range(40)), blocked(37, 2.0))
    text = shown(frame(scene(made), 80, 24))
    assert "BLOCKED 2.0 s" in text
    assert "of 40" in text


def test_detail_has_source_profile_and_stack() -> None:
    text = shown(frame(scene(busy_board(), "enter"), 120, 60))
    for part in ("services.py:34 in is_address", "native", "▶ 34      return ADDRESS.match(text) is not None",
                 "  33  def is_address(text: str) -> bool:", "83%  services.py:34 in is_address",
                 "… 2 frames in asyncio, fastapi", "12 stalls held the loop for 27.3 s", "672 requests waited",
                 "GET /addresses/aaaaaaaaaaaa@", "remedy"):  # fmt: skip
        assert part in text


def test_detail_of_a_culprit_of_before_this_dashboard_and_of_one_that_has_gone() -> None:
    full = board(*[message for message in opening() if message["type"] != "stall"])
    assert "it happened before this dashboard came" in shown(frame(scene(full, "enter"), 100, 30))
    entered = scene(full, "enter")
    full.clear()
    assert "this row is not there any more" in shown(frame(entered, 100, 30))


def test_detail_scrolls_to_its_end() -> None:
    entered = scene(busy_board(), "enter")
    frame(entered, 80, 24)
    entered.interface.press("end", NOW_S)
    text = shown(frame(entered, 80, 24))
    assert "latest" in text
    assert "below" not in text


def test_a_filter_shows_what_it_leaves() -> None:
    text = shown(frame(scene(busy_board(), "f", *"warehouse", "enter"), 120, 40))
    assert "1 of 6" in text
    assert "filter: warehouse" in text
    assert "nothing here contains 'warehouse'" in text


def test_of_five_thousand_tasks_the_number_is_told() -> None:
    made = board(hello(), worker(), snapshot(tasks={"total": 5000, "shown": [task(n) for n in range(200)]}))
    assert "200 of 5,000" in shown(frame(scene(made, "t"), 80, 24))


def test_nothing_hostile_reaches_the_terminal() -> None:
    made = board(
        hello(app=HOSTILE, addresses=[HOSTILE], server=HOSTILE, command=HOSTILE),
        worker(why=HOSTILE),
        worker(1, HOSTILE, why=HOSTILE),
        stalled(culprit=Place(HOSTILE, 1, HOSTILE, HOSTILE), request=Request(None, HOSTILE, HOSTILE, HOSTILE, HOSTILE),
                remedy=HOSTILE, fingerprint=HOSTILE),
        snapshot(routes=[route(HOSTILE)], tasks={"total": 1, "shown": [task(name=HOSTILE, coro=HOSTILE, where=HOSTILE,
                                                                            state=HOSTILE)]}),
        state(thread=HOSTILE, loop=HOSTILE),
        state(0, "blocked", line={"file": HOSTILE, "line": 1, "function": HOSTILE},
              request={"method": HOSTILE, "path": HOSTILE}),
    )  # fmt: skip
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None)
    for keys in KEYS:
        for size in ((80, 24), (200, 60)):
            for line in frame(scene(made, *keys, log=[HOSTILE, "\x1b[31mred"], link=""), *size):
                assert line.plain.isprintable(), line.plain
                assert line.cell_len == size[0]
                assert "\x1b]" not in encode(line, console)


def test_wide_characters_keep_the_columns() -> None:
    made = board(hello(app="店:アプリ"), stalled(culprit=Place("/srv/店.py", 3, "注文を受ける関数の長い名前")))
    for size in SIZES:
        assert {line.cell_len for line in frame(scene(made), *size)} == {size[0]}


@pytest.mark.parametrize("no_color", [True, False])
def test_without_colour_the_picture_says_the_same(no_color: bool) -> None:
    environ = {"TERM": "xterm-256color", **({"NO_COLOR": "1"} if no_color else {})}
    console = Console(file=io.StringIO(), force_terminal=True, _environ=environ)
    text = "".join(encode(line, console) for line in frame(scene(busy_board()), 120, 40))
    assert ("\x1b[31m" in text or "\x1b[1;31m" in text) is not no_color
    assert "\x1b[1;7m" in text or not no_color  # the cursor's row, and who is blocked
    assert "BLOCKED" in text


def test_frames_have_one_colour_all_round() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", _environ={"TERM": "xterm"})
    lines = [encode(line, console) for line in frame(scene(busy_board()), 80, 24)]
    assert {line.split("╰")[0] for line in lines if "╰" in line} == {"\x1b[90m", "\x1b[36m"}  # one has the focus


def test_a_thousand_stalls_are_drawn_from_the_rows_that_show() -> None:
    made = board(hello())
    for number in range(1000):
        made.feed(stalled(id=str(number), fingerprint=str(number), duration_s=0.1 + number / 1000), NOW_S)
    view = scene(made, "end")
    text = shown(frame(view, 80, 24))
    assert "1,000" in text
    assert "100 ms" in text  # the smallest, at the end
    assert len(view.interface.listing(PANELS["culprits"])) == 1000


def test_the_last_stall_is_told_as_now_while_it_goes_on() -> None:
    made = board(hello(), stalled(ongoing=True, id="a"))
    row = next(line for line in shown(frame(scene(made), 80, 24)).splitlines() if "main.py:44" in line)
    assert row.rstrip(" │").endswith("now")
