"""What one fetch comes to: an image's bytes, or the reason why there are none."""

from dataclasses import dataclass

from vitrine.errors import ImageError
from vitrine.reasons import Reason


@dataclass(frozen=True)
class Fetched:
    """The bytes of an image, and what their source said of them."""

    data: bytes
    etag: str | None = None
    last_modified: str | None = None
    http_status: int | None = None
    attempts: int = 1


class FetchError(ImageError):
    """The bytes of an image could not be had."""

    def __init__(self, reason: Reason, message: str, http_status: int | None = None, attempts: int = 1) -> None:
        super().__init__(reason, message)
        self.http_status = http_status
        self.attempts = attempts
