"""The store: one root folder or bucket, atomic writes, content-addressed images.

A name is a path relative to the root. Locally every write goes to `tmp/` and is renamed when whole; on an object store
a put is atomic by itself.
"""

import errno
import hashlib
import io
import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from vitrine.errors import StoreError
from vitrine.refs import Ref


def digest_of(data: bytes) -> str:
    """SHA-256 of `data`, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def image_name(sha256: str) -> str:
    """Where the store keeps the image with this digest."""
    return f"images/{sha256[:2]}/{sha256[2:4]}/{sha256}"


@dataclass(frozen=True)
class Store:
    """A root folder or an fsspec URL. Making one touches nothing."""

    root: str

    @cached_property
    def _filesystem(self) -> tuple[fsspec.AbstractFileSystem, str]:
        filesystem, path = fsspec.core.url_to_fs(self.root)
        return filesystem, path.rstrip("/")

    @property
    def filesystem(self) -> fsspec.AbstractFileSystem:
        """The fsspec file system that the root lies on."""
        return self._filesystem[0]

    @property
    def is_local(self) -> bool:
        """Whether the root is a folder of this machine."""
        return isinstance(self.filesystem, LocalFileSystem)

    @property
    def local_root(self) -> Path:
        """The root as an absolute path.

        Raises:
            StoreError: the store is not a local folder.
        """
        if not self.is_local:
            raise StoreError(f"{self.root}: is not a local folder, and this needs one")
        return Path(self._filesystem[1])

    def path(self, name: str) -> str:
        """The full path of a name, as the file system takes it."""
        return f"{self._filesystem[1]}/{name}"

    def exists(self, name: str) -> bool:
        """Whether something has this name."""
        return bool(self.filesystem.exists(self.path(name)))

    def names(self, folder: str, suffix: str = "") -> list[str]:
        """Names of what lies directly in a folder, sorted; none where the folder is not there."""
        prefix = self.path(folder)
        if not self.filesystem.exists(prefix):
            return []
        files = (str(path) for path in self.filesystem.ls(prefix, detail=False))
        return sorted(f"{folder}/{Path(path).name}" for path in files if path.endswith(suffix))

    def walk(self, folder: str) -> list[str]:
        """Names of all files in a folder, however deep, sorted."""
        root = self.path("")
        return sorted(str(path).removeprefix(root) for path in self.filesystem.find(self.path(folder)))

    def read_bytes(self, name: str) -> bytes:
        """Read a file whole.

        Raises:
            FileNotFoundError: nothing has this name.
        """
        data: bytes = self.filesystem.cat_file(self.path(name))
        return data

    def write_bytes(self, name: str, data: bytes, rows: int = 1) -> Ref:
        """Write a file whole or not at all.

        Raises:
            StoreError: the store's disk is full or cannot be written.
        """
        try:
            if self.is_local:
                self._write_local(Path(self.path(name)), data)
            else:
                self.filesystem.pipe_file(self.path(name), data)
        except OSError as error:
            raise StoreError(f"{self.root}: cannot write {name}: {_cause(error)}") from error
        return Ref(path=name, digest=digest_of(data), rows=rows)

    def _write_local(self, target: Path, data: bytes) -> None:
        temporary = self.local_root / "tmp" / uuid.uuid4().hex
        temporary.parent.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(data)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def write_tree(self, folder: str, source: Path) -> None:
        """Copy every file of a local folder, however deep."""
        for path in sorted(source.rglob("*")):
            if path.is_file():
                self.write_bytes(f"{folder}/{path.relative_to(source).as_posix()}", path.read_bytes())

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        if self.exists(name):
            self.filesystem.rm_file(self.path(name))

    def write_image(self, data: bytes) -> str:
        """Keep an image's original bytes once; returns their SHA-256."""
        sha256 = digest_of(data)
        if not self.exists(image_name(sha256)):
            self.write_bytes(image_name(sha256), data)
        return sha256

    def read_image(self, sha256: str) -> bytes:
        """Read an image's original bytes.

        Raises:
            FileNotFoundError: the store does not hold this image.
        """
        return self.read_bytes(image_name(sha256))

    def write_table(self, name: str, table: pa.Table) -> Ref:
        """Write a table as Parquet."""
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        return self.write_bytes(name, buffer.getvalue(), rows=table.num_rows)

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Read a Parquet table, or some of its columns."""
        with self.filesystem.open(self.path(name), "rb") as file:
            return pq.read_table(file, columns=columns)

    def read_ref(self, ref: Ref) -> bytes:
        """Read the file that a ref names.

        Raises:
            StoreError: it is gone, or is no longer what it was.
        """
        try:
            data = self.read_bytes(ref.path)
        except FileNotFoundError as error:
            raise StoreError(f"{self.root}: {ref.path} is gone. Run 'vitrine run' again to write it anew") from error
        if digest_of(data) != ref.digest:
            raise StoreError(f"{self.root}: {ref.path} has changed since its run. Run 'vitrine run' again")
        return data

    def holds(self, ref: Ref) -> bool:
        """Whether the file that a ref names is there and has the digest it had."""
        try:
            return digest_of(self.read_bytes(ref.path)) == ref.digest
        except FileNotFoundError:
            return False


def _cause(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full. Free some space and run the same command again: what is stored already is kept"
    return error.strerror or str(error)
