import gzip
import hashlib
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vitrine.catalog import catalog_base, catalog_digest, catalog_name, read_manifest
from vitrine.config import CatalogConfig, Target
from vitrine.errors import CatalogError

SAMPLE = Path(__file__).parents[2] / "sample_catalog" / "catalog.csv"

ROWS = [
    {"catalog_row": 1, "item_id": "7", "image": "a.jpg", "name": "Stuhl"},
    {"catalog_row": 2, "item_id": "7", "image": "b.jpg", "name": "椅子"},
    {"catalog_row": 3, "item_id": None, "image": None, "name": None},
]
CSV = "item_id,image,name\n7, a.jpg ,Stuhl\n7,b.jpg,椅子\n  ,,\n".encode()
TABLE = pa.table({"item_id": [7, 7, None], "image": ["a.jpg", "b.jpg", " "], "name": ["Stuhl", "椅子", None]})


def written(folder: Path, data: bytes | str, name: str = "catalog.csv") -> str:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return str(path)


def refusal(config: CatalogConfig) -> str:
    """The message that `read_manifest` refuses a manifest with."""
    with pytest.raises(CatalogError) as raised:
        read_manifest(config)
    message = str(raised.value)
    assert message.startswith(f"{config.path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{config.path}: ")


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".CSV", ".parquet", ".pq", ".jsonl", ".ndjson"])
def test_every_format_gives_the_same_rows(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"catalog{ending}"
    match ending.lower():
        case ".csv":
            path.write_bytes(CSV)
        case ".csv.gz":
            path.write_bytes(gzip.compress(CSV))
        case ".parquet" | ".pq":
            pq.write_table(TABLE, path)
        case _:
            TABLE.to_pandas().to_json(path, orient="records", lines=True, force_ascii=False)
    table = read_manifest(CatalogConfig(path=str(path)))
    assert table.to_pylist() == ROWS
    assert table.schema.types[:3] == [pa.int64(), pa.string(), pa.string()]


def test_sample_catalog() -> None:
    table = read_manifest(CatalogConfig(path=str(SAMPLE), label="product_type", date="listed_on"))
    assert table.num_rows == 1504
    assert table.column_names[:4] == ["catalog_row", "item_id", "image", "name"]
    assert table["catalog_row"].to_pylist() == list(range(1, 1505))
    assert table["image"].null_count == 0


def test_a_manifest_at_a_url() -> None:
    with fsspec.open("memory://shop/catalog.csv", "wb") as file:
        file.write(CSV)
    config = CatalogConfig(path="memory://shop/catalog.csv")
    assert read_manifest(config).to_pylist() == ROWS
    assert catalog_digest(config) == hashlib.sha256(CSV).hexdigest()


def test_mapped_columns_win_over_columns_of_that_name(tmp_path: Path) -> None:
    path = written(tmp_path, "image,sku,url,item_id,name\nold.jpg,7,new.jpg,old,Stuhl\n")
    table = read_manifest(CatalogConfig(path=path, item_column="sku", image_column="url"))
    assert table.to_pylist() == [{"catalog_row": 1, "item_id": "7", "image": "new.jpg", "name": "Stuhl"}]


def test_one_column_may_be_both_item_and_image(tmp_path: Path) -> None:
    path = written(tmp_path, "url\na.jpg\n")
    table = read_manifest(CatalogConfig(path=path, item_column="url", image_column="url"))
    assert table.to_pylist() == [{"catalog_row": 1, "item_id": "a.jpg", "image": "a.jpg"}]


def test_other_columns_stay_as_they_came(tmp_path: Path) -> None:
    columns = {"price": pa.array([1.5], pa.float32()), "tags": pa.array([["a", "b"]]), "raw": pa.array([b"\xff"])}
    pq.write_table(pa.table({"item_id": ["7"], "image": ["a.jpg"], **columns}), tmp_path / "catalog.parquet")
    table = read_manifest(CatalogConfig(path=str(tmp_path / "catalog.parquet")))
    assert table.select(list(columns)).equals(pa.table(columns))


@pytest.mark.parametrize(
    ("header", "options", "message"),
    [
        ("item_id,url", {}, "column 'image' is missing (found: item_id, url). Map it with --column image=url"),
        ("sku,image", {}, "column 'item_id' is missing (found: sku, image). Map it with --column item_id=sku"),
        ("x,image", {}, "column 'item_id' is missing (found: x, image). Map it with --column item_id=NAME"),
        (
            "item_id,image",
            {"image_column": "url"},
            "column 'url' is missing (found: item_id, image). Map it with --column image=NAME",
        ),
        (
            "item_id,image",
            {"label": "kind"},
            "column 'kind' is missing (found: item_id, image). Name another with --label",
        ),
        (
            "item_id,image",
            {"date": "day"},
            "column 'day' is missing (found: item_id, image). Map it with --column date=NAME",
        ),
        (
            "item_id,image",
            {"targets": (Target(column="cm"),)},
            "column 'cm' is missing (found: item_id, image). Name another with --target",
        ),
        (
            "item_id,image,cm",
            {"label": "cm", "targets": (Target(column="cm"),)},
            "column 'cm' is used twice. Name another with --target",
        ),
        ("item_id,image", {"label": "item_id"}, "column 'item_id' is used twice. Name another with --label"),
        (
            "sku,image",
            {"item_column": "sku", "date": "sku"},
            "column 'sku' is used twice. Map it with --column date=NAME",
        ),
        ("item_id,image,catalog_row", {}, "column 'catalog_row' has the name of Vitrine's own row number. Rename it"),
        ("item_id,image,image", {}, "2 columns are named 'image'. Rename all but one"),
    ],
)
def test_columns_that_cannot_be_used(tmp_path: Path, header: str, options: dict[str, object], message: str) -> None:
    path = written(tmp_path, f"{header}\n{','.join('x' for _ in header.split(','))}\n")
    assert refusal(CatalogConfig.model_validate({"path": path, **options})) == message


@pytest.mark.parametrize(
    "options", [{"item_column": "tags"}, {"image_column": "tags"}, {"label": "tags"}, {"targets": [{"column": "tags"}]}]
)
def test_columns_of_lists_cannot_be_used(tmp_path: Path, options: dict[str, object]) -> None:
    path = tmp_path / "catalog.parquet"
    pq.write_table(pa.table({"item_id": ["7"], "image": ["a.jpg"], "tags": [["a"]]}), path)
    message = refusal(CatalogConfig.model_validate({"path": str(path), **options}))
    assert message.startswith("column 'tags' holds list<")
    assert message.endswith(". Write it as text, numbers or dates")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("catalog.csv", b"item_id,image\n", "has no rows. Give a manifest with a row per image"),
        ("catalog.csv", b"", "is empty. Give a manifest with a row per image"),
        ("catalog.csv", b"item_id,image\n7,a.jpg,\n", "line 2 has 3 fields where the header has 2. "),
        ("catalog.csv", b"item_id,image\n7,\xe9.jpg\n", "line 2 is not UTF-8. "),
        ("catalog.jsonl", b'{"item_id": 7, "image": "a.jpg"}\n{\n', "line 2 is not JSON: "),
        ("catalog.parquet", b"item_id,image\n", "is not a Parquet file"),
        (
            "catalog.xlsx",
            b"PK",
            "has an ending that Vitrine does not know. Give one of .csv, .csv.gz, .parquet, .pq, .jsonl, .ndjson",
        ),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    assert refusal(CatalogConfig(path=written(tmp_path, data, name))).startswith(message)


def test_no_such_file(tmp_path: Path) -> None:
    config = CatalogConfig(path=str(tmp_path / "catalog.csv"))
    assert refusal(config) == "there is no such file. Check the manifest's path"
    with pytest.raises(CatalogError, match="there is no such file"):
        catalog_digest(config)


@pytest.mark.parametrize("name", ["photos", "catalog.csv"])
def test_a_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert refusal(CatalogConfig(path=str(tmp_path / name))).startswith("is a folder. Give the manifest in it, one of ")


def test_an_unknown_protocol() -> None:
    assert refusal(CatalogConfig(path="gopher://shop/catalog.csv")).startswith("cannot be read: Protocol not known")


def test_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    data = gzip.compress(CSV)
    config = CatalogConfig(path=written(tmp_path, data, "catalog.csv.gz"))
    assert catalog_digest(config) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("/data/shop/catalog.csv", "/data/shop"),
        ("file:///data/shop/catalog.csv", "/data/shop"),
        ("s3://bucket/shop/catalog.parquet", "s3://bucket/shop"),
        ("https://example.com/shop/catalog.csv?key=a/b#top", "https://example.com/shop"),
    ],
)
def test_base(path: str, base: str) -> None:
    assert catalog_base(path) == base


def test_base_of_a_relative_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert catalog_base("shop/catalog.csv") == str(tmp_path / "shop")
    assert catalog_base("catalog.csv") == str(tmp_path)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("sample_catalog/catalog.csv", "sample_catalog"),
        ("/data/shop/Manifest.csv.gz", "shop"),
        ("/data/shop/shoes 2024.parquet", "shoes-2024"),
        ("/data/каталог.jsonl", "каталог"),
        ("s3://bucket/items.ndjson", "bucket"),
        ("https://example.com/shop/catalog.csv?key=a/b.csv", "shop"),
        ("/catalog.csv", "catalog"),
        ("/data/***.csv", "catalog"),
        (f"/data/{'x' * 100}.csv", "x" * 40),
    ],
)
def test_name(path: str, name: str) -> None:
    assert catalog_name(path) == name
