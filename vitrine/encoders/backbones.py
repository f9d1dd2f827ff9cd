"""Backbones with their weights, from a pip package, a local checkpoint or a hub."""

import difflib
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import safetensors
import safetensors.torch
import timm
import torch
import torchvision
from huggingface_hub import constants
from timm.data.config import resolve_data_config
from torch import Tensor, nn

from vitrine.encoders.lite import packaged_state_dict
from vitrine.encoders.preprocessing import Preprocessing
from vitrine.encoders.zoo import ZOO, ZooEntry, find
from vitrine.errors import EncoderError

StateDict = dict[str, Tensor]
logger = logging.getLogger(__name__)

_GIVE_A_FILE = "give a local file with --checkpoint PATH (safetensors or a PyTorch state dict)"


@dataclass(frozen=True)
class Backbone:
    """A network that maps (n, 3, height, width) to (n, d): its classifier is taken off, its weights are in."""

    architecture: str
    module: nn.Module
    preprocessing: Preprocessing


@dataclass(frozen=True)
class _Blank:
    """A backbone before its weights are in."""

    name: str
    architecture: str
    module: nn.Module
    preprocessing: Preprocessing
    classifier: frozenset[str]
    """Names of the parameters that were taken off."""
    from_hub: Callable[[], StateDict]


def load_backbone(name: str, checkpoint: str | None) -> Backbone:
    """The backbone `name` with the weights of `checkpoint`, of its pip package, or of its hub.

    Raises:
        EncoderError: the name is unknown, the checkpoint does not fit, or no weights can be had.
    """
    entry = find(name)
    blank = _blank_torchvision(entry) if entry and entry.library == "torchvision" else _blank_timm(name, entry)
    _fill(blank, _state_dict(blank, entry, checkpoint), checkpoint or (entry.source if entry else "timm hub"))
    return Backbone(blank.architecture, blank.module.eval(), blank.preprocessing)


def _blank_timm(name: str, entry: ZooEntry | None) -> _Blank:
    architecture = entry.architecture if entry else name
    if not timm.is_model(architecture):
        raise EncoderError(f"encoder '{name}' is unknown. {_suggestion(name)}")
    try:
        module = timm.create_model(architecture, pretrained=False, num_classes=0)
        with torch.device("meta"):
            whole = timm.create_model(architecture, pretrained=False)
    except RuntimeError as error:
        raise EncoderError(f"encoder '{name}': timm cannot make it: {error}. {_suggestion(name)}") from error
    config: dict[str, Any] = vars(module)["pretrained_cfg"]
    data = resolve_data_config({}, pretrained_cfg=config)  # type: ignore[no-untyped-call]  # timm leaves it untyped
    return _Blank(
        name=name,
        architecture=architecture,
        module=module,
        preprocessing=Preprocessing(**{field: data[field] for field in Preprocessing.model_fields}),
        classifier=frozenset(whole.state_dict()) - frozenset(module.state_dict()),
        from_hub=lambda: _timm_hub_state_dict(architecture),
    )


def _blank_torchvision(entry: ZooEntry) -> _Blank:
    weights = torchvision.models.get_model_weights(entry.architecture).DEFAULT
    module = torchvision.models.get_model(entry.architecture, weights=None)
    classifier = frozenset(f"fc.{name}" for name in module.fc.state_dict())
    module.fc = nn.Identity()
    preset = weights.transforms()
    return _Blank(
        name=entry.name,
        architecture=entry.architecture,
        module=module,
        preprocessing=Preprocessing(
            input_size=(3, *preset.crop_size * 2),
            interpolation=preset.interpolation.value,
            mean=tuple(preset.mean),
            std=tuple(preset.std),
            crop_pct=preset.crop_size[0] / preset.resize_size[0],
        ),
        classifier=classifier,
        from_hub=lambda: weights.get_state_dict(progress=False, check_hash=True, weights_only=True),
    )


def _suggestion(name: str) -> str:
    known = {entry.name for entry in ZOO} | set(timm.list_models())
    nearest = difflib.get_close_matches(name, sorted(known), n=5)
    near = sorted(nearest, key=lambda other: find(other) is None)[:3]
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    return f"{meant}'vitrine encoders' lists the zoo; any other name must be one of timm.list_models()"


def _state_dict(blank: _Blank, entry: ZooEntry | None, checkpoint: str | None) -> StateDict:
    if checkpoint:
        return _checkpoint_state_dict(Path(checkpoint))
    if entry and entry.package:
        return packaged_state_dict(entry.package, blank.module)
    logger.info("loading the weights of %s from its hub", blank.name)
    try:
        return blank.from_hub()
    except EncoderError:
        raise
    # Each hub's client raises errors of its own kinds, and none of them is this program's fault.
    except Exception as error:
        raise EncoderError(
            f"encoder '{blank.name}': its weights are in no pip package and could not be loaded from the hub "
            f"({_first_line(error)}). Connect to the network, or {_GIVE_A_FILE}"
        ) from error


def _timm_hub_state_dict(architecture: str) -> StateDict:
    config = timm.get_pretrained_cfg(architecture)
    if config is None or not config.has_weights:
        raise EncoderError(f"encoder '{architecture}': timm publishes no weights for it; {_GIVE_A_FILE}")
    with _no_wait_for_an_absent_hub():
        state_dict: StateDict = timm.create_model(architecture, pretrained=True, num_classes=0).state_dict()
    return state_dict


@contextmanager
def _no_wait_for_an_absent_hub() -> Iterator[None]:
    """Where the hub's name does not resolve, have its client use its cache alone: it would retry for 45 seconds."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _can_be_reached(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _can_be_reached(url: str) -> bool:
    """Whether a host's name resolves; behind a proxy only the proxy can tell."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True
    try:
        socket.getaddrinfo(urlsplit(url).hostname, 443)
    except OSError:
        return False
    return True


def _checkpoint_state_dict(path: Path) -> StateDict:
    if not path.is_file():
        raise EncoderError(f"{path}: no such checkpoint")
    try:
        if path.suffix == ".safetensors":
            loaded = safetensors.torch.load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    # torch raises a different error for each way in which a file can fail to be a checkpoint.
    except Exception as error:
        raise EncoderError(
            f"{path}: is not a checkpoint that can be read safely ({_first_line(error)}). "
            "Save it as safetensors, or as a plain state dict with torch.save(model.state_dict(), path)"
        ) from error
    return _unwrap(path, loaded)


def _unwrap(path: Path, loaded: object) -> StateDict:
    """The state dict inside a training checkpoint, without the prefix of a parallel wrapper."""
    for key in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not all(isinstance(tensor, Tensor) for tensor in loaded.values()):
        raise EncoderError(f"{path}: holds no state dict. Save one with torch.save(model.state_dict(), path)")
    return {str(name).removeprefix("module."): tensor for name, tensor in loaded.items()}


def _fill(blank: _Blank, state_dict: StateDict, source: str) -> None:
    backbone = {name: tensor for name, tensor in state_dict.items() if name not in blank.classifier}
    try:
        blank.module.load_state_dict(backbone, strict=True)
    except RuntimeError as error:
        raise EncoderError(f"{source}: its weights do not fit {blank.architecture}: {_summary(error)}") from error


def _summary(error: Exception) -> str:
    """The first two complaints of `load_state_dict`, which can list hundreds of names."""
    lines = [line.strip() for line in str(error).splitlines()[1:]]
    return " ".join(line if len(line) < 200 else f"{line[:200]}…" for line in lines[:2])


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
