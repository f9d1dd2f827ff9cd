"""From an RGB image to an encoder's input: the model's own resize, crop and normalisation."""

from collections.abc import Callable

from PIL import Image
from timm.data.transforms_factory import create_transform
from torch import Tensor

from vitrine.config import Frozen


class Preprocessing(Frozen):
    """What a backbone was trained to see, in the terms of timm's `resolve_data_config`."""

    input_size: tuple[int, int, int]
    """Channels, height, width."""
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_pct: float
    crop_mode: str = "center"

    def transform(self) -> Callable[[Image.Image], Tensor]:
        """A function from an RGB image to a float32 tensor of shape `input_size`."""
        transform: Callable[[Image.Image], Tensor] = create_transform(**self.model_dump(), is_training=False)
        return transform
