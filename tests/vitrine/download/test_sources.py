"""Sources: what an image string names, and when its file has changed."""

import os
from pathlib import Path

import pytest

from vitrine.download.sources import is_http, local_path, local_root, local_state, scheme_of, source_state
from vitrine.errors import ImageError
from vitrine.reasons import Reason


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "catalog"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "a b.jpg").write_bytes(b"a")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    return local_root(str(folder))


def reason_of(image, root):
    with pytest.raises(ImageError) as raised:
        local_path(image, root)
    return raised.value.reason


@pytest.mark.parametrize(
    ("image", "scheme"),
    [
        ("http://shop/a.jpg", "http"),
        ("HTTPS://shop/a.jpg", "https"),
        ("s3://bucket/a.jpg", "s3"),
        ("file:///a.jpg", "file"),
        ("images/a.jpg", None),
        ("a:b.jpg", None),
        ("http.jpg", None),
    ],
)
def test_scheme(image, scheme):
    assert scheme_of(image) == scheme
    assert is_http(image) == (scheme in ("http", "https"))


class TestLocalRoot:
    def test_folder(self, tmp_path):
        assert local_root(str(tmp_path)) == tmp_path.resolve()
        assert local_root((tmp_path / "a b").as_uri()) == tmp_path.resolve() / "a b"

    def test_relative_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert local_root("") == local_root(".") == tmp_path.resolve()

    @pytest.mark.parametrize("base", ["s3://bucket/catalogs", "https://shop/catalogs", "memory://catalogs"])
    def test_elsewhere(self, base):
        assert local_root(base) is None


class TestLocalPath:
    def test_inside(self, root):
        expected = root / "images" / "a b.jpg"
        inside = ["images/a b.jpg", "./images/../images/a b.jpg", str(expected), expected.as_uri()]
        inside.append(expected.as_uri().replace("file://", "file://localhost"))
        for image in inside:
            assert local_path(image, root) == expected

    def test_need_not_be_there(self, root):
        assert local_path("images/none.jpg", root) == root / "images" / "none.jpg"

    def test_outside(self, root):
        outside = root.parent / "secret.jpg"
        images = ["../secret.jpg", "images/../../secret.jpg", str(outside), outside.as_uri(), "file:///..%2fetc/passwd"]
        images += [f"file://elsewhere{root}/images/a.jpg", f"{root}-twin/a.jpg"]
        assert [reason_of(image, root) for image in images] == [Reason.OUTSIDE_ROOT] * len(images)

    def test_links(self, root):
        (root / "out.jpg").symlink_to(root.parent / "secret.jpg")
        (root / "folder").symlink_to(root.parent)
        (root / "in.jpg").symlink_to("images/a b.jpg")
        assert reason_of("out.jpg", root) == Reason.OUTSIDE_ROOT
        assert reason_of("folder/secret.jpg", root) == Reason.OUTSIDE_ROOT
        assert local_path("in.jpg", root) == root / "images" / "a b.jpg"

    def test_a_catalog_folder_that_is_a_link(self, root):
        link = root.parent / "link"
        link.symlink_to(root)
        assert local_path("images/a b.jpg", local_root(str(link))) == root / "images" / "a b.jpg"

    def test_no_path_at_all(self, root):
        (root / "loop").symlink_to("loop")
        for image in ("nul\x00.jpg", "loop", "file://[", "file:///%00"):
            assert reason_of(image, root) in (Reason.NOT_FOUND, Reason.OUTSIDE_ROOT)

    def test_other_schemes(self, root):
        assert reason_of("ftp://host/a.jpg", root) == Reason.SCHEME_NOT_ALLOWED

    def test_no_local_disk(self):
        assert reason_of("images/a.jpg", None) == Reason.OUTSIDE_ROOT


def test_local_state(root):
    stat = (root / "images" / "a b.jpg").stat()
    assert local_state("images/a b.jpg", root) == f"1-{stat.st_mtime_ns}"
    assert local_state("none.jpg", root) == local_state("../secret.jpg", root) == "missing"
    assert local_state("x" * 5000, root) == "missing"


class TestSourceState:
    IMAGES = ("images/a b.jpg", "none.jpg", "../secret.jpg", "http://shop/a.jpg")

    def test_is_stable(self, root):
        assert source_state(self.IMAGES, str(root)) == source_state(iter(self.IMAGES), str(root))

    def test_sees_every_change(self, root):
        path: Path = root / "images" / "a b.jpg"
        states = [source_state(self.IMAGES, str(root))]
        os.utime(path, ns=(0, 12345))
        states.append(source_state(self.IMAGES, str(root)))
        path.write_bytes(b"bb")
        os.utime(path, ns=(0, 12345))
        states.append(source_state(self.IMAGES, str(root)))
        path.unlink()
        states.append(source_state(self.IMAGES, str(root)))
        (root / "none.jpg").write_bytes(b"here")
        states.append(source_state(self.IMAGES, str(root)))
        states.append(source_state((*self.IMAGES[:3], "http://shop/b.jpg"), str(root)))
        assert len(set(states)) == len(states)

    def test_knows_only_the_text_of_urls(self, root):
        urls = ["http://127.0.0.1:9/a.jpg"]
        assert source_state(urls, str(root)) == source_state(urls, "s3://bucket")

    def test_is_blind_to_what_lies_outside(self, root):
        before = source_state(["../secret.jpg"], str(root))
        (root.parent / "secret.jpg").write_bytes(b"another secret")
        assert source_state(["../secret.jpg"], str(root)) == before
