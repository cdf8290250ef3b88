"""Loophound: an ASGI server that tells you who blocked its event loop."""

__version__ = "0.1.0"
