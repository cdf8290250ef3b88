"""A value a second for the last two minutes."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

LENGTH_S = 120


class Timeline:
    """The largest value of each second; seconds without one are None. Times are the reader's clock."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, float]] = deque(maxlen=LENGTH_S)

    def note(self, now_s: float, value: float) -> None:
        second = math.floor(now_s)
        if self._seconds and self._seconds[-1][0] >= second:
            self._seconds[-1] = (self._seconds[-1][0], max(value, self._seconds[-1][1]))
        else:
            self._seconds.append((second, value))

    def begin(self, now_s: float, step_s: float, values: Sequence[float | None]) -> None:
        """Take what was before: values `step_s` apart, the last of them now."""
        self._seconds.clear()
        for age, value in zip(range(len(values) - 1, -1, -1), values, strict=True):
            if value is not None and age * step_s < LENGTH_S:
                self.note(now_s - age * step_s, value)

    def values(self, now_s: float) -> list[float | None]:
        """One for each of the last LENGTH_S seconds, oldest first."""
        last = math.floor(now_s)
        known = dict(self._seconds)
        return [known.get(second) for second in range(last - LENGTH_S + 1, last + 1)]

    @property
    def latest(self) -> float | None:
        return self._seconds[-1][1] if self._seconds else None


def condensed(values: Sequence[float | None], width: int) -> list[float | None]:
    """As many values as there is room for: the largest of each stretch."""
    if width <= 0:
        return []
    each = math.ceil(len(values) / width)
    stretches = [values[max(0, end - each) : end] for end in range(len(values), 0, -each)][::-1]
    return [max((value for value in stretch if value is not None), default=None) for stretch in stretches]
