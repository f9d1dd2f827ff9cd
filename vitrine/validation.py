"""Which rows of a manifest can be used, and why the others cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vitrine.config import CatalogConfig, Frozen
from vitrine.errors import CatalogError
from vitrine.parsing import as_dates, as_numbers, as_text
from vitrine.reasons import Reason
from vitrine.schemas import MANIFEST, QUARANTINE, ROW

if TYPE_CHECKING:
    from vitrine.expectations import Finding

Mask = NDArray[np.bool_]


class Check(Frozen):
    """What came of one expectation, for a table in a report."""

    name: str
    column: str
    failed: int
    """Rows at fault, also those that another check has set aside already."""
    passed: bool


@dataclass(frozen=True)
class Validation:
    """A manifest parted in two: every row that came in is in one of them, in the catalog's order."""

    manifest: pa.Table
    """The rows that passed: `schemas.MANIFEST`, then the catalog's own columns."""
    quarantine: pa.Table
    """The others: `schemas.QUARANTINE`."""
    checks: tuple[Check, ...]


def validate(table: pa.Table, config: CatalogConfig, docs_dir: Path) -> Validation:
    """Check a manifest with Great Expectations and set the rows at fault aside.

    Of the rows with the same item and image, the first that has no other fault is kept.

    Args:
        table: n rows as `catalog.read_manifest` gives them.
        config: what the columns mean, and how many bad rows are too many.
        docs_dir: the folder that the Data Docs site is written to, even where the manifest is refused.

    Returns:
        The n rows, parted. In the manifest the label is a string, the date a date32 or a timestamp, and each target
        a float64, null where empty.

    Raises:
        CatalogError: more than `config.max_bad_fraction` of the rows are bad, or all of them.
    """
    # Great Expectations takes two seconds to import: whoever never validates need not wait for it.
    from vitrine.expectations import find_faults

    typed = _typed(table, config)
    findings = find_faults(table, typed, config, docs_dir)
    faults = _faults(table, findings)
    quarantine = _quarantine(table, findings, faults)
    _refuse_too_many(quarantine, table.num_rows, config)
    manifest = typed.filter(pa.array(~faults.any(axis=0)))
    schema = pa.schema([*MANIFEST, *list(typed.schema)[len(MANIFEST) :]])
    return Validation(
        manifest=pa.Table.from_arrays(manifest.columns, schema=schema),
        quarantine=quarantine,
        checks=tuple(_check(finding, fault) for finding, fault in zip(findings, faults, strict=True)),
    )


def _typed(table: pa.Table, config: CatalogConfig) -> pa.Table:
    """The same n rows with the label, the date and the targets parsed, null where that fails."""
    parsers = {target.column: as_numbers for target in config.targets}
    if config.label is not None:
        parsers[config.label] = as_text
    if config.date is not None:
        parsers[config.date] = as_dates
    for column, parse in parsers.items():
        table = table.set_column(table.schema.get_field_index(column), column, parse(table[column]))
    return table


def _faults(table: pa.Table, findings: Sequence[Finding]) -> Mask:
    """Which of n rows is at fault in which of k findings: k x n."""
    rows = table[ROW.name].to_numpy()
    faults = np.stack([np.isin(rows, finding.rows) for finding in findings])
    twins = np.array([finding.rule.reason is Reason.DUPLICATE_ROW for finding in findings])
    faults[twins] = _later_twins(table, twins=faults[twins].any(axis=0), bad=faults[~twins].any(axis=0))
    return faults


def _later_twins(table: pa.Table, twins: Mask, bad: Mask) -> Mask:
    """Of n rows, those among `twins` that come after the one to keep: the first of their kind that is not bad."""
    rows = table.select(MANIFEST.names).filter(pa.array(twins)).to_pandas()
    sound = rows[ROW.name].where(~bad[twins])
    kept = sound.groupby([rows["item_id"], rows["image"]]).transform("min")
    later = np.zeros_like(twins)
    later[twins] = rows[ROW.name] > kept
    return later


def _quarantine(table: pa.Table, findings: Sequence[Finding], faults: Mask) -> pa.Table:
    """The rows at fault, each with the reason of the first finding that names it."""
    bad = faults.any(axis=0)
    first = faults.argmax(axis=0)
    parts = [QUARANTINE.empty_table()]
    for index, finding in enumerate(findings):
        rows = table.filter(pa.array(bad & (first == index)))
        if rows.num_rows:
            values = as_text(rows[finding.rule.column])
            reasons = pa.array([finding.rule.reason] * rows.num_rows, pa.string())
            parts.append(
                pa.Table.from_arrays([*rows.select(MANIFEST.names).columns, reasons, values], schema=QUARANTINE)
            )
    return pa.concat_tables(parts).sort_by(ROW.name)


def _refuse_too_many(quarantine: pa.Table, rows_in: int, config: CatalogConfig) -> None:
    bad = quarantine.num_rows
    counts = Counter(quarantine["reason"].to_pylist())
    reasons = ", ".join(f"{reason} {count}" for reason, count in counts.most_common())
    if bad > config.max_bad_fraction * rows_in:
        raise CatalogError(
            f"{config.path}: {bad} of {rows_in} rows are bad, more than max_bad_fraction={config.max_bad_fraction:g} "
            f"allows ({reasons}). Mend the manifest, or raise --max-bad-fraction"
        )
    if bad == rows_in:
        raise CatalogError(f"{config.path}: none of {rows_in} rows can be used ({reasons}). Mend the manifest")


def _check(finding: Finding, fault: Mask) -> Check:
    failed = int(fault.sum())
    # An expectation about no row has only its own word; of twins, those that are kept are not at fault.
    passed = finding.passed if finding.rule.reason is None else not failed
    return Check(name=finding.rule.name, column=finding.rule.column, failed=failed, passed=passed)
