"""Read an image from the catalog's folder."""

import stat
from pathlib import Path

from vitrine.download.fetched import Fetched, FetchError
from vitrine.download.sources import file_state, local_path
from vitrine.reasons import Reason


def read_local(image: str, root: Path | None, max_bytes: int) -> Fetched:
    """Read the file that an image string names; its state stands for the etag.

    Raises:
        ImageError: as `local_path`; `NOT_FOUND`, there is no such file; `TOO_LARGE`, it has more than `max_bytes`;
            `CONNECTION_ERROR`, it cannot be read.
    """
    path = local_path(image, root)
    try:
        return _read(path, max_bytes)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FetchError(Reason.NOT_FOUND, "no such file") from error
    except OSError as error:
        raise FetchError(Reason.CONNECTION_ERROR, f"the file cannot be read: {error.strerror}") from error


def _read(path: Path, max_bytes: int) -> Fetched:
    # The state is taken before the bytes: a file that changes in between is read again by the next run.
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise FetchError(Reason.CONNECTION_ERROR, "not a regular file")
    if status.st_size > max_bytes:
        raise FetchError(Reason.TOO_LARGE, f"{status.st_size} bytes, more than the allowed {max_bytes}")
    return Fetched(data=path.read_bytes(), etag=file_state(status))
