"""Search: the images of a run that are most like a picture from anywhere."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vitrine.config import Frozen
from vitrine.encoders.encoder import Encoder
from vitrine.errors import RunError
from vitrine.extraction import embed_file
from vitrine.index import load_index, search
from vitrine.models import load_model
from vitrine.reduction import apply_pca
from vitrine.runs import RunRecord
from vitrine.store import Store


class Match(Frozen):
    """An image of the catalog that was found."""

    rank: int
    """From 1, best first."""
    item_id: str
    image: str
    score: float
    """Cosine similarity, or minus the euclidean distance, as the run's index measures."""


def search_run(store: Store, run: RunRecord, image: Path, k: int) -> list[Match]:
    """The `k` images of a run that are nearest to a picture; all of them where there are fewer.

    Raises:
        ImageError: the picture cannot be read.
        EncoderError: the run's encoder cannot be loaded any more.
        RunError: the encoder no longer is the one that made the run.
        StoreError: the run's files are gone or have changed.
    """
    encoder = Encoder(run.config.encoder)
    if encoder.fingerprint != run.encoder.fingerprint:
        raise RunError(
            f"{run.name}: was made with other weights of '{encoder.name}' "
            f"({run.encoder.fingerprint[:12]}, not {encoder.fingerprint[:12]}). Run the catalog again"
        )
    feature = embed_file(encoder, image)
    vector = apply_pca(load_model(store.read_ref(run.pca)), feature[None])
    scores, rows = search(load_index(store.read_ref(run.index)), run.config.index.metric, vector, k)
    images = pq.read_table(pa.BufferReader(store.read_ref(run.images)), columns=["item_id", "image"])
    found = images.take(rows[0]).to_pylist()
    return [
        Match(rank=rank, item_id=row["item_id"], image=row["image"], score=float(score))
        for rank, (row, score) in enumerate(zip(found, scores[0], strict=True), start=1)
    ]
