"""The command line's own manners: help, usage errors, listings."""

import json
from pathlib import Path

import pytest

from tests.catalogs import Vitrine


def test_help_teaches(vitrine: Vitrine) -> None:
    assert {"run", "search", "encoders"} <= set(vitrine("--help").stdout.split())
    assert "Examples" in vitrine("run", "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "Missing argument"),
        (["run", "no-such.csv"], "no such file"),
        (["run", "pyproject.toml", "--pca", "1.5"], "neither a number of components"),
        (["run", "pyproject.toml", "--pca", "0"], "neither a number of components"),
        (["run", "pyproject.toml", "--clusters", "0"], "greater than or equal to 1"),
        (["run", "pyproject.toml", "--column", "picture=url"], "ROLE=COLUMN"),
        (["run", "pyproject.toml", "--target", "price:low:high"], "is not a number"),
        (["run", "pyproject.toml", "--metric", "manhattan"], "manhattan"),
        (["search", "no-such.jpg"], "does not exist"),
        (["paint"], "No such command"),
    ],
)
def test_wrong_usage_exits_with_2(vitrine: Vitrine, arguments: list[str], message: str) -> None:
    run = vitrine(*arguments)
    assert run.returncode == 2
    assert message in " ".join(run.stderr.replace("│", " ").split())
    assert run.stdout == ""


def test_search_without_a_run_says_how_to_make_one(vitrine: Vitrine, tmp_path: Path) -> None:
    found = vitrine("search", "sample_catalog/images/SH0000_0.jpg", "--store", tmp_path)
    assert found.returncode == 1
    assert "vitrine run CATALOG" in found.stderr
    assert "Traceback" not in found.stderr


def test_encoders_are_listed(vitrine: Vitrine) -> None:
    names = {entry["name"] for entry in json.loads(vitrine("encoders", "--json").stdout)}
    assert {"efficientnet_lite0", "mobilenet_v2", "shufflenet_v2_x1_0", "resnet50", "efficientnet_b3"} <= names
    assert "Apache-2.0" in vitrine("encoders").stdout
