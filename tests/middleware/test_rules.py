from __future__ import annotations

import re
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from loophound.middleware.rules import Rule, Rules


def scope(path: str, method: str = "GET", root_path: str = "") -> dict[str, Any]:
    return {"type": "http", "path": path, "method": method, "root_path": root_path, "headers": []}


@pytest.mark.parametrize(
    ("rule", "path", "matches"),
    [
        ("/report", "/report", True),
        ("/report", "/reports", False),
        ("/report/*", "/report/a/b", True),
        ("/report/{id}", "/report/7", True),
        ("/report/{id}", "/report/7/rows", False),
        ("/report.v?", "/report.v2", True),
        ("/report.v?", "/reportxv2", False),
        (re.compile(r"/\d+"), "/42", True),
        (re.compile(r"/\d+"), "/42/x", False),
    ],
)
def test_paths(rule: Rule, path: str, matches: bool) -> None:
    assert Rules([rule]).match(None, scope(path)) is matches


def test_the_root_path_is_left_out() -> None:
    assert Rules(["/report"]).match(None, scope("/api/report", root_path="/api"))


async def page(request: Request) -> Response:
    return PlainTextResponse("page")


async def other(request: Request) -> Response:
    return PlainTextResponse("other")


def test_endpoints_of_starlette_through_mounts_and_middleware() -> None:
    class Wrapper:
        app = Starlette(
            routes=[
                Route("/page/{name}", page, methods=["GET"]),
                Mount("/in", routes=[Route("/page", page), Route("/other", other)]),
            ]
        )

    rules = Rules([page])
    assert rules.match(Wrapper(), scope("/page/1"))
    assert rules.match(Wrapper(), scope("/in/page"))
    assert not rules.match(Wrapper(), scope("/in/other"))
    assert not rules.match(Wrapper(), scope("/page/1", method="POST"))
    assert not rules.match(Wrapper(), scope("/none"))


def test_endpoints_of_fastapi() -> None:
    app, router = FastAPI(), APIRouter(prefix="/shop")

    @router.get("/{item}")
    async def show(item: int) -> int:
        return item

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    app.include_router(router)
    assert Rules([show]).match(app, scope("/shop/7"))
    assert not Rules([show]).match(app, scope("/ping"))
    assert Rules([ping]).match(app, scope("/ping"))


def test_an_application_without_a_router() -> None:
    assert not Rules([page]).match(object(), scope("/page"))


def test_what_is_no_rule() -> None:
    with pytest.raises(TypeError, match="a rule is a path"):
        Rules([3])  # type: ignore[list-item]
    assert not Rules([])
