"""The store, on a folder and in memory: what is written is whole, and what is read is what was written."""

import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid

import numpy as np
import pyarrow as pa
import pytest

from vitrine.errors import StoreError
from vitrine.refs import Ref
from vitrine.store import Store, digest_of, image_name


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path):
    if request.param == "folder":
        yield Store(str(tmp_path / "store"))
        return
    store = Store(f"memory://{uuid.uuid4().hex}/store")
    yield store
    if store.filesystem.exists(store.path("")):
        store.filesystem.rm(store.path(""), recursive=True)


@pytest.fixture
def folder(tmp_path):
    return Store(str(tmp_path / "store"))


def table():
    return pa.table(
        {
            "name": ["a", None, "c"],
            "vector": pa.FixedSizeListArray.from_arrays(np.arange(6, dtype=np.float32), 2),
        }
    )


def test_making_one_touches_nothing(tmp_path):
    assert not Store(str(tmp_path / "store")).exists("a")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("data", [b"", b"abc", bytes(range(256)) * 5000])
def test_bytes_come_back(store, data):
    ref = store.write_bytes("a/b/c.bin", data)
    assert ref == Ref(path="a/b/c.bin", digest=hashlib.sha256(data).hexdigest(), rows=1)
    assert store.read_bytes("a/b/c.bin") == store.read_ref(ref) == data
    assert store.exists("a/b/c.bin")
    assert store.holds(ref)


def test_a_second_write_replaces_the_first(store):
    first, second = store.write_bytes("a", b"a longer first text"), store.write_bytes("a", b"second")
    assert store.read_bytes("a") == b"second"
    assert (store.holds(first), store.holds(second)) == (False, True)


def test_tables_come_back(store):
    ref = store.write_table("tables/t.parquet", table())
    assert (ref.path, ref.rows) == ("tables/t.parquet", 3)
    assert ref.digest == hashlib.sha256(store.read_bytes("tables/t.parquet")).hexdigest()
    assert store.read_table("tables/t.parquet").equals(table())
    assert store.read_table("tables/t.parquet", columns=["vector"]).equals(table().select(["vector"]))


def test_the_same_table_is_the_same_bytes(store):
    assert store.write_table("a.parquet", table()).digest == store.write_table("b.parquet", table()).digest


def test_what_is_not_there(store):
    assert not store.exists("a")
    assert not store.holds(Ref(path="a", digest=digest_of(b""), rows=1))
    with pytest.raises(FileNotFoundError):
        store.read_bytes("a")
    with pytest.raises(FileNotFoundError):
        store.read_table("a.parquet")
    with pytest.raises(FileNotFoundError):
        store.read_image("0" * 64)
    assert store.names("no/such/folder") == []
    assert store.walk("no/such/folder") == []
    store.remove("a")


def test_names_and_walk(store):
    for name in ("runs/b/run.json", "runs/a/run.json", "runs/c.parquet", "runs/a/plots/x.png", "else/d.parquet"):
        store.write_bytes(name, b"x")
    assert store.names("runs") == ["runs/a", "runs/b", "runs/c.parquet"]
    assert store.names("runs", suffix=".parquet") == ["runs/c.parquet"]
    assert store.walk("runs") == ["runs/a/plots/x.png", "runs/a/run.json", "runs/b/run.json", "runs/c.parquet"]
    assert store.walk("runs/a") == ["runs/a/plots/x.png", "runs/a/run.json"]


def test_remove(store):
    store.write_bytes("a/b", b"x")
    store.write_bytes("a/c", b"y")
    store.remove("a/b")
    store.remove("a/b")
    assert store.walk("a") == ["a/c"]


def test_write_tree(store, tmp_path):
    source = tmp_path / "docs"
    (source / "static" / "css").mkdir(parents=True)
    (source / "empty").mkdir()
    (source / "index.html").write_bytes(b"<html>")
    (source / "static" / "css" / "a b.css").write_bytes(b"a{}")
    store.write_tree("docs/v1", source)
    assert store.walk("docs") == ["docs/v1/index.html", "docs/v1/static/css/a b.css"]
    assert store.read_bytes("docs/v1/static/css/a b.css") == b"a{}"


def test_an_image_is_named_by_its_content_and_written_once(store):
    data = b"\xff\xd8\xff picture"
    sha256 = store.write_image(data)
    assert sha256 == hashlib.sha256(data).hexdigest()
    assert store.walk("images") == [f"images/{sha256[:2]}/{sha256[2:4]}/{sha256}"]
    path = store.path(image_name(sha256))
    modified = store.filesystem.modified(path)
    time.sleep(0.02)
    assert store.write_image(data) == sha256
    assert store.filesystem.modified(path) == modified
    assert store.read_image(sha256) == data
    assert store.write_image(b"another") != sha256
    assert len(store.walk("images")) == 2


@pytest.mark.parametrize("data", [b"pictured", b"", b"Picture"])
def test_a_changed_file_is_not_held(store, data):
    ref = store.write_bytes("runs/a/pca.skops", b"picture")
    store.filesystem.pipe_file(store.path(ref.path), data)
    assert not store.holds(ref)
    with pytest.raises(StoreError, match=r"runs/a/pca\.skops has changed since .*'vitrine run'") as raised:
        store.read_ref(ref)
    assert store.root in str(raised.value)


