"""Catalogs for tests, and the command that is run on them."""

import csv
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
Vitrine = Callable[..., subprocess.CompletedProcess[str]]


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_catalog(folder: Path, rows: Sequence[dict[str, str]]) -> Path:
    path = folder / "catalog.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path
