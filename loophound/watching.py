"""`loophound.watch()`: the detector for one block of code."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Self

from loophound.detector.detector import Detector
from loophound.detector.records import Stall

MOST_KEPT = 1000


class watch:
    """Watch every loop of this process, the one that runs here included, while the block lasts.

        async with loophound.watch(0.05) as watched:
            await handler()
        assert not watched.stalls

    `threshold` is in seconds; further `options` are those of `Detector`. The stalls, at most the
    last 1000, are complete once the block is left. Leaving takes up to a tenth of a second when
    the loop has just been blocked: `async with` lets the loop turn meanwhile. There is no observer
    process unless `observer=True`: to start one takes longer than most blocks.
    """

    def __init__(self, threshold: float = 0.1, *, observer: bool = False, **options: Any) -> None:
        self.stalls: deque[Stall] = deque(maxlen=MOST_KEPT)
        faces = [self._keep, *options.pop("faces", ())]
        self.detector = Detector(threshold, observer=observer, faces=faces, **options)

    def _keep(self, stall: Stall) -> None:
        if not stall.ongoing:
            self.stalls.append(stall)

    def __enter__(self) -> Self:
        self.detector.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.detector.stop()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0)  # what the block left to the loop's next turn is a part of it
        await asyncio.to_thread(self.detector.stop)
