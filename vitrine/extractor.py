"""The Python API: features of single images and folders, in a few lines."""

import json
import logging
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitrine.config import Aggregation, EncoderConfig
from vitrine.encoders.encoder import Encoder
from vitrine.encoders.zoo import find
from vitrine.errors import VitrineError
from vitrine.extraction import Embedding, embed, embed_file
from vitrine.features import aggregate
from vitrine.images import decode_image

FEATURE_PREFIX = "img_feature_"
BATCH_SIZE = 32

logger = logging.getLogger(__name__)


class ImageFeatureExtractor:
    """Turns images into feature vectors.

    Args:
        model_name: a name of the zoo (`vitrine encoders` lists it) or any timm model's.
        device: cpu, cuda, cuda:1 or mps; without one the best there is.
        checkpoint: local weights, as safetensors or a PyTorch state dict, instead of the published ones.

    Raises:
        EncoderError: the name is unknown, its weights cannot be had, or the device is missing.
    """

    def __init__(
        self, model_name: str = "efficientnet_lite0", device: str | None = None, checkpoint: str | Path | None = None
    ) -> None:
        config = EncoderConfig(name=model_name, device=device, checkpoint=str(checkpoint) if checkpoint else None)
        self.encoder = Encoder(config)

    def extract_features_from_image(self, path: str | Path) -> NDArray[np.float32]:
        """The feature of one image: an array of shape (d,).

        Raises:
            ImageError: there is no such file, or it cannot be decoded.
        """
        return embed_file(self.encoder, Path(path))

    def extract_features_from_directory(
        self, image_dir: str | Path, pattern: str = "*.webp", max_images: int | None = None
    ) -> pd.DataFrame:
        """The features of a folder's images, sorted by name: `image_path`, `image_name`, `img_feature_0` and so on.

        An image that cannot be used keeps its row, with NaN for features, and is named in the log.

        Args:
            image_dir: the folder.
            pattern: a glob; `**/*.jpg` also looks into folders.
            max_images: take the first so many.

        Raises:
            VitrineError: there is no such folder, or no image in it matches.
        """
        paths = _matching(Path(image_dir), pattern)[:max_images]
        embeddings = embed(self.encoder, [partial(decode_image, path) for path in paths], BATCH_SIZE)
        vectors = [self._vector_or_nan(path, embedding) for path, embedding in zip(paths, embeddings, strict=True)]
        named = pd.DataFrame({"image_path": [str(path) for path in paths], "image_name": [path.name for path in paths]})
        columns = [f"{FEATURE_PREFIX}{number}" for number in range(self.encoder.dim)]
        return pd.concat([named, pd.DataFrame(np.stack(vectors), columns=columns)], axis=1)

    def _vector_or_nan(self, path: Path, embedding: Embedding) -> NDArray[np.float32]:
        if embedding.vector is not None:
            return embedding.vector
        logger.warning("%s has no feature: %s (%s)", path, embedding.reason, embedding.detail)
        return np.full(self.encoder.dim, np.nan, np.float32)

    def save_features(self, df: pd.DataFrame, path: str | Path) -> None:
        """Save a table of features as .parquet or .csv, by the path's suffix.

        Raises:
            VitrineError: the suffix is another.
        """
        path = Path(path)
        if path.suffix not in (".parquet", ".csv"):
            raise VitrineError(f"{path}: features are saved as .parquet or .csv, not as '{path.suffix}'")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            df.to_parquet(path, index=False)
        else:
            df.to_csv(path, index=False)

    def save_model_info(self, output_dir: str | Path) -> Path:
        """Write `model_info.json`, which says what made the features, and return its path."""
        entry = find(self.encoder.name)
        info = {
            "model_name": self.encoder.name,
            "fingerprint": self.encoder.fingerprint,
            "feature_dim": self.encoder.dim,
            "device": str(self.encoder.device),
            "preprocessing": self.encoder.preprocessing.model_dump(),
            "weights": entry.source if entry else "timm hub",
            "licence": entry.licence if entry else None,
        }
        path = Path(output_dir) / "model_info.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
        return path


def aggregate_features_by_item(df: pd.DataFrame, method: Aggregation = "mean") -> pd.DataFrame:
    """One row per item: `item_id` and `img_feature_*`, in order of first appearance.

    Args:
        df: a table with `item_id` and `img_feature_*`. Rows without features (NaN) are left out; an item that has
            no other row keeps one, with NaN.
        method: `mean`, `max` or `first`.

    Raises:
        VitrineError: a column is missing, an item id is empty, or the method is unknown.
    """
    columns = [name for name in df.columns if str(name).startswith(FEATURE_PREFIX)]
    if "item_id" not in df.columns:
        raise VitrineError(
            "the table has no column 'item_id'. Add it, for example from the file's name: "
            "df['item_id'] = df['image_name'].str.rsplit('_', n=1).str[0]"
        )
    if not columns:
        raise VitrineError(f"the table has no column '{FEATURE_PREFIX}0' and so on (found: {', '.join(df.columns)})")
    if method not in ("mean", "max", "first"):
        raise VitrineError(f"method '{method}' is unknown. Take mean, max or first")
    if df["item_id"].isna().any():
        raise VitrineError("column 'item_id' has empty rows. Leave them out: df.dropna(subset='item_id')")
    item_ids = df["item_id"].astype(str)
    usable, first = df[columns].notna().all(axis=1), ~item_ids.duplicated()
    ids, vectors, _ = aggregate(df.loc[usable, columns].to_numpy(np.float32), item_ids[usable].tolist(), method)
    items = pd.DataFrame(vectors, columns=columns, index=ids).reindex(item_ids[first]).reset_index(drop=True)
    items.insert(0, "item_id", df.loc[first, "item_id"].array)
    return items


def _matching(folder: Path, pattern: str) -> list[Path]:
    if not folder.is_dir():
        raise VitrineError(f"{folder}: no such folder")
    paths = sorted(path for path in folder.glob(pattern) if path.is_file())
    if not paths:
        raise VitrineError(
            f"{folder}: no file matches '{pattern}'. Give another pattern, such as '*.jpg' or '**/*.png'"
        )
    return paths
