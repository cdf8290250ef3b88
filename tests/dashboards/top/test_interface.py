"""Keys in, choices out."""

from __future__ import annotations

import pytest

from loophound.dashboards.top.board import Board
from loophound.dashboards.top.interface import BINDINGS, Action, Interface, Mode
from loophound.dashboards.top.panels import FIRST_ORDER, PANELS
from tests.dashboards.feed.fake import stalled
from tests.dashboards.top.shop import figures_of, opening, stall_of

NOW_S = 5000.0


@pytest.fixture
def interface() -> Interface:
    board = Board()
    for message in (*opening(), figures_of(0, 0), figures_of(1, 0)):
        board.feed(message, NOW_S)
    return Interface(board)


def press(interface: Interface, *keys: str) -> Action | None:
    action = None
    for key in keys:
        action = interface.press(key, NOW_S)
    return action


def under_cursor(interface: Interface) -> str:
    panel = PANELS[interface.focus]
    items = interface.listing(panel)
    return str(panel.key(items[interface.row(panel, items)]))


def test_arrows_move_and_stop_at_the_ends(interface: Interface) -> None:
    seen = []
    for key in ("up", "down", "down", "end", "down", "home"):
        press(interface, key)
        seen.append(under_cursor(interface))
    assert seen == ["native-1", "cpu-3", "io-2", "starved-5", "starved-5", "native-1"]


def test_the_cursor_stays_with_its_row_when_the_order_changes(interface: Interface) -> None:
    press(interface, "down")
    interface.live.feed(stall_of(0, id="long", duration_s=90.0), NOW_S)
    assert under_cursor(interface) == "cpu-3"
    press(interface, "up")
    assert under_cursor(interface) == "native-1"


def test_a_cursor_that_was_not_moved_stays_at_the_top(interface: Interface) -> None:
    interface.live.feed(stall_of(0, id="long", duration_s=90.0), NOW_S)
    assert under_cursor(interface) == "sleep-0"


def test_where_a_row_has_gone_the_cursor_stays_in_its_place(interface: Interface) -> None:
    press(interface, "down", "down")
    assert under_cursor(interface) == "io-2"
    del interface.live.culprits["io-2"]
    assert under_cursor(interface) == "sleep-0"
    interface.live.clear()
    press(interface, "down", "enter", "s")  # nothing there: nothing happens
    assert interface.mode is Mode.TABLES


def test_sorting_goes_through_the_columns(interface: Interface) -> None:
    panel = PANELS["culprits"]
    tops = {}
    for _ in panel.orders:
        tops[interface.order(panel).title] = under_cursor(interface)
        press(interface, "s")
    assert interface.order(panel).title == FIRST_ORDER["culprits"]
    assert list(tops) == ["total", "worst", "victims", "last", "count"]
    assert [tops[title] for title in ("total", "worst", "victims", "last")] == ["native-1"] * 3 + ["sleep-0"]


@pytest.mark.parametrize("name", list(PANELS))
def test_every_panel_has_an_order_and_words(interface: Interface, name: str) -> None:
    panel = PANELS[name]
    assert interface.order(panel).order is not None
    for _ in panel.orders:
        items = interface.listing(panel)
        assert items
        assert all(panel.words(item) for item in items)
        interface.focus = name
        press(interface, "s")


def test_a_filter_is_typed_kept_and_dropped(interface: Interface) -> None:
    press(interface, "f", *"WARES", "backspace", "backspace")
    assert (interface.mode, interface.filter) == (Mode.FILTER, "WAR")
    press(interface, "enter")
    assert [item.fingerprint for item in interface.listing(PANELS["culprits"])] == ["io-2"]
    press(interface, "escape")
    assert (interface.filter, len(interface.listing(PANELS["culprits"]))) == ("", 6)


def test_keys_are_text_while_a_filter_is_typed(interface: Interface) -> None:
    assert press(interface, "f", "q", "p", "c") is None
    assert (interface.filter, interface.frozen, len(interface.live.culprits)) == ("qpc", None, 6)
    press(interface, "escape")
    assert (interface.filter, interface.mode) == ("", Mode.TABLES)


def test_pause_holds_the_picture_and_loses_nothing(interface: Interface) -> None:
    press(interface, "p")
    interface.live.feed(stalled(id="meanwhile", fingerprint="meanwhile"), NOW_S)
    assert ("meanwhile" in interface.board.culprits, interface.now(NOW_S + 9)) == (False, NOW_S)
    press(interface, "p")
    assert ("meanwhile" in interface.board.culprits, interface.now(NOW_S + 9)) == (True, NOW_S + 9)


def test_clear_counts_anew_also_from_a_pause(interface: Interface) -> None:
    press(interface, "p", "c")
    assert (interface.frozen, len(interface.board.culprits)) == (None, 0)
    assert "cleared" in interface.message(NOW_S)
    assert interface.message(NOW_S + 60) == ""


def test_tabs_go_round(interface: Interface) -> None:
    seen = []
    for _ in PANELS:
        press(interface, "tab")
        seen.append(interface.focus)
    assert seen == [*list(PANELS)[1:], "culprits"]
    press(interface, "shift-tab")
    assert interface.focus == "executors"


def test_t_shows_the_tasks_alone_and_goes_back(interface: Interface) -> None:
    press(interface, "t")
    assert (interface.focus, interface.zoomed) == ("tasks", True)
    press(interface, "t")
    assert (interface.focus, interface.zoomed) == ("culprits", False)


def test_enter_opens_a_row_and_escape_closes_it(interface: Interface) -> None:
    press(interface, "down", "enter")
    assert interface.mode is Mode.DETAIL
    assert interface.item().fingerprint == "cpu-3"
    press(interface, "right")
    assert interface.item().fingerprint == "io-2"
    interface.longest_scroll = 3
    press(interface, *["down"] * 9)
    assert interface.scroll == 3
    press(interface, "backspace")
    assert (interface.mode, interface.chosen) == (Mode.TABLES, None)


def test_help_and_writing_return_to_where_they_were_asked_for(interface: Interface) -> None:
    press(interface, "enter", "?")
    assert interface.mode is Mode.HELP
    press(interface, "escape")
    assert interface.mode is Mode.DETAIL
    assert press(interface, "w", "h") is Action.WRITE_HTML
    assert interface.mode is Mode.DETAIL


@pytest.mark.parametrize(
    ("key", "action"), [("s", Action.WRITE_SVG), ("h", Action.WRITE_HTML), ("j", Action.WRITE_JSON)]
)
def test_writing(interface: Interface, key: str, action: Action) -> None:
    assert press(interface, "w", key) is action
    assert interface.mode is Mode.TABLES


def test_quit(interface: Interface) -> None:
    assert press(interface, "q") is Action.QUIT
    assert press(interface, "enter", "q") is Action.QUIT


def test_no_key_means_two_things() -> None:
    for bindings in BINDINGS.values():
        keys = [key for binding in bindings for key in binding.keys]
        assert len(keys) == len(set(keys))
