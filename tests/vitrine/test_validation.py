import datetime
import itertools
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vitrine import expectations
from vitrine.catalog import read_manifest
from vitrine.config import CatalogConfig, Target
from vitrine.errors import CatalogError
from vitrine.reasons import MEANING, Reason, Stage
from vitrine.schemas import MANIFEST, QUARANTINE
from vitrine.validation import Validation, validate

SAMPLE = Path(__file__).parents[2] / "sample_catalog" / "catalog.csv"

GOOD = ("7", "a.jpg", "chair", "12.5", "3", "2024-05-31")
"""A row of the columns item_id, image, kind, price, cm, day with no fault."""


def config(path: str = "shop/catalog.csv", **options: object) -> CatalogConfig:
    """Every column has a role, `cm` lies in 1..300, and any share of bad rows will do."""
    roles = {
        "label": "kind",
        "date": "day",
        "targets": [{"column": "price"}, {"column": "cm", "minimum": 1, "maximum": 300}],
        "max_bad_fraction": 1,
    }
    return CatalogConfig.model_validate({"path": path, **roles, **options})


def manifest(*rows: tuple[str | None, ...]) -> pa.Table:
    """Rows as `read_manifest` gives those of a CSV file."""
    columns = dict(zip(("item_id", "image", "kind", "price", "cm", "day"), zip(*rows, strict=True), strict=True))
    arrays = {name: pa.chunked_array([pa.array(values, pa.string())]) for name, values in columns.items()}
    numbers = pa.chunked_array([pa.array(range(1, len(rows) + 1), pa.int64())])
    return pa.table({"catalog_row": numbers, **arrays})


def but(**changes: str | None) -> tuple[str | None, ...]:
    """The good row with some other values."""
    row = dict(zip(("item_id", "image", "kind", "price", "cm", "day"), GOOD, strict=True))
    return tuple({**row, **changes}.values())


def verdicts(result: Validation) -> list[tuple[int, str, str | None]]:
    """Row, reason and value of every row in quarantine."""
    return [(row["catalog_row"], row["reason"], row["value"]) for row in result.quarantine.to_pylist()]


def test_good_rows_are_typed(tmp_path: Path) -> None:
    result = validate(manifest(GOOD, but(image="é.jpg", kind=None, price=None, cm="1")), config(), tmp_path)
    kinds = [pa.string(), pa.float64(), pa.float64(), pa.date32()]
    own = [pa.field(name, kind) for name, kind in zip(("kind", "price", "cm", "day"), kinds, strict=True)]
    assert result.manifest.schema == pa.schema([*MANIFEST, *own])
    day = datetime.date(2024, 5, 31)
    assert [tuple(row.values()) for row in result.manifest.to_pylist()] == [
        (1, "7", "a.jpg", "chair", 12.5, 3.0, day),
        (2, "7", "é.jpg", None, None, 1.0, day),
    ]
    assert result.quarantine.equals(QUARANTINE.empty_table())
    assert all(check.passed and not check.failed for check in result.checks)


