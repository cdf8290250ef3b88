from __future__ import annotations

from types import SimpleNamespace

from loophound.detector.figures import MOST_ROUTES, MOST_SHOWN, OTHERS, WINDOW_STEPS, RequestFigures

MS = 1_000_000


def test_requests_are_told_by_route() -> None:
    figures = RequestFigures()
    route = SimpleNamespace(path="/show/{id}")
    figures.add([("GET", route, 4 * MS), ("GET", route, 40 * MS), ("POST", "/buy", 8 * MS)])
    show, buy = sorted(figures.routes(), key=lambda entry: -entry["count"])
    assert (show["route"], show["count"], show["max_s"]) == ("GET /show/{id}", 2, 0.04)
    assert (buy["route"], buy["count"], buy["p50_s"]) == ("POST /buy", 1, 0.008)


def test_who_held_the_loop_comes_first() -> None:
    figures = RequestFigures()
    figures.add([("GET", "/slow", 900 * MS), ("GET", "/blocks", 1 * MS)])
    figures.held("GET /blocks", 0.25)
    figures.held("GET /blocks", 0.5)
    first, second = figures.routes()
    assert (first["route"], first["held_s"], first["stalls"]) == ("GET /blocks", 0.75, 2)
    assert (second["route"], second["held_s"], second["stalls"]) == ("GET /slow", 0.0, 0)


def test_one_of_many_stands_for_all() -> None:
    figures = RequestFigures()
    figures.count(5000)
    figures.add([("GET", "/", 2 * MS)] * 1000, 5)
    assert figures.total == 5000
    assert figures.routes()[0]["count"] == 5000
    assert figures.histogram()["counts"][-1] == 5000
    assert figures.histogram()["sum_s"] == 10.0


def test_percentiles_are_of_the_last_seconds() -> None:
    figures = RequestFigures()
    assert figures.percentiles_s((50, 99)) == [None, None]
    figures.add([("GET", "/", 500 * MS)])
    figures.begin_step()
    figures.add([("GET", "/", 1 * MS)] * 99)
    half, worst = figures.percentiles_s((50, 100))
    assert half is not None
    assert 0.001 <= half < 0.0013
    assert worst == 0.5
    for _ in range(WINDOW_STEPS):
        figures.begin_step()
    assert figures.percentiles_s((50,)) == [None]


def test_paths_without_end_share_one_entry() -> None:
    figures = RequestFigures()
    figures.add([("GET", f"/{number}", MS) for number in range(10 * MOST_ROUTES)])
    assert len(figures.routes()) == MOST_SHOWN
    counts = {name: route.times.count for name, route in figures._routes.items()}
    assert len(counts) == MOST_ROUTES + 1
    assert counts[OTHERS] == 9 * MOST_ROUTES


def test_the_histogram_is_cumulative() -> None:
    figures = RequestFigures()
    figures.add([("GET", "/", took) for took in (50_000, 900_000, 30 * MS, 3000 * MS)])
    told = dict(zip(figures.histogram()["le_s"], figures.histogram()["counts"], strict=True))
    assert (told[0.0001], told[0.001], told[0.05], told[1.0], told[5.0]) == (1, 2, 3, 3, 4)
