"""How far a download has come."""

import time
from collections.abc import Callable

from vitrine.config import Frozen

_REPORT_SECONDS = 1.0


class DownloadProgress(Frozen):
    """Images done (failed ones among them) of all, the bytes fetched, and the seconds since the start.

    Images taken over from an earlier download are done, and have cost no bytes.
    """

    done: int
    total: int
    failed: int
    bytes: int
    seconds: float


class Meter:
    """Counts outcomes, and reports at most once a second however fast they come."""

    def __init__(self, total: int, done: int, report: Callable[[DownloadProgress], None]) -> None:
        self._total = total
        self._done = done
        self._failed = 0
        self._bytes = 0
        self._report = report
        self._started = self._reported = time.monotonic()

    def count(self, failed: bool, n_bytes: int) -> None:
        """Count one outcome."""
        self._done += 1
        self._failed += failed
        self._bytes += n_bytes
        if time.monotonic() - self._reported >= _REPORT_SECONDS:
            self.report()

    def report(self) -> None:
        """Report now."""
        self._reported = time.monotonic()
        self._report(
            DownloadProgress(
                done=self._done,
                total=self._total,
                failed=self._failed,
                bytes=self._bytes,
                seconds=self._reported - self._started,
            )
        )
