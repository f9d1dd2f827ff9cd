"""Fitted models as bytes: skops, never pickle, so that reading a model runs none of its code."""

import io
import re
from zipfile import BadZipFile, ZipFile, ZipInfo

import skops.io
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from vitrine.errors import VitrineError


def dump_model(model: PCA | KMeans) -> bytes:
    """Serialise a fitted model; the same model always gives the same bytes."""
    return _without_circumstance(skops.io.dumps(model))


def load_model(data: bytes) -> PCA | KMeans:
    """Read what `dump_model` wrote.

    Raises:
        VitrineError: the bytes are damaged, or hold anything but a PCA or a K-Means model.
    """
    try:
        model = skops.io.loads(data)
    except (BadZipFile, KeyError, TypeError, ValueError) as error:
        raise VitrineError(f"not a readable model: {error}. Run again to write it anew") from error
    if not isinstance(model, PCA | KMeans):
        raise VitrineError(f"not a PCA or K-Means model but a {type(model).__name__}. Run again to write it anew")
    return model


def _without_circumstance(data: bytes) -> bytes:
    """Number the parts of a skops archive, which skops names by memory address and stamps with the time of writing."""
    source = ZipFile(io.BytesIO(data))
    schema = source.read("schema.json").decode()
    addresses = dict.fromkeys(re.findall(r'"__id__": (\d+)', schema))
    numbers = {address: str(number) for number, address in enumerate(addresses)}

    def numbered(text: str) -> str:
        return re.sub(r'(?<="__id__": )\d+|\b\d+(?=\.npy\b)', lambda match: numbers.get(match[0], match[0]), text)

    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as target:
        for name in source.namelist():
            content = numbered(schema).encode() if name == "schema.json" else source.read(name)
            target.writestr(ZipInfo(numbered(name)), content)
    return buffer.getvalue()
