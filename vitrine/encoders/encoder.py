"""An encoder: backbone, weights, preprocessing, pooling and precision, known by one fingerprint."""

import hashlib
import json

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from vitrine.config import EncoderConfig
from vitrine.encoders.allocator import keep_freed_memory
from vitrine.encoders.backbones import load_backbone
from vitrine.encoders.preprocessing import Preprocessing
from vitrine.errors import EncoderError

ALGORITHM_VERSION = 1
"""Raised whenever a change of the code changes the vectors."""


class Encoder:
    """Maps images to embeddings of `dim` float32 numbers.

    Attributes:
        name: the name it was asked for by.
        fingerprint: a digest of everything that decides the vectors: weights, architecture, preprocessing, pooling,
            precision and `ALGORITHM_VERSION`. The device is not part of it: it moves only the last bits.
        dim: length of an embedding.
        device: where the forward pass runs.
    """

    def __init__(self, config: EncoderConfig) -> None:
        backbone = load_backbone(config.name, config.checkpoint)
        self.name = config.name
        self.preprocessing = backbone.preprocessing
        self.fingerprint = _fingerprint(backbone.architecture, backbone.module, backbone.preprocessing)
        self.device = resolve_device(config.device)
        if self.device.type == "cpu":
            keep_freed_memory()
        self._transform = backbone.preprocessing.transform()
        # Convolutions on a CPU run about twice as fast with the channels last.
        self._module = backbone.module.to(self.device).to(memory_format=torch.channels_last)
        self.dim = self.encode(torch.zeros(1, *backbone.preprocessing.input_size)).shape[1]

    def prepare(self, image: Image.Image) -> Tensor:
        """An RGB image as the encoder's input: float32 of shape (3, height, width). Safe to call from threads."""
        return self._transform(image)

    @torch.inference_mode()
    def encode(self, batch: Tensor) -> NDArray[np.float32]:
        """Embed prepared images: (n, 3, height, width) to (n, dim)."""
        inputs = batch.to(self.device, memory_format=torch.channels_last, non_blocking=True)
        embeddings: NDArray[np.float32] = self._module(inputs).float().cpu().numpy()
        return embeddings


def resolve_device(name: str | None) -> torch.device:
    """The device of this name; without a name the best there is.

    Raises:
        EncoderError: this machine, or this build of torch, has no such device.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    # torch raises RuntimeError, AssertionError or NotImplementedError, by the way in which a device is missing.
    except Exception as error:
        raise EncoderError(
            f"device '{name}' cannot be used here ({str(error).splitlines()[0]}). "
            "Leave --device out to take the best there is"
        ) from error
    return device


def _fingerprint(architecture: str, module: nn.Module, preprocessing: Preprocessing) -> str:
    contract = {
        "algorithm": ALGORITHM_VERSION,
        "architecture": architecture.split(".")[0],
        "weights": _weights_digest(module),
        "preprocessing": preprocessing.model_dump(),
        "pooling": "the architecture's own",
        "precision": "float32",
    }
    return hashlib.sha256(json.dumps(contract, sort_keys=True).encode()).hexdigest()


def _weights_digest(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
