"""Backbones from checkpoints in every form, and from hubs that cannot be reached."""

import functools
import pickle
import socket
import time
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import torchvision

from vitrine.config import EncoderConfig
from vitrine.encoders.backbones import load_backbone
from vitrine.encoders.encoder import Encoder
from vitrine.errors import EncoderError

CLASSIFIERS = {"shufflenet_v2_x1_0": "fc.", "test_vit": "head.", "mobilenetv3_small_050": "classifier."}


@functools.cache
def random_weights(name):
    if name == "shufflenet_v2_x1_0":
        return torchvision.models.get_model(name, weights=None).state_dict()
    return timm.create_model(name, pretrained=False).state_dict()


def with_classifier(name):
    """The same random weights every time."""
    return dict(random_weights(name))


def without_classifier(name):
    kept = {key: tensor for key, tensor in with_classifier(name).items() if not key.startswith(CLASSIFIERS[name])}
    assert len(kept) == len(with_classifier(name)) - 2
    return kept


def parallel(state_dict):
    return {f"module.{key}": tensor for key, tensor in state_dict.items()}


FORMS = {
    "plain.pth": with_classifier,
    "headless.pth": without_classifier,
    "wrapped.pt": lambda name: {"state_dict": with_classifier(name), "epoch": 90, "optimizer": {"lr": 0.1}},
    "model.bin": lambda name: {"model": without_classifier(name), "epoch": 90},
    "parallel.pth": lambda name: parallel(with_classifier(name)),
    "wrapped-parallel.pth.tar": lambda name: {"state_dict": parallel(without_classifier(name))},
    "whole.safetensors": with_classifier,
    "headless.safetensors": without_classifier,
    "parallel.safetensors": lambda name: parallel(with_classifier(name)),
}


def save(content, path):
    if path.suffix == ".safetensors":
        safetensors.torch.save_file({key: tensor.contiguous() for key, tensor in content.items()}, path)
    else:
        torch.save(content, path)
    return str(path)


def refused(name, checkpoint):
    with pytest.raises(EncoderError) as raised:
        load_backbone(name, checkpoint)
    return str(raised.value)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_form_of_a_checkpoint_is_the_same_encoder(name, tmp_path):
    encoders = [
        Encoder(EncoderConfig(name=name, checkpoint=save(content(name), tmp_path / file), device="cpu"))
        for file, content in FORMS.items()
    ]
    assert len({encoder.fingerprint for encoder in encoders}) == 1
    batch = torch.rand(2, *encoders[0].preprocessing.input_size, generator=torch.Generator().manual_seed(0))
    vectors = [encoder.encode(batch) for encoder in encoders]
    assert np.ptp(vectors[0], axis=0).max() > 0
    for others in vectors[1:]:
        np.testing.assert_allclose(others, vectors[0], atol=1e-6)


@pytest.mark.parametrize("name", ["deit_tiny_distilled_patch16_224", "efficientvit_m0"])
def test_classifiers_of_several_layers_are_taken_off(name, tmp_path):
    whole = timm.create_model(name, pretrained=False).eval()
    backbone = load_backbone(name, save(whole.state_dict(), tmp_path / "whole.pth"))
    assert set(backbone.module.state_dict()) < set(whole.state_dict())
    for key, tensor in backbone.module.state_dict().items():
        assert torch.equal(tensor, whole.state_dict()[key])


def test_the_backbone_is_ready_for_use(tmp_path):
    backbone = load_backbone("test_vit", save(with_classifier("test_vit"), tmp_path / "random.pth"))
    assert not any(module.training for module in backbone.module.modules())
    for key, tensor in backbone.module.state_dict().items():
        assert torch.equal(tensor, with_classifier("test_vit")[key])


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("efficientnet_lite", "efficientnet_lite0"),
        ("shufflenet_v2", "shufflenet_v2_x1_0"),
        ("vit_base_patch16_244", "vit_base_patch16_224"),
        ("resnet-50", "resnet50"),
    ],
)
def test_an_unknown_name_suggests_near_ones(name, near):
    message = refused(name, None)
    assert message.startswith(f"encoder '{name}' is unknown. Did you mean ")
    assert near in message
    assert "'vitrine encoders' lists the zoo" in message


