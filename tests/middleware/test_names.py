"""Where users import the middleware from."""

from __future__ import annotations

import pytest

import loophound
from loophound import middleware


@pytest.mark.parametrize("name", middleware.__all__)
def test_each_middleware_is_found_in_its_package_and_at_the_top(name: str) -> None:
    assert getattr(middleware, name) is getattr(loophound, name)
    assert name in dir(middleware)


def test_what_is_not_there_is_said_so() -> None:
    with pytest.raises(AttributeError, match=r"loophound\.middleware.*NoSuchMiddleware"):
        middleware.NoSuchMiddleware  # noqa: B018
