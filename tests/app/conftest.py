"""The command line, run as a user runs it: a process of its own, with embedded defaults."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.catalogs import ROOT, Vitrine, read_rows, write_catalog


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """No setting of the one who runs the tests, and a home of their own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "MLFLOW"))}
    return kept | {"HOME": str(tmp_path_factory.mktemp("home"))}


@pytest.fixture(scope="session")
def vitrine_command() -> list[str]:
    return [str(Path(sys.executable).with_name("vitrine"))]


@pytest.fixture(scope="session")
def vitrine(environment: dict[str, str], vitrine_command: list[str]) -> Vitrine:
    def run(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        command = vitrine_command + [str(argument) for argument in arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=600)

    return run


@pytest.fixture(scope="session")
def sample_rows() -> list[dict[str, str]]:
    return read_rows(ROOT / "sample_catalog" / "catalog.csv")


@pytest.fixture
def small_catalog(tmp_path: Path, sample_rows: list[dict[str, str]]) -> Path:
    """Twelve items of three product types, four images each, in a folder of their own."""
    chosen = []
    for kind in ("chair", "plant", "tableware"):
        items = sorted({row["item_id"] for row in sample_rows if row["product_type"] == kind})[:4]
        chosen += [row for row in sample_rows if row["item_id"] in items]
    folder = tmp_path / "small"
    (folder / "images").mkdir(parents=True)
    for row in chosen:
        (folder / row["image"]).write_bytes((ROOT / "sample_catalog" / row["image"]).read_bytes())
    return write_catalog(folder, chosen)
