"""Progress that a person can read: not at every image, but every few seconds."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

SECONDS = 5.0


class Paced(Generic[T]):
    """Calls `report` at most every few seconds, from whichever thread it is called in."""

    def __init__(self, report: Callable[[T], None]) -> None:
        self._report = report
        self._last = time.monotonic()

    def __call__(self, progress: T) -> None:
        """Report this progress, if it is time."""
        now = time.monotonic()
        if now - self._last >= SECONDS:
            self._last = now
            self._report(progress)
