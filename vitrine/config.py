"""What a run is told: frozen models, which are also the form on the Prefect page."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Metric = Literal["cosine", "euclidean"]
Aggregation = Literal["mean", "max", "first"]

PositiveInt = Annotated[int, Field(ge=1)]


class Frozen(BaseModel):
    """A value that cannot change and accepts no field it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Target(Frozen):
    """A numeric column to be predicted, with the range its values must lie in."""

    column: str = Field(description="Name of the numeric column")
    minimum: float | None = Field(default=None, description="Rows below it are quarantined")
    maximum: float | None = Field(default=None, description="Rows above it are quarantined")

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(
                f"target '{self.column}': its minimum {self.minimum} lies above its maximum {self.maximum}"
            )
        return self


class CatalogConfig(Frozen):
    """The manifest and what its columns mean."""

    path: str = Field(description="The manifest: .csv, .parquet or .jsonl, a path or a URL")
    item_column: str = Field(default="item_id", description="Column that names the product")
    image_column: str = Field(default="image", description="Column with the image's path or URL")
    label: str | None = Field(default=None, description="Column with the product's class")
    date: str | None = Field(default=None, description="Column with the row's date")
    targets: tuple[Target, ...] = Field(default=(), description="Numeric columns to predict")
    allowed_schemes: tuple[str, ...] = Field(
        default=("http", "https", "file"), description="URL schemes an image may have; plain paths always may"
    )
    max_bad_fraction: float = Field(
        default=0.5, ge=0, le=1, description="Above this share of quarantined rows the manifest is refused"
    )


class DownloadConfig(Frozen):
    """How images are fetched into the store."""

    concurrency: PositiveInt = Field(default=32, description="Images fetched at the same time")
    timeout_seconds: float = Field(default=30, gt=0, description="Most seconds one image may take")
    max_bytes: PositiveInt = Field(default=50_000_000, description="Most bytes an image may have")
    max_pixels: PositiveInt = Field(default=100_000_000, description="Most pixels an image may have")


class EncoderConfig(Frozen):
    """Which encoder, with which weights, on which device."""

    name: str = Field(default="efficientnet_lite0", description="A name of the zoo, or any timm model's")
    checkpoint: str | None = Field(default=None, description="Local weights: safetensors or a PyTorch state dict")
    device: str | None = Field(default=None, description="cpu, cuda, cuda:1, mps; empty: the best there is")
    batch_size: PositiveInt = Field(default=32, description="Images per forward pass")


class ReductionConfig(Frozen):
    """PCA."""

    n_components: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)] = Field(
        default=256, description="A number of components, or below 1 the share of variance to keep"
    )


class ClusteringConfig(Frozen):
    """K-Means."""

    n_clusters: PositiveInt = Field(default=20, description="Number of clusters")


class IndexConfig(Frozen):
    """The nearest-neighbour index."""

    metric: Metric = Field(default="cosine", description="How nearness is measured")
    n_neighbors: PositiveInt = Field(default=10, description="Neighbours kept for every image")


class EvaluationConfig(Frozen):
    """The linear probe and the regressions."""

    n_folds: Annotated[int, Field(ge=2)] = Field(default=5, description="Folds of the cross-validation")
    target_transform: Literal["auto", "log", "none"] = Field(
        default="auto", description="Targets are predicted as log(y); auto: where every value is positive"
    )


class RunConfig(Frozen):
    """One run of the main flow."""

    catalog: CatalogConfig
    store: str = Field(default="vitrine-store", description="Root folder of the store")
    encoder: EncoderConfig = EncoderConfig()
    download: DownloadConfig = DownloadConfig()
    shard_size: PositiveInt = Field(default=512, description="Images per extraction task")
    aggregation: Aggregation = Field(default="mean", description="How the images of an item become one vector")
    reduction: ReductionConfig = ReductionConfig()
    clustering: ClusteringConfig = ClusteringConfig()
    index: IndexConfig = IndexConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    seed: int = Field(default=0, description="Seed of everything that draws at random")
