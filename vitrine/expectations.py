"""What Great Expectations expects of a manifest, and the rows that it finds at fault.

Importing this module imports Great Expectations, which takes two seconds: import it where it is used.
"""

import html
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import great_expectations as gx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from great_expectations.checkpoint.actions import UpdateDataDocsAction
from great_expectations.core.expectation_validation_result import (
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
)
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.data_context.ephemeral_data_context import EphemeralDataContext
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.expectations.core.expect_column_values_to_be_between import ExpectColumnValuesToBeBetween
from great_expectations.expectations.core.expect_column_values_to_be_in_set import ExpectColumnValuesToBeInSet
from great_expectations.expectations.core.expect_column_values_to_be_null import ExpectColumnValuesToBeNull
from great_expectations.expectations.core.expect_column_values_to_not_be_null import ExpectColumnValuesToNotBeNull
from great_expectations.expectations.core.expect_compound_columns_to_be_unique import ExpectCompoundColumnsToBeUnique
from great_expectations.expectations.core.expect_table_columns_to_match_set import ExpectTableColumnsToMatchSet
from great_expectations.expectations.expectation import Expectation
from numpy.typing import NDArray

from vitrine.catalog import catalog_name
from vitrine.config import CatalogConfig, Target
from vitrine.parsing import as_text
from vitrine.reasons import Reason
from vitrine.schemas import ROW

_SCHEME = r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):"
"""A scheme has two letters at least: one letter and a colon are a Windows drive."""

_SCHEME_COLUMN = "image (scheme)"
_NOT_A_NUMBER = "{} (not a number)"
_NOT_A_DATE = "{} (not a date)"

_ONE_AT_A_TIME = threading.Lock()
"""Great Expectations keeps one current context per process."""


@dataclass(frozen=True)
class Rule:
    """An expectation, the catalog's column it is about, and the reason it gives (none where it is about no row)."""

    name: str
    column: str
    reason: Reason | None
    expectation: Expectation


@dataclass(frozen=True)
class Finding:
    """What came of a rule: `rows` are the catalog_row of those at fault, int64, in ascending order."""

    rule: Rule
    passed: bool
    rows: NDArray[np.int64]


def find_faults(raw: pa.Table, typed: pa.Table, config: CatalogConfig, docs_dir: Path) -> list[Finding]:
    """Run every expectation on a manifest and write the Data Docs site.

    Args:
        raw: the manifest as read, n rows.
        typed: the same n rows, with the label, the date and the targets parsed and null where that failed.
        config: what the columns mean.
        docs_dir: the site's folder; its page is `index.html`.

    Returns:
        A finding per rule, in the order of `Reason`.
    """
    rules = list(_rules(config))
    frame = _frame(raw, typed, config)
    with _ONE_AT_A_TIME:
        result = _run(frame, rules, docs_dir, run_name=catalog_name(config.path))
    outcomes = {outcome.expectation_config.id: outcome for outcome in result.results if outcome.expectation_config}
    return [_finding(rule, outcomes[rule.expectation.id]) for rule in rules]


def _rules(config: CatalogConfig) -> Iterator[Rule]:
    yield _columns_are_there(config)
    yield _is_not_null("item_id", Reason.NULL_ITEM_ID)
    yield _is_not_null("image", Reason.NULL_IMAGE)
    yield _is_unique()
    yield _scheme_is_allowed(config.allowed_schemes)
    for target in config.targets:
        yield _is_a_number(target.column)
    for target in config.targets:
        if target.minimum is not None or target.maximum is not None:
            yield _is_in_range(target)
    if config.date is not None:
        yield _is_a_date(config.date)


def _columns_are_there(config: CatalogConfig) -> Rule:
    roles = (config.label, config.date, *(target.column for target in config.targets))
    columns = ["item_id", "image", *filter(None, roles)]
    name = "every column that is asked for is there"
    expectation = ExpectTableColumnsToMatchSet(
        column_set=[html.escape(column) for column in columns], exact_match=False, description=name
    )
    return Rule(name, ", ".join(columns), None, expectation)


def _is_not_null(column: str, reason: Reason) -> Rule:
    name = f"{column} is not empty"
    return Rule(name, column, reason, ExpectColumnValuesToNotBeNull(column=column, description=name))


def _is_unique() -> Rule:
    name = "no item has the same image twice"
    expectation = ExpectCompoundColumnsToBeUnique(
        column_list=["item_id", "image"], ignore_row_if="any_value_is_missing", description=name
    )
    return Rule(name, "image", Reason.DUPLICATE_ROW, expectation)