def test_a_file_that_is_gone_is_not_held(store):
    ref = store.write_bytes("runs/a/pca.skops", b"picture")
    store.remove(ref.path)
    assert not store.holds(ref)
    with pytest.raises(StoreError, match=r"runs/a/pca\.skops is gone.*'vitrine run'") as raised:
        store.read_ref(ref)
    assert store.root in str(raised.value)


def test_a_local_root_however_it_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ref = Store("store").write_bytes("a/b", b"x")
    for root in ("store/", f"{tmp_path}/store", f"{tmp_path}/store/", f"file://{tmp_path}/store", "./store"):
        store = Store(root)
        assert store.is_local
        assert store.local_root == tmp_path / "store"
        assert store.holds(ref)
        assert store.walk("a") == ["a/b"]


def test_a_root_that_is_no_folder_of_this_machine():
    store = Store("memory://elsewhere")
    assert not store.is_local
    with pytest.raises(StoreError, match="memory://elsewhere: is not a local folder"):
        _ = store.local_root


def test_nothing_temporary_stays(folder):
    for number in range(5):
        folder.write_bytes(f"a/{number}", b"x")
    assert folder.walk("tmp") == []
    assert folder.walk("a") == [f"a/{number}" for number in range(5)]


def test_a_root_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"here is no folder")
    with pytest.raises(StoreError, match=r"file/store: cannot write a: Not a directory|File exists"):
        Store(str(tmp_path / "file" / "store")).write_bytes("a", b"x")


def test_a_reader_sees_the_old_file_or_the_new_one(folder):
    versions = [bytes([number]) * 300_000 for number in range(4)]
    folder.write_bytes("a", versions[0])
    done = threading.Event()

    def write():
        while not done.is_set():
            folder.write_bytes("a", random.choice(versions))

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        seen = {folder.read_bytes("a") for _ in range(300)}
    finally:
        done.set()
        for writer in writers:
            writer.join()
    assert seen <= set(versions)


FILL = """
import json, sys
from vitrine.errors import StoreError
from vitrine.store import Store

store = Store(sys.argv[1])
kept = store.write_bytes("kept", b"k" * 1000)
errors = []
for name in ("new", "kept"):
    try:
        store.write_bytes(name, b"x" * 600_000)
    except StoreError as error:
        errors.append(str(error))
print(json.dumps({"files": store.walk(""), "kept": store.holds(kept), "errors": errors}))
"""


def check_failed_writes(printed):
    outcome = json.loads(printed)
    assert outcome["files"] == ["kept"]
    assert outcome["kept"]
    assert len(outcome["errors"]) == 2
    return outcome["errors"]


def test_a_full_disk_leaves_neither_target_nor_temporary_file(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = 'mount -t tmpfs -o size=256k none "$1" && exec "$2" -c "$3" "$1/store"'
    unshare = shutil.which("unshare")
    ways = [[unshare, "--mount"], [unshare, "--user", "--map-root-user", "--mount"]] if unshare else []
    for way in ways:
        if subprocess.run([*way, "mount", "-t", "tmpfs", "none", str(disk)], capture_output=True).returncode == 0:
            break
    else:
        pytest.skip("this machine lets no test mount a small disk")
    command = [*way, "sh", "-c", mount, "sh", str(disk), sys.executable, FILL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for error, name in zip(check_failed_writes(done.stdout), ("new", "kept"), strict=True):
        assert error.startswith(f"{disk}/store: cannot write {name}: the disk is full. Free some space")


def test_a_write_that_ends_half_way_leaves_neither_target_nor_temporary_file(tmp_path):
    limited = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
"""
    command = [sys.executable, "-c", limited + FILL, str(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for error in check_failed_writes(done.stdout):
        assert "File too large" in error


WRITE_FOR_EVER = """
import itertools, os, sys, threading
from vitrine.store import Store, digest_of

store = Store(sys.argv[1])

def write(thread):
    for number in itertools.count():
        body = bytes([number % 256]) * 500_000 + os.urandom(32)
        store.write_image(body)
        store.write_bytes(f"again/{thread}", digest_of(body).encode() + body)

for thread in range(4):
    threading.Thread(target=write, args=(thread,)).start()
"""


def test_whatever_is_there_after_a_kill_is_whole(folder):
    for kill in range(4):
        already = len(folder.walk("images"))
        process = subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, folder.root])
        try:
            until = time.monotonic() + 30
            while len(folder.walk("images")) < already + 20 and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(0.007 * kill)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert process.returncode == -signal.SIGKILL
        images = folder.walk("images")
        assert len(images) >= already + 20
        for name in images:
            assert name == image_name(digest_of(folder.read_bytes(name)))
        for name in folder.walk("again"):
            data = folder.read_bytes(name)
            assert data[:64].decode() == digest_of(data[64:])
    shutil.rmtree(folder.root)
