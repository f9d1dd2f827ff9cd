"""Features of many images: decoding overlapped with the forward pass, shards cut from sorted content."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vitrine.config import Frozen
from vitrine.encoders.encoder import Encoder
from vitrine.errors import ImageError
from vitrine.features import feature_table, held_features, is_final
from vitrine.images import decode_image
from vitrine.reasons import Reason
from vitrine.refs import Ref
from vitrine.store import Store, digest_of

PREFETCHED_BATCHES = 2
"""Batches being decoded while one is in the forward pass: hides the decoding, and bounds the memory."""

T = TypeVar("T")
Loader = Callable[[], Image.Image]
"""Returns an RGB image or raises ImageError. Called from a thread."""


@dataclass(frozen=True)
class Embedding:
    """What became of one image: a vector of shape (dim,), or a reason why there is none."""

    vector: NDArray[np.float32] | None
    reason: Reason | None = None
    detail: str | None = None


class Shard(Frozen):
    """A unit of extraction: the digests of its images, sorted."""

    sha256s: tuple[str, ...]

    @property
    def name(self) -> str:
        """A digest of what it holds."""
        return digest_of("".join(self.sha256s).encode())[:20]


class Plan(Frozen):
    """What is to be extracted."""

    shards: tuple[Shard, ...]
    n_reused: int
    """Distinct images whose outcome the store holds already."""

    @property
    def n_images(self) -> int:
        """Images to be extracted."""
        return sum(len(shard.sha256s) for shard in self.shards)


class ShardResult(Frozen):
    """A shard that was extracted, and when (seconds since the epoch)."""

    file: Ref
    n_failed: int
    n_errors: int
    """Images among the failed that another try may help."""
    started_at: float
    finished_at: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.finished_at - self.started_at

    @property
    def is_final(self) -> bool:
        """Whether another try could change nothing."""
        return self.n_errors == 0


def plan_shards(store: Store, folder: str, sha256s: Iterable[str], size: int) -> Plan:
    """Cut the images that need it into shards of up to `size`, by sorted content: arrival order changes nothing."""
    images = set(sha256s)
    held = held_features(store, folder)
    missing = sorted(image for image in images if image not in held or not is_final(held[image].reason))
    return Plan(
        shards=tuple(Shard(sha256s=tuple(part)) for part in _batches(missing, size)),
        n_reused=len(images) - len(missing),
    )


def images_per_second(results: Sequence[ShardResult]) -> float | None:
    """Rate of an extraction, from its first shard's start to its last one's end; None where there was none."""
    if not results:
        return None
    started = min(result.started_at for result in results)
    finished = max(result.finished_at for result in results)
    return sum(result.file.rows for result in results) / (finished - started)


def extract_shard(
    store: Store, folder: str, encoder: Encoder, shard: Shard, batch_size: int, on_progress: Callable[[int], None]
) -> ShardResult:
    """Embed a shard's images and write them as one feature file of `folder`; `on_progress` hears of images done."""
    started = time.time()
    loaders = [partial(_load_stored, store, sha256) for sha256 in shard.sha256s]
    embeddings = []
    for embedding in embed(encoder, loaders, batch_size):
        embeddings.append(embedding)
        on_progress(len(embeddings))
    table = feature_table(
        encoder.dim,
        shard.sha256s,
        vectors=[embedding.vector for embedding in embeddings],
        reasons=[embedding.reason for embedding in embeddings],
        details=[embedding.detail for embedding in embeddings],
    )
    return ShardResult(
        file=store.write_table(f"{folder}/{shard.name}.parquet", table),
        n_failed=sum(embedding.vector is None for embedding in embeddings),
        n_errors=sum(not is_final(embedding.reason) for embedding in embeddings),
        started_at=started,
        finished_at=time.time(),
    )


def embed(encoder: Encoder, loaders: Sequence[Loader], batch_size: int) -> Iterator[Embedding]:
    """Embed images, in order, decoding the next batches while one is in the forward pass."""
    pending: deque[list[Future[Tensor | Embedding]]] = deque()
    workers = ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="decode")
    try:
        for batch in _batches(loaders, batch_size):
            pending.append([workers.submit(_prepare, encoder, loader) for loader in batch])
            if len(pending) > PREFETCHED_BATCHES:
                yield from _forward(encoder, pending.popleft())
        while pending:
            yield from _forward(encoder, pending.popleft())
    finally:
        workers.shutdown(cancel_futures=True)


def embed_file(encoder: Encoder, path: Path) -> NDArray[np.float32]:
    """The embedding, of shape (dim,), of one picture.

    Raises:
        ImageError: there is no such file, it cannot be decoded, or the encoder fails on it.
    """
    embedding = next(embed(encoder, [partial(decode_image, path)], batch_size=1))
    if embedding.vector is None:
        raise ImageError(embedding.reason or Reason.EXTRACTION_ERROR, f"{path}: {embedding.detail}")
    return embedding.vector


def _load_stored(store: Store, sha256: str) -> Image.Image:
    try:
        data = store.read_image(sha256)
    except FileNotFoundError as error:
        raise ImageError(Reason.NOT_FOUND, f"the store no longer holds image {sha256}") from error
    return decode_image(data)


def _prepare(encoder: Encoder, loader: Loader) -> Tensor | Embedding:
    try:
        return encoder.prepare(loader())
    except ImageError as error:
        return Embedding(None, Reason(error.reason), str(error))
    # One image must never take its shard down, whatever it does to the code that reads it.
    except Exception as error:
        return Embedding(None, Reason.EXTRACTION_ERROR, f"{type(error).__name__}: {error}")


def _forward(encoder: Encoder, batch: list[Future[Tensor | Embedding]]) -> Iterator[Embedding]:
    prepared = [future.result() for future in batch]
    tensors = [outcome for outcome in prepared if isinstance(outcome, Tensor)]
    vectors = iter(encoder.encode(torch.stack(tensors))) if tensors else iter(())
    for outcome in prepared:
        yield _checked(next(vectors)) if isinstance(outcome, Tensor) else outcome


def _checked(vector: NDArray[np.float32]) -> Embedding:
    if np.isfinite(vector).all():
        return Embedding(vector)
    return Embedding(None, Reason.EXTRACTION_ERROR, "the encoder gave a vector that is not finite")


def _batches(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (values[start : start + size] for start in range(0, len(values), size))
