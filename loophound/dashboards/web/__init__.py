"""The live page: an ASGI application that shows a feed in a browser."""

from loophound.dashboards.web.app import WebDashboard

__all__ = ["WebDashboard"]
