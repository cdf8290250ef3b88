"""Work that leaves the event loop: the mark, the pools that run it, and what can go wrong.

The package has another name than the mark because `loophound.offload` is the function.
"""

from __future__ import annotations

from loophound.offloading.errors import (
    OffloadError,
    OffloadPicklingError,
    OffloadQueueFullError,
    OffloadTimeoutError,
)
from loophound.offloading.mark import executor_of, offload
from loophound.offloading.metrics import OffloadMetrics
from loophound.offloading.pools import Pools, current_metrics, register_executor

__all__ = [
    "offload",
    "executor_of",
    "register_executor",
    "current_metrics",
    "Pools",
    "OffloadMetrics",
    "OffloadError",
    "OffloadPicklingError",
    "OffloadQueueFullError",
    "OffloadTimeoutError",
]