def _scheme_is_allowed(schemes: tuple[str, ...]) -> Rule:
    name = f"image is a path, or a URL with one of the schemes {', '.join(schemes)}"
    expectation = ExpectColumnValuesToBeInSet(
        column=_SCHEME_COLUMN, value_set=[scheme.lower() for scheme in schemes], description=html.escape(name)
    )
    return Rule(name, "image", Reason.SCHEME_NOT_ALLOWED, expectation)


def _is_a_number(column: str) -> Rule:
    name = f"{column} is a finite number or empty"
    expectation = ExpectColumnValuesToBeNull(
        column=html.escape(_NOT_A_NUMBER.format(column)), description=html.escape(name)
    )
    return Rule(name, column, Reason.TARGET_NOT_A_NUMBER, expectation)


def _is_in_range(target: Target) -> Rule:
    bounds = [("at least", target.minimum), ("at most", target.maximum)]
    name = f"{target.column} is {' and '.join(f'{word} {bound:.12g}' for word, bound in bounds if bound is not None)}"
    expectation = ExpectColumnValuesToBeBetween(
        column=html.escape(target.column),
        min_value=target.minimum,
        max_value=target.maximum,
        description=html.escape(name),
    )
    return Rule(name, target.column, Reason.TARGET_OUT_OF_RANGE, expectation)


def _is_a_date(column: str) -> Rule:
    name = f"{column} is an ISO date or timestamp"
    expectation = ExpectColumnValuesToBeNull(
        column=html.escape(_NOT_A_DATE.format(column)), description=html.escape(name)
    )
    return Rule(name, column, Reason.BAD_DATE, expectation)


def _frame(raw: pa.Table, typed: pa.Table, config: CatalogConfig) -> pd.DataFrame:
    """The n rows in the form that the rules are about.

    Great Expectations names the rows at fault by the frame's index, here `catalog_row`. An index with a name, or a
    column to name them by, costs it a Python dictionary per row: a minute where half of a million rows are bad.
    """
    columns = {"item_id": raw["item_id"], "image": raw["image"], _SCHEME_COLUMN: _schemes(raw["image"])}
    if config.label is not None:
        columns[config.label] = typed[config.label]
    for target in config.targets:
        columns[target.column] = typed[target.column]
        columns[_NOT_A_NUMBER.format(target.column)] = _unparsed(as_text(raw[target.column]), typed[target.column])
    if config.date is not None:
        text = as_text(raw[config.date])
        columns[config.date] = text
        columns[_NOT_A_DATE.format(config.date)] = _unparsed(pc.coalesce(text, "(empty)"), typed[config.date])
    safe = {html.escape(name): _escaped(column).to_pandas() for name, column in columns.items()}
    return pd.DataFrame(safe).set_index(raw[ROW.name].to_numpy())


def _schemes(images: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.utf8_lower(pc.struct_field(pc.extract_regex(images, _SCHEME), "scheme"))


def _unparsed(text: pa.ChunkedArray, parsed: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(parsed.is_null(), text, None)


def _escaped(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Data Docs write the values at fault into the page as they are: a catalog's text must not become markup."""
    if not pa.types.is_string(column.type):
        return column
    for character in "&<>\"'":
        column = pc.replace_substring(column, character, html.escape(character))
    return column


def _run(frame: pd.DataFrame, rules: list[Rule], docs_dir: Path, run_name: str) -> ExpectationSuiteValidationResult:
    context = _context(docs_dir)
    rows = context.data_sources.add_pandas("catalog").add_dataframe_asset("manifest")
    batch = rows.add_batch_definition_whole_dataframe("all rows")
    suite = context.suites.add(gx.ExpectationSuite("manifest", expectations=[rule.expectation for rule in rules]))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name="manifest", data=batch, suite=suite))
    checkpoint = gx.Checkpoint(
        name="manifest",
        validation_definitions=[definition],
        actions=[UpdateDataDocsAction(name="data docs")],
        result_format={"result_format": "COMPLETE", "return_unexpected_index_query": False},
    )
    results = context.checkpoints.add(checkpoint).run(
        batch_parameters={"dataframe": frame}, run_id=RunIdentifier(run_name=run_name)
    )
    (result,) = results.run_results.values()
    return result


def _context(docs_dir: Path) -> EphemeralDataContext:
    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(docs_dir.absolute()),
        },
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        data_docs_sites={"vitrine": site},
        progress_bars=ProgressBarsConfig(globally=False, metric_calculations=False),
        analytics_enabled=False,
    )
    return gx.get_context(mode="ephemeral", project_config=config)


def _finding(rule: Rule, outcome: ExpectationValidationResult) -> Finding:
    rows = outcome.result.get("unexpected_index_list")
    if rows is None and not outcome.success and rule.reason is not None:
        raise RuntimeError(f"Great Expectations could not check that {rule.name}: {outcome.exception_info}")
    return Finding(rule, bool(outcome.success), np.sort(np.array(rows or [], dtype=np.int64)))
