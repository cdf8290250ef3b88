"""`--log-level trace`: each ASGI message in the log, around the application and only where it is asked for."""

from __future__ import annotations

import logging
from itertools import count
from typing import Any

from loophound.server.asgi import Application, Message, Receive, Scope, Send
from loophound.server.logs import TRACE

logger = logging.getLogger("loophound.asgi")

# Bodies may be long, and headers secrets.
_LENGTHS = {"body": "bytes", "bytes": "bytes", "text": "characters"}
_LEFT_OUT = ("headers", "state", "extensions")


def traced(app: Application) -> Application:
    """`app`, with a line for each message that it receives and sends."""
    numbers = count(1)

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        number = next(numbers)

        async def traced_receive() -> Message:
            message = await receive()
            logger.log(TRACE, "ASGI [%d] receive %s", number, shortened(message))
            return message

        async def traced_send(message: Message) -> None:
            logger.log(TRACE, "ASGI [%d] send %s", number, shortened(message))
            await send(message)

        logger.log(TRACE, "ASGI [%d] started with %s", number, shortened(scope))
        try:
            await app(scope, traced_receive, traced_send)
        except BaseException as error:
            logger.log(TRACE, "ASGI [%d] raised %r", number, error)
            raise
        logger.log(TRACE, "ASGI [%d] completed", number)

    return run


def shortened(message: Message) -> dict[str, Any]:
    """A message as the log shows it."""
    shown = dict(message)
    for key, unit in _LENGTHS.items():
        if shown.get(key) is not None:
            shown[key] = f"<{len(shown[key])} {unit}>"
    for key in _LEFT_OUT:
        if shown.get(key):
            shown[key] = "<...>"
    return shown