@pytest.mark.parametrize(
    ("changes", "reason", "value"),
    [
        ({"item_id": None}, Reason.NULL_ITEM_ID, None),
        ({"image": None}, Reason.NULL_IMAGE, None),
        ({}, Reason.DUPLICATE_ROW, "a.jpg"),
        ({"image": "JavaScript:alert(1)"}, Reason.SCHEME_NOT_ALLOWED, "JavaScript:alert(1)"),
        ({"image": "data:image/png;base64,AA"}, Reason.SCHEME_NOT_ALLOWED, "data:image/png;base64,AA"),
        ({"image": "s3://bucket/a.jpg"}, Reason.SCHEME_NOT_ALLOWED, "s3://bucket/a.jpg"),
        ({"image": "b.jpg", "price": "12,5 €"}, Reason.TARGET_NOT_A_NUMBER, "12,5 €"),
        ({"image": "b.jpg", "cm": "nan"}, Reason.TARGET_NOT_A_NUMBER, "nan"),
        ({"image": "b.jpg", "cm": "300.5"}, Reason.TARGET_OUT_OF_RANGE, "300.5"),
        ({"image": "b.jpg", "cm": "0"}, Reason.TARGET_OUT_OF_RANGE, "0"),
        ({"image": "b.jpg", "day": None}, Reason.BAD_DATE, None),
        ({"image": "b.jpg", "day": "31.05.2024"}, Reason.BAD_DATE, "31.05.2024"),
    ],
)
def test_every_reason(tmp_path: Path, changes: dict[str, str | None], reason: Reason, value: str | None) -> None:
    result = validate(manifest(GOOD, but(**changes)), config(), tmp_path)
    assert verdicts(result) == [(2, reason, value)]
    assert result.manifest["catalog_row"].to_pylist() == [1]
    failed = [check for check in result.checks if not check.passed]
    assert [check.failed for check in failed] == [1]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"item_id": None, "image": None}, Reason.NULL_ITEM_ID),
        ({"image": None, "price": "much"}, Reason.NULL_IMAGE),
        ({"price": "much"}, Reason.DUPLICATE_ROW),
        ({"image": "ftp://b", "price": "much"}, Reason.SCHEME_NOT_ALLOWED),
        ({"image": "b.jpg", "price": "much", "cm": "-1"}, Reason.TARGET_NOT_A_NUMBER),
        ({"image": "b.jpg", "cm": "-1", "day": "soon"}, Reason.TARGET_OUT_OF_RANGE),
    ],
)
def test_of_several_reasons_the_first_counts(tmp_path: Path, changes: dict[str, str | None], reason: Reason) -> None:
    result = validate(manifest(GOOD, but(**changes)), config(), tmp_path)
    assert [row[:2] for row in verdicts(result)] == [(2, reason)]
    assert sum(not check.passed for check in result.checks) == 2


def test_reasons_stand_in_one_order() -> None:
    order = [rule.reason for rule in expectations._rules(config()) if rule.reason is not None]
    assert order == sorted(order, key=list(Reason).index)
    assert set(order) == {reason for reason, (stage, _) in MEANING.items() if stage is Stage.VALIDATE}


def test_of_twins_the_first_is_kept(tmp_path: Path) -> None:
    result = validate(manifest(GOOD, but(image="b.jpg"), but(kind="sofa"), GOOD), config(), tmp_path)
    assert result.manifest["catalog_row"].to_pylist() == [1, 2]
    assert verdicts(result) == [(3, "duplicate_row", "a.jpg"), (4, "duplicate_row", "a.jpg")]


def test_of_twins_the_first_without_a_fault_is_kept(tmp_path: Path) -> None:
    result = validate(manifest(but(day="soon"), GOOD, but(day="soon")), config(), tmp_path)
    assert result.manifest["catalog_row"].to_pylist() == [2]
    assert verdicts(result) == [(1, "bad_date", "soon"), (3, "duplicate_row", "a.jpg")]


def test_twins_that_are_all_at_fault_keep_their_own_reasons(tmp_path: Path) -> None:
    result = validate(manifest(but(day="soon"), but(price="much"), but(item_id="8")), config(), tmp_path)
    assert verdicts(result) == [(1, "bad_date", "soon"), (2, "target_not_a_number", "much")]


def test_rows_without_an_item_are_no_twins(tmp_path: Path) -> None:
    result = validate(manifest(GOOD, but(item_id=None), but(item_id=None)), config(), tmp_path)
    assert [reason for _, reason, _ in verdicts(result)] == ["null_item_id", "null_item_id"]


@pytest.mark.parametrize(
    "image",
    [
        "a.jpg",
        "C:\\x.jpg",
        "C:/x.jpg",
        "/x.jpg",
        "//cdn/x.jpg",
        "a b: c.jpg",
        "é:x.jpg",
        "HTTPS://x/a.jpg",
        "file:///x",
    ],
)
def test_paths_and_allowed_schemes_pass(tmp_path: Path, image: str) -> None:
    assert validate(manifest(but(image=image)), config(), tmp_path).quarantine.num_rows == 0


