"""Fetch an image by http(s), patiently where patience can help."""

import asyncio
import random
import time
from email.utils import parsedate_to_datetime

import aiohttp

from vitrine.download.fetched import Fetched, FetchError
from vitrine.reasons import Reason

ATTEMPTS = 3
BACKOFF_SECONDS = 1.0
MAX_RETRY_AFTER_SECONDS = 30.0

_CHUNK_BYTES = 1 << 16
_GONE = (404, 410)
_BUSY = (408, 425, 429)


class _PassingError(FetchError):
    """A failure that may be gone at the next attempt, not before `retry_after` seconds have passed."""

    def __init__(self, reason: Reason, message: str, http_status: int | None = None, retry_after: float = 0.0) -> None:
        super().__init__(reason, message, http_status)
        self.retry_after = retry_after


def new_session(timeout_seconds: float, connections: int) -> aiohttp.ClientSession:
    """A session that holds at most so many connections and gives every attempt at most so many seconds."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=timeout_seconds),
    )


async def fetch_remote(session: aiohttp.ClientSession, url: str, max_bytes: int) -> Fetched:
    """Fetch the body of a URL, in up to `ATTEMPTS` attempts.

    Raises:
        FetchError: `NOT_FOUND`, `HTTP_ERROR`, `CONNECTION_ERROR`, `TIMEOUT`, or `TOO_LARGE`, more than `max_bytes`.
    """
    attempt = 1
    while True:
        try:
            return await _attempt(session, url, max_bytes, attempt)
        except FetchError as error:
            error.attempts = attempt
            if not isinstance(error, _PassingError) or attempt == ATTEMPTS:
                raise
            await asyncio.sleep(max(_backoff(attempt), error.retry_after))
        attempt += 1


def _backoff(attempt: int) -> float:
    # The jitter keeps workers that failed together from coming back together.
    return BACKOFF_SECONDS * 2.0 ** (attempt - 1) * random.uniform(0.5, 1.0)


async def _attempt(session: aiohttp.ClientSession, url: str, max_bytes: int, attempt: int) -> Fetched:
    try:
        async with session.get(url) as response:
            _check_status(response)
            return Fetched(
                data=await _body(response, max_bytes),
                etag=response.headers.get("ETag"),
                last_modified=response.headers.get("Last-Modified"),
                http_status=response.status,
                attempts=attempt,
            )
    except TimeoutError as error:
        raise _PassingError(Reason.TIMEOUT, f"no whole answer within {session.timeout.total:g} seconds") from error
    except aiohttp.TooManyRedirects as error:
        raise FetchError(Reason.HTTP_ERROR, "too many redirects", error.status) from error
    except (aiohttp.NonHttpUrlClientError, ValueError) as error:
        raise FetchError(Reason.CONNECTION_ERROR, f"not an http(s) URL: {error}") from error
    except aiohttp.ClientPayloadError as error:
        raise _PassingError(Reason.CONNECTION_ERROR, "the body broke off") from error
    except (aiohttp.ClientError, OSError) as error:
        raise _PassingError(Reason.CONNECTION_ERROR, str(error) or type(error).__name__) from error


def _check_status(response: aiohttp.ClientResponse) -> None:
    status = response.status
    cause = f"HTTP {status} {response.reason or ''}".rstrip()
    if status in _GONE:
        raise FetchError(Reason.NOT_FOUND, cause, status)
    if status in _BUSY or status >= 500:
        raise _PassingError(Reason.HTTP_ERROR, cause, status, retry_after=_retry_after(response))
    if not 200 <= status < 300:
        raise FetchError(Reason.HTTP_ERROR, cause, status)


def _retry_after(response: aiohttp.ClientResponse) -> float:
    """Seconds that the server asks to wait, by number or by date, bounded."""
    value = response.headers.get("Retry-After", "")
    try:
        seconds = float(value) if value.isdecimal() else parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return 0.0
    return min(seconds, MAX_RETRY_AFTER_SECONDS)


async def _body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        data += chunk
        if len(data) > max_bytes:
            raise FetchError(Reason.TOO_LARGE, f"more than the allowed {max_bytes} bytes", response.status)
    return bytes(data)
