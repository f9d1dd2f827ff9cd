"""Why a catalog row did not end in a feature: the one table of reason codes.

The codes are stored in quarantine tables, ledgers and feature shards, and never change their meaning.
"""

from enum import StrEnum


class Stage(StrEnum):
    """The step that gave a row its reason."""

    VALIDATE = "validate"
    DOWNLOAD = "download"
    EXTRACT = "extract"


class Reason(StrEnum):
    """One word for why a row has no feature."""

    NULL_ITEM_ID = "null_item_id"
    NULL_IMAGE = "null_image"
    DUPLICATE_ROW = "duplicate_row"
    SCHEME_NOT_ALLOWED = "scheme_not_allowed"
    TARGET_NOT_A_NUMBER = "target_not_a_number"
    TARGET_OUT_OF_RANGE = "target_out_of_range"
    BAD_DATE = "bad_date"

    NOT_FOUND = "not_found"
    OUTSIDE_ROOT = "outside_root"
    HTTP_ERROR = "http_error"
    CONNECTION_ERROR = "connection_error"
    TIMEOUT = "timeout"
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_AN_IMAGE = "not_an_image"

    LOAD_FAILED = "load_failed"
    EXTRACTION_ERROR = "extraction_error"


MEANING: dict[Reason, tuple[Stage, str]] = {
    Reason.NULL_ITEM_ID: (Stage.VALIDATE, "the item id is empty"),
    Reason.NULL_IMAGE: (Stage.VALIDATE, "the image's path or URL is empty"),
    Reason.DUPLICATE_ROW: (Stage.VALIDATE, "the same item and image stand in an earlier row, which is kept"),
    Reason.SCHEME_NOT_ALLOWED: (Stage.VALIDATE, "the image's URL has a scheme that is not allowed"),
    Reason.TARGET_NOT_A_NUMBER: (Stage.VALIDATE, "a numeric target holds something else than a finite number"),
    Reason.TARGET_OUT_OF_RANGE: (Stage.VALIDATE, "a numeric target lies outside its range"),
    Reason.BAD_DATE: (Stage.VALIDATE, "the date is empty or cannot be parsed"),
    Reason.NOT_FOUND: (Stage.DOWNLOAD, "no such file, or HTTP 404 or 410; at extraction: its bytes left the store"),
    Reason.OUTSIDE_ROOT: (Stage.DOWNLOAD, "a local path leads out of the catalog's folder"),
    Reason.HTTP_ERROR: (Stage.DOWNLOAD, "the server answered with another error status"),
    Reason.CONNECTION_ERROR: (Stage.DOWNLOAD, "the connection failed or broke off, or the file could not be read"),
    Reason.TIMEOUT: (Stage.DOWNLOAD, "the server did not answer, or not to the end, in time"),
    Reason.EMPTY: (Stage.DOWNLOAD, "the body has no bytes"),
    Reason.TOO_LARGE: (Stage.DOWNLOAD, "the image has more bytes or more pixels than allowed"),
    Reason.NOT_AN_IMAGE: (Stage.DOWNLOAD, "the first bytes are not those of a supported image format"),
    Reason.LOAD_FAILED: (
        Stage.EXTRACT,
        "an image by its first bytes, but it cannot be decoded; at download: its header",
    ),
    Reason.EXTRACTION_ERROR: (Stage.EXTRACT, "the encoder failed on this image; it is tried again by the next run"),
}