def test_allowed_schemes_are_the_configuration_s(tmp_path: Path) -> None:
    rows = manifest(but(image="s3://bucket/a.jpg"), but(image="http://x/a.jpg"))
    result = validate(rows, config(allowed_schemes=["S3"]), tmp_path)
    assert verdicts(result) == [(2, "scheme_not_allowed", "http://x/a.jpg")]


def test_every_row_is_accounted_for(tmp_path: Path) -> None:
    items, images, days = ("7", "8", None), ("a.jpg", "b.jpg", "ftp://c", None), ("2024-05-31", "soon", None)
    rows = [but(item_id=row[0], image=row[1], day=row[2]) for row in itertools.product(items, images, days)]
    table = manifest(*rows, *rows)
    result = validate(table, config(), tmp_path)
    kept, others = (part["catalog_row"].to_pylist() for part in (result.manifest, result.quarantine))
    assert kept == [1, 4, 13, 16]
    assert others == sorted(others)
    assert sorted(kept + others) == table["catalog_row"].to_pylist()


def test_sample_catalog(tmp_path: Path) -> None:
    sample = CatalogConfig(
        path=str(SAMPLE),
        label="product_type",
        date="listed_on",
        targets=(Target(column="height_cm", minimum=0),),
        max_bad_fraction=0,
    )
    result = validate(read_manifest(sample), sample, tmp_path)
    assert (result.manifest.num_rows, result.quarantine.num_rows) == (1504, 0)
    assert result.manifest.schema.field("height_cm").type == pa.float64()
    assert result.manifest.schema.field("listed_on").type == pa.date32()
    assert {"name", "room", "source"} < set(result.manifest.column_names)


def test_columns_of_real_types(tmp_path: Path) -> None:
    path = tmp_path / "catalog.parquet"
    table = pa.table(
        {
            "item_id": [7, 7, 8],
            "image": ["a.jpg", "b.jpg", "a.jpg"],
            "kind": [1, 2, None],
            "price": [1.5, float("nan"), None],
            "cm": [3, 4, 500],
            "day": [datetime.datetime(2024, 5, 31, 10), None, datetime.datetime(2024, 6, 1)],
        }
    )
    pq.write_table(table, path)
    options = config(str(path))
    result = validate(read_manifest(options), options, tmp_path / "docs")
    assert verdicts(result) == [(2, "target_not_a_number", "nan"), (3, "target_out_of_range", "500")]
    assert result.manifest.drop_columns("catalog_row").to_pylist() == [
        {
            "item_id": "7",
            "image": "a.jpg",
            "kind": "1",
            "price": 1.5,
            "cm": 3.0,
            "day": datetime.datetime(2024, 5, 31, 10),
        }
    ]


def test_no_roles_no_checks_of_them(tmp_path: Path) -> None:
    plain = CatalogConfig(path="shop/catalog.csv")
    result = validate(manifest(but(price="much", cm="x", day=None)), plain, tmp_path)
    assert result.manifest["price"].to_pylist() == ["much"]
    assert len(result.checks) == 5


def test_too_many_bad_rows(tmp_path: Path) -> None:
    rows = [GOOD, but(image="b.jpg"), GOOD, but(image=None), but(item_id="8", image=None)]
    with pytest.raises(CatalogError) as raised:
        validate(manifest(*rows), config(max_bad_fraction=0.5), tmp_path)
    assert str(raised.value) == (
        "shop/catalog.csv: 3 of 5 rows are bad, more than max_bad_fraction=0.5 allows (null_image 2, duplicate_row 1). "
        "Mend the manifest, or raise --max-bad-fraction"
    )
    assert (tmp_path / "index.html").is_file()


def test_as_many_bad_rows_as_allowed(tmp_path: Path) -> None:
    result = validate(manifest(GOOD, but(image=None)), config(max_bad_fraction=0.5), tmp_path)
    assert result.quarantine.num_rows == 1


def test_no_good_row(tmp_path: Path) -> None:
    with pytest.raises(CatalogError) as raised:
        validate(manifest(but(image=None), but(day=None)), config(), tmp_path)
    assert str(raised.value) == (
        "shop/catalog.csv: none of 2 rows can be used (null_image 1, bad_date 1). Mend the manifest"
    )


