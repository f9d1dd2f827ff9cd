"""Vitrine: image features of product catalogs, searched, clustered, compared and served."""

from typing import TYPE_CHECKING

from vitrine.errors import VitrineError
from vitrine.telemetry import opt_out

if TYPE_CHECKING:
    from vitrine.extractor import ImageFeatureExtractor, aggregate_features_by_item

opt_out()

__all__ = ["ImageFeatureExtractor", "VitrineError", "aggregate_features_by_item"]


def __getattr__(name: str) -> object:
    """Import the extractor when it is first asked for: torch takes seconds, and most of the package needs none."""
    if name in ("ImageFeatureExtractor", "aggregate_features_by_item"):
        from vitrine import extractor

        return getattr(extractor, name)
    raise AttributeError(f"module 'vitrine' has no attribute '{name}'")
