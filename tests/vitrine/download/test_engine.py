"""The download: real files, a real server, a real store."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from vitrine.config import DownloadConfig
from vitrine.download import engine, remote
from vitrine.download.engine import download_images
from vitrine.errors import StoreError
from vitrine.reasons import Reason
from vitrine.schemas import DOWNLOADS
from vitrine.store import Store, digest_of, image_name

KILLED_AT_ITS_SECOND_CHECKPOINT = """
import os, signal, sys
from vitrine.config import DownloadConfig
from vitrine.download import engine
from vitrine.store import Store

def write(table):
    store.write_table("ledger.parquet", table)
    if table.num_rows >= 20:
        os.kill(os.getpid(), signal.SIGKILL)

engine.CHECKPOINT_ROWS = 10
store, base, images = Store(sys.argv[1]), sys.argv[2], sys.argv[3:]
engine.download_images(store, images, base, None, DownloadConfig(concurrency=4), lambda _: None, write)
"""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(remote, "BACKOFF_SECONDS", 0.01)


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


@pytest.fixture
def catalog(tmp_path):
    folder = tmp_path / "catalog"
    folder.mkdir()
    return folder


@pytest.fixture
def download(store, catalog):
    def call(images, previous=None, on_progress=lambda _: None, on_checkpoint=lambda _: None, **config):
        return download_images(
            store, images, str(catalog), previous, DownloadConfig(**config), on_progress, on_checkpoint
        )

    return call


def rows_of(table):
    assert table.schema == DOWNLOADS
    return table.to_pylist()


def one(table):
    (row,) = rows_of(table)
    return row


class TestHttp:
    def test_an_image(self, download, server, store, make_jpeg):
        url = server.url("/image/a")
        row = one(download([url]))
        data = make_jpeg("a")
        assert row["image"] == url
        assert (row["status"], row["reason"], row["detail"]) == ("ok", None, None)
        assert (row["http_status"], row["attempts"], row["bytes"]) == (200, 1, len(data))
        assert (row["format"], row["width"], row["height"]) == ("jpeg", 9, 7)
        assert (row["etag"], row["last_modified"]) == ('"v1"', "Tue, 01 Jul 2025 10:00:00 GMT")
        assert row["sha256"] == digest_of(data)
        assert store.read_image(row["sha256"]) == data
        assert 0 < row["seconds"] < 10
        assert row["fetched_at"].timestamp() == pytest.approx(time.time(), abs=60)

    @pytest.mark.parametrize(
        ("code", "reason", "attempts"),
        [
            (401, Reason.HTTP_ERROR, 1),
            (403, Reason.HTTP_ERROR, 1),
            (404, Reason.NOT_FOUND, 1),
            (410, Reason.NOT_FOUND, 1),
            (408, Reason.HTTP_ERROR, 3),
            (425, Reason.HTTP_ERROR, 3),
            (429, Reason.HTTP_ERROR, 3),
            (500, Reason.HTTP_ERROR, 3),
            (503, Reason.HTTP_ERROR, 3),
        ],
    )
    def test_error_statuses(self, download, server, code, reason, attempts):
        row = one(download([server.url(f"/status/{code}")]))
        assert (row["status"], row["reason"], row["http_status"]) == ("failed", reason, code)
        assert row["attempts"] == server.hits[f"/status/{code}"] == attempts
        assert row["detail"].startswith(f"HTTP {code}")
        assert row["sha256"] is None

    def test_a_server_that_recovers(self, download, server):
        row = one(download([server.url("/once/500/-")]))
        assert (row["status"], row["http_status"], row["attempts"]) == ("ok", 200, 2)

    def test_retry_after_is_honoured(self, download, server):
        row = one(download([server.url("/once/429/1")]))
        assert (row["status"], row["attempts"]) == ("ok", 2)
        assert row["seconds"] >= 1

    @pytest.mark.parametrize("path", ["/once/429/3600", "/busy-until-date"])
    def test_retry_after_is_bounded(self, download, server, monkeypatch, path):
        monkeypatch.setattr(remote, "MAX_RETRY_AFTER_SECONDS", 0.3)
        row = one(download([server.url(path)]))
        assert row["status"] == "ok"
        assert 0.3 <= row["seconds"] < 5

    def test_a_retry_after_that_makes_no_sense(self, download, server):
        assert one(download([server.url("/once/503/soon")]))["status"] == "ok"

    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            ("/reset", Reason.CONNECTION_ERROR),
            ("/short", Reason.CONNECTION_ERROR),
            ("/stall", Reason.TIMEOUT),
            ("/silent", Reason.TIMEOUT),
        ],
    )
    def test_broken_connections_are_tried_again(self, download, server, path, reason):
        row = one(download([server.url(path)], timeout_seconds=0.2 if reason == Reason.TIMEOUT else 10))
        assert (row["status"], row["reason"], row["attempts"]) == ("failed", reason, 3)
        assert server.hits[path] >= 3
        assert row["detail"]

    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            ("/page.jpg", Reason.NOT_AN_IMAGE),
            ("/empty.jpg", Reason.EMPTY),
            ("/bomb.png", Reason.TOO_LARGE),
            ("/big/30000", Reason.TOO_LARGE),
        ],
    )
    def test_bodies_that_are_no_use(self, download, server, store, path, reason):
        row = one(download([server.url(path)], max_bytes=20_000))
        assert (row["status"], row["reason"], row["http_status"], row["attempts"]) == ("failed", reason, 200, 1)
        assert not store.exists("images")

    def test_the_byte_bound_is_exact(self, download, server):
        assert one(download([server.url("/big/30000")], max_bytes=30_000))["bytes"] == 30_000
        assert one(download([server.url("/big/30000")], max_bytes=29_999))["reason"] == Reason.TOO_LARGE

    def test_redirects(self, download, server, make_jpeg):
        moved, loop, to_file = rows_of(download([server.url(path) for path in ("/moved", "/loop", "/to-file")]))
        assert (moved["status"], moved["sha256"]) == ("ok", digest_of(make_jpeg("moved")))
        assert loop["reason"] == Reason.HTTP_ERROR
        assert (to_file["reason"], to_file["attempts"]) == (Reason.CONNECTION_ERROR, 1)

    @pytest.mark.parametrize(
        "url", ["http://", "http://[", "http://127.0.0.1:99999/a", "http://" + "a" * 70 + ".invalid/a", "http://a..b/"]
    )
    def test_odd_urls_harm_no_other(self, download, server, url):
        odd, good = rows_of(download([url, server.url("/image/a")]))
        assert (odd["status"], odd["reason"]) == ("failed", Reason.CONNECTION_ERROR)
        assert good["status"] == "ok"

    def test_nobody_listens(self, download):
        row = one(download(["http://127.0.0.1:1/a.jpg"]))
        assert (row["reason"], row["http_status"]) == (Reason.CONNECTION_ERROR, None)

    def test_works_where_the_catalog_is_elsewhere(self, store, server):
        images = [server.url("/image/a"), "images/a.jpg"]
        table = download_images(
            store, images, "s3://bucket/catalogs", None, DownloadConfig(), lambda _: None, lambda _: None
        )
        assert table["reason"].to_pylist() == [None, Reason.OUTSIDE_ROOT]


class TestLocal:
    def test_an_image(self, download, catalog, store, make_jpeg):
        path = catalog / "a.jpg"
        path.write_bytes(make_jpeg("a"))
        row = one(download(["a.jpg"]))
        assert (row["status"], row["sha256"]) == ("ok", digest_of(make_jpeg("a")))
        assert row["etag"] == f"{path.stat().st_size}-{path.stat().st_mtime_ns}"
        assert row["http_status"] is None
        assert store.read_image(row["sha256"]) == make_jpeg("a")

    def test_failures(self, download, catalog):
        (catalog / "empty.jpg").touch()
        (catalog / "text.jpg").write_text("a text")
        (catalog / "folder.jpg").mkdir()
        (catalog / "large.jpg").write_bytes(bytes(101))
        os.mkfifo(catalog / "pipe.jpg")
        (catalog.parent / "secret.jpg").write_text("secret")
        expected = {
            "none.jpg": Reason.NOT_FOUND,
            "text.jpg/none.jpg": Reason.NOT_FOUND,
            "nul\x00.jpg": Reason.NOT_FOUND,
            "x" * 300 + ".jpg": Reason.CONNECTION_ERROR,
            "empty.jpg": Reason.EMPTY,
            "text.jpg": Reason.NOT_AN_IMAGE,
            "folder.jpg": Reason.CONNECTION_ERROR,
            "pipe.jpg": Reason.CONNECTION_ERROR,
            "large.jpg": Reason.TOO_LARGE,
            "../secret.jpg": Reason.OUTSIDE_ROOT,
            "gopher://host/a.jpg": Reason.SCHEME_NOT_ALLOWED,
        }
        rows = rows_of(download(expected, max_bytes=100))
        assert {row["image"]: row["reason"] for row in rows} == expected
        assert all(row["status"] == "failed" and row["detail"] for row in rows)

    def test_too_many_pixels(self, download, catalog, make_jpeg):
        (catalog / "a.jpg").write_bytes(make_jpeg("a"))
        assert one(download(["a.jpg"], max_pixels=62))["reason"] == Reason.TOO_LARGE
        assert one(download(["a.jpg"], max_pixels=63))["status"] == "ok"


class TestWhole:
    def test_a_row_per_distinct_image_in_the_order_first_seen(self, download, server):
        a, b, c = (server.url(f"/image/{name}") for name in "abc")
        table = download(iter([c, a, "none.jpg", c, b, a]))
        assert table["image"].to_pylist() == [c, a, "none.jpg", b]
        assert server.hits == Counter({"/image/a": 1, "/image/b": 1, "/image/c": 1})

    def test_order_does_not_hang_on_speed(self, download, server):
        images = [server.url("/slow/x"), *(server.url(f"/image/{i}") for i in range(20))]
        assert download(images)["image"].to_pylist() == images

    def test_no_images(self, download):
        assert rows_of(download([])) == []

    def test_same_bytes_are_kept_once(self, download, catalog, store, make_jpeg):
        for name in ("a.jpg", "b.jpg"):
            (catalog / name).write_bytes(make_jpeg("same"))
        table = download(["a.jpg", "b.jpg"])
        assert len(set(table["sha256"].to_pylist())) == 1
        assert len([path for path in (store.local_root / "images").rglob("*") if path.is_file()]) == 1

    def test_concurrency_is_bounded_and_used(self, download, server):
        download([server.url(f"/slow/{i}") for i in range(12)], concurrency=3)
        assert server.most_at_once == 3

    def test_from_a_worker_thread(self, download, server):
        tables = []
        thread = threading.Thread(target=lambda: tables.append(download([server.url("/image/a")])))
        thread.start()
        thread.join(20)
        assert one(tables[0])["status"] == "ok"

    def test_progress_ends_with_the_whole(self, download, server, catalog, make_jpeg):
        (catalog / "a.jpg").write_bytes(make_jpeg("a"))
        previous = download(["a.jpg"])
        seen = []
        download(["a.jpg", "none.jpg", server.url("/image/b")], previous, seen.append)
        last = seen[-1]
        assert (last.done, last.total, last.failed, last.bytes) == (3, 3, 1, len(make_jpeg("b")))
        assert last.seconds > 0

    def test_a_store_that_cannot_be_written_ends_the_download(self, download, server, store):
        store.local_root.mkdir()
        (store.local_root / "images").write_text("in the way")
        with pytest.raises(StoreError, match="cannot write images/") as raised:
            download([server.url(f"/image/{i}") for i in range(50)], concurrency=2)
        assert isinstance(raised.value.__cause__, OSError)
        assert sum(server.hits.values()) < 50

    def test_an_error_in_a_callback_ends_the_download(self, download, monkeypatch):
        monkeypatch.setattr(engine, "CHECKPOINT_ROWS", 1)

        def refuse(_):
            raise KeyError("stop")

        with pytest.raises(KeyError, match="stop"):
            download(["none.jpg"], on_checkpoint=refuse)


class TestAgain:
    def test_nothing_is_fetched_twice(self, download, server, catalog, make_jpeg):
        (catalog / "a.jpg").write_bytes(make_jpeg("a"))
        images = ["a.jpg", server.url("/image/b")]
        first = download(images)
        assert download(images, first) == first
        assert server.hits["/image/b"] == 1

    def test_failed_ones_are_tried_again(self, download, server, catalog, make_jpeg):
        images = [server.url("/status/404"), "late.jpg"]
        first = download(images)
        (catalog / "late.jpg").write_bytes(make_jpeg("late"))
        second = download(images, first)
        assert second["status"].to_pylist() == ["failed", "ok"]
        assert server.hits["/status/404"] == 2

    def test_only_new_images_cost(self, download, server):
        old = [server.url(f"/image/{i}") for i in range(3)]
        new = server.url("/image/new")
        table = download([new, old[2], old[0]], download(old))
        assert table["image"].to_pylist() == [new, old[2], old[0]]
        assert set(server.hits.values()) == {1}

    def test_bytes_that_left_the_store_are_fetched_again(self, download, server, store):
        images = [server.url("/image/a"), server.url("/image/b")]
        first = download(images)
        store.remove(image_name(first["sha256"][0].as_py()))
        assert download(images, first)["sha256"] == first["sha256"]
        assert server.hits == Counter({"/image/a": 2, "/image/b": 1})
        assert all(store.exists(image_name(sha256)) for sha256 in first["sha256"].to_pylist())

    def test_a_changed_file_is_read_again(self, download, catalog, make_jpeg):
        path = catalog / "a.jpg"
        path.write_bytes(make_jpeg("old"))
        first = download(["a.jpg"])
        path.write_bytes(make_jpeg("new"))
        os.utime(path, ns=(0, 1))
        assert one(download(["a.jpg"], first))["sha256"] == digest_of(make_jpeg("new"))

    def test_a_file_that_is_gone_fails(self, download, catalog, make_jpeg):
        path = catalog / "a.jpg"
        path.write_bytes(make_jpeg("a"))
        first = download(["a.jpg"])
        path.unlink()
        assert one(download(["a.jpg"], first))["reason"] == Reason.NOT_FOUND

    def test_a_killed_download_goes_on_from_its_last_checkpoint(self, download, server, store, catalog):
        images = [server.url(f"/image/{i}") for i in range(40)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", KILLED_AT_ITS_SECOND_CHECKPOINT, store.root, str(catalog), *images]
        assert subprocess.run(command, env=environment, timeout=60).returncode == -signal.SIGKILL
        kept = store.read_table("ledger.parquet")
        assert 20 <= kept.num_rows < 40
        assert all(row["status"] == "ok" for row in rows_of(kept))
        server.hits.clear()
        assert download(images, kept)["image"].to_pylist() == images
        assert sum(server.hits.values()) == 40 - kept.num_rows

    def test_a_checkpoint_holds_what_was_taken_over_too(self, download, server, monkeypatch):
        old = [server.url(f"/image/old{i}") for i in range(3)]
        first = download(old)
        monkeypatch.setattr(engine, "CHECKPOINT_ROWS", 2)
        ledgers = []
        download([*old, *(server.url(f"/image/new{i}") for i in range(5))], first, on_checkpoint=ledgers.append)
        assert [set(old) <= set(ledger["image"].to_pylist()) for ledger in ledgers] == [True, True]