def test_checks_count_every_row_at_fault(tmp_path: Path) -> None:
    rows = [GOOD, but(image=None, day=None), but(image="b.jpg", day="soon"), GOOD]
    result = validate(manifest(*rows), config(), tmp_path)
    assert [(check.name, check.column, check.failed, check.passed) for check in result.checks] == [
        ("every column that is asked for is there", "item_id, image, kind, day, price, cm", 0, True),
        ("item_id is not empty", "item_id", 0, True),
        ("image is not empty", "image", 1, False),
        ("no item has the same image twice", "image", 1, False),
        ("image is a path, or a URL with one of the schemes http, https, file", "image", 0, True),
        ("price is a finite number or empty", "price", 0, True),
        ("cm is a finite number or empty", "cm", 0, True),
        ("cm is at least 1 and at most 300", "cm", 0, True),
        ("day is an ISO date or timestamp", "day", 2, False),
    ]


def validation_page(docs_dir: Path) -> str:
    (page,) = docs_dir.glob("validations/**/*.html")
    return page.read_text(encoding="utf-8")


def test_data_docs_tell_of_the_rows_at_fault(tmp_path: Path) -> None:
    rows = [but(image=f"{number}.jpg") for number in range(40)]
    validate(manifest(*rows, but(day="last Жuesday")), config(), tmp_path)
    index = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "validations/manifest/shop/" in index
    page = validation_page(tmp_path)
    assert "day is an ISO date or timestamp" in page
    assert "last Жuesday" in page
    assert ">41<" in page.replace(" ", "").replace("\n", "")
    assert "Failed" in page


def test_data_docs_hold_no_markup_of_the_catalog_s(tmp_path: Path) -> None:
    evil = "<script>alert('$1')</script>"
    table = manifest(GOOD, but(day=evil), but(image="b.jpg", price=evil), but(image="x:" + evil))
    table = table.rename_columns({"price": "<b>price</b> $"})
    options = config(targets=[{"column": "<b>price</b> $", "minimum": 20}], allowed_schemes=["<i>"])
    with pytest.raises(CatalogError, match="none of 4 rows"):
        validate(table, options, tmp_path)
    page = validation_page(tmp_path)
    assert "alert(" in page
    assert "<script>alert(" not in page
    assert "&lt;b&gt;price" in page
    assert "<b>price" not in page
    assert "<i>" not in page.split("<body")[1].split("Table of Contents")[1].split("<script")[0]


def test_a_check_that_breaks_is_not_taken_for_one_that_finds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = expectations._frame
    monkeypatch.setattr(expectations, "_frame", lambda *tables: whole(*tables).drop(columns="day (not a date)"))
    with pytest.raises(RuntimeError, match="could not check that day is an ISO date"):
        validate(manifest(GOOD), config(), tmp_path)


def test_nothing_is_printed_or_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.chdir(tmp_path / "here")
    validate(manifest(GOOD, but(day=None)), config(), Path("docs"))
    assert list((tmp_path / "tmp").iterdir()) == []
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["docs"]
    assert capfd.readouterr() == ("", "")


def test_threads_do_not_mix_their_catalogs(tmp_path: Path) -> None:
    def pages_and_values(number: int) -> tuple[str, str | None]:
        rows = [but(image=f"{row}.jpg", day=f"soon{number}" if row == number else "2024-05-31") for row in range(9)]
        result = validate(manifest(*rows), config(), tmp_path / str(number))
        return validation_page(tmp_path / str(number)), result.quarantine["value"].to_pylist()[0]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(pages_and_values, range(6)))
    assert [value for _, value in results] == [f"soon{number}" for number in range(6)]
    assert [set(re.findall(r"soon\d", page)) for page, _ in results] == [{f"soon{number}"} for number in range(6)]


def test_great_expectations_is_imported_only_when_needed() -> None:
    program = "import sys, vitrine.validation; sys.exit('great_expectations' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])
    assert os.environ["GX_ANALYTICS_ENABLED"] == "false"