def test_a_name_like_no_other_suggests_none():
    message = refused("§§§", None)
    assert "Did you mean" not in message
    assert "timm.list_models()" in message


def test_an_unknown_tag_of_weights(tmp_path):
    checkpoint = save(with_classifier("test_vit"), tmp_path / "random.pth")
    assert "Invalid pretrained tag" in refused("test_vit.no_such_weights", checkpoint)


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """No hub answers, on whichever machine, and no cache holds what one answered before."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "https://hub.invalid")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{closed.getsockname()[1]}"


def check_absent_hub(name):
    started = time.monotonic()
    message = refused(name, None)
    assert time.monotonic() - started < 10
    assert message.startswith(f"encoder '{name}': its weights are in no pip package and could not be loaded")
    assert "Connect to the network, or give a local file with --checkpoint PATH" in message


@pytest.mark.usefixtures("no_network")
def test_an_absent_hub_of_timm():
    check_absent_hub("resnet50")


def test_an_absent_hub_of_torchvision(no_network, monkeypatch):
    monkeypatch.setenv("https_proxy", no_network)
    check_absent_hub("shufflenet_v2_x1_0")


@pytest.mark.usefixtures("no_network")
def test_a_model_without_published_weights():
    assert "timm publishes no weights for it" in refused("convnext_atto_rms", None)


def test_missing_keys_are_named(tmp_path):
    weights = with_classifier("test_vit")
    del weights["blocks.0.norm1.weight"]
    path = save(weights, tmp_path / "holes.pth")
    message = refused("test_vit", path)
    assert message.startswith(f"{path}: its weights do not fit test_vit: ")
    assert 'Missing key(s) in state_dict: "blocks.0.norm1.weight"' in message
    assert "head." not in message


def test_unexpected_keys_are_named(tmp_path):
    path = save(with_classifier("test_vit") | {"ema.decay": torch.zeros(1)}, tmp_path / "more.safetensors")
    assert 'Unexpected key(s) in state_dict: "ema.decay"' in refused("test_vit", path)


def test_another_models_checkpoint_gives_a_short_message(tmp_path):
    message = refused("shufflenet_v2_x1_0", save(with_classifier("test_vit"), tmp_path / "vit.pth"))
    assert "Missing key(s)" in message
    assert "Unexpected key(s)" in message
    assert len(message) < 800


def test_weights_of_another_shape_are_named(tmp_path):
    weights = with_classifier("test_vit")
    weights["norm.bias"] = torch.zeros(3)
    assert "size mismatch for norm.bias" in refused("test_vit", save(weights, tmp_path / "shape.pth"))


class Malice:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("file", ["evil.pth", "evil.pkl", "evil.safetensors"])
def test_code_in_a_pickle_is_not_run(file, tmp_path):
    path, marker = tmp_path / file, tmp_path / "was run"
    content = {"state_dict": with_classifier("test_vit"), "hook": Malice(marker)}
    if file == "evil.pth":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    message = refused("test_vit", str(path))
    assert not marker.exists()
    assert message.startswith(f"{path}: is not a checkpoint that can be read safely")
    assert "torch.save(model.state_dict(), path)" in message
    Malice(marker).__reduce__()[0](marker)
    assert marker.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("file", ["a.pth", "a.safetensors"])
@pytest.mark.parametrize("data", [b"", b"no checkpoint at all", b"\x80\x04N.", b"PK\x03\x04 cut off"])
def test_files_that_are_no_checkpoints(file, data, tmp_path):
    path = tmp_path / file
    path.write_bytes(data)
    assert refused("test_vit", str(path)).startswith(f"{path}: ")


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"epoch": 3}, {"state_dict": {"a": "b"}}, torch.zeros(2)])
def test_checkpoints_without_a_state_dict(content, tmp_path):
    message = refused("test_vit", save(content, tmp_path / "a.pth"))
    assert "holds no state dict. Save one with" in message


def test_a_missing_checkpoint(tmp_path):
    assert refused("test_vit", str(tmp_path / "a.pth")) == f"{tmp_path}/a.pth: no such checkpoint"
    assert "no such checkpoint" in refused("test_vit", str(tmp_path))
