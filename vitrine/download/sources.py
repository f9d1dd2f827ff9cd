"""What the image strings of a catalog name: an http(s) URL, or a file inside the catalog's folder."""

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from vitrine.errors import ImageError
from vitrine.reasons import Reason

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


def scheme_of(image: str) -> str | None:
    """The scheme of a URL in lower case, or None for a plain path."""
    match = _SCHEME.match(image)
    return match[1].lower() if match else None


def is_http(image: str) -> bool:
    """Whether an image string is an http(s) URL."""
    return scheme_of(image) in ("http", "https")


def local_root(base: str) -> Path | None:
    """The catalog's folder as an absolute path without links, or None where the catalog lies on no local disk."""
    match scheme_of(base):
        case None:
            return Path(base).resolve()
        case "file":
            return Path(url2pathname(urlsplit(base).path)).resolve()
        case _:
            return None


def local_path(image: str, root: Path | None) -> Path:
    """The file that an image string names, as an absolute path without links. It need not be there.

    Raises:
        ImageError: `SCHEME_NOT_ALLOWED`, a URL that is neither file nor http(s); `OUTSIDE_ROOT`, the path leads out
            of `root`, the catalog's folder, or there is no such folder; `NOT_FOUND`, the string can be no path.
    """
    if root is None:
        raise ImageError(Reason.OUTSIDE_ROOT, "the catalog does not lie on a local disk, so it has no local images")
    try:
        path = (root / _path_text(image)).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name too long, a NUL
        raise ImageError(Reason.NOT_FOUND, f"not a path: {error}") from error
    if not path.is_relative_to(root):
        raise ImageError(Reason.OUTSIDE_ROOT, "the path leads out of the catalog's folder")
    return path


def _path_text(image: str) -> str:
    scheme = scheme_of(image)
    if scheme is None:
        return image
    if scheme != "file":
        raise ImageError(Reason.SCHEME_NOT_ALLOWED, f"{scheme}: URLs cannot be downloaded")
    parts = urlsplit(image)
    if parts.netloc not in ("", "localhost"):
        raise ImageError(Reason.OUTSIDE_ROOT, f"the URL names the host {parts.netloc}")
    return url2pathname(parts.path)


def file_state(stat: os.stat_result) -> str:
    """A file's size in bytes and modification time in nanoseconds, as "size-mtime": other when the file has changed."""
    return f"{stat.st_size}-{stat.st_mtime_ns}"


def local_state(image: str, root: Path | None) -> str:
    """The `file_state` of the file that an image string names, or "missing" where it names none."""
    try:
        return file_state(local_path(image, root).stat())
    except (ImageError, OSError):
        return "missing"


def source_state(images: Iterable[str], base: str) -> str:
    """A digest, hexadecimal SHA-256, of the state of all the files that `images` name, in their order.

    `base` is the catalog's folder. The digest is another one when one of the files comes, goes or changes;
    an http(s) URL counts as its text alone.
    """
    root = local_root(base)
    digest = hashlib.sha256()
    for image in images:
        digest.update(repr((image, None if is_http(image) else local_state(image, root))).encode())
    return digest.hexdigest()
