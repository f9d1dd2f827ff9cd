"""The errors that a user can act on. Each message names the thing, the cause and the way out."""


class VitrineError(Exception):
    """Base of every error that is the input's or the environment's fault, not the program's. Never retried."""


class CatalogError(VitrineError):
    """The manifest as a whole cannot be used."""


class EncoderError(VitrineError):
    """An encoder is unknown or its weights cannot be had."""


class ImageError(VitrineError):
    """One image cannot be used; `reason` says why in one word of the reason table."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class StoreError(VitrineError):
    """The store cannot be read or written."""


class RunError(VitrineError):
    """A run cannot go on, or the run that was asked for is not there."""
