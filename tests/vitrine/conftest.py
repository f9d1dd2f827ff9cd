"""What many tests of the package need: the default encoder, loaded once, and the pictures of the sample catalog."""

from pathlib import Path

import pytest
import torch

from vitrine.config import EncoderConfig
from vitrine.encoders.encoder import Encoder

PICTURES = Path(__file__).parents[2] / "sample_catalog" / "images"


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """On cores that others use too, torch's threads wait for one another: several times slower than one alone."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def encoder():
    """EfficientNet-Lite 0 on the CPU. No test changes it."""
    return Encoder(EncoderConfig(name="efficientnet_lite0", device="cpu"))


@pytest.fixture(scope="session")
def pictures():
    """The sample catalog's first picture of every item, by name."""
    found = sorted(PICTURES.glob("*_0.jpg"))
    assert len(found) > 100
    return found
