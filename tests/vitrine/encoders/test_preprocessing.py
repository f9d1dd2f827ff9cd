import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torchvision.models import ShuffleNet_V2_X1_0_Weights

from vitrine.encoders.backbones import load_backbone
from vitrine.encoders.preprocessing import Preprocessing
from vitrine.images import decode_image

MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.5, 0.2)


def preprocessing(**changes):
    settings = {
        "input_size": (3, 32, 48),
        "interpolation": "bicubic",
        "mean": MEAN,
        "std": STD,
        "crop_pct": 0.875,
    }
    return Preprocessing(**settings | changes)


@pytest.mark.parametrize("size", [(1, 1), (48, 32), (640, 480), (480, 641), (3, 900)])
def test_shape_and_normalisation(size):
    colour = (255, 51, 0)
    tensor = preprocessing().transform()(Image.new("RGB", size, colour))
    assert (tensor.shape, tensor.dtype) == ((3, 32, 48), torch.float32)
    expected = [(value / 255 - mean) / std for value, mean, std in zip(colour, MEAN, STD, strict=True)]
    np.testing.assert_allclose(tensor.mean(dim=(1, 2)), expected, atol=1e-5)
    np.testing.assert_allclose(tensor.std(dim=(1, 2)), 0, atol=1e-6)


def test_only_the_centre_is_seen():
    image = Image.new("RGB", (100, 100), "red")
    image.paste("blue", (20, 20, 80, 80))
    square = {"input_size": (3, 40, 40), "mean": (0, 0, 0), "std": (1, 1, 1), "interpolation": "nearest"}
    inside = preprocessing(**square, crop_pct=0.5).transform()(image)
    whole = preprocessing(**square, crop_pct=1.0).transform()(image)
    assert inside[0].max() == 0
    assert whole[0].max() == 1


def test_the_interpolation_matters(pictures):
    image = decode_image(pictures[0])
    bicubic, bilinear = (preprocessing(interpolation=how).transform()(image) for how in ("bicubic", "bilinear"))
    assert (bicubic - bilinear).abs().max() > 0.01


def test_that_of_a_timm_model_is_timms(pictures):
    config = resolve_data_config({}, model=timm.create_model("tf_efficientnet_lite2", pretrained=False))
    ours = load_backbone("efficientnet_lite2", None).preprocessing.transform()
    theirs = create_transform(**config)
    for path in pictures[:4]:
        image = decode_image(path)
        assert torch.equal(ours(image), theirs(image))


def test_that_of_a_torchvision_model_is_torchvisions(pictures, tmp_path):
    import torchvision

    torch.save(torchvision.models.shufflenet_v2_x1_0().state_dict(), tmp_path / "random.pth")
    ours = load_backbone("shufflenet_v2_x1_0", str(tmp_path / "random.pth")).preprocessing.transform()
    theirs = ShuffleNet_V2_X1_0_Weights.DEFAULT.transforms()
    for path in pictures[:4]:
        image = decode_image(path)
        np.testing.assert_allclose(ours(image), theirs(image), atol=1e-5)


def test_what_is_not_known_is_refused():
    with pytest.raises(ValueError, match="colour"):
        preprocessing(colour="sepia")
